"""The prompts of an experiment: those that stand in it, then those of a file of JSON lines."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from triptych.errors import InputError, Place, Problem, suggest
from triptych.experiments.document import ItemForm
from triptych.experiments.whole import Row
from triptych.spec.document import Tree, locate
from triptych.spec.scope import problems_of

if TYPE_CHECKING:
    from triptych.experiments.read import Ready

NUMBER = re.compile(r"\[(\d+)\]")  # in the path of a problem


@dataclass(frozen=True)
class Item:
    """A prompt, the answer that is looked for, the paths of its images, and where all of that stands."""

    prompt: str
    answer: str | None
    images: tuple[str, ...]
    place: Place | None
    kind: str | None = None

    @property
    def identity(self) -> Row:
        """What a row of measurements begins with: of which prompt, images and answer it is."""
        said = {"prompt": self.prompt, "answer": self.answer, "images": list(self.images)}
        return {key: value for key, value in said.items() if value not in (None, [])}


def read_items(ready: Ready, *, answers: bool = False) -> list[Item]:
    """Every prompt; each with an answer where `answers` are needed.

    Raises InputError when there is no prompt, and with every line of the file that holds none or names a file that is
    not there.
    """
    data = ready.settings.data
    if answers and data.prompts:
        raise InputError("prompts in place have no answers; a `data.file` of JSON lines has", path="data.prompts")
    found = [
        Item(prompt, None, (), locate(ready.tree, ("data", "prompts", number)))
        for number, prompt in enumerate(data.prompts)
    ]
    if data.file is not None:
        found += of_file(Path(data.file), answers=answers)
    if not found:
        raise InputError("no prompts; give `data.prompts`, or a `data.file` of JSON lines", path="data")
    return found


@contextmanager
def told_with_places(items: Sequence[Item]) -> Iterator[None]:
    """What a model does not take of items is told with where each stands."""
    try:
        yield
    except InputError as error:
        raise type(error)(_placed(problem, items) for problem in error.problems) from error


def _placed(problem: Problem, items: Sequence[Item]) -> Problem:
    """A model calls what it was given `prompts[2]`; one alone needs no number."""
    named = NUMBER.search(problem.path)
    number = 0 if len(items) == 1 else int(named[1]) if named else len(items)
    return problem if number >= len(items) else replace(problem, place=problem.place or items[number].place)


def of_file(path: Path, *, answers: bool, key: str = "data.file") -> list[Item]:
    """The prompts of a file of JSON lines, named under `key` of the experiment. Raises InputError as `read_items`."""
    found, problems = list[Item](), list[Problem]()
    for place, line in _lines(path, key):
        try:
            found.append(item := _item(line, place))
        except InputError as error:
            problems += error.problems
            continue
        if answers and item.answer is None:
            problems.append(Problem("the answer that is looked for is missing", "answer", place))
        lost = [image for image in item.images if not Path(image).is_file()]
        problems += [Problem(f"no such file: {image}", "images", place) for image in lost]
    if problems:
        raise InputError(problems)
    return found


def of_kinds(items: Sequence[Item], kinds: Sequence[str], *, key: str) -> list[Item]:
    """Those of some kinds, or all without any, as `key` of the experiment says. Raises InputError for one not there."""
    if lost := [*kind_problems(kinds, {item.kind for item in items if item.kind is not None}, key=key)]:
        raise InputError(lost)
    return [item for item in items if not kinds or item.kind in kinds]


def kind_problems(kinds: Sequence[str], there: Set[str], *, key: str) -> Iterator[Problem]:
    """Each of the kinds that `key` of the experiment names and no question is of."""
    for kind in kinds:
        if kind not in there:
            yield Problem(f"no question is of kind {kind!r}{suggest(kind, there)}", key)


def _item(line: bytes, place: Place) -> Item:
    """What a line says. Raises InputError with all that is wrong with it."""
    try:
        fields = json.loads(line.decode())
    except json.JSONDecodeError as error:
        raise InputError(f"no JSON: {error.msg}", place=replace(place, col=error.colno)) from None
    except (ValueError, RecursionError) as error:  # no UTF-8, thousands of digits, lists in lists in lists
        raise InputError(f"no JSON: {error}", place=place) from None
    tree = Tree(fields) if isinstance(fields, dict) else fields
    try:
        form = ItemForm.model_validate(tree)
    except ValidationError as error:
        at = tree if isinstance(tree, Tree) else Tree()
        raise InputError(p for detail in error.errors() for p in problems_of(detail, ItemForm, at, (), place)) from None
    beside = Path(place.file).parent
    return Item(form.prompt, form.answer, tuple(str(beside / image) for image in form.images), place, form.kind)


def _lines(path: Path, key: str) -> Iterator[tuple[Place, bytes]]:
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: no file of JSON lines", path=key)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", path=key) from None
    for number, line in enumerate(content.removeprefix(BOM_UTF8).split(b"\n"), 1):
        if line.strip():
            yield Place(str(path), number, 1), line
