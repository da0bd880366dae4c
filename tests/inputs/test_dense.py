"""Folders of linear layers behind the pooling: what they become in a spec, and that none is left out silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from triptych.errors import CheckpointError
from triptych.inputs.dense import ACTIVATIONS, load_dense
from triptych.inputs.sentence import load_sentence_use
from triptych.parts.activations import get_activation

STATED = {"in_features": 4, "out_features": 3, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}
TENSORS = {"linear.weight": torch.ones(3, 4), "linear.bias": torch.ones(3)}


def written(folder: Path, *, tensors: dict[str, Tensor] | None = None, **changes: Any) -> Path:
    folder.mkdir(parents=True)
    stated = {key: value for key, value in {**STATED, **changes}.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(stated), encoding="utf-8")
    if tensors is None or tensors:
        save_file(TENSORS if tensors is None else tensors, folder / "model.safetensors")
    return folder


def test_a_layer_becomes_a_step_of_a_projector(tmp_path: Path) -> None:
    found = load_dense(written(tmp_path / "a"))
    assert found.step == {"out": 3, "bias": True, "activation": "tanh"}
    assert {name: stored.shape for name, stored in found.tensors.items()} == {
        "linear.weight": (3, 4),
        "linear.bias": (3,),
    }
    bare = {"linear.weight": TENSORS["linear.weight"]}
    plain = written(tmp_path / "b", tensors=bare, bias=False, activation_function="torch.nn.modules.linear.Identity")
    assert load_dense(plain).step == {"out": 3, "bias": False, "activation": None}


def test_what_a_layer_leaves_unsaid_is_what_its_library_assumes(tmp_path: Path) -> None:
    found = load_dense(written(tmp_path / "a", bias=..., activation_function=...))
    assert found.step == {"out": 3, "bias": True, "activation": "tanh"}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_the_one_of_the_class_that_is_named(name: str) -> None:
    module, _, last = name.rpartition(".")
    assert module.startswith("torch.nn")
    x, ours = torch.linspace(-3, 3, 7), ACTIVATIONS[name]
    torch.testing.assert_close(get_activation(ours)(x) if ours else x, getattr(nn, last)()(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tensors": {}}, "no safetensors file"),
        ({"tensors": {"linear.weight": torch.ones(3, 4)}}, "linear.bias is absent, and its config asks for [3]"),
        ({"out_features": 5}, "linear.weight is [3, 4], and its config asks for [5, 4]"),
        ({"bias": False}, "linear.bias is on disk, and its config has no place for it"),
        ({"in_features": ...}, "config.json: in_features: Field required"),
        ({"out_features": 0}, "config.json: out_features: Input should be greater than 0; found 0"),
        (
            {"activation_function": "my.Tanh"},
            "its activation_function 'my.Tanh' is not served; known: torch.nn.GELU, torch.nn.Identity, ",
        ),
        ({"activation_function": "torch.nn.modules.activation.Softsign"}, "is not served; did you mean"),
        ({"activation_function": None}, "config.json: activation_function: Input should be a valid string; found None"),
        ({"use_residual": True}, "config.json: use_residual: Input should be False; found True"),
        ({"module_input_name": "token_embeddings"}, "module_input_name: Input should be 'sentence_embedding'"),
        ({"gate": 3}, "config.json: gate: Extra inputs are not permitted; found 3"),
    ],
)
def test_a_layer_that_cannot_be_used_as_it_is_fails(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_dense(written(tmp_path / "a", **change))
    assert message in str(caught.value)
    assert str(tmp_path / "a") in str(caught.value)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    (written(tmp_path / "a", tensors={}) / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"only pickle files \(pytorch_model.bin\)"):
        load_dense(tmp_path / "a")


def test_a_folder_that_is_not_there_fails(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a/config.json: No such file"):
        load_dense(tmp_path / "a")


def modules(folder: Path, *layers: str) -> Path:
    steps = [("", "Transformer"), ("1_Pooling", "Pooling"), *((path, "Dense") for path in layers)]
    listed = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in steps]
    (folder / "modules.json").write_text(json.dumps(listed), encoding="utf-8")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}', encoding="utf-8")
    return folder


def test_layers_in_a_row_are_numbered_steps_with_tensors_of_their_own(tmp_path: Path) -> None:
    written(tmp_path / "x")
    written(
        tmp_path / "y",
        in_features=3,
        out_features=2,
        tensors={"linear.weight": torch.ones(2, 3), "linear.bias": torch.ones(2)},
    )
    found = load_sentence_use(modules(tmp_path, "x", "y"))
    assert found is not None
    assert [step["out"] for step in found.pooler["projector"]] == [3, 2]  # type: ignore[index]
    assert {name: stored.shape for name, stored in found.tensors.items()} == {
        "pooler.projector.0.weight": (3, 4),
        "pooler.projector.0.bias": (3,),
        "pooler.projector.1.weight": (2, 3),
        "pooler.projector.1.bias": (2,),
    }
    assert found.overrides[-1] == 'weights={"pooler.projector.{i}": "pooler.projector.{i}"}'


def test_all_broken_layers_are_named_at_once(tmp_path: Path) -> None:
    written(tmp_path / "x", activation_function="my.Tanh")
    written(tmp_path / "y", bias=False)
    with pytest.raises(CheckpointError) as caught:
        load_sentence_use(modules(tmp_path, "x", "y", "z"))
    assert len(caught.value.problems) == 3
    assert all(f"{tmp_path / name}" in str(p) for name, p in zip("xyz", caught.value.problems, strict=True))


def test_layers_whose_widths_do_not_meet_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "x")
    written(tmp_path / "y")
    with pytest.raises(CheckpointError, match=r"modules.json: Dense number 0 gives 3 numbers, and the next takes 4"):
        load_sentence_use(modules(tmp_path, "x", "y"))
