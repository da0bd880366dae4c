"""How likely answers are: the log-probabilities of transformers, over texts and token ids, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import triptych
from tests.inputs.small_tokenizers import byte_level, save
from tests.parity.oracle import Oracle, build_oracle, tiny_config
from triptych.errors import InputError

PROMPTS = [[5, 9, 33, 200, 17], [3], [7, 8] * 20]
ANSWERS = [[4, 4, 9], [250] * 300, [1]]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    folder = tmp_path_factory.mktemp("llama")
    found = build_oracle({**config, "vocab_size": 400}, folder, seed=3)
    save(byte_level(), folder)
    return found


@pytest.fixture(scope="module")
def model(oracle: Oracle) -> triptych.Model:
    return triptych.load(oracle.folder, dtype="float32")


@pytest.mark.parametrize("max_batch", [32, 1])
def test_they_are_those_of_transformers(oracle: Oracle, model: triptych.Model, max_batch: int) -> None:
    for prompt, answer, found in zip(
        PROMPTS, ANSWERS, model.likelihood(PROMPTS, ANSWERS, max_batch=max_batch), strict=True
    ):
        wanted = oracle.logits([*prompt, *answer])[len(prompt) - 1 : -1].log_softmax(-1)
        wanted = wanted[range(len(answer)), answer]
        torch.testing.assert_close(torch.tensor(found.logprobs), wanted.float(), rtol=1e-4, atol=1e-4)
        assert found.token_ids == tuple(answer)
        assert found.logprob == pytest.approx(wanted.sum().item(), rel=1e-4)


def test_an_answer_is_greedy_when_generate_would_give_it(oracle: Oracle, model: triptych.Model) -> None:
    greedy = oracle.generate(PROMPTS[0], 5)
    (found,) = model.likelihood(PROMPTS[0], greedy)
    (other,) = model.likelihood(PROMPTS[0], [*greedy[:-1], (greedy[-1] + 1) % 400])
    assert (found.is_greedy, other.is_greedy) == (True, False)


def test_texts_are_cut_into_tokens_apart_from_their_prompts(model: triptych.Model) -> None:
    (found,) = model.likelihood("the quick", " brown", raw=True)
    assert model.tokenizer is not None
    prompt, answer = model.tokenizer.encode("the quick"), model.tokenizer.encode_bare(" brown")
    assert found == model.likelihood(prompt, answer)[0]
    assert found.token_ids == tuple(answer)


def test_all_that_is_wrong_is_told(model: triptych.Model) -> None:
    with pytest.raises(InputError, match=r"answers: as many answers as prompts are needed, 2 here"):
        model.likelihood(["a", "b"], ["c"])
    with pytest.raises(InputError) as raised:
        model.likelihood(["a", "b", "c"], ["", "x", [1.5]])  # type: ignore[list-item]
    assert "answers[0]: is empty; at least one token is needed" in str(raised.value)
    assert "answers[2]: a text or a list of token ids is needed, not [1.5]" in str(raised.value)
    with pytest.raises(InputError, match="has 520 tokens, and the model takes at most 512"):
        model.likelihood([1] * 500, [2] * 20)
    with pytest.raises(InputError, match="prompt: is empty"):
        model.likelihood([[]], [[3]])


def test_a_spec_may_be_named_that_the_config_does_not(oracle: Oracle, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("schema: 1\nbase: llama\ninert: [rms_norm_eps]\nparts: {norm: {eps: 0.5}}\n")
    found = triptych.load(oracle.folder, spec=str(mine), dtype="float32")
    assert found.name == "mine"
    ids = PROMPTS[0]
    changed = triptych.load(oracle.folder, overrides=["parts.norm.eps=0.5", "inert=[rms_norm_eps]"], dtype="float32")
    assert torch.equal(found.logits(ids), changed.logits(ids))
    assert not torch.allclose(found.logits(ids), triptych.load(oracle.folder, dtype="float32").logits(ids))
