"""What prompts of an encoder-decoder model go with: the items whose rows its decoder looks at. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from triptych.errors import suggest
from triptych.spec.base import PartSpec
from triptych.spec.item_facts import ItemFacts, ProcessorConfig
from triptych.spec.scope import Collector, Scope
from triptych.spec.stack import StackPlan, mixers_of
from triptych.spec.tokens import Count, Size, tower_counts


@dataclass(frozen=True)
class SourceRule:
    """`rows(item, processor)` are the rows that the decoder looks at, of an item of `size`."""

    modality: str
    size: Size
    rows: Count

    def largest(self, processor: ProcessorConfig) -> ItemFacts:
        """The facts of an item that takes the most rows."""
        return self.size.largest(self.modality, processor)


def source_rules(scope: Scope, scopes: Mapping[str, Scope], decoder: StackPlan) -> dict[str, SourceRule]:
    """By modality, for each source that a layer names. Raises SpecError for one that no tower, or no `items`, tells."""
    found, problems = {}, Collector()
    towers = {name for name, tower in (scope.tree.get("towers") or {}).items() if tower}
    place = scope.tree.values_at.get("language_model")
    for name in dict.fromkeys(source for mixer in mixers_of(decoder.layers) if (source := source_of(mixer))):
        with problems.catching():
            at = scope.at("language_model")
            if name not in towers:
                at.fail(f"its layers look at {name!r}, and no tower gives that{suggest(name, towers)}", place)
            size, rows = tower_counts(at, scopes.get(f"towers.{name}", scope), place)
            found[name] = SourceRule(name, size, rows)
    problems.check()
    return found


def source_of(mixer: PartSpec) -> str | None:
    """What a mixer looks at beside its sequence; None for one that does not."""
    found = getattr(mixer, "source", None)
    return found if isinstance(found, str) else None
