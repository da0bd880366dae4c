"""A model that is loaded to run has its matrices packed, and is the same model."""

import pytest
import torch
from torch import nn

import triptych
from triptych.kernels.linear import packed
from triptych.kernels.linear.packed import PackedWeight
from triptych.parts.packing import pack
from triptych.parts.parameters import Linear
from triptych.runner.profile import step_bytes
from triptych.runner.request import RunOptions


@pytest.fixture
def always(monkeypatch):
    """On any processor float32 is packed."""
    monkeypatch.setattr(packed, "_works", lambda dtype: dtype == torch.float32)


def linear_of(value: float) -> Linear:
    made = Linear(4, 4, bias=True)
    made.weight, made.bias = (nn.Parameter(torch.full(s, float(value)), requires_grad=False) for s in ((4, 4), (4,)))
    return made


@pytest.mark.usefixtures("always")
def test_a_matrix_is_packed_unless_another_module_has_it_too():
    model = nn.ModuleList([linear_of(1), linear_of(2), linear_of(3)])
    model[2].weight = model[1].weight
    pack(model)
    assert [type(each.weight) is PackedWeight for each in model] == [True, False, False]
    assert model[2].weight is model[1].weight
    assert type(model[0].bias) is nn.Parameter


@pytest.mark.usefixtures("always")
def test_a_model_that_is_packed_gives_the_same_logits_and_the_same_weights(monkeypatch):
    overrides = ["sample.hidden_size=64"]
    model = triptych.random_init("llama", overrides=overrides)
    monkeypatch.setattr(packed, "_works", lambda _: False)
    plain = triptych.random_init("llama", overrides=overrides)
    kinds = [type(each.weight) for each in model.module.modules() if isinstance(each, Linear)]
    assert set(kinds) == {PackedWeight}
    torch.testing.assert_close(model.logits([1, 2, 3, 4]), plain.logits([1, 2, 3, 4]), rtol=1e-4, atol=1e-4)
    found, wanted = model.module.state_dict(), plain.module.state_dict()
    assert list(found) == list(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.usefixtures("always")
def test_what_a_packed_model_takes_is_imagined_and_it_answers_as_before(monkeypatch):
    """Neither lays a matrix out plainly."""
    model = triptych.random_init("llama")
    monkeypatch.setattr(packed, "_works", lambda _: False)
    plain = triptych.random_init("llama")
    run = RunOptions(device=torch.device("cpu"), dtype=torch.float32, max_num_batched_tokens=64)
    taken = [step_bytes(each.module, run, longest=32) for each in (model, plain)]
    assert taken[0] == taken[1] is not None
    ids = [[1, 2, 3, 4], [9, 8]]
    found, wanted = ([c.token_ids for c in each.generate(ids, max_tokens=8)] for each in (model, plain))
    assert found == wanted
    assert triptych.Engine(model, max_model_len=32).submit([5, 6], max_tokens=2).result().token_ids
    weights = [each.weight for each in model.module.modules() if isinstance(each, Linear)]
    assert all(weight.packed is not None for weight in weights)
