"""Whole models on kernels alone, in Triton's interpreter, beside the same models in plain torch."""

from __future__ import annotations

import pytest
from PIL import Image

import triptych
from tests.parity.oracle import TOLERANCE, rms_ratio
from triptych.kernels import choice
from triptych.spec.catalog import catalog
from triptych.tasks import Model

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
