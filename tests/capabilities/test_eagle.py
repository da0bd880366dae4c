"""Hidden rows of some layers for a draft head, also over pipeline stages."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.capabilities.models import Picture, Stack
from triptych.capabilities import (
    EagleModelMixin,
    IntermediateTensors,
    LocalArgmaxMixin,
    SupportsEagle,
    SupportsEagle3,
    supports_any_eagle,
    supports_eagle,
    supports_eagle3,
)
from triptych.errors import OptionError, StageError


class Outer(nn.Module, SupportsEagle3):
    """A language model whose stack is its `model`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model


class Itself(Stack, SupportsEagle3):
    """A stack that is the model too."""


class SeesToo(Picture, SupportsEagle3):
    """A multimodal model, its language model a child."""


def test_the_layers_go_to_the_model_of_the_language_model() -> None:
    outer, sees = Outer(Stack()), SeesToo()
    sees.text.model = Stack()
    for model, holder in ((outer, outer.model), (sees, sees.text.model)):
        model.set_aux_hidden_state_layers([5, 1])
        assert holder.aux_hidden_state_layers == (1, 5)


def test_without_a_model_inside_they_stay_with_the_language_model_itself() -> None:
    model = Itself()
    model.set_aux_hidden_state_layers((4,))
    assert model.aux_hidden_state_layers == (4,)


def test_the_holder_must_use_the_mixin() -> None:
    with pytest.raises(AssertionError, match="Linear must be an EagleModelMixin"):
        Outer(nn.Linear(1, 1)).set_aux_hidden_state_layers([1])


@given(st.lists(st.integers(0, 9)))
def test_layers_are_stored_sorted_and_unique(layers: list[int]) -> None:
    stack = Stack(0)
    stack.keep_aux_hidden_state_layers(layers)
    assert stack.aux_hidden_state_layers == tuple(sorted(set(layers)))


def test_a_layer_below_0_is_refused() -> None:
    with pytest.raises(OptionError, match="there is no layer -1"):
        Stack().keep_aux_hidden_state_layers([2, -1])


@pytest.mark.parametrize(("count", "layers"), [(8, (2, 4, 5)), (32, (2, 16, 29)), (5, (2, 2, 2))])
def test_default_layers_are_a_low_a_middle_and_a_high_one(count: int, layers: tuple[int, ...]) -> None:
    assert Outer(Stack(count)).get_eagle3_default_aux_hidden_state_layers() == layers


def test_an_auxiliary_value_is_hidden_plus_residual_if_there_is_one() -> None:
    stack, values = Stack(), []
    stack.keep_aux_hidden_state_layers([1, 2])
    x, residual = torch.ones(2, 3), torch.full((2, 3), 2.0)
    stack.add_aux_hidden_state(values, layer=0, x_NH=x, residual=None)
    stack.add_aux_hidden_state(values, layer=1, x_NH=x, residual=residual)
    stack.add_aux_hidden_state(values, layer=2, x_NH=x, residual=None)
    assert [value[0, 0].item() for value in values] == [3.0, 1.0]


def run(stack: Stack, first: int, stop: int, given: IntermediateTensors | None) -> IntermediateTensors:
    """One stage: each layer adds 1 to x, so that what goes into layer i is i."""
    x = torch.zeros(1) if given is None else given["x"]
    earlier = stack.aux_of_earlier_stages(given, first_layer=first)
    values: list[Tensor] = []
    if first == 0:
        stack.add_aux_hidden_state(values, layer=0, x_NH=x, residual=None)
    for layer in range(first, stop):
        x = x + 1
        stack.add_aux_hidden_state(values, layer=layer + 1, x_NH=x, residual=None)
    sent = {f"aux_hidden_states_{i}": value for i, value in enumerate(earlier)}
    return IntermediateTensors({"x": x, **sent, **stack.aux_for_later_stages(values, first_layer=first)})


@settings(deadline=None)
@given(st.sets(st.integers(0, 8), min_size=1), st.sets(st.integers(1, 7)))
def test_values_travel_over_stages_under_their_numbers(layers: set[int], cuts: set[int]) -> None:
    stack, bounds, found = Stack(8), [0, *sorted(cuts), 8], None
    stack.keep_aux_hidden_state_layers(layers)
    for first, stop in pairwise(bounds):
        found = run(stack, first, stop, found)
    assert found is not None
    values = [found[f"aux_hidden_states_{i}"].item() for i in range(len(layers))]
    assert values == sorted(layers), "each once, in the order of the layers"
    assert len(found) == 1 + len(layers)


def test_a_stage_numbers_from_the_count_of_layers_at_or_below_its_first() -> None:
    stack = Stack()
    stack.keep_aux_hidden_state_layers([1, 4, 6])
    assert list(stack.aux_for_later_stages([torch.ones(1)], first_layer=4)) == ["aux_hidden_states_2"]


@pytest.mark.parametrize("sent", [None, IntermediateTensors({"aux_hidden_states_0": torch.ones(1)})])
def test_a_missing_key_fails(sent: IntermediateTensors | None) -> None:
    stack = Stack()
    stack.keep_aux_hidden_state_layers([1, 2])
    with pytest.raises(StageError, match=r"handed nothing; 2 values|sent no 'aux_hidden_states_1'"):
        stack.aux_of_earlier_stages(sent, first_layer=3)
    assert issubclass(StageError, RuntimeError)


class Draft(nn.Module, LocalArgmaxMixin):
    """Three draft tokens."""

    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        return hidden_states


def test_top_tokens_lead_back_to_the_models_own() -> None:
    draft, rows = Draft(), torch.eye(3)[[2, 0]]
    assert draft.get_top_tokens(rows).tolist() == [2, 0]
    draft.register_buffer("d2t", torch.tensor([10, 20, 30]))
    assert draft.get_top_tokens(rows).tolist() == [32, 10]


def test_either_kind_is_any_eagle() -> None:
    class First(nn.Module, SupportsEagle):
        pass

    assert supports_eagle(First)
    assert not supports_eagle3(First)
    assert supports_eagle3(Outer)
    assert not supports_eagle(Outer)
    assert supports_any_eagle(First)
    assert supports_any_eagle(Outer(Stack()))
    assert not supports_any_eagle(Picture)
    assert not First.has_own_lm_head
    assert not First.has_own_embed_tokens


def test_what_has_the_mixin_alone_declares_nothing() -> None:
    assert issubclass(Stack, EagleModelMixin)
    assert not supports_any_eagle(Stack())
