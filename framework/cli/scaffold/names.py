"""The names of a new package, all from one word, and whether they are free."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from keyword import iskeyword

from triptych.errors import OptionError, Problem, short
from triptych.registry import part_names
from triptych.registry.specs import spec_origins

PARTS = ("norm", "mixer")  # the kinds that there are templates of
_DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True)
class PackageNames:
    """`my-llama` as a distribution, `my_llama` as a package and as a spec (less `triptych_`), `MyLlama` in classes."""

    distribution: str

    @property
    def package(self) -> str:
        return re.sub(r"[-_.]+", "_", self.distribution).lower()

    @property
    def spec(self) -> str:
        return self.package.removeprefix("triptych_") or self.package

    @property
    def class_name(self) -> str:
        return camel(self.spec)


def camel(name: str) -> str:
    """`my_norm` -> `MyNorm`."""
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


def check_names(name: str, part: str | None) -> PackageNames:
    """The names of a new package `name`, with a part `KIND.NAME` if one is asked for.

    Raises OptionError, all faults at once, for what is no name and for names that exist, with what would do.
    """
    names = PackageNames(name)
    problems = list(_faults(names)) or list(_taken(names))
    problems += _part_faults(part, names) if part is not None else ()
    if problems:
        raise OptionError(problems)
    return names


def _faults(names: PackageNames) -> Iterator[Problem]:
    name = names.distribution
    if not _DISTRIBUTION.fullmatch(name):
        better = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "my-model"
        wanted = "a package is called by ASCII letters, digits, '-', '_' and '.', a letter or digit first and last"
        yield Problem(f"{short(name)}: {wanted}; {better!r} would do", "NAME")
    elif not (names.package.isidentifier() and names.spec.isidentifier()) or iskeyword(names.package):
        wanted = f"its package would be {names.package!r}, which Python cannot import"
        yield Problem(f"{short(name)}: {wanted}; {'model-' + names.spec.replace('_', '-')!r} would do", "NAME")


def _taken(names: PackageNames) -> Iterator[Problem]:
    better = f"a name such as {'my-' + names.spec.replace('_', '-')!r} would do"
    if origins := spec_origins(names.spec):
        yield Problem(f"a spec {names.spec!r} is offered by {' and by '.join(origins)} already; {better}", "NAME")
    elif installed := _installed(names):
        yield Problem(f"{installed} already; {better}", "NAME")


def _installed(names: PackageNames) -> str:
    """What is installed under one of the names, '' when nothing is."""
    try:
        found = distribution(names.distribution)
    except PackageNotFoundError:
        return f"a module {names.package!r} is there" if find_spec(names.package) else ""
    return f"{found.name} {found.version} is installed"


def _part_faults(part: str, names: PackageNames) -> Iterator[Problem]:
    kind, _, name = part.partition(".")
    if kind not in PARTS:
        yield Problem(f"{short(part)}: KIND.NAME is wanted, KIND being {' or '.join(PARTS)}", "--part")
    elif not (name.isidentifier() and name.isascii()) or iskeyword(name):
        yield Problem(f"{short(part)}: {short(name)} is no name of a part; letters, digits and _ are wanted", "--part")
    elif name in part_names(kind):
        yield Problem(f"{kind} {name!r} is registered already; '{kind}.my_{name}' would do", "--part")
    elif name in ("models", "processing"):
        yield Problem(f"{name!r} is a module of {names.package} already; '{kind}.my_{name}' would do", "--part")
