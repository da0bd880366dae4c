"""Words of a command line that change an experiment: an option of a group, a value, something of the model's spec."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from triptych.errors import OptionError, Problem, suggest
from triptych.experiments.document import Experiment
from triptych.experiments.refused import at_override, refused_override
from triptych.experiments.session import groups, options

MODEL = "model."


@dataclass(frozen=True)
class Overrides:
    """`model` are for the spec merger, as typed; `values` (dotted path -> as typed) and `choices` are for Hydra."""

    model: tuple[str, ...]
    values: dict[tuple[str, ...], str]
    choices: tuple[str, ...]

    @property
    def for_hydra(self) -> list[str]:
        """Values may be new keys: whether anything asks for them is said of the whole experiment at once."""
        return [*self.choices, *(f"++{text.lstrip('+')}" for text in self.values.values())]


def sort_overrides(words: Sequence[str], loader: ConfigLoader) -> Overrides:
    """Tell the kinds apart. Raises OptionError with every word that is none, and every option that is not there."""
    known = groups(loader)
    model, values, choices = list[str](), dict[tuple[str, ...], str](), list[str]()
    problems = list[Problem]()
    for word in words:
        key, _, value = word.partition("=")
        group = key.lstrip("+").partition("@")[0]
        if fault := word_fault(word, known) or _several(word):
            problems.append(Problem(fault, place=at_override(word)))
        elif group in known:
            problems += _unknown(word, value, options(group, loader))
            choices.append(word.lstrip("+"))
        elif word.startswith(MODEL):
            model.append(word)
        else:
            values.pop(path := tuple(key.lstrip("+").split(".")), None)  # what is said last stands last
            values[path] = word
    if problems:
        raise OptionError(problems)
    return Overrides(tuple(model), values, tuple(choices))


def word_fault(word: str, known: Iterable[str]) -> str:
    """What keeps a word, of one value or several, from being an override where the groups `known` are; '' for none."""
    key, equals, _ = word.partition("=")
    if fault := refused_override(word):
        return fault
    if key.startswith("~"):
        return "nothing is taken out of an experiment; `key=null` makes it absent"
    if not equals or not all(key.lstrip("+").split(".")):
        return "not of the form path.to.key=value or group=option"
    first, names = (
        re.split(r"[.@]", key.lstrip("+"), maxsplit=1)[0],
        [*dict.fromkeys([*known, *Experiment.model_fields])],
    )
    return "" if first in names else f"no group and no key {first!r}{suggest(first, names)}"


def _several(word: str) -> str:
    """What is wrong with a word as one value. What is for the spec merger is its own to read."""
    if word.startswith(MODEL):
        return ""
    try:
        sweep = OverridesParser.create().parse_override(word).is_sweep_override()
    except HydraException as error:
        return f"cannot be read: {str(error).partition(chr(10))[0]}"
    return "several values; `-m` runs one member for each" if sweep else ""


def _unknown(word: str, value: str, known: Iterable[str]) -> list[Problem]:
    group = word.partition("=")[0].lstrip("+").partition("@")[0]
    if value in (known := list(known)):
        return []
    return [Problem(f"unknown {group} {value!r}{suggest(value, known)}", place=at_override(word))]
