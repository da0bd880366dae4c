"""Words with several values -> members with one of each, all of which run, whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, product
from math import prod

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from triptych.errors import OptionError, Problem
from triptych.experiments.overrides import MODEL, sort_overrides, word_fault
from triptych.experiments.refused import at_override
from triptych.experiments.run import Outcome, run_experiment
from triptych.experiments.session import groups, session

Words = tuple[str, ...]
MAX_MEMBERS = 10_000  # each has a folder of its own


@dataclass(frozen=True)
class Member:
    """One member of a sweep, `number` of `of`: its words, those in which it differs, and what came of it."""

    number: int
    of: int
    words: Words
    choices: Words
    outcome: Outcome | None
    error: Exception | None


def sweep(name: str, words: Sequence[str]) -> Iterator[Member]:
    """Run every combination of the values in `words`: `tower=clip,siglip`, `language_model=glob(*)`, `run.seed=1,2`.

    Raises OptionError before anything runs, with every word that names nothing and every option that is not there. What
    is wrong with one member alone is kept with it, and the next one runs.
    """
    found = members(name, words)
    for number, (member, choices) in enumerate(found, 1):
        which = partial(Member, number, len(found), member, choices)
        try:
            done = which(run_experiment(name, member), None)
        except Exception as error:  # of a model or a part that may be anybody's; the others are to finish
            done = which(None, error)
        yield done


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
    if (size := prod(map(len, values))) > MAX_MEMBERS:
        raise OptionError(f"a sweep of {size} members or more; at most {MAX_MEMBERS} go at a time", path="-m")
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
        values = islice(parsed.sweep_string_iterator(), MAX_MEMBERS + 1)
        found = [*dict.fromkeys(f"{parsed.get_key_element()}={value}" for value in values)]
    except (HydraException, ValueError) as error:  # ValueError for a range without a step
        if word.startswith(MODEL):  # a spec's own grammar: one value
            return [word]
        raise OptionError(f"cannot be read: {str(error).partition(chr(10))[0]}", place=at_override(word)) from None
    if not found:
        raise OptionError("matches nothing", place=at_override(word))
    return found
