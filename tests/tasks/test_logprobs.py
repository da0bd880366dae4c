"""Logprobs of answers and prompts: those of transformers, whatever is drawn and read together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import triptych
from tests.inputs.small_tokenizers import byte_level, save
from tests.parity.oracle import Oracle, build_oracle, tiny_config
from triptych.runner import logprobs as measured
from triptych.runner.logprobs import PromptLogprobs, TokenLogprob

PROMPTS = [[5, 9, 33, 200, 17], [3], [7, 8] * 20, [250, 1, 1]]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    folder = tmp_path_factory.mktemp("llama")
    found = build_oracle({**config, "vocab_size": 400, "max_position_embeddings": 256}, folder, seed=3)
    save(byte_level(), folder)
    return found


@pytest.fixture(scope="module")
def model(oracle: Oracle) -> triptych.Model:
    return triptych.load(oracle.folder, dtype="float32")


def check(found: Sequence[TokenLogprob | None], ids: Sequence[int], wanted_NV: Tensor, *, count: int) -> None:
    """Logprobs of ids are those of these rows, and the likeliest are the likeliest."""
    assert len(found) == len(ids) == len(wanted_NV)
    for each, token, wanted_V in zip(found, ids, wanted_NV, strict=True):
        assert each is not None
        assert each.token_id == token
        assert each.logprob == pytest.approx(float(wanted_V[token]), abs=2e-4)
        values = list(each.likeliest.values())
        assert len(values) == count
        assert values == sorted(values, reverse=True)
        assert values == pytest.approx(wanted_V.topk(count)[0].tolist(), abs=2e-4)
        assert values == pytest.approx([float(wanted_V[token]) for token in each.likeliest], abs=2e-4)


@pytest.mark.parametrize("asked", [0, 1, 5])
@pytest.mark.parametrize("options", [{}, {"temperature": 2.0, "top_k": 50, "repetition_penalty": 2.0}])
def test_logprobs_of_an_answer_are_those_of_transformers(
    oracle: Oracle, model: triptych.Model, asked: int, options: dict[str, Any]
) -> None:
    for found in model.generate(PROMPTS, max_tokens=7, ignore_eos=True, seed=1, logprobs=asked, **options):
        rows = oracle.logits([*found.prompt_token_ids, *found.token_ids])[len(found.prompt_token_ids) - 1 : -1]
        assert found.logprobs is not None
        check(found.logprobs, found.token_ids, rows.log_softmax(-1), count=asked)
        assert found.prompt_logprobs is None


@pytest.mark.parametrize("asked", [0, 3])
@pytest.mark.parametrize("max_batch", [1, 32])
def test_logprobs_of_a_prompt_are_those_of_transformers(
    oracle: Oracle, model: triptych.Model, asked: int, max_batch: int
) -> None:
    found = model.generate(PROMPTS, max_tokens=2, prompt_logprobs=asked, max_batch=max_batch)
    for prompt, each in zip(PROMPTS, found, strict=True):
        assert each.prompt_logprobs is not None
        check(each.prompt_logprobs, prompt[1:], oracle.logits(prompt)[:-1].log_softmax(-1), count=asked)
        assert each.logprobs is None


def test_logprobs_are_told_only_where_they_are_asked_for(model: triptych.Model) -> None:
    (found,) = model.generate(PROMPTS[0], max_tokens=2)
    assert (found.logprobs, found.prompt_logprobs) == (None, None)


def check_same(found: PromptLogprobs | None, wanted: PromptLogprobs | None) -> None:
    """The same tokens, to float32's last bits: how many rows are multiplied together changes the order of sums."""
    assert found is not None
    assert wanted is not None
    for one, other in zip(found, wanted, strict=True):
        assert one is not None
        assert other is not None
        assert (one.token_id, [*one.likeliest]) == (other.token_id, [*other.likeliest])
        numbers = ([each.logprob, *each.likeliest.values()] for each in (one, other))
        assert next(numbers) == pytest.approx(next(numbers), rel=1e-5)


class Sizes(TorchDispatchMode):
    """The bytes of the largest tensor that is made."""

    largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        tensors = [each for each in (made if isinstance(made, tuple | list) else [made]) if isinstance(each, Tensor)]
        self.largest = max(self.largest, *(each.numel() * each.element_size() for each in tensors), 0)
        return made


def test_the_logits_of_a_prompt_are_never_there_all_at_once(
    model: triptych.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = [n % 400 for n in range(250)]
    (wanted,) = model.generate(prompt, max_tokens=1, prompt_logprobs=2)
    bound = 10 * 400 * 4  # ten rows
    monkeypatch.setattr(measured, "CHUNK_BYTES", bound)
    heads: list[int] = []
    whole = model.module.compute_logits
    sizes = Sizes()

    def compute_logits(hidden: Tensor) -> Tensor:
        heads.append(len(hidden))
        with sizes:
            found: Tensor = whole(hidden)
        return found

    monkeypatch.setattr(model.module, "compute_logits", compute_logits)
    scored = measured.score_prompt

    def score_prompt(*args: Any, **options: Any) -> Any:
        with sizes:
            return scored(*args, **options)

    monkeypatch.setattr("triptych.runner.prompt_scores.score_prompt", score_prompt)
    (found,) = model.generate(prompt, max_tokens=1, prompt_logprobs=2)
    assert found.token_ids == wanted.token_ids
    check_same(found.prompt_logprobs, wanted.prompt_logprobs)
    assert heads == [1, *[10] * 24, 9]
    hidden = 249 * model.config["hidden_size"] * 4
    assert sizes.largest == max(bound, hidden)


def test_ids_that_the_model_lacks_have_no_bias(model: triptych.Model) -> None:
    with pytest.raises(triptych.OptionError, match=r"^logit_bias: has the token id 400, and the model has 0 to 399$"):
        model.generate(["a", "b"], logit_bias={5: 1.0, 400: 1.0})
    (found,) = model.generate("a", logit_bias={399: 100.0}, max_tokens=3)
    assert found.token_ids == (399,) * 3
