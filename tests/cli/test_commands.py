"""The commands: what goes to stdout and what to stderr, in text and JSON, and with which status they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import Capture, ran
from tests.inputs.small_tokenizers import byte_level, save
from tests.parity.oracle import build_oracle, tiny_config
from triptych.registry import KINDS, models
from triptych.spec.catalog import catalog, load_named
from triptych.spec.document import parse_document


@pytest.fixture
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_list_names_every_kind_and_everything_in_it(capsys: Capture) -> None:
    status, out, err = ran(capsys, "list")
    assert (status, err) == (0, "")
    heads = [line[:-1] for line in out.splitlines() if not line.startswith(" ")]
    named = ["processors", "dummy_inputs", "schemas", "transcriptions", "conf"]
    assert heads == ["models", "towers", "fragments", "classes", *named, *(f"{kind}s" for kind in KINDS)]
    assert set(catalog()) <= {line.split()[0] for line in out.splitlines() if line.startswith(" ")}


def test_list_of_one_kind_is_a_name_a_line_with_what_it_answers_to(capsys: Capture) -> None:
    status, out, _ = ran(capsys, "list", "models")
    assert status == 0
    assert "llama                LlamaForCausalLM" in out.splitlines()
    assert not any(line.startswith((" ", "clip")) for line in out.splitlines())
    assert ran(capsys, "list", "norms")[1].split() == [
        "gain",
        "layer_norm",
        "layer_norm_by_head",
        "rms_norm",
        "rms_norm_by_head",
        "times",
    ]


def test_list_as_json_holds_the_same(capsys: Capture) -> None:
    everything = json.loads(ran(capsys, "list", "--json")[1])
    assert {row["name"] for kind in ("models", "towers", "fragments") for row in everything[kind]} == set(catalog())
    towers = json.loads(ran(capsys, "list", "towers", "--json")[1])
    assert towers == everything["towers"]
    assert towers[0]["model_types"] == ["clip_vision_model"]
    assert Path(towers[0]["path"]).is_file()


def test_show_prints_a_spec_that_reads_back_equal(capsys: Capture, tmp_path: Path) -> None:
    status, out, err = ran(capsys, "show", "gemma2")
    assert (status, err) == (0, "")
    assert parse_document(out, file="shown.yaml") == load_named("gemma2")[1]
    (tmp_path / "shown.yaml").write_text(out)
    assert ran(capsys, "validate", str(tmp_path / "shown.yaml"))[0] == 0


def test_show_takes_overrides_and_says_so(capsys: Capture) -> None:
    status, out, _ = ran(capsys, "show", "llama", "parts.attention.reach.window=64", "parts.norm.eps=1e-3")
    assert status == 0
    assert parse_document(out, file="shown.yaml")["parts"]["attention"]["reach"]["window"] == 64
    (line,) = [line for line in out.splitlines() if line.strip().startswith("window:")]
    assert line.endswith("# override 'parts.attention.reach.window=64'")


def test_show_as_json_holds_the_tree_and_where_each_value_came_from(capsys: Capture) -> None:
    found = json.loads(ran(capsys, "show", "gemma2", "--json", "parts.norm.eps=1")[1])
    assert found["spec"]["parts"]["norm"] == {"use": "rms_norm", "eps": 1, "offset": 1, "cast": "after"}
    assert found["origins"]["parts.norm.use"].partition(":")[0].endswith("llama.yaml")
    assert found["origins"]["parts.norm.offset"].partition(":")[0].endswith("gemma.yaml")
    assert found["origins"]["parts.norm.eps"] == "override 'parts.norm.eps=1'"


def test_show_tells_what_a_model_can_do(capsys: Capture) -> None:
    status, out, err = ran(capsys, "show", "llava", "--capabilities")
    assert (status, err) == (0, "")
    shown = (
        "supports_multimodal_embeddings",
        "supports_multimodal",
        "supports_tower_connector_lora",
        "supports_pp",
        "supports_eagle3",
    )
    assert out.split() == [word for name in shown for word in (name, "verified")]
    assert ran(capsys, "show", "vit", "--capabilities")[1] == "vit declares no capability\n"
    status, _, err = ran(capsys, "show", "vit", "--capabilities", "sample=null")
    assert (status, err) == (1, "vit has no `sample` config to build a model of\n")


@pytest.mark.parametrize(("overrides", "state"), [((), "verified"), (("pooler=null",), "absent")])
def test_show_tells_capabilities_as_json(capsys: Capture, overrides: tuple[str, ...], state: str) -> None:
    found = json.loads(ran(capsys, "show", "bert", "--capabilities", "--json", *overrides)[1])
    assert (found["name"], found["contradictions"]) == ("bert", [])
    assert (found["capabilities"]["is_pooling_model"], found["capabilities"]["supports_multimodal"]) == (
        state,
        "absent",
    )


class Half:
    """It says that it takes items, and has next to nothing of what that needs."""

    supports_multimodal = True

    def embed_multimodal(self, **kwargs: object) -> None: ...


def test_show_tells_what_a_model_class_can_do(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_registered", {})
    models.register_model("HalfModel", f"{__name__}:Half")
    status, out, err = ran(capsys, "show", "HalfModel", "--capabilities")
    assert (status, err) == (1, "")
    assert out.startswith(f"{'supports_multimodal':<36} contradicted\nHalf has supports_multimodal = True, and lacks ")
    found = json.loads(ran(capsys, "show", "HalfModel", "--capabilities", "--json")[1])
    assert (found["capabilities"]["supports_multimodal"], len(found["contradictions"])) == ("contradicted", 1)
    status, _, err = ran(capsys, "show", "HalfModel", "--capabilities", "parts.norm.eps=1")
    assert (status, err) == (1, "HalfModel is a model class, and has no spec for parts.norm.eps=1 to change\n")


SCHEMAS = """\
image: LlavaImagePixelInputs or LlavaImageEmbeddingInputs
LlavaImagePixelInputs:
  type                 pixel_values
  pixel_values         shape (3, 56, 56), dtype float
LlavaImageEmbeddingInputs:
  type                 image_embeds
  image_embeds         shape (rows, 64), dtype float
"""


def test_show_tells_the_input_schemas(capsys: Capture) -> None:
    assert ran(capsys, "show", "llava", "--schemas") == (0, SCHEMAS, "")
    assert ran(capsys, "show", "llama", "--schemas")[1] == "llama states no schema\n"
    found = json.loads(ran(capsys, "show", "llava", "--schemas", "--json", "sample.text_config.hidden_size=32")[1])
    assert found["items"] == {"image": ["LlavaImagePixelInputs", "LlavaImageEmbeddingInputs"]}
    embeds = found["schemas"]["LlavaImageEmbeddingInputs"]["properties"]["image_embeds"]
    assert (embeds["description"], embeds["items"]["minItems"]) == ("shape (rows, 32), dtype float", 32)


WRONG = "schema: 1\nbase: llama\nparts: {mlp: {hiden: 5}}\nmore: 1\n"


def test_validate_says_what_is_wrong_on_stdout_and_counts_on_stderr(capsys: Capture, tmp_path: Path) -> None:
    wrong, right = tmp_path / "wrong.yaml", tmp_path / "right.yaml"
    wrong.write_text(WRONG)
    right.write_text("schema: 1\nbase: llama\n")
    status, out, err = ran(capsys, "validate", str(wrong), str(right))
    assert status == 1
    assert [line.partition(": ")[0] for line in out.splitlines()] == [f"{wrong}:3:15", f"{wrong}:4:1"]
    assert err == "2 specs, 1 with mistakes\n"
    assert ran(capsys, "validate", str(right)) == (0, "", "1 spec, all valid\n")


def test_validate_of_a_folder_takes_every_spec_in_it(capsys: Capture) -> None:
    folder = str(catalog()["llama"].path.parent)
    assert ran(capsys, "validate", folder) == (0, "", f"{len(catalog())} specs, all valid\n")


def test_validate_as_json_tells_file_line_column_path_and_message(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(WRONG)
    status, out, err = ran(capsys, "validate", "--format", "json", str(tmp_path / "wrong.yaml"))
    assert (status, err) == (1, "")
    (spec,) = json.loads(out)
    assert (spec["spec"], spec["file"], spec["passed"]) == (str(tmp_path / "wrong.yaml"),) * 2 + (False,)
    assert [(rung["rung"], rung["state"]) for rung in spec["rungs"]] == [
        ("spec", "failed"),
        ("capabilities", "skipped"),
    ]
    assert spec["rungs"][0]["problems"][0] == {
        "file": str(tmp_path / "wrong.yaml"),
        "line": 3,
        "column": 15,
        "path": "parts.mlp.hiden",
        "message": "unknown key 'hiden'; did you mean 'hidden'?",
    }


def test_check_says_each_rung(capsys: Capture, tmp_path: Path) -> None:
    status, out, err = ran(capsys, "check", "llama", "vit")
    assert (status, err) == (0, "")
    assert [line.partition(" (")[0] for line in out.splitlines()] == [
        f"{name}: {rung}"
        for name in ("llama", "vit")
        for rung in ("spec: passed", "capabilities: passed", "shape: passed", "weights: skipped", "gpu: skipped")
    ]
    (tmp_path / "wrong.yaml").write_text(WRONG)
    status, out, _ = ran(capsys, "check", "llama", str(tmp_path / "wrong.yaml"))
    assert status == 1
    assert f"  {tmp_path}/wrong.yaml:3:15: parts.mlp.hiden: unknown key 'hiden'; did you mean 'hidden'?" in out


FOLDER = ". is a folder; a spec's name or YAML file is wanted; of a checkpoint: triptych check SPEC --checkpoint ."
CLASS = "unknown spec 'LlamaForCausalLM'; llama answers for it"


@pytest.mark.parametrize(("given", "said"), [(".", FOLDER), ("LlamaForCausalLM", CLASS)])
def test_check_says_what_stands_for_what_is_no_spec(given: str, said: str, capsys: Capture) -> None:
    status, out, _ = ran(capsys, "check", given)
    assert (status, out.splitlines()[1]) == (1, f"  {said}")


def test_check_as_json_holds_rungs_problems_and_notes(capsys: Capture) -> None:
    status, out, _ = ran(capsys, "check", "--json", "llama", "lama")
    assert status == 1
    llama, lama = json.loads(out)
    assert (llama["passed"], lama["passed"]) == (True, False)
    assert [rung["state"] for rung in llama["rungs"]] == ["passed", "passed", "passed", "skipped", "skipped"]
    unknown = {"path": "", "message": "unknown spec 'lama'; did you mean 'llama'?"}
    assert lama["rungs"][0]["problems"] == [{"file": None, "line": None, "column": None} | unknown]
    assert lama["file"] is None


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ([], 2, "usage: triptych"),
        (["lst"], 2, "invalid choice: 'lst'"),
        (["list", "norm"], 1, "no kind 'norm'; did you mean 'norms'?"),
        (["list", "zyx"], 1, "no kind 'zyx'; known: activations, "),
        (["list", "models", "more"], 2, "unrecognized arguments: more"),
        (["list", "--jsn"], 2, "unrecognized arguments: --jsn"),
        (["show"], 2, "the following arguments are required: NAME\n"),
        (["show", "lama"], 1, "unknown spec 'lama'; did you mean 'llama'?"),
        (["show", "nowhere.yaml"], 1, "nowhere.yaml: No such file or directory"),
        (["show", "."], 1, ". is a folder; a spec's name or YAML file is wanted"),
        (["show", "llama", "windw"], 1, "override 'windw': not of the form path.to.key=value"),
        (["show", "llama", "--window=3"], 2, "unrecognized arguments: --window=3"),
        (["validate"], 2, "the following arguments are required: PATH"),
        (["validate", "--format", "xml", "a"], 2, "invalid choice: 'xml'"),
        (["validate", "empty"], 1, "empty: no YAML file in this folder"),
        (["check"], 2, "the following arguments are required: NAME|PATH"),
        (["run", "llama"], 2, "the following arguments are required: PROMPT\n"),
        (["run", "no such folder", "hi"], 1, "no such folder: no such folder"),
        (["run", "nowhere", "hi"], 1, "nowhere: no such folder"),
        (["run", "empty", "hi"], 1, "empty: no config: a folder has a config.json or a params.json"),
        (["run", "lama", "hi", "--random-init"], 1, "unknown spec 'lama'; did you mean 'llama'?"),
        (["run", "llama", "hi", "--random-init", "windw=3"], 1, "override 'windw=3': windw: unknown key 'windw'"),
        (["run", "llama", "hi", "--random-init", "--seed", "1.5"], 2, "invalid int value: '1.5'"),
        (["run", "vit", "hi", "--random-init"], 1, "vit is a tower"),
    ],
)
@pytest.mark.usefixtures("in_a_folder")
def test_what_is_wrong_is_said_on_stderr_alone(words: list[str], status: int, message: str, capsys: Capture) -> None:
    Path("empty").mkdir()
    found, out, err = ran(capsys, *words)
    assert (found, out) == (status, "")
    assert message in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "schema: a spec says which grammar it is written in"),
        (b"\x00\x01\x02", "control characters are not allowed"),
        (b"\x89PNG\r\n\x1a\n", "not UTF-8 text (byte 0)"),
        (b"PK\x03\x04", "control characters are not allowed"),
        (b"# a comment alone", "schema: a spec says which grammar"),
        (b"just text", "a spec is a mapping of keys to values, not 'just text'"),
        (b"schema: 1\nbase: my", "a cycle of bases: my -> my"),
        (b"schema: [1", "did not find expected ',' or ']'"),
        (b"schema: one", "schema: input should be 1; found 'one'"),
    ],
)
def test_any_file_may_be_given_for_a_spec(content: bytes, message: str, capsys: Capture, tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_bytes(content)
    for command in ("validate", "check", "show"):
        status, out, err = ran(capsys, command, str(file))
        if command == "show" and "schema" in message:
            assert status == 0  # a spec that is not valid can still be looked at
        else:
            assert status == 1
            assert message in out + err


def test_overrides_may_stand_among_the_options(capsys: Capture) -> None:
    words: list[Any] = ["run", "llama", "--random-init", "hi", "sample.vocab_size=300", "--max-tokens", "1"]
    status, out, _ = ran(capsys, *words, "sample.num_hidden_layers=1", "--json", "--raw")
    assert status == 0
    assert json.loads(out)["finish_reason"] == "length"


def test_run_prints_the_answer_alone(capsys: Capture) -> None:
    words = ["run", "llama", "hi", "--random-init", "--max-tokens", "3", "--raw"]
    status, out, err = ran(capsys, *words)
    assert (status, err) == (0, "")
    assert out.endswith("\n")
    assert ran(capsys, *words)[1] == out, "greedy, and of the same drawn weights"
    found = json.loads(ran(capsys, *words, "--json")[1])
    assert found.keys() == {"text", "token_ids", "finish_reason"}
    assert found["text"] == out.removesuffix("\n")
    assert len(found["token_ids"]) <= 3


def test_run_reads_a_checkpoint_with_another_spec(capsys: Capture, tmp_path: Path) -> None:
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    build_oracle({**config, "vocab_size": 400}, tmp_path / "llama", seed=3)
    save(byte_level(), tmp_path / "llama")
    (tmp_path / "mine.yaml").write_text("schema: 1\nbase: llama\ninert: [rms_norm_eps]\nparts: {norm: {eps: 0.9}}\n")
    asked = ["run", str(tmp_path / "llama"), "one", "--max-tokens", "8", "--raw"]
    answers = []
    for words in ([], ["--spec", str(tmp_path / "mine.yaml")], ["--spec", "llama"]):
        status, out, _ = ran(capsys, *asked, *words)
        assert status == 0
        answers.append(out)
    assert answers[0] == answers[2] != answers[1]
    status, _, err = ran(capsys, "run", "llama", "one", "--random-init", "--spec", "llama")
    assert (status, err) == (1, "--spec: --random-init takes its spec as MODEL\n")
