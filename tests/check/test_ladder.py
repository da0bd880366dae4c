"""The ladder: each rung climbed, failed or left out with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from triptych.assembly import assemble
from triptych.check import RUNGS, Report, check_spec
from triptych.spec.catalog import catalog, load_named, sample_config

SMALL = {"vocab_size": 8, "hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2}
WHOLE = """\
schema: 1
architectures: [Mine]
language_model:
  width: =config.width
  embed: {vocab: 8}
  layers: {count: 1, block: layer}
  head: {tied: true}
blocks: {layer: {mix: {mixer: mlp}}}
parts: {mlp: {use: mlp, hidden: 4, activation: gelu, bias: false}}
weights: {embed.tokens: wte, "layers.{i}.mix.mlp": "h.{i}"}
sample: {width: 4}
"""


def states(report: Report) -> dict[str, str]:
    """Of each rung but the last, which is left out where no GPU is named."""
    assert {rung.state for rung in report.rungs if rung.name == "gpu"} <= {"skipped"}
    return {rung.name: rung.state for rung in report.rungs if rung.name != "gpu"}


def checked(tmp_path: Path, text: str, checkpoint: Path | None = None) -> Report:
    (tmp_path / "my.yaml").write_text(text, encoding="utf-8")
    return check_spec(str(tmp_path / "my.yaml"), checkpoint=checkpoint)


def said(report: Report, rung: str) -> str:
    (found,) = [r for r in report.rungs if r.name == rung]
    return "\n".join(map(str, found.problems)) or found.skipped or "\n".join(found.notes)


@pytest.mark.parametrize("name", catalog())
def test_every_registered_spec_climbs_as_far_as_it_goes_without_a_checkpoint(name: str) -> None:
    report = check_spec(name)
    assert report.passed, report
    tree = load_named(name)[1]
    is_whole = bool(tree.get("language_model") or tree.get("tower"))  # and no fragment
    shape = "passed" if is_whole else "skipped"
    assert states(report) == {"spec": "passed", "capabilities": "passed", "shape": shape, "weights": "skipped"}
    assert ("no checkpoint; --checkpoint DIR names one" in said(report, "weights")) is is_whole


def test_every_registered_row_of_weights_is_used_by_its_sample() -> None:
    """But for those of a family whose layers are of one kind or of another by its config; a sample is of one."""
    assert {name for name in catalog() if "does not use" in said(check_spec(name), "shape")} == {
        "bailing_moe_linear",
        "falcon",
        "gemma4",
        "mistral_large_3",
        "opt",
        "stablelm",
        "zamba2",
    }


def test_rows_that_a_base_offers_are_not_told() -> None:
    assert "does not use" not in said(check_spec("mixtral"), "shape")  # of the MLP, in whose place it has experts


def test_a_failed_rung_leaves_out_those_above_it(tmp_path: Path) -> None:
    report = checked(tmp_path, WHOLE.replace("bias", "bais"))
    assert states(report) == {"spec": "failed", "capabilities": "skipped", "shape": "skipped", "weights": "skipped"}
    assert said(report, "spec").endswith("parts.mlp.bais: unknown key 'bais'; did you mean 'bias'?")
    assert said(report, "weights") == "a rung below it failed"
    report = checked(tmp_path, WHOLE.replace("{width: 4}", "{width: 0}"))
    assert states(report) == {"spec": "passed", "capabilities": "skipped", "shape": "failed", "weights": "skipped"}
    assert said(report, "capabilities") == "no model can be built to prove it; the rung `shape` says why"
    assert "language_model.width: input should be greater than 0; found 0" in said(report, "shape")


@pytest.mark.parametrize(
    "text", ["schema: 1\nparts: {norm: {use: rms_norm, eps: 1}}\n", WHOLE.replace("sample: {width: 4}", "")]
)
def test_what_has_no_sample_is_left_out_with_the_reason(tmp_path: Path, text: str) -> None:
    report = checked(tmp_path, text)
    assert report.passed
    assert states(report) == {"spec": "passed", "capabilities": "passed", "shape": "skipped", "weights": "skipped"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("capabilities: {supports_mrope: true}", "it, and the built model lacks what that needs: get_mrope_input_"),
        ("capabilities: {supports_multimodal_embeddings: false}", "the spec denies it, and its structure shows it"),
    ],
)
def test_a_capability_that_the_model_contradicts_fails_its_rung_at_its_place(
    tmp_path: Path, more: str, message: str
) -> None:
    report = checked(tmp_path, WHOLE + more)
    assert states(report) == {"spec": "passed", "capabilities": "failed", "shape": "skipped", "weights": "skipped"}
    assert message in said(report, "capabilities")
    assert said(report, "capabilities").startswith(f"{tmp_path}/my.yaml:12:")


def test_no_rung_is_climbed_above_the_last_that_is_asked_for(tmp_path: Path) -> None:
    wrong = tmp_path / "my.yaml"
    wrong.write_text(WHOLE.replace("{width: 4}", "{width: 0}"), encoding="utf-8")
    assert states(check_spec(str(wrong), rungs=("spec", "capabilities"))) == {
        "spec": "passed",
        "capabilities": "skipped",
    }
    assert states(check_spec("llama", rungs=["spec"])) == {"spec": "passed"}


def test_rows_that_no_parameter_of_the_sample_uses_are_told(tmp_path: Path) -> None:
    report = checked(tmp_path, WHOLE.replace("wte,", 'wte, "layers.{i}.mix.mlp.upp": x,'))
    assert report.passed
    assert "rows of weights that this config does not use: layers.{i}.mix.mlp.upp" in said(report, "shape")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nope", "unknown spec 'nope'; known: "),
        ("lama", "unknown spec 'lama'; did you mean 'llama'?"),
        ("nowhere.yaml", "nowhere.yaml: No such file or directory"),
    ],
)
def test_a_spec_that_is_not_there_fails_the_first_rung(name: str, message: str) -> None:
    report = check_spec(name)
    assert states(report) == dict(zip([*RUNGS][:-1], ["failed", "skipped", "skipped", "skipped"], strict=True))
    assert message in said(report, "spec")


TOWER = """\
schema: 1
base: vit
model_types: [mine]
defaults: {norm_eps: 1.0e-5, hidden_act: gelu, patch_size: 14}
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("items: {rows: =grid.h}", "items.rows: the tower gives 16 rows for an item; 4 are declared"),
        ("items: {rows: null}", "items: a tower says the `size` of its items, and the `rows`"),
        ("items: null", "items: a tower says the `size` of its items"),
        ("tower: {embed: {class_token: true}}", "running the model without values: "),
        ("items: {rows: =grid.x}", "'=grid.x': no 'x'"),
        ("items: {size: {image: 7}}", "a patch of 14 pixels does not fit in an image of 7"),
    ],
)
def test_a_tower_that_gives_other_rows_than_it_declares_is_found(tmp_path: Path, text: str, message: str) -> None:
    report = checked(tmp_path, TOWER + text)
    assert states(report) == {"spec": "passed", "capabilities": "passed", "shape": "failed", "weights": "skipped"}
    assert message in said(report, "shape")


def test_a_tower_that_gives_what_it_declares_passes(tmp_path: Path) -> None:
    assert checked(tmp_path, TOWER).passed
    text = "tower: {embed: {class_token: true, table: {like: learned, prefix: 1}}}\nitems: {rows: =grid.h * grid.w + 1}"
    assert checked(tmp_path, TOWER + text).passed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "tokens: {image: {count: =rows + 1}}",
            "tokens.image.count: the projector gives rows of shape (16, 64) for one",
        ),
        (
            "projectors: {image: {mlp: {use: mlp, out: 5}}}",
            "projectors.image: gives rows of 5; the language model takes 64",
        ),
    ],
)
def test_a_count_that_the_towers_rows_do_not_bear_out_is_found(tmp_path: Path, text: str, message: str) -> None:
    report = checked(tmp_path, f"schema: 1\nbase: llava\narchitectures: [Mine]\n{text}\n")
    assert states(report)["shape"] == "failed"
    assert message in said(report, "shape")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """What fits `WHOLE`."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["Mine"], "width": 6}))
    shapes = {"wte.weight": (8, 6), "h.0.up.weight": (4, 6), "h.0.down.weight": (6, 4)}
    save_file({name: torch.ones(shape) for name, shape in shapes.items()}, folder / "model.safetensors")
    return folder


def test_a_checkpoint_is_compared_by_its_headers(tmp_path: Path, checkpoint: Path) -> None:
    report = checked(tmp_path, WHOLE, checkpoint)
    assert states(report) == dict.fromkeys([*RUNGS][:-1], "passed")
    assert "3 parameters from 3 tensors" in said(report, "weights")


def test_what_does_not_fit_a_checkpoint_is_found(tmp_path: Path, checkpoint: Path) -> None:
    save_file({"wte.weight": torch.ones(8, 6), "h.0.upp.weight": torch.ones(4, 6)}, checkpoint / "model.safetensors")
    report = checked(tmp_path, WHOLE, checkpoint)
    assert states(report) == {"spec": "passed", "capabilities": "passed", "shape": "passed", "weights": "failed"}
    up, down, extra = said(report, "weights").splitlines()
    assert up.startswith("layers.0.mix.mlp.up.weight: missing: nothing on disk under 'h.0.up.weight'; did you mean")
    assert down.startswith("layers.0.mix.mlp.down.weight: missing: nothing on disk under 'h.0.down.weight'")
    assert extra == "h.0.upp.weight: unexpected: on disk, and no row takes it"


def test_a_checkpoint_folder_that_cannot_be_used_is_a_finding(tmp_path: Path, checkpoint: Path) -> None:
    assert "nowhere: no such folder" in said(checked(tmp_path, WHOLE, tmp_path / "nowhere"), "shape")
    (checkpoint / "config.json").write_text("{")
    assert "config.json:1:2: " in said(checked(tmp_path, WHOLE, checkpoint), "shape")
    (checkpoint / "config.json").write_text('{"width": 6}')
    (checkpoint / "model.safetensors").unlink()
    assert "no safetensors file" in said(checked(tmp_path, WHOLE, checkpoint), "weights")


def test_a_config_that_names_another_family_is_still_read_by_the_spec_that_was_asked_for(tmp_path: Path) -> None:
    tree = load_named("llama")[1]
    (tmp_path / "config.json").write_text(json.dumps({**sample_config(tree), "architectures": ["MistralForCausalLM"]}))
    model = assemble("llama", sample_config(tree)).module
    assert model
    save_file({"x": torch.ones(1)}, tmp_path / "model.safetensors")
    assert states(check_spec("llama", checkpoint=tmp_path)) == {
        "spec": "passed",
        "capabilities": "passed",
        "shape": "passed",
        "weights": "failed",
    }


def test_an_item_is_as_large_as_its_schema_says_even_where_patches_leave_a_rest(tmp_path: Path) -> None:
    report = checked(
        tmp_path, "schema: 1\nbase: llava\nmodel_types: [mine]\nsample: {vision_config: {image_size: 57}}\n"
    )
    assert states(report)["shape"] == "passed", said(report, "shape")
    assert "16 tokens for one image" in said(report, "shape")
