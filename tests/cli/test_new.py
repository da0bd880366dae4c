"""`triptych new`: names that are free, a folder that nothing stands in, and a spec near to a checkpoint's config."""

from __future__ import annotations

import ast
import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cli.command import Capture, ran
from triptych.check import check_spec
from triptych.cli.scaffold import package
from triptych.cli.scaffold.names import check_names
from triptych.errors import OptionError
from triptych.spec.catalog import catalog
from triptych.spec.document import parse_document
from triptych.spec.nearest import count_keys, kinships, telling_keys

LLAMA = {
    "model_type": "newcomer",
    "architectures": ["NewcomerForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "hidden_act": "gelu",
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "max_position_embeddings": 512,
    "torch_dtype": "bfloat16",
}

TINY = sorted((Path(__file__).resolve().parents[1] / "tiny").glob("*.json"))
SIZES = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 8}


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def drafted(capsys: Capture, config: object, *words: str) -> tuple[str, str]:
    """The YAML drafted from a config, and what is said on stderr."""
    Path("config.json").write_text(json.dumps(config), encoding="utf-8")
    status, _, err = ran(capsys, "new", "newcomer", "--from-config", "config.json", *words)
    assert status == 0, err
    return Path("newcomer/newcomer/models/newcomer.yaml").read_text(encoding="utf-8"), err


def test_a_package_is_written_whole_and_its_files_are_named_on_stdout(capsys: Capture) -> None:
    status, out, err = ran(capsys, "new", "my-eyes", "--base", "llava", "--part", "norm.leafy", "--out", "there")
    assert (status, err) == (0, "on top of llava; next: cd there && pip install '.[test]' && pytest\n")
    written = {str(path) for path in Path("there").rglob("*") if path.is_file()}
    assert set(out.split()) == written
    assert {"there/my_eyes/leafy.py", "there/my_eyes/processing.py", "there/.github/workflows/ci.yml"} <= written
    assert not [path for path in Path().iterdir() if path.name != "there"]
    project = tomllib.loads(Path("there/pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["entry-points"] == {
        "triptych.specs": {"my_eyes": "my_eyes.models"},
        "triptych.parts": {"norm.leafy": "my_eyes.leafy_spec:LeafySpec"},
        "triptych.processors": {"my_eyes": "my_eyes.processing:MyEyesProcessor"},
    }
    workflow = yaml.safe_load(Path("there/.github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step][-1] == "pytest"
    for path in Path("there").rglob("*.py"):
        ast.parse(path.read_text(encoding="utf-8"))


def test_only_a_family_with_towers_has_a_processor(capsys: Capture) -> None:
    assert ran(capsys, "new", "plain")[0] == 0
    assert not list(Path("plain").rglob("processing.py"))
    assert "processor" not in Path("plain/pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("there", ["a file in it", "a file", "a link"])
def test_nothing_is_overwritten(capsys: Capture, there: str) -> None:
    if there == "a file":
        Path("mine").write_text("kept", encoding="utf-8")
    elif there == "a link":
        Path("mine").symlink_to("nowhere")
    else:
        Path("mine").mkdir()
        Path("mine/kept").touch()
    before = sorted(Path().rglob("*"))
    status, out, err = ran(capsys, "new", "mine")
    assert (status, out) == (1, "")
    assert err == "mine is there already, and nothing is overwritten; --out names another folder\n"
    assert sorted(Path().rglob("*")) == before


def test_an_empty_folder_will_do(capsys: Capture) -> None:
    Path("mine").mkdir()
    assert ran(capsys, "new", "mine")[0] == 0
    assert Path("mine/pyproject.toml").is_file()


def test_a_write_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    wrote, real = list[Path](), Path.write_text

    def full(self: Path, text: str, **options: Any) -> int:
        if len(wrote) == 3:
            raise OSError(28, "No space left on device")
        wrote.append(self)
        return real(self, text, **options)

    monkeypatch.setattr(package.Path, "write_text", full)
    with pytest.raises(OSError, match="No space left on device"):
        package.write_package({f"folder/{number}": "text" for number in range(5)}, Path("mine"))
    assert len(wrote) == 3
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("name", "part", "said"),
    [
        ("my llama", None, "NAME: 'my llama': a package is called by ASCII letters, digits, '-', '_' and '.', "),
        ("my llama", None, "first and last; 'my-llama' would do"),
        ("-x", None, "; 'x' would do"),
        ("", None, "; 'my-model' would do"),
        ("größe", None, "'größe': a package is called by ASCII letters"),
        ("2nd", None, "its package would be '2nd', which Python cannot import; 'model-2nd' would do"),
        ("class", None, "which Python cannot import; 'model-class' would do"),
        ("llama", None, "a spec 'llama' is offered by triptych 0.1.0 already; a name such as 'my-llama' would do"),
        ("triptych-llama", None, "a spec 'llama' is offered by triptych 0.1.0 already; a name such as 'my-llama'"),
        ("triptych", None, "triptych 0.1.0 is installed already; a name such as 'my-triptych' would do"),
        ("NumPy", None, "is installed already; a name such as 'my-numpy' would do"),
        ("json", None, "a module 'json' is there already; a name such as 'my-json' would do"),
        ("mine", "tower.x", "--part: 'tower.x': KIND.NAME is wanted, KIND being norm or mixer"),
        ("mine", "norm.", "--part: 'norm.': '' is no name of a part; letters, digits and _ are wanted"),
        ("mine", "norm.a-b", "'a-b' is no name of a part"),
        ("mine", "norm.rms_norm", "norm 'rms_norm' is registered already; 'norm.my_rms_norm' would do"),
        ("mine", "norm.models", "'models' is a module of mine already; 'norm.my_models' would do"),
    ],
)
def test_names_are_checked_before_anything_is_written(capsys: Capture, name: str, part: str | None, said: str) -> None:
    status, out, err = ran(capsys, "new", *([f"--part={part}"] if part else []), "--", name)
    assert (status, out) == (1, "")
    assert said in err
    assert not list(Path().iterdir())


def test_all_names_that_will_not_do_are_told_at_once(capsys: Capture) -> None:
    _, _, err = ran(capsys, "new", "llama", "--part", "norm.rms_norm")
    assert [line.partition(":")[0] for line in err.splitlines()] == ["NAME", "--part"]


@given(st.text(max_size=12))
def test_a_name_is_refused_or_gives_an_identifier(name: str) -> None:
    try:
        names = check_names(name, None)
    except OptionError:
        return
    assert names.package.isidentifier()
    assert names.package == names.package.lower()
    assert names.class_name.isidentifier()
    assert names.spec not in catalog()


def test_an_unknown_base_is_told_with_the_nearest(capsys: Capture) -> None:
    assert ran(capsys, "new", "mine", "--base", "lama")[2] == ("--base: unknown spec 'lama'; did you mean 'llama'?\n")


def test_a_part_without_a_place_is_told(capsys: Capture) -> None:
    _, _, err = ran(capsys, "new", "mine", "--base", "llava", "--part", "mixer.mine")
    assert err == (
        "--part: llava has no place for a mixer: it has no `parts.mlp` with weights for it in its layers; "
        "another --base may\n"
    )


@pytest.mark.parametrize("base", [name for name, spec in catalog().items() if spec.kind != "fragment"])
def test_every_family_is_a_base_and_what_is_drafted_is_read(capsys: Capture, base: str) -> None:
    status, _, err = ran(capsys, "new", "mine", "--base", base)
    assert status == 0, err
    text = Path("mine/mine/models/mine.yaml").read_text(encoding="utf-8")
    assert parse_document(text, file="mine.yaml")["base"] == base


def test_a_draft_is_on_top_of_the_nearest_family_and_lists_what_found_no_place(capsys: Capture) -> None:
    text, err = drafted(capsys, {**LLAMA, "clip_everything": 8.0})
    found = parse_document(text, file="drafted.yaml")
    assert (found["base"], found["architectures"], found["model_types"]) == (
        "llama",
        ["NewcomerForCausalLM"],
        ["newcomer"],
    )
    lost = "config.clip_everything: this config has `clip_everything: 8.0`, which llama.yaml does not read"
    assert f"# - {lost}\n" in text
    assert f"no place in llama for {lost}\n" in err
    assert "# Of the 11 keys of the config that say something, llama reads 10.\n" in text
    assert found["sample"] == {"hidden_act": "gelu", "rms_norm_eps": 1e-5, "tie_word_embeddings": True}


def test_a_config_is_found_in_the_folder_of_its_checkpoint(capsys: Capture) -> None:
    text, _ = drafted(capsys, LLAMA)
    shutil.rmtree("newcomer")
    assert ran(capsys, "new", "newcomer", "--from-config", ".")[0] == 0
    assert Path("newcomer/newcomer/models/newcomer.yaml").read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", [file.stem for file in TINY])
def test_a_draft_of_any_config_climbs_the_ladder(capsys: Capture, name: str) -> None:
    config = json.loads((TINY[0].parent / f"{name}.json").read_text(encoding="utf-8"))
    text, err = drafted(capsys, {**config, "clip_everything": 8.0})
    assert "no place in " in err
    assert "clip_everything" in err
    file = Path("newcomer/newcomer/models/newcomer.yaml")
    file.write_text(re.sub("^processor: newcomer$", "", text, flags=re.MULTILINE), encoding="utf-8")  # not installed
    report = check_spec(str(file), rungs=["spec", "capabilities", "shape"])
    assert report.passed, [str(problem) for rung in report.rungs for problem in rung.problems]
    assert not any(rung.skipped for rung in report.rungs)


def test_a_draft_of_a_config_that_is_read_whole_lists_nothing(capsys: Capture) -> None:
    text, err = drafted(capsys, LLAMA)
    assert "no place" not in text + err


def test_a_value_that_the_family_does_not_take_is_listed_and_left_out_of_the_sample(capsys: Capture) -> None:
    text, err = drafted(capsys, {**LLAMA, "hidden_act": "xyzlu"}, "--base", "llama")
    assert "unknown activation 'xyzlu'" in text
    assert "unknown activation 'xyzlu'" in err
    assert "hidden_act" not in parse_document(text, file="drafted.yaml")["sample"]


def test_a_family_that_is_served_already_gets_a_name_of_its_own(capsys: Capture) -> None:
    text, err = drafted(capsys, {**LLAMA, "architectures": ["MistralForCausalLM"], "model_type": "mistral"})
    found = parse_document(text, file="drafted.yaml")
    assert (found["base"], found["architectures"], found["model_types"]) == (
        "mistral",
        ["NewcomerForCausalLM"],
        ["newcomer"],
    )
    assert "mistral answers to MistralForCausalLM; this family has a name of its own." in err


@pytest.mark.parametrize(
    ("changes", "nearest"),
    [
        ({}, "llama"),
        ({"model_type": "gemma2"}, "gemma2"),
        ({"embedding_multiplier": 2.0, "residual_multiplier": 2.0, "logits_scaling": 3.0}, "granite"),
        ({"attn_logit_softcapping": 5.0, "final_logit_softcapping": 5.0, "query_pre_attn_scalar": 16}, "gemma2"),
        ({"vision_config": SIZES, "text_config": SIZES, "image_token_index": 5}, "llava"),
    ],
)
def test_the_nearest_family_is_the_one_that_reads_the_most(changes: dict[str, object], nearest: str) -> None:
    first, *others = kinships({**LLAMA, **changes})
    assert first.name == nearest
    assert first.claim or first.count >= max(other.count for other in others)


def test_keys_that_say_nothing_of_a_model_do_not_count() -> None:
    assert count_keys({**LLAMA, "text_config": LLAMA}, ["text_config", "hidden_size"]) == 11
    assert telling_keys({"torch_dtype": "float16", "hidden_size": 4, "sliding_window": None}) == ["hidden_size"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "config.json: a JSON mapping is wanted, not a list"),
        ("{", "config.json:1:2: "),
        ("[" * 100_000, "config.json: "),
        ("null", "config.json: a JSON mapping is wanted, not a NoneType"),
        (None, "config.json: No such file or directory"),
    ],
)
def test_a_config_that_cannot_be_read_is_told_and_nothing_is_written(
    capsys: Capture, text: str | None, said: str
) -> None:
    if text is not None:
        Path("config.json").write_text(text, encoding="utf-8")
    status, _, err = ran(capsys, "new", "mine", "--from-config", "config.json")
    assert (status, err.startswith(said)) == (1, True), err
    assert not Path("mine").exists()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 300) | st.floats() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=4,
)


@settings(deadline=None)  # the first has what is read once to wait for
@given(st.dictionaries(st.sampled_from([*LLAMA, "text_config", "rope_scaling", "odd key"]), JSON, max_size=6))
def test_any_config_is_beside_some_family(config: dict[str, Any]) -> None:
    found = kinships(config)
    assert len(found) == len([spec for spec in catalog().values() if spec.kind != "fragment"])
    assert all(set(kin.read) <= config.keys() for kin in found)
