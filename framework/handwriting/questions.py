"""What can be asked about a number, and the answer, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from numpy.random import Generator

Digits = Sequence[int]
TYPED: tuple[Callable[[str], str], ...] = (  # with care, or without
    str,
    str.lower,
    lambda question: question.rstrip("?."),
    lambda question: question.lower().rstrip("?."),
)


@dataclass(frozen=True)
class Kind:
    """A question in several wordings, `{}` for a digit that it is about, and the answer to it."""

    wordings: tuple[str, ...]
    answer: Callable[[Digits, int], str]
    share: float  # of all questions


def _written(digits: Digits) -> str:
    return "".join(map(str, digits))


KINDS: Mapping[str, Kind] = {
    "number": Kind(
        (
            "What number is written?",
            "What is written here?",
            "Which number is this?",
            "Read the number.",
            "What does it say?",
            "What number is this?",
            "What is the number?",
            "Read this.",
        ),
        lambda digits, _: _written(digits),
        0.4,
    ),
    "count": Kind(
        (
            "How many digits are there?",
            "How many digits?",
            "How many digits does the number have?",
            "Count the digits.",
        ),
        lambda digits, _: str(len(digits)),
        0.1,
    ),
    "contains": Kind(
        ("Is there a {}?", "Is a {} in it?", "Does the number contain a {}?", "Do you see a {}?"),
        lambda digits, digit: "Yes" if digit in digits else "No",
        0.25,
    ),
    "first": Kind(
        ("What is the first digit?", "Which digit is first?", "With which digit does it begin?"),
        lambda digits, _: str(digits[0]),
        0.125,
    ),
    "last": Kind(
        ("What is the last digit?", "Which digit is last?", "With which digit does it end?"),
        lambda digits, _: str(digits[-1]),
        0.125,
    ),
}


@dataclass(frozen=True)
class Asked:
    """A question of a kind, and the answer that is looked for."""

    kind: str
    question: str
    answer: str


def draw_question(digits: Digits, draw: Generator) -> Asked:
    """A question about a number. Where it is about a digit, that is in the number half of the time."""
    names = [*KINDS]
    name = names[draw.choice(len(names), p=[kind.share for kind in KINDS.values()])]
    others = [digit for digit in range(10) if digit not in digits]
    about = int(draw.choice([*digits] if draw.random() < 0.5 else others))
    wording = str(draw.choice(KINDS[name].wordings))
    return Asked(name, _typed(wording.format(about), draw), KINDS[name].answer(digits, about))


def wordings() -> Iterator[str]:
    """Every question that can be drawn, however it is typed."""
    for kind in KINDS.values():
        for wording, digit in product(kind.wordings, range(10)):
            for typed in TYPED:
                yield typed(wording.format(digit))


def _typed(question: str, draw: Generator) -> str:
    """As it stands most of the time."""
    return TYPED[draw.choice(len(TYPED), p=[0.7, 0.1, 0.1, 0.1])](question)
