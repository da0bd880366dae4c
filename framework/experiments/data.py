"""The prompts of an experiment: those that stand in it, then those of a file of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from triptych.errors import InputError, Place, Problem
from triptych.experiments.document import DataForm, PromptForm
from triptych.spec.document import Tree
from triptych.spec.scope import problems_of


def read_prompts(data: DataForm) -> list[PromptForm]:
    """Every prompt. Raises InputError when there is none, and with every line of the file that holds none."""
    found = [PromptForm(prompt=prompt) for prompt in data.prompts]
    if data.file is not None:
        found += _of_file(Path(data.file))
    if not found:
        raise InputError("no prompts; give `data.prompts`, or a `data.file` of JSON lines", path="data")
    return found


def _of_file(path: Path) -> list[PromptForm]:
    found, problems = list[PromptForm](), list[Problem]()
    for place, line in _lines(path):
        try:
            fields = json.loads(line)
        except ValueError as error:
            problems.append(Problem(f"no JSON: {error}", place=place))
            continue
        tree = Tree(fields) if isinstance(fields, dict) else fields
        try:
            found.append(PromptForm.model_validate(tree))
        except ValidationError as error:
            at = tree if isinstance(tree, Tree) else Tree()
            problems += [p for detail in error.errors() for p in problems_of(detail, PromptForm, at, (), place)]
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
