"""`triptych show NAME --schemas`: what the inputs of a spec's model are. No torch is imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from triptych.cli.output import print_json
from triptych.schemas import json_schema
from triptych.spec.catalog import load_named, sample_config
from triptych.spec.overrides import overridden
from triptych.spec.plan import plan


def show_schemas(name: str, overrides: Sequence[str], *, as_json: bool) -> int:
    """Print the spec's schemas for its sample config, and which of them the items of each modality have."""
    name, tree = load_named(name)
    planned = plan(tree, sample_config(overridden(tree, overrides), needed_by=name), overrides=overrides, name=name)
    items = {m: [b.__qualname__ for b in (i.taken, *i.others)] for m, i in planned.items.items()}
    found = {schema: json_schema(written) for schema, written in planned.schemas.items()}
    if as_json:
        print_json({"name": name, "items": items, "schemas": found})
        return 0
    for modality, names in items.items():
        print(f"{modality}: {' or '.join(names)}")
    for schema, described in found.items():
        print(f"{schema}:")
        for field, said in described.get("properties", {}).items():
            print(f"  {field:<20} {_described(said)}".rstrip())
    if not found:
        print(f"{name} states no schema")
    return 0


def _described(said: dict[str, Any]) -> str:
    if among := said.get("anyOf"):  # an optional one is described, or null
        return f"{_described(among[0])}, optional"
    return said.get("description") or " or ".join(map(str, said.get("enum", ())))
