"""A model's parameters as a safetensors file, under their own paths: what any model that is made of a spec reads back.

Names of released checkpoints are many to one spec, and what is done to tensors on the way has not always a way back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor, nn

from triptych.spec.catalog import own_spec
from triptych.spec.scope import Scope
from triptych.weights.table import Row, Source, Table, tables

FILE = "model.safetensors"


def own_names(model: nn.Module) -> Table:
    """The table of a checkpoint whose tensors are called as the parameters are, those that are not built among them."""
    built = [name for name, child in model.named_children() if [*child.parameters()]]
    paths = [*built, *map(_counted, getattr(model, "skipped", ()))]
    rows = (Row(path, (Source(path),)) for path in paths)
    return Table("own names", {row.key: row for row in rows}, ())


def names_in(folder: Path, model: nn.Module, scopes: Mapping[str, Scope]) -> list[Table]:
    """Every way in which the tensors of a checkpoint folder may be named: their own, where it brings its spec."""
    return tables(scopes) if own_spec(folder) is None else [own_names(model)]


def _counted(path: str) -> str:
    """A path whose numbers are captures, as rows of a table have them."""
    steps = enumerate(path.split("."))
    return ".".join(f"{{n{number}}}" if step.isdecimal() else step for number, step in steps)


def save_tensors(folder: Path, tensors: Mapping[str, Tensor], *, file: str = FILE) -> None:
    """Write parameters by their paths. Raises OSError when the disk does not take them."""
    found = {path: tensor.detach().cpu().contiguous() for path, tensor in tensors.items()}
    try:
        save_file(found, folder / file, metadata={"format": "pt"})
    except Exception as error:  # the library raises its own kind for a full disk
        raise OSError(f"{folder / file}: {error}") from error
