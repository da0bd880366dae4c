"""The spec of a new package: a base, what is known to be different, and what a config has that found no place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from triptych.cli.scaffold.names import PackageNames
from triptych.cli.scaffold.parts import using
from triptych.errors import OptionError, suggest
from triptych.spec.catalog import catalog, load_named
from triptych.spec.nearest import count_keys, kinships, sample_words, telling_keys, unplaced

SUFFIX = {"multimodal": "ForConditionalGeneration", "language_model": "ForCausalLM"}  # of an architecture, by kind


@dataclass(frozen=True)
class DraftSpec:
    """The spec's mapping, what it is on top of, and what is to be said of it: remarks, and what found no place."""

    base: str
    kind: str
    body: dict[str, Any]
    remarks: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def has_towers(self) -> bool:
        return self.kind == "multimodal"

    def text(self, names: PackageNames) -> str:
        """The YAML document."""
        lines = [f"{names.class_name}, on top of {self.base}.", *self.remarks]
        if self.lost:
            lines += ["", f"What {self.base} has no place for, and this spec has to say:", *_listed(self.lost)]
        head = "".join(f"# {line}".rstrip() + "\n" for line in lines)
        return head + yaml.safe_dump(self.body, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)


def draft(names: PackageNames, *, base: str | None, config: Mapping[str, Any] | None, part: str | None) -> DraftSpec:
    """The spec of a new family on top of `base`, or of the family that is nearest to `config`, or of llama."""
    known = [name for name, listed in catalog().items() if listed.kind != "fragment"]
    if base not in (None, *known):
        raise OptionError(f"unknown spec {base!r}{suggest(str(base), known)}", path="--base")
    found = DraftSpec(base or "llama", "", {}) if config is None else _nearest(config, base)
    listed, tree = catalog()[found.base], load_named(found.base)[1]
    claims = _claims(names, listed.kind, config, found.remarks)
    body = {"schema": 1, "base": found.base, **claims}
    if listed.kind == "multimodal":
        body["processor"] = names.spec
    if part is not None:
        body |= using(part, tree, base=found.base)
    else:  # the words of a config were tried with the base's own parts
        body |= found.body
    return DraftSpec(found.base, listed.kind, body, found.remarks, found.lost)


def _nearest(config: Mapping[str, Any], base: str | None) -> DraftSpec:
    """On top of the nearest family, what of the config goes into a sample, and what found no place."""
    ranked = kinships(config)
    kin = next(kin for kin in ranked if base in (None, kin.name))
    keys = count_keys(config, telling_keys(config))
    told = [f"Of the {keys} keys of the config that say something, {kin.name} reads {kin.count}."]
    others = [f"{other.name} {other.count}" for other in ranked if other is not kin][:3]
    told += [f"Other families read: {', '.join(others)}."] if others else []
    tree = load_named(kin.name)[1]
    words = sample_words(tree, config, read=kin.read)
    lost = unplaced(tree, config, name=kin.name)
    return DraftSpec(kin.name, "", {"sample": words} if words else {}, told, lost)


def _claims(
    names: PackageNames, kind: str, config: Mapping[str, Any] | None, remarks: list[str]
) -> dict[str, list[str]]:
    """What the family answers to: what the config names where that is free, else what follows from its own name."""
    own = {"architectures": f"{names.class_name}{SUFFIX.get(kind, 'Model')}", "model_types": names.spec}
    given = {"architectures": (config or {}).get("architectures"), "model_types": (config or {}).get("model_type")}
    found = {}
    for key, word in own.items():
        asked = [each for each in _as_list(given[key]) if isinstance(each, str) and each.isidentifier()]
        taken = {each: name for name, listed in catalog().items() for each in getattr(listed, key) if each in asked}
        remarks += [f"{name} answers to {each}; this family has a name of its own." for each, name in taken.items()]
        found[key] = [each for each in asked if each not in taken] or [word]
    return found


def _as_list(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _listed(lost: list[str]) -> Iterator[str]:
    return (f"- {' '.join(reason.split())}" for reason in lost)
