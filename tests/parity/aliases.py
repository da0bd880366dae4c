"""Checkpoints of a reference under the names, of tensors and of config keys, that another family's files have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.parity.oracle import Oracle

KNOWN = ("keys", "set", "remove", "rename", "join", "split", "times", "plus", "copy")


def aliased(oracle: Oracle, how: Mapping[str, Any]) -> Oracle:
    """The reference, its folder rewritten as `how` says; its model stays.

    `keys` are names of the config and what they were; `set` and `remove` change the rest of it. Of tensors, `rename`
    has pieces of names and what they become, in turn; `join` has new names and the pieces that are put one after the
    other in each; `split` has those of stacked matrices, and the names that become of each, before they are renamed;
    of names without `{e}`, those of one matrix. `times` and `plus` are what tensors of a new name are multiplied by,
    and what is added to them; `copy` has new names of tensors that are there twice, and the first.
    """
    assert {*how} <= {*KNOWN}, how
    config = {**oracle.config, **{new: oracle.config[old] for new, old in (how.get("keys") or {}).items()}}
    gone = {*(how.get("keys") or {}).values(), *how.get("remove", ())} - {*(how.get("keys") or {})}
    config = {key: value for key, value in config.items() if key not in gone} | how.get("set", {})
    file = oracle.folder / "model.safetensors"
    tensors = _renamed(_split(load_file(file), how.get("split") or {}), how.get("rename") or {})
    tensors = _joined(tensors, how.get("join") or {})
    for name in tensors:
        for piece, factor in (how.get("times") or {}).items():
            tensors[name] = tensors[name] * factor if piece in name else tensors[name]
        for piece, more in (how.get("plus") or {}).items():
            tensors[name] = tensors[name] + more if piece in name else tensors[name]
    tensors |= {new: tensors[name].clone() for new, name in (how.get("copy") or {}).items()}
    save_file(tensors, file)
    (oracle.folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return replace(oracle, config=config)


def _renamed(tensors: Mapping[str, Tensor], pieces: Mapping[str, str]) -> dict[str, Tensor]:
    found = dict(tensors)
    for old, new in pieces.items():
        found = {name.replace(old, new): tensor for name, tensor in found.items()}
    return found


def _split(tensors: Mapping[str, Tensor], stacks: Mapping[str, list[str]]) -> dict[str, Tensor]:
    found = dict(tensors)
    for old, pieces in stacks.items():
        for name in [name for name in found if old in name]:
            tensor = found.pop(name)
            for e, matrix in enumerate(tensor if "{e}" in pieces[0] else [tensor]):
                for piece, part in zip(pieces, matrix.chunk(len(pieces), max(0, matrix.ndim - 2)), strict=True):
                    found[name.replace(old, piece.format(e=e))] = part.contiguous()
    return found


def _joined(tensors: Mapping[str, Tensor], joins: Mapping[str, list[str]]) -> dict[str, Tensor]:
    found = dict(tensors)
    for new, pieces in joins.items():
        for name in [name for name in found if pieces[0] in name]:
            parts = [found.pop(name.replace(pieces[0], piece)) for piece in pieces]
            found[name.replace(pieces[0], new)] = torch.cat(parts)
    return found
