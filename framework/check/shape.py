"""Shapes: a model on meta, run on inputs without values. What it gives must agree with what is declared."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import torch

from triptych.assembly import Assembled, LanguageModel, MultimodalModel, TextModel, Tower
from triptych.check.token_counts import ITEMS, check_counts, pictures, stated
from triptych.errors import InputError, SpecError, TriptychError
from triptych.parts.cache_layout import row_size
from triptych.parts.sources import Source
from triptych.parts.step import Step
from triptych.spec.tokens import Grid, Size

LENGTHS = (5, 1, 3)


@torch.no_grad()
def check_shapes(assembled: Assembled) -> list[str]:
    """Run the model on tensors without memory; what it is like, as notes. Raises SpecError for what does not agree."""
    try:
        return _notes(assembled)
    except TriptychError:
        raise
    except Exception as error:  # of a part, which may be anybody's
        raise SpecError(f"running the model without values: {type(error).__name__}: {error}") from error


def _notes(assembled: Assembled) -> list[str]:
    module = assembled.module
    parameters = sum(p.numel() for p in module.parameters())
    notes = [f"{parameters:,} parameters"]
    if isinstance(module, Tower):
        check_tower(module, assembled)
        return notes
    if isinstance(module, MultimodalModel):
        notes += check_counts(assembled)
    _check_text(module, sources_of(module, assembled, count=len(LENGTHS)))
    per_token = row_size(module.cache_needs())
    return [*notes, f"{per_token} numbers of cache a token"]


def sources_of(
    module: TextModel | MultimodalModel, assembled: Assembled, *, count: int, dtype: torch.dtype = torch.float32
) -> dict[str, Source]:
    """What a decoder looks at beside so many prompts, by its towers. Raises SpecError for other rows than declared."""
    found = {}
    for modality, rule in assembled.plan.sources.items():
        declared = rule.rows(rule.largest({}), {})
        item = stated(assembled, modality)
        rows = torch.empty(declared, module.width, dtype=dtype, device="meta")
        if item is not None:
            (rows,) = module.embed_multimodal(**{modality: [item.to(dtype)]})
        if tuple(rows.shape) != (declared, module.width):
            message = f"gives rows of shape {tuple(rows.shape)}; {(declared, module.width)} is declared"
            raise SpecError(message, path=f"towers.{modality}")
        found[modality] = Source.of([rows] * count)
    return found


def _check_text(module: TextModel | MultimodalModel, sources: Mapping[str, Source]) -> None:
    step = Step.of(LENGTHS, device="meta", sources=sources)
    hidden = module(torch.zeros(sum(LENGTHS), dtype=torch.int64, device="meta"), step.positions, step=step)
    if isinstance(module, LanguageModel | MultimodalModel):
        _check_shape("logits", module.compute_logits(hidden), (sum(LENGTHS), module.vocab_size), "language_model.head")
    if (pooler := getattr(module, "pooler", None)) is not None:
        _check_shape("pooled rows", pooler(hidden, step), (len(LENGTHS), pooler.out_width), "pooler")


def _check_shape(what: str, found: torch.Tensor, wanted: tuple[int, ...], path: str) -> None:
    if tuple(found.shape) != wanted:
        raise SpecError(f"{what} of shape {tuple(found.shape)}; {wanted} is declared", path=path)


def check_tower(module: Tower, assembled: Assembled, *, dtype: torch.dtype = torch.float32) -> None:
    """Run it on the first item that its size takes. Raises SpecError for other rows than are declared."""
    scope = assembled.plan.scopes[""]
    items = scope.tree.get("items") or {}
    if not items.get("size") or items.get("rows") is None:
        raise SpecError("a tower says the `size` of its items, and the `rows` that it gives for one", path="items")
    size = scope.at("items", "size").part("size", items["size"])[1].build()
    grid = _any_grid(size)
    rows, _ = module([pictures(grid, module, several=False).to(dtype)], [grid])
    declared = scope.knowing(grid=grid._asdict()).value(items["rows"])
    given = len(rows[0]) + module.skip
    if given != declared:
        raise SpecError(f"the tower gives {given} rows for an item; {declared} are declared", path="items.rows")


def _any_grid(size: Size) -> Grid:
    """That of the first item which the size takes."""
    for items in ITEMS.values():
        with suppress(InputError):
            return size(items[0], {})
    raise SpecError(f"takes none of {', '.join(ITEMS)}", path="items.size")
