"""The linear layers that a checkpoint for sentence embeddings has behind its pooling: each a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from triptych.errors import CheckpointError, Problem, short, suggest
from triptych.spec.json_file import read_json
from triptych.weights.checkpoint import Checkpoint
from triptych.weights.stored import Stored

_CLASSES = {
    "activation.GELU": "gelu",
    "activation.ReLU": "relu",
    "activation.SiLU": "silu",
    "activation.Sigmoid": "sigmoid",
    "activation.Tanh": "tanh",
    "linear.Identity": None,
}
# The class that a folder names, at its place or as torch.nn offers it -> the activation of that name, or none.
ACTIVATIONS: dict[str, str | None] = {f"torch.nn.modules.{name}": ours for name, ours in _CLASSES.items()}
ACTIVATIONS |= {f"torch.nn.{name.partition('.')[2]}": ours for name, ours in _CLASSES.items()}


Rows = Literal["sentence_embedding", "token_embeddings"]  # the one row of a text, or those of its tokens


class _Stated(BaseModel):
    """The `config.json` of such a folder. A sum with what came in is not served."""

    model_config = ConfigDict(extra="forbid", strict=True)

    in_features: PositiveInt
    out_features: PositiveInt
    bias: bool = True
    activation_function: str = "torch.nn.modules.activation.Tanh"  # the library's own default
    use_residual: Literal[False] = False
    module_input_name: Rows = "sentence_embedding"
    module_output_name: Rows | None = None


@dataclass(frozen=True)
class Dense:
    """activation(weight x + bias), from `width_in` to `width_out`; `tensors` by their names in the folder."""

    width_in: int
    width_out: int
    bias: bool
    activation: str | None
    tensors: Mapping[str, Stored]

    @property
    def step(self) -> dict[str, object]:
        """What a spec says of it as one step of a projector."""
        return {"out": self.width_out, "bias": self.bias, "activation": self.activation}


def load_dense(folder: Path, *, of: Rows = "sentence_embedding") -> Dense:
    """The layer in a folder, `of` those rows.

    Raises CheckpointError, with all that is wrong, for one that cannot be used as it is.
    """
    stated, tensors = _stated(folder / "config.json"), Checkpoint(folder).tensors
    if wrong := [*_misplaced(stated, of), *_misfits(stated, tensors)]:
        raise CheckpointError(Problem(f"{folder}: {message}") for message in wrong)
    return Dense(stated.in_features, stated.out_features, stated.bias, ACTIVATIONS[stated.activation_function], tensors)


def _stated(file: Path) -> _Stated:
    try:
        return _Stated.model_validate(read_json(file))
    except ValidationError as error:
        faults = [(".".join(map(str, f["loc"])), f["msg"], short(f["input"])) for f in error.errors()]
        raise CheckpointError(Problem(f"{file}: {at}: {why}; found {what}") for at, why, what in faults) from error


def _misplaced(stated: _Stated, of: Rows) -> Iterator[str]:
    for key in ("module_input_name", "module_output_name"):
        if (found := getattr(stated, key)) not in (of, None):
            yield f"{key}: Input should be '{of}'; found {found!r}"


def _misfits(stated: _Stated, tensors: Mapping[str, Stored]) -> Iterator[str]:
    if (name := stated.activation_function) not in ACTIVATIONS:
        yield f"its activation_function {name!r} is not served{suggest(name, ACTIVATIONS)}"
    wanted = {"linear.weight": [stated.out_features, stated.in_features]}
    wanted |= {"linear.bias": [stated.out_features]} if stated.bias else {}
    for name in sorted({*wanted, *tensors}):
        found = list(tensors[name].shape) if name in tensors else "absent"
        if name not in wanted:
            yield f"{name} is on disk, and its config has no place for it"
        elif found != wanted[name]:
            yield f"{name} is {found}, and its config asks for {wanted[name]}"
