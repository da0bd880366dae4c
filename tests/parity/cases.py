"""What is tried: every registered spec of a language model that has a reference, with the variations of `cases/`."""

from __future__ import annotations

import zlib
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.parity.oracle import has_reference, tiny_config
from triptych.registry import spec_files
from triptych.spec.merge import load_tree

CASES = Path(__file__).resolve().parent / "cases"
SIZES = (
    *("architectures", "model_type", "vocab_size", "intermediate_size", "hidden_size", "n_embd"),
    *("pad_token_id", "num_hidden_layers", "n_layer", "num_attention_heads", "n_head", "num_key_value_heads"),
)


@dataclass(frozen=True)
class Case:
    """One config of one family.

    `written` are other texts of the same config; `original` is the length past which rotation changes what a cache
    already holds; `inert` names tensors that do nothing where there are such, with the reason. `alias` is how the
    checkpoint and config of the reference are rewritten for a family that is the same by other names (see
    `aliases.py`). `attention` is the reference's kind of it.
    """

    spec: str
    name: str
    config: Mapping[str, Any]
    written: tuple[Mapping[str, Any], ...] = ()
    original: int | None = None
    inert: Mapping[str, str] = field(default_factory=dict)
    alias: Mapping[str, Any] | None = None
    attention: str = "eager"

    def __str__(self) -> str:
        return f"{self.spec}: {self.name}"

    @property
    def seed(self) -> int:
        return zlib.crc32(str(self).encode())


def all_cases() -> Iterator[Case]:
    """Every case of every registered text model."""
    for spec in spec_files():
        yield from cases_of(spec)


def cases_of(spec: str) -> Iterator[Case]:
    """The cases of one spec; without a file in `cases/` it is tried as it is."""
    tree, file = load_tree(spec_files()[spec]), CASES / f"{spec}.yaml"
    architecture, given = _architecture(tree), yaml.safe_load(file.read_text("utf-8")) if file.exists() else {}
    if given:
        yield from _cases(spec, given)
    if architecture is None:
        return
    named = {"architectures": [architecture]}
    if not given and (config := tiny_config(architecture)):
        yield Case(spec, "plain", config | named)
    if sample := tree.get("sample"):
        config = {key: value for key, value in sample.items() if value is not None}  # null is absent
        yield Case(spec, "sample", config | named, inert=given.get("inert", {}), alias=given.get("alias"))


def _architecture(tree: Mapping[str, Any]) -> str | None:
    """The first architecture of a text model that there is a reference for."""
    is_text = "head" in (tree.get("language_model") or {}) and "towers" not in tree
    return next((a for a in tree.get("architectures") or [] if is_text and has_reference(a)), None)


def rewrite(config: Mapping[str, Any], how: Mapping[str, Any]) -> dict[str, Any]:
    """A config without the keys under `remove` and with those under `set`."""
    kept = {key: value for key, value in config.items() if key not in how.get("remove", ())}
    return {**kept, **how.get("set", {})}


def _cases(spec: str, given: Mapping[str, Any]) -> Iterator[Case]:
    tiny, attention = tiny_config(given["tiny"]), given.get("attention", "eager")
    assert tiny is not None, f"cases/{spec}.yaml: no tiny/{given['tiny']}.json"
    shared = [yaml.safe_load((CASES / "shared" / f"{name}.yaml").read_text("utf-8")) for name in given.get("also", ())]
    for name, case in ChainMap(given["cases"], *shared).items():
        unknown = set(case) - {"change", "written", "original", "inert", "set"}
        assert not unknown, f"cases/{spec}.yaml: {name}: {unknown}"
        inert = given.get("inert", {}) | case.get("inert", {})
        written = tuple(case.get("written", ()))
        config, alias = tiny | given.get("change", {}) | case["change"], given.get("alias")
        if alias is not None:
            alias = {**alias, "set": {**alias.get("set", {}), **case.get("set", {})}}
        yield Case(spec, name, config, written, case.get("original"), inert, alias, attention)
    if "alias" not in given:
        sizes = {*SIZES, *given.get("sizes", ())}  # which a class assumes too large for a test, or not at all
        bare = {key: value for key, value in tiny.items() if key in sizes}
        yield Case(spec, "as its class assumes", bare, inert=given.get("inert", {}), attention=attention)
