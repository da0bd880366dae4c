"""The formula of a spec for the tokens of an item, beside the rows that its tower and projector give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from triptych.assembly import Assembled, MultimodalModel, Tower
from triptych.errors import SpecError
from triptych.parts.patches import PICTURES
from triptych.spec.item_facts import AudioFacts, ImageFacts, ItemFacts, VideoFacts

ITEMS: Mapping[str, Sequence[ItemFacts]] = {
    "image": (ImageFacts(48, 64), ImageFacts(640, 480)),
    "video": (VideoFacts(2, 48, 64, fps=2.0), VideoFacts(5, 640, 480, fps=2.0)),
    "audio": (AudioFacts(1_600), AudioFacts(40_000)),
}


def check_counts(assembled: Assembled) -> list[str]:
    """`check_count` of some items of each modality; what the last of them takes, as notes."""
    notes = []
    for modality, rule in assembled.tokens.items():
        for facts in [rule.largest({}), *ITEMS.get(modality, ())]:
            check_count(assembled, modality, facts)
        notes.append(f"{rule.count(facts, {})} tokens for one {modality} of {facts}")
    return notes


def check_count(assembled: Assembled, modality: str, facts: ItemFacts) -> None:
    """Raise SpecError when an item that is prepared as the spec says gives other rows than the formula counts.

    The model is on meta, and so is the item.
    """
    module, rule = assembled.module, assembled.tokens[modality]
    assert isinstance(module, MultimodalModel)
    (rows,) = module.embed_multimodal(**item_of(assembled, modality, facts))
    declared = rule.count(facts, {})
    if tuple(rows.shape) != (declared, module.item_width):
        found = f"{tuple(rows.shape)} for one of {facts}; {(declared, module.item_width)} is declared"
        raise SpecError(f"the projector gives rows of shape {found}", path=f"tokens.{modality}.count")


def item_of(assembled: Assembled, modality: str, facts: ItemFacts) -> dict[str, list[torch.Tensor]]:
    """What the encoder is given of an item: its tensor in the shape that the spec states, and its grid if need be."""
    module, rule, schema = assembled.module, assembled.tokens[modality], assembled.plan.items.get(modality)
    assert isinstance(module, MultimodalModel)
    assert rule.grid is not None
    grid, tower = rule.grid(facts, {}), module.towers[rule.tower]
    assert isinstance(tower, Tower)
    item = stated(assembled, modality)
    if item is None:
        item = pictures(grid, tower, several=schema is not None and len(schema.shape.dims) == PICTURES)
    return {modality: [item], **({f"{modality}_grid": [torch.tensor([*grid])]} if rule.told else {})}


def stated(assembled: Assembled, modality: str) -> torch.Tensor | None:
    """An item of the one shape that the spec states, on meta; None where it leaves sizes open."""
    schema = assembled.plan.items.get(modality)
    sizes = [size for size in schema.shape.dims if isinstance(size, int)] if schema else []
    return torch.empty(sizes, device="meta") if schema and len(sizes) == len(schema.shape.dims) else None


def pictures(grid: Any, tower: Tower, *, several: bool) -> torch.Tensor:
    """An item of that grid, on meta: one picture, or several, unless the embedding says its shape."""
    if (shape := getattr(getattr(tower.embed, "spec", None), "item_shape", None)) is not None:
        return torch.empty(shape(grid), device="meta")
    (height, width), channels = tower.embed.size, tower.embed.channels
    dims = [grid.t] if several or grid.t > 1 else []
    return torch.empty(*dims, channels, grid.h * height, grid.w * width, device="meta")
