"""Every warning is of a public class of its own, so that a user can let it pass, or stop at it."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import triptych
from triptych.public import WHERE

ROOT = Path(__file__).parent.parent
FOLDERS = ("framework", "registry", "schemas", "kernels", "contrib_models")
OLDER = "DeprecationWarning"  # of names and forms of older releases, as Python has it


def calls() -> Iterator[tuple[str, str]]:
    """Where `warnings.warn` is called, and the category that it is given."""
    for file in (file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("warnings.warn", "warn"):
                given = {word.arg: word.value for word in node.keywords}
                category = node.args[1] if len(node.args) > 1 else given.get("category")
                yield f"{file.relative_to(ROOT)}:{node.lineno}", ast.unparse(category) if category else ""


FOUND = dict(calls())
NAMES = sorted(set(FOUND.values()) - {OLDER})


def test_the_calls_are_found() -> None:
    assert len(FOUND) > 8
    assert {"BudgetWarning", "WeightWarning", OLDER} <= set(FOUND.values())


@pytest.mark.parametrize("where", FOUND)
def test_a_warning_is_of_a_public_class(where: str) -> None:
    name = FOUND[where]
    assert name == OLDER or issubclass(getattr(triptych, name), triptych.TriptychWarning)
    assert name == OLDER or name in WHERE


@pytest.mark.parametrize("name", NAMES)
def test_the_base_class_filters_them_all_and_leaves_others(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=triptych.TriptychWarning)
        warnings.warn("is let pass", getattr(triptych, name), stacklevel=1)
        with pytest.raises(UserWarning):
            warnings.warn("of another", UserWarning, stacklevel=1)
