"""SmolLM2-135M-Instruct's real weights: the same tokens as transformers, one for one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from triptych.tasks.model import Model

pytestmark = pytest.mark.slow
PROMPTS = [
    "Why is the sky blue?",
    "Write a haiku about a lighthouse.",
    "Translate to French: The cat sleeps on the warm stone wall behind the old house.",
    "def fibonacci(n):",
    "List three countries that border Germany, and for each one its capital and its population in 2020.",
]
LENGTH = 64


@pytest.fixture(scope="module", autouse=True)
def fair_share() -> Iterator[None]:
    """This one model gains from threads, of which processes side by side share out the cores: more of them wait."""
    import torch

    before = torch.get_num_threads()
    beside = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // beside))
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(smollm2: Path) -> Model:
    import torch

    import triptych

    return triptych.load(smollm2, device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module")
def expected(smollm2: Path) -> list[tuple[list[int], list[int]]]:
    """Prompt ids under the chat template and the tokens that follow them, by transformers."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    reference = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32)
    reference.generation_config.eos_token_id = None
    return [answer(reference, tokenizer, prompt) for prompt in PROMPTS]


def answer(reference: Any, tokenizer: Any, prompt: str) -> tuple[list[int], list[int]]:
    messages = [{"role": "user", "content": prompt}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    ids = inputs["input_ids"]
    out = reference.generate(**inputs, max_new_tokens=LENGTH, do_sample=False)
    return ids[0].tolist(), out[0, ids.shape[1] :].tolist()


def test_five_prompts_in_one_batch_give_the_tokens_of_transformers(
    model: Model, expected: list[tuple[list[int], list[int]]]
) -> None:
    completions = model.generate(PROMPTS, max_tokens=LENGTH, ignore_eos=True)
    assert [(list(c.prompt_token_ids), list(c.token_ids)) for c in completions] == expected


@pytest.mark.parametrize("number", range(len(PROMPTS)))
def test_a_prompt_alone_gives_the_tokens_of_transformers(
    model: Model, expected: list[tuple[list[int], list[int]]], number: int
) -> None:
    (completion,) = model.generate(PROMPTS[number], max_tokens=LENGTH, ignore_eos=True)
    assert list(completion.token_ids) == expected[number][1]


def test_logits_of_every_position_are_those_of_transformers(
    model: Model, smollm2: Path, expected: list[tuple[list[int], list[int]]]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    ids = [*expected[0][0], *expected[0][1]]
    with torch.inference_mode():
        wanted = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32)(torch.tensor([ids])).logits[0]
    found = model.logits(ids)
    assert (found - wanted).norm() / wanted.norm() < 1e-5


def test_an_answer_ends_by_itself_and_is_text(model: Model) -> None:
    (completion,) = model.generate("What is the capital of France?", max_tokens=64)
    assert "Paris" in completion.text
    assert "<|im_end|>" not in completion.text
    assert completion.finish_reason == "stop"
