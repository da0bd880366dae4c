"""A checkpoint folder: its config, and the tensors of its safetensors files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from triptych.errors import CheckpointError, Problem
from triptych.spec.config_file import read_config
from triptych.spec.json_file import read_json
from triptych.weights.ranks import of_ranks
from triptych.weights.stored import Stored, read_header

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
MAX_NAMED = 20  # mistakes of one kind that are named


@dataclass(frozen=True)
class Checkpoint:
    """A folder with `config.json` and safetensors files. Nothing but JSON is read until a tensor is asked for."""

    folder: Path

    def __post_init__(self) -> None:
        if not os.path.isdir(self.folder):  # `is_dir` raises for a path that cannot be
            raise CheckpointError(f"{self.folder}: no such folder")

    @cached_property
    def config(self) -> dict[str, Any]:
        """The config as it stands, by `read_config`. Raises CheckpointError when it is missing or no JSON mapping."""
        return read_config(self.folder)

    @cached_property
    def tensors(self) -> Mapping[str, Stored]:
        """Every tensor by name. Raises CheckpointError for pickles, files cut short and indices that lead elsewhere."""
        index, single = self.folder / "model.safetensors.index.json", self.folder / "model.safetensors"
        if not index.is_file() and not single.is_file():
            index = next(iter(sorted(self.folder.glob("*.safetensors.index.json"))), index)
        if index.is_file():
            return self._indexed(index)
        ranks = of_ranks(sorted(self.folder.glob("*.safetensors")))
        return read_header(self._single_file()) if ranks is None else ranks

    def _single_file(self) -> Path:
        if (single := self.folder / "model.safetensors").is_file():
            return single
        found = sorted(self.folder.glob("*.safetensors"))
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(f.name for f in found[:5])
            raise CheckpointError(
                f"{self.folder}: {len(found)} safetensors files ({names}) and no index that says which to read"
            )
        pickles = sorted(f.name for pattern in PICKLES for f in self.folder.glob(pattern))
        if pickles:
            raise CheckpointError(
                f"{self.folder}: only pickle files ({', '.join(pickles[:5])}); reading one can run its author's code: "
                "convert them to safetensors first"
            )
        raise CheckpointError(f"{self.folder}: no safetensors file")

    def _indexed(self, index: Path) -> dict[str, Stored]:
        """The tensors of every file that the index names; of one that stands in two, that which the index says."""
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
            raise CheckpointError(f"{index}: no `weight_map` of tensor names to file names")
        shards = self._shards(index, sorted(set(weight_map.values())))
        headers = {name: read_header(file) for name, file in shards.items()}
        if lost := [(tensor, file) for tensor, file in weight_map.items() if tensor not in headers[file]]:
            raise CheckpointError(Problem(f"{index}: {tensor!r} is not in {file}") for tensor, file in lost[:MAX_NAMED])
        beside = {tensor: stored for header in headers.values() for tensor, stored in header.items()}
        return beside | {tensor: headers[file][tensor] for tensor, file in weight_map.items()}

    def _shards(self, index: Path, names: list[str]) -> dict[str, Path]:
        bad = [
            n
            for n in names
            if n != os.path.basename(n) or "\\" in n or n in ("", ".", "..") or not n.endswith(".safetensors")
        ]
        outside = [n for n in names if n not in bad and not _inside(self.folder, self.folder / n)]
        missing = [n for n in names if n not in bad and n not in outside and not (self.folder / n).is_file()]
        problems = [
            Problem(f"{index}: {n!r} is not a plain safetensors file name of this folder") for n in [*bad, *outside]
        ]
        problems += [Problem(f"{index}: {n!r} is not there") for n in missing]
        if problems:
            raise CheckpointError(problems[:MAX_NAMED])
        return {name: self.folder / name for name in names}


def _inside(folder: Path, file: Path) -> bool:
    """A link may lead out of the folder only into a cache of blobs beside it, as the hub's own layout has it."""
    target, root = Path(os.path.realpath(file)), Path(os.path.realpath(folder))
    hub = root.parent.parent / "blobs" if root.parent.name == "snapshots" else root
    return target.parent in (root, hub)
