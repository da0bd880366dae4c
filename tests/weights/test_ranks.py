"""Checkpoints of ranks: a file for each, with its part of each tensor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import triptych
from tests.parity.layouts import layouts_of
from triptych.errors import CheckpointError, WeightMapError
from triptych.weights import Checkpoint

RANKS = 4


def write(folder: Path, of: str, tensors: dict[str, Tensor], *, ranks: int = RANKS) -> None:
    """Their parts: of those whose names end in `down` columns, of others rows."""
    for rank in range(ranks):
        parts = {name: x.chunk(ranks, int(name.endswith("down")))[rank].contiguous() for name, x in tensors.items()}
        save_file(parts, folder / f"{of}-TP-{rank:03d}.safetensors")


def test_parts_are_joined_in_the_order_of_ranks_and_whole_tensors_stand_beside_them(tmp_path: Path) -> None:
    up, whole = torch.randn(8, 3), torch.randn(2)
    write(tmp_path, "a-1", {"up": up})
    save_file({"whole": whole}, tmp_path / "a-1-TP-common.safetensors")
    save_file({"other": whole}, tmp_path / "a-2-TP-common.safetensors")
    found = Checkpoint(tmp_path).tensors
    assert {name: list(stored.shape) for name, stored in found.items()} == {"up": [8, 3], "whole": [2], "other": [2]}
    assert torch.equal(found["up"].read(), up)
    assert torch.equal(found["whole"].read(), whole)
    assert found["up"].nbytes == up.nbytes
    some = torch.empty(5)
    found["up"].read_into(some, first=7)
    assert torch.equal(some, up.view(-1)[7:12])


def lost(folder: Path) -> None:
    (folder / "b-TP-002.safetensors").unlink()


def lost_at_the_end(folder: Path) -> None:
    (folder / "b-TP-003.safetensors").unlink()


def narrower(folder: Path) -> None:
    save_file({"up": torch.randn(2, 2)}, folder / "b-TP-002.safetensors")


def of_another_dtype(folder: Path) -> None:
    save_file({"up": torch.randn(2, 3).half()}, folder / "b-TP-002.safetensors")


def with_more(folder: Path) -> None:
    save_file({"up": torch.randn(2, 3), "more": torch.randn(2)}, folder / "b-TP-002.safetensors")


def of_numbers_alone(folder: Path) -> None:
    for rank in range(RANKS):
        save_file({"up": torch.tensor(1.0)}, folder / f"b-TP-{rank:03d}.safetensors")


def twice(folder: Path) -> None:
    save_file({"up": torch.randn(2, 3)}, folder / "c-TP-common.safetensors")


def beside_others(folder: Path) -> None:
    save_file({"up": torch.randn(2, 3)}, folder / "c.safetensors")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lost, r"b has files of 3 ranks, and there are 4"),
        (lost_at_the_end, r"b has files of 3 ranks, and there are 4"),
        (narrower, r"b-TP-002\.safetensors: 'up' is no part of what rank 0 has of it"),
        (of_another_dtype, r"b-TP-002\.safetensors: 'up' is no part of what rank 0 has of it"),
        (with_more, r"b-TP-002\.safetensors: 'more' is no part of what rank 0 has of it"),
        (of_numbers_alone, r"b-TP-000\.safetensors: 'up' is no part of what rank 0 has of it"),
        (twice, r"'up' is in files of c, and in others"),
        (beside_others, r"9 safetensors files .* and no index that says which"),
    ],
)
def test_ranks_that_do_not_fit_together_are_refused(spoil: object, told: str, tmp_path: Path) -> None:
    for of in "ab":
        write(tmp_path, of, {"up" if of == "b" else "gate": torch.randn(8, 3)})
    assert callable(spoil)
    spoil(tmp_path)
    with pytest.raises(CheckpointError, match=told):
        _ = Checkpoint(tmp_path).tensors


def in_ranks(folder: Path, *, ranks: int) -> Path:
    """Grok-2 as it is released: experts in parts, all else whole; the part of `w2` is of its columns."""
    (layout,) = layouts_of("grok2")
    layout.write(folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    cut = {name: tensors.pop(name) for name in [*tensors] if ".experts." in name}
    save_file(tensors, folder / "pytorch_model-00000-TP-common.safetensors")
    for rank in range(ranks):
        parts = {name: x.chunk(ranks, int("w2" in name))[rank].contiguous() for name, x in cut.items()}
        save_file(parts, folder / f"pytorch_model-00001-TP-{rank:03d}.safetensors")
    return folder


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_parts_of_rows_and_of_columns_come_to_their_places(dtype: torch.dtype, tmp_path: Path) -> None:
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    layouts_of("grok2")[0].write(tmp_path / "whole")
    whole = triptych.load(tmp_path / "whole", dtype=dtype)
    found = triptych.load(in_ranks(tmp_path / "cut", ranks=RANKS), dtype=dtype)
    wanted = dict(whole.module.named_parameters())
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in found.module.named_parameters())


def test_parts_that_do_not_make_up_a_matrix_are_told_by_what_they_make(tmp_path: Path) -> None:
    folder = in_ranks(tmp_path, ranks=RANKS)
    (folder / f"pytorch_model-00001-TP-{RANKS - 1:03d}.safetensors").unlink()
    with pytest.raises(WeightMapError, match=r"wrong shape: .* on disk .*experts\.0\.w1\.weight \[24, 64\]"):
        triptych.load(folder)
