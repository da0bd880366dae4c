"""`import triptych` is quick and offers a few names, each brought when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import triptych


def test_importing_the_package_brings_neither_torch_nor_pydantic() -> None:
    code = "import sys, triptych; print({'torch', 'pydantic', 'transformers', 'yaml'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_public_name_is_there() -> None:
    for name in ("load", "random_init", "assemble", "Assembled", "Model", "Completion", "TriptychError"):
        assert name in dir(triptych)
        assert getattr(triptych, name).__name__ == name


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'triptych' has no attribute 'laod'"):
        _ = triptych.laod


def test_the_options_of_generate_are_those_of_sampling() -> None:
    from dataclasses import fields

    from triptych.runner.sampling import SamplingOptions
    from triptych.tasks.model import GenerateOptions

    assert list(GenerateOptions.__annotations__) == [field.name for field in fields(SamplingOptions)]
