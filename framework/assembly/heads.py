"""Where a model that writes text has its head, whatever stands around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from triptych.capabilities import component_map
from triptych.weights.stages import Placeholder

HEADS = ("lm_head", "head", "embed_out")
Head = tuple[str, nn.Module, str]
"""Its path, the module that has it, and its name there."""


def find_heads(model: nn.Module, language_model: nn.Module) -> list[Head]:
    """Those of the model and of its language model; where neither has one, the nearest below that are matrices.

    What stands in a tower or a projector is none, whatever its name.
    """
    paths = {id(module): path for path, module in model.named_modules()}
    around = {paths[id(module)]: module for module in (model, language_model) if id(module) in paths}
    found = [head for path, module in around.items() for head in _heads(path, module)]
    return found or next(filter(None, map(_matrices, _levels(model))), [])


def matrix_of(head: nn.Module) -> Tensor | None:
    """The weight [V, D] of a head, which may be that of an embedding; None where it has none."""
    found = getattr(head, "matrix", getattr(head, "weight", None))
    return found if isinstance(found, Tensor) and found.ndim == 2 else None


def _heads(path: str, owner: nn.Module) -> Iterator[Head]:
    for name in HEADS:
        if isinstance(owner._modules.get(name), nn.Module):
            yield f"{path}.{name}".removeprefix("."), owner, name


def _matrices(level: Mapping[str, nn.Module]) -> list[Head]:
    """The heads of the modules of one level; a name alone tells less the further down it stands."""
    found = (head for path, owner in level.items() for head in _heads(path, owner))
    return [head for head in found if _is_head(head[1].get_submodule(head[2]))]


def _is_head(module: nn.Module) -> bool:
    return isinstance(module, Placeholder) or matrix_of(module) is not None


def _levels(model: nn.Module) -> Iterator[dict[str, nn.Module]]:
    """The modules by path, those nearest to the model first; what is in a component beside the language model not."""
    aside = {path for path, kind in component_map(model).kinds.items() if kind != "language_model"}
    level = {"": model}
    while level:
        yield level
        below = ((f"{path}.{name}", child) for path, owner in level.items() for name, child in owner.named_children())
        level = {path.removeprefix("."): child for path, child in below if path.removeprefix(".") not in aside}
