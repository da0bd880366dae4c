"""Words with several values -> members with one of each, all of which run, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from triptych.errors import OptionError, Problem
from triptych.experiments.overrides import MODEL, sort_overrides, word_fault
from triptych.experiments.refused import at_override
from triptych.experiments.run import Outcome, run_experiment
from triptych.experiments.session import groups, session

Words = tuple[str, ...]


@dataclass(frozen=True)
class Member:
    """One member of a sweep: its words, those in which it differs from others, and what came of it."""

    words: Words
    choices: Words
    outcome: Outcome | None
    error: Exception | None


def sweep(name: str, words: Sequence[str]) -> Iterator[Member]:
    """Run every combination of the values in `words`: `tower=clip,siglip`, `language_model=glob(*)`, `run.seed=1,2`.

    Raises OptionError before anything runs, with every word that names nothing and every option that is not there. What
    is wrong with one member alone is kept with it, and the next one runs.
    """
    for member, choices in members(name, words):
        try:
            yield Member(member, choices, run_experiment(name, member), None)
        except Exception as error:  # of a model or a part that may be anybody's; the others are to finish
            yield Member(member, choices, None, error)


def members(name: str, words: Sequence[str]) -> list[tuple[Words, Words]]:
    """The words of each member, and of these the ones that were one of several. Raises OptionError."""
    with session(name) as (_, loader):
        values, problems = list[list[str]](), list[Problem]()
        for word in words:
            try:
                values.append(_values(word, loader))
                sort_overrides(values[-1], loader)
            except OptionError as error:
                problems += error.problems
    if problems:
        raise OptionError(problems)
    several = [len(each) > 1 for each in values]
    return [
        (member, tuple(word for word, one_of in zip(member, several, strict=True) if one_of))
        for member in product(*values)
    ]


def _values(word: str, loader: ConfigLoader) -> list[str]:
    """A word with each of its values; the word alone when it has one."""
    if fault := word_fault(word, groups(loader)):
        raise OptionError(fault, place=at_override(word))
    try:
        (parsed,) = OverridesParser.create(config_loader=loader).parse_overrides([word])
        if not parsed.is_sweep_override():
            return [word]
        found = [f"{parsed.get_key_element()}={value}" for value in parsed.sweep_string_iterator()]
    except HydraException as error:
        if word.startswith(MODEL):  # a spec's own grammar: one value
            return [word]
        raise OptionError(f"cannot be read: {str(error).partition(chr(10))[0]}", place=at_override(word)) from None
    if not found:
        raise OptionError("matches nothing", place=at_override(word))
    return found
