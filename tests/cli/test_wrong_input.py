"""What a user can get wrong, through the command line: where it is, what was found, what would do."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent

import pytest
import torch
from safetensors.torch import load_file, save_file

import triptych
from triptych.cli import main

HEAD = "schema: 1\nbase: llama\n"
SPECS = {
    "unknown key": ("blocs: {}", r"s\.yaml:3:1: blocs: unknown key 'blocs'; did you mean 'blocks'\?"),
    "unknown key of a part": (
        "parts: {mlp: {hiden: 5}}",
        r"s\.yaml:3:15: .*hiden: unknown key 'hiden'; did you mean 'hidden'\?",
    ),
    "wrong type": ("parts: {attention: {scores: {softcap: high}}}", r"s\.yaml:3:39: .*softcap: .*number.*found 'high'"),
    "duplicate key": ("sample: {}\nsample: {}", r"s\.yaml:4:1: duplicate key 'sample'; it stands at line 3 already"),
    "missing required": ("parts: {mlp: {use: mlp}}", r"s\.yaml:3:.*hidden: required, and not given"),
    "unknown part": (
        "parts: {attention: {use: atention, heads: 2}}",
        r"s\.yaml:3:26: .*unknown mixer 'atention'; did you mean 'attention'\?",
    ),
    "part that no line defines": (
        "blocks: {layer: {mix: {mixer: attenton}}}",
        r"s\.yaml:3:31: .*no 'attenton' in parts; did you mean 'attention'\?",
    ),
    "part that nothing uses": (
        "parts: {atention: {like: attention}}",
        r"s\.yaml:3:9: .*nothing uses the part 'atention'",
    ),
    "row that leads nowhere": (
        "weights: {'layers.{i}': {mx.attention.qkv: x}}",
        r"s\.yaml:3:26: .*no 'mx' in this model; did you mean 'mix'\?",
    ),
    "expression that names nothing": (
        "parts: {mlp: {hidden: =confg.hidden_size}}",
        r"s\.yaml:3:23: .*'confg' has no meaning here; did you mean 'config'\?",
    ),
    "expression that is too deep": (
        f"parts: {{mlp: {{hidden: ={'-' * 30}1}}}}",
        r"s\.yaml:3:23: .*levels deep; at most 20",
    ),
    "expression that is too long": (f"parts: {{mlp: {{hidden: =1{' + 1' * 100}}}}}", r"s\.yaml:3:23: .*at most 300"),
    "expression that calls": ("parts: {mlp: {hidden: \"=open('x')\"}}", r"s\.yaml:3:23: .*no function 'open'"),
    "arithmetic that explodes": ("parts: {mlp: {hidden: =9 ** 9 ** 9}}", r"s\.yaml:3:23: .*an exponent of"),
    "a tag that names Python": (
        "sample: !!python/object/apply:os.system [ls]",
        r"s\.yaml:3:9: tag '!!python/object/apply",
    ),
    "aliases": ("sample: {a: &a [1, 1], b: &b [*a, *a], c: [*b, *b]}", r"s\.yaml:3:\d+: an alias; write the value out"),
    "brackets without end": ("sample: " + "[" * 100_000, r"s\.yaml:3:\d+: nested more than 40 deep"),
}


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """Everything that a command printed."""
    captured = capsys.readouterr()
    return captured.out + captured.err


@pytest.mark.parametrize(("text", "message"), SPECS.values(), ids=SPECS)
def test_a_mistake_in_a_spec_is_named_with_its_place(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(f"{HEAD}{text}\n", encoding="utf-8")
    if "exponent" in message:  # known only when it is evaluated
        assert main(["check", "s.yaml"]) == 1
    else:
        assert main(["validate", "s.yaml"]) == 1
    found = said(capsys)
    assert re.search(message, found), found


def test_all_mistakes_of_a_file_are_said_at_once_in_the_order_of_its_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = """\
        schema: 1
        base: llama
        language_model: {context: =confg.x}
        parts:
          norm: {epss: 1}
          attention: {reach: {window: wide}}
          mlp: {use: gated_mlpp}
        """
    Path("s.yaml").write_text(dedent(text), encoding="utf-8")
    assert main(["validate", "s.yaml"]) == 1
    lines = [line.split(":")[1] for line in capsys.readouterr().out.splitlines() if line.startswith("s.yaml")]
    assert set(lines) >= {"3", "5", "6", "7"}
    assert lines == sorted(lines)


def test_a_cycle_of_bases_is_shown_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, base in (("one", "two"), ("two", "three"), ("three", "one")):
        Path(f"{name}.yaml").write_text(f"schema: 1\nbase: {base}\n", encoding="utf-8")
    assert main(["validate", "one.yaml"]) == 1
    assert "one -> two -> three -> one" in said(capsys)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder that `triptych run` takes: a tiny llama."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    model = triptych.random_init("llama")
    config = {**model.config, "architectures": ["LlamaForCausalLM"]}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(_on_disk(model.module), folder / "model.safetensors")
    return folder


def _on_disk(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The parameters under the names that a Llama checkpoint has."""
    from triptych.spec.catalog import load_named
    from triptych.spec.scope import Scope
    from triptych.weights import tables
    from triptych.weights.table import filled

    name, tree = load_named("llama")
    (table, *_) = tables({"": Scope.of(name, tree, {"tie_word_embeddings": False})})
    found = {}
    for path, parameter in module.named_parameters():
        row, below = table.find(path) or pytest.fail(path)
        owner = module.get_submodule(path.rpartition(".")[0])
        pieces = parameter.split(list(getattr(owner, "pieces", [len(parameter)])))
        for source, piece in zip(row.sources, pieces, strict=True):
            found[filled(source.name, row.captures(tuple(path.split(".")))) + below] = piece.clone()
    return found


def run(folder: Path, *words: str) -> int:
    return main(["run", str(folder), "--raw", "--max-tokens", "2", *words])


def test_a_checkpoint_without_a_tokenizer_says_which_file_is_missing(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(checkpoint, "hi") == 1
    assert "tokenizer" in said(capsys)


def test_a_truncated_file_is_refused_before_any_tensor_is_read(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = checkpoint / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    assert run(checkpoint, "hi") == 1
    assert "not a whole safetensors file" in said(capsys)


@pytest.mark.parametrize(
    "shard", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "missing.safetensors", ".."]
)
def test_an_index_that_leads_out_of_the_folder_is_refused(
    shard: str, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = {"weight_map": {"lm_head.weight": shard}}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert run(checkpoint, "hi") == 1
    found = said(capsys)
    assert "model.safetensors.index.json" in found
    assert repr(shard) in found


def test_an_architecture_that_nobody_registered_is_named_with_the_nearest(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkpoint / "config.json").write_text('{"architectures": ["LamaForCausalLM"], "model_type": "lama"}')
    assert run(checkpoint, "hi") == 1
    found = said(capsys)
    assert found.startswith("unknown architecture 'LamaForCausalLM'\nsupported, the nearest first: LlamaForCausalLM, ")


def test_a_config_key_that_nothing_reads_is_refused(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = checkpoint / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "clip_qkv": 8}))
    assert run(checkpoint, "hi") == 1
    assert "this config has `clip_qkv: 8`, which llama.yaml does not read" in said(capsys)


def test_tensors_that_do_not_fit_are_named_together(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = checkpoint / "model.safetensors"
    tensors = load_file(file)
    tensors["model.norms.weight"] = tensors.pop("model.norm.weight")
    tensors["lm_head.weight"] = torch.zeros(3, 4)
    save_file(tensors, file)
    assert run(checkpoint, "hi") == 1
    found = said(capsys)
    assert "norm.weight: " in found
    assert "missing: nothing on disk under 'model.norm.weight'" in found
    assert "unexpected: on disk, and no row takes it" in found
    assert "wrong shape: [256, 64] in the model; on disk lm_head.weight [3, 4]" in found


def test_a_pickle_is_refused_with_the_reason(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    assert run(checkpoint, "hi") == 1
    assert "only pickle files (pytorch_model.bin)" in said(capsys)


def test_heads_that_do_not_divide_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "llama", "hi", "--random-init", "sample.num_key_value_heads=3"]
    assert main(words) == 1
    assert "4 heads cannot share 3 kv_heads evenly" in said(capsys)


def test_a_prompt_longer_than_the_positions_is_refused_with_both_lengths(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "llama", "x" * 600, "--random-init", "--raw"]) == 1
    assert "has 600 tokens, and the model takes at most 512" in said(capsys)


def test_an_image_for_a_text_model_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "llama", "x", "--random-init", "--image", str(tmp_path / "a.png")]) == 1
    assert "this model takes none" in said(capsys)


@pytest.mark.parametrize(
    "words", [["validate", "nowhere.yaml"], ["show", "lama"], ["check", "lama"], ["list", "mixer"]]
)
def test_a_name_that_is_not_there_ends_with_one(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 1
    assert "Traceback" not in said(capsys)


@pytest.mark.parametrize("words", [["validate"], ["run", "llama"], ["lists"], ["run", "a", "b", "--max-tokens", "x"]])
def test_a_wrong_usage_ends_with_two(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
