"""Whole models on kernels alone, in Triton's interpreter, beside the same models in plain torch."""

from __future__ import annotations

import pytest
import torch
from PIL import Image
from torch import Tensor

import triptych
from tests.parity.oracle import TOLERANCE, rms_ratio
from tests.runner.recorder import Recorded
from triptych.inputs.prompt import Prompt
from triptych.kernels import choice
from triptych.kernels.choice import AUTO, Kernels, using
from triptych.parts.norms import RmsNorm
from triptych.parts.step import Step
from triptych.spec.catalog import catalog
from triptych.tasks import Model
from triptych.training.learner import IGNORED, Learner

pytestmark = pytest.mark.interpret
SPECS = [name for name, known in catalog().items() if known.kind == "language_model"]
WRITERS = ["llama", "qwen3", "gemma3", "gpt_oss", "bloom", "jamba"]  # every kind of cache, norms of heads, sinks, ALiBi
PROMPTS = [[1, 2, 3, 4, 5], [7, 8], [*range(20)]]


def both(spec: str) -> tuple[Model, Model]:
    """A model that raises where an op is not on its kernel, and one in plain torch."""
    return triptych.random_init(spec, seed=1, kernels="triton"), triptych.random_init(spec, seed=1, kernels="reference")


@pytest.mark.parametrize("spec", SPECS)
def test_logits_on_kernels_are_those_of_plain_torch(spec: str) -> None:
    model, plain = both(spec)
    ids = [*range(1, 24)]
    assert rms_ratio(model.logits(ids), plain.logits(ids)) <= TOLERANCE


@pytest.mark.parametrize("spec", WRITERS)
def test_answers_from_pages_are_those_of_plain_torch(spec: str) -> None:
    model, plain = both(spec)
    found, wanted = (m.generate(PROMPTS, max_tokens=4, ignore_eos=True) for m in (model, plain))
    assert [each.token_ids for each in found] == [each.token_ids for each in wanted]


def test_an_answer_about_an_image_is_that_of_plain_torch() -> None:
    model, plain = both("llava")
    image = Image.effect_noise((56, 56), 80).convert("RGB")
    found, wanted = (m.generate("What?", images=image, max_tokens=4, ignore_eos=True)[0] for m in (model, plain))
    assert found.token_ids == wanted.token_ids


def test_it_is_the_kernels_that_ran(caplog: pytest.LogCaptureFixture) -> None:
    choice._log_once.cache_clear()
    caplog.set_level("INFO", "triptych.kernels")
    triptych.random_init("mixtral", kernels="triton").logits([1, 2, 3])
    assert {"rms_norm: its Triton kernel", "attention: its Triton kernel", "moe: its Triton kernel"} <= {
        *caplog.messages
    }


@torch.no_grad()
def launched(model: Model) -> int:
    """Operations and kernels that a block launches, in a step that has been through it once."""
    x, step, block, recorded = torch.ones(5, 64), Step.of([5]), model.module.layers[0], Recorded()
    with using(Kernels.of("triton")):
        block(x, step)
        with recorded.recording():
            block(x, step)
    return len(recorded.calls)


def test_a_norm_that_takes_a_sum_is_one_launch_less_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    found = launched(triptych.random_init("llama"))
    monkeypatch.delattr(RmsNorm, "of_sum")
    assert launched(triptych.random_init("llama")) == found + 1


def gradients(kernels: Kernels, *, half: bool) -> dict[str, Tensor]:
    """Of the loss of an answer, by a model's parameters; products are in half precision where it is `half`."""
    module = triptych.random_init("llama", seed=1).module.requires_grad_(True)
    labels = torch.tensor([IGNORED, IGNORED, 4, 5, IGNORED])
    with torch.autocast("cpu", torch.float16, enabled=half):
        Learner(module, kernels=kernels)([Prompt((1, 2, 3, 4, 5))], labels)["loss"].backward()
    return {path: parameter.grad for path, parameter in module.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize(("half", "tolerance"), [(False, 1e-5), (True, 1e-2)], ids=["float32", "half"])
def test_a_model_learns_through_sums_that_norms_take(half: bool, tolerance: float) -> None:
    found, wanted = (gradients(kind, half=half) for kind in (Kernels("reference", {"add_rms_norm": "triton"}), AUTO))
    assert found.keys() == wanted.keys()
    for path, gradient in wanted.items():
        assert rms_ratio(found[path], gradient) < tolerance, path
