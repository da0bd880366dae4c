"""The prompts of an experiment: those that stand in it, then those of a file of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from triptych.errors import InputError, Place, Problem
from triptych.experiments.document import DataForm, ItemForm
from triptych.experiments.whole import Row
from triptych.spec.document import Tree
from triptych.spec.scope import problems_of


def read_items(data: DataForm, *, answers: bool = False) -> list[ItemForm]:
    """Every prompt, with the paths of its images; each with an answer where `answers` are needed.

    Raises InputError when there is no prompt, and with every line of the file that holds none.
    """
    found = [ItemForm(prompt=prompt) for prompt in data.prompts]
    if answers and found:
        raise InputError("prompts in place have no answers; a `data.file` of JSON lines has", path="data.prompts")
    if data.file is not None:
        found += _of_file(Path(data.file), answers=answers)
    if not found:
        raise InputError("no prompts; give `data.prompts`, or a `data.file` of JSON lines", path="data")
    return found


def identity(item: ItemForm) -> Row:
    """What a row of measurements begins with: of which prompt, images and answer it is."""
    said = {"prompt": item.prompt, "answer": item.answer, "images": list(item.images)}
    return {key: value for key, value in said.items() if value not in (None, [])}


def _of_file(path: Path, *, answers: bool) -> list[ItemForm]:
    found, problems = list[ItemForm](), list[Problem]()
    for place, line in _lines(path):
        try:
            fields = json.loads(line)
        except ValueError as error:
            problems.append(Problem(f"no JSON: {error}", place=place))
            continue
        tree = Tree(fields) if isinstance(fields, dict) else fields
        try:
            item = ItemForm.model_validate(tree)
        except ValidationError as error:
            at = tree if isinstance(tree, Tree) else Tree()
            problems += [p for detail in error.errors() for p in problems_of(detail, ItemForm, at, (), place)]
            continue
        if answers and item.answer is None:
            problems.append(Problem("the answer that is looked for is missing", "answer", place))
        found.append(item.model_copy(update={"images": tuple(str(path.parent / image) for image in item.images)}))
    if problems:
        raise InputError(problems)
    return found


def _lines(path: Path) -> Iterator[tuple[Place, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}", path="data.file") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield Place(str(path), number, 1), line
