"""A failure inside a model is told with the place and the package of whoever wrote what failed."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.registry.test_plugins import Site
from triptych.errors import CapabilityError, PluginError
from triptych.parts.norms import RmsNorm
from triptych.parts.norms_spec import RmsNormSpec
from triptych.registry.authors import blaming

HERE = Path(__file__).name


class Fails(nn.Module):
    """Of nobody's distribution, as in a notebook."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ torch.ones(3)  # where torch itself raises, further in

    def raises(self, error: BaseException) -> None:
        raise error


def told(call: Any, owner: object, *given: Any, **named: Any) -> PluginError:
    with pytest.raises(PluginError) as caught, blaming(owner, "as it runs"):
        call(*given, **named)
    assert caught.value.__cause__ is not None
    return caught.value


def test_the_place_is_the_innermost_line_of_the_authors_not_that_of_what_it_calls() -> None:
    model = Fails()
    error = told(model, model, torch.ones(2))
    line = inspect.getsourcelines(Fails.forward)[1] + 1
    (problem,) = error.problems
    assert problem.place is not None
    assert (Path(problem.place.file).name, problem.place.line) == (HERE, line)
    assert problem.message.startswith(f"Fails ({__name__}:Fails.forward) fails as it runs: RuntimeError: ")
    assert isinstance(error.__cause__, RuntimeError)


def test_a_part_of_anothers_inside_a_model_of_ours_is_found() -> None:
    model = RmsNorm(RmsNormSpec(eps=1e-5), width=3)
    model.add_module("inside", Fails())
    error = told(model.inside, model, torch.ones(2))
    assert f"RmsNorm ({__name__}:Fails.forward) fails" in str(error)


def test_a_method_that_does_not_take_its_arguments_is_named_though_it_was_not_entered() -> None:
    model = Fails()
    error = told(model, model, torch.ones(3), step=1)
    assert error.problems[0].place is None
    assert str(error) == (
        f"Fails ({__name__}:Fails.forward) fails as it runs: TypeError: "
        "Fails.forward() got an unexpected keyword argument 'step'"
    )
    assert "Fails.__init__() takes" in str(told(Fails, Fails, 1))


@pytest.mark.parametrize("error", [MemoryError("all of it"), torch.OutOfMemoryError("CUDA"), CapabilityError("ours")])
def test_errors_of_triptych_and_of_a_machine_without_memory_pass(error: Exception) -> None:
    model = Fails()
    with pytest.raises(type(error)) as caught, blaming(model, "as it runs"):
        model.raises(error)
    assert caught.value is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_who_asks_to_stop_is_obeyed(error: BaseException) -> None:
    with pytest.raises(type(error)), blaming(model := Fails(), "as it runs"):
        model.raises(error)


def test_a_mistake_of_our_own_shows_where_it_is() -> None:
    norm = RmsNorm(RmsNormSpec(eps=1e-5), width=3)
    with pytest.raises(AttributeError), blaming(norm, "as it runs"):
        norm(None)
    with pytest.raises(AttributeError), blaming(Fails(), "as it runs"):
        norm(None)  # not by the hand of `Fails`


ACME = """
from torch import nn

class Tiny(nn.Module):
    def forward(self, x):
        return x["no such key"]
"""


def test_the_package_is_named_by_its_distribution(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.install("acme", "", {"acme/model.py": ACME})
    found = site.python("""
        from acme.model import Tiny
        from triptych.registry.authors import blaming
        with blaming(model := Tiny(), "as it runs"):
            model({})
        """)
    assert found.strip() == (
        f"{site.folder}/acme/model.py:6:1: Tiny (acme.model:Tiny.forward, from acme 1.0) fails as it runs: "
        "KeyError: 'no such key'"
    )
