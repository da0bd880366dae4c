"""Released checkpoints: the names of their tensors, which `layouts/` says for each spec, and how they are made here."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file, save_file

from tests.parity.aliases import aliased
from tests.parity.cases import Case, cases_of, rewrite
from tests.parity.oracle import Oracle, build_oracle

LAYOUTS = Path(__file__).resolve().parent / "layouts"
COUNTS = {"i": 2, "e": 4}
_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Layout:
    """The files of one release, as a tiny model of that kind would have them.

    `released` is where the files are public, by the name of their repository; `read_in` is where the names were read.
    Where it says nothing, what vouches for them is what reads them besides: the reference's own class, or `gguf`.

    `names` are all that hold weights, `beside` those that hold none, and their shapes. In both `{i}` is each layer,
    `{e}` each expert (`count` says how many), `{a,b}` one name for each word.

    The reference's files are those of a `case` of the spec (by name, else its first) with a `change` of its config,
    rewritten as the case says and then as `made` says (see `aliases.py`). `unread` is why the reference does not read
    them, where that is so.

    `gguf` is the architecture of the converter to GGUF that knows the names, `cut` the piece of names that it takes
    out first, `outside` the names that it treats without its table, with the reason.
    """

    spec: str
    released: str
    names: str = ""
    beside: Mapping[str, list[int]] = field(default_factory=dict)
    count: Mapping[str, int] = field(default_factory=dict)
    read_in: str = ""
    case: str | None = None
    change: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)
    unread: str = ""
    gguf: str | None = None
    cut: str = ""
    outside: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.spec}: {self.released}"

    @property
    def counts(self) -> dict[str, int]:
        return {**COUNTS, **self.count}

    @property
    def own_case(self) -> Case:
        """The case that the files are made of, its config changed as this layout says."""
        cases = [case for case in cases_of(self.spec) if self.case in (None, case.name)]
        assert cases, f"{self}: no case {self.case!r}"
        return replace(cases[0], config=rewrite(cases[0].config, {"set": self.change}))

    def write(self, folder: Path) -> Oracle:
        """The reference, and its files in a folder by the names of the release."""
        case = self.own_case
        oracle = build_oracle(case.config, folder, seed=zlib.crc32(str(self).encode()), attention=case.attention)
        for how in filter(None, (case.alias, self.made)):
            oracle = aliased(oracle, how)
        file = folder / "model.safetensors"
        beside = {name: torch.ones(shape) for key, shape in self.beside.items() for name in self.filled(key)}
        save_file(load_file(file) | beside, file)
        return oracle

    def filled(self, patterns: str) -> list[str]:
        """The names that patterns, which blanks stand between, are short for."""
        return [name for pattern in patterns.split() for name in _filled(pattern, self.counts)]


@cache
def layouts_of(spec: str) -> tuple[Layout, ...]:
    """The layouts of one spec; one that says `like` has the names of that spec's first, `more` and `less` of them."""
    found: list[Layout] = []
    for released, given in yaml.safe_load((LAYOUTS / f"{spec}.yaml").read_text("utf-8")).items():
        known = {key: value for key, value in given.items() if key not in ("like", "more", "less")}
        layout = Layout(spec, released, **known)
        if "like" in given:
            like = found[0] if given["like"] == spec else layouts_of(given["like"])[0]
            layout = _like(layout, like, given)
        found.append(layout)
    return tuple(found)


def all_layouts() -> Iterator[Layout]:
    """Every layout of every spec that has some."""
    for file in sorted(LAYOUTS.glob("*.yaml")):
        yield from layouts_of(file.stem)


def _like(layout: Layout, like: Layout, given: Mapping[str, Any]) -> Layout:
    names = like.names.split()
    more, less = given.get("more", "").split(), given.get("less", "").split()
    assert not layout.names, f"{layout}: names of its own beside like"
    assert {*less} <= {*names}, f"{layout}: {less} are not there"
    assert not {*more} & {*names}, f"{layout}: {more} are there"
    return replace(layout, names=" ".join([*(name for name in names if name not in less), *more]))


def _filled(pattern: str, counts: Mapping[str, int]) -> Iterator[str]:
    pieces = _BRACES.split(pattern)
    for chosen in product(*(_words(piece, counts) if at % 2 else [piece] for at, piece in enumerate(pieces))):
        yield "".join(chosen)


def _words(inside: str, counts: Mapping[str, int]) -> list[str]:
    return [str(number) for number in range(counts[inside])] if inside in counts else inside.split(",")
