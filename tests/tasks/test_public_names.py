"""`import triptych` is quick and offers a few names, each brought when it is asked for."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

import triptych
from triptych.public import NAMES, WHERE

NOT_OURS = {
    "annotations",
    "short",
    "suggest",
    "Iterable",
    "dataclass",
    "get_close_matches",
}  # for the package's own use


def test_importing_the_package_brings_neither_torch_nor_pydantic() -> None:
    code = "import sys, triptych; print({'torch', 'pydantic', 'transformers', 'yaml'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("module", NAMES)
def test_every_public_name_is_there(module: str) -> None:
    for name in NAMES[module]:
        assert name in dir(triptych)
        assert getattr(triptych, name) is getattr(import_module(module), name)


@pytest.mark.parametrize("name", WHERE)
def test_every_public_class_and_function_says_what_it_is_and_so_does_each_of_its_methods(name: str) -> None:
    found = getattr(triptych, name)
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        return
    assert vars(found).get("__doc__") if inspect.isclass(found) else found.__doc__, name
    for method, held in vars(found).items():
        of_class = inspect.isclass(found) and not method.startswith("_")
        if of_class and (inspect.isfunction(held) or isinstance(held, classmethod | staticmethod | property)):
            bases = (getattr(base, method, None) for base in found.__mro__)
            assert any(inspect.getdoc(base) for base in bases if base is not None), f"{name}.{method}"


OFFERED = ["triptych.capabilities", "triptych.schemas", "triptych.tasks", "triptych.errors", "triptych.inputs.media"]


@pytest.mark.parametrize("module", OFFERED)
def test_what_these_packages_offer_triptych_offers(module: str) -> None:
    found = {
        name
        for name, value in vars(import_module(module)).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name not in NOT_OURS
    }
    assert found == set(NAMES[module])


def test_no_name_is_offered_twice() -> None:
    names = [name for found in NAMES.values() for name in found]
    assert len(names) == len(set(names))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'triptych' has no attribute 'laod'"):
        _ = triptych.laod


def test_the_options_of_generate_are_those_of_sampling() -> None:
    from dataclasses import fields

    from triptych.runner.sampling import SamplingOptions
    from triptych.tasks.model import GenerateOptions

    assert list(GenerateOptions.__annotations__) == [field.name for field in fields(SamplingOptions)]
