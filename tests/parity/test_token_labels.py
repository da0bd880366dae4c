"""Classifiers made of a head's rows give the chances that the model that writes gives to these tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import triptych
from tests.inputs.small_tokenizers import byte_level, save
from tests.parity.oracle import Oracle, build_oracle, tiny_config
from tests.parity.siblings import texts
from triptych.errors import InputError, SpecError

LENGTHS = (23, 5, 11, 1)
FALSE, TRUE, OTHER = 17, 5, 40
# Heads of their own, tied ones, one whose logits are scaled, one that is tied to embeddings that are scaled.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "own": ("LlamaForCausalLM", {"tie_word_embeddings": False}),
    "tied": ("LlamaForCausalLM", {"tie_word_embeddings": True}),
    "tied, biases": ("Qwen2ForCausalLM", {"tie_word_embeddings": True}),
    "scaled": ("GraniteForCausalLM", {"logits_scaling": 0.5, "tie_word_embeddings": False}),
    "tied to scaled": ("GemmaForCausalLM", {}),
    "gpt2": ("GPT2LMHeadModel", {}),
    "gpt2, own": ("GPT2LMHeadModel", {"tie_word_embeddings": False}),
}


def build(case: str, folder: Path) -> Oracle:
    architecture, changes = CASES[case]
    config = tiny_config(architecture)
    assert config is not None
    return build_oracle({**config, **changes}, folder, seed=len(case))


def last_logits(oracle: Oracle) -> Tensor:
    """The logits [B, V] after each text."""
    return torch.stack([oracle.logits(ids)[-1] for ids in texts(oracle, LENGTHS)])


@pytest.mark.parametrize("case", CASES)
def test_two_tokens_give_the_chance_of_the_second_among_the_two(case: str, folder: Path) -> None:
    oracle = build(case, folder)
    model = triptych.load(
        folder, dtype="float32", convert="classify", classifier_from_token=[FALSE, TRUE], method="from_2_way_softmax"
    )
    found = model.classify(texts(oracle, LENGTHS))
    wanted = last_logits(oracle)[:, [FALSE, TRUE]].softmax(-1)[:, 1:]
    assert found.shape == (len(LENGTHS), 1)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
    assert wanted.std() > 0.01  # chances that are all alike would prove nothing
    assert not any(name.startswith("head") for name, _ in model.module.named_parameters())


@pytest.mark.parametrize("case", CASES)
def test_rows_as_they_are_give_the_chance_of_each_token_among_them(case: str, folder: Path) -> None:
    oracle = build(case, folder)
    tokens = [OTHER, FALSE, TRUE]
    model = triptych.load(
        folder, dtype="float32", convert="classify", classifier_from_token=tokens, method="no_post_processing"
    )
    wanted = last_logits(oracle)[:, tokens].softmax(-1)
    torch.testing.assert_close(model.classify(texts(oracle, LENGTHS)), wanted, rtol=1e-4, atol=1e-6)
    assert model.labels == ("40", "17", "5")


@pytest.mark.parametrize("case", CASES)
def test_the_numbers_behind_the_chances_are_logits_and_their_difference(case: str, folder: Path) -> None:
    oracle = build(case, folder)
    plain: dict[str, Any] = {"dtype": "float32", "overrides": ["pooler.chances=none"]}
    both = [FALSE, TRUE]
    rows = triptych.load(folder, classifier_from_token=both, method="no_post_processing", **plain)
    one = triptych.load(folder, classifier_from_token=both, method="from_2_way_softmax", **plain)
    logits = last_logits(oracle)[:, both]
    torch.testing.assert_close(rows.classify(texts(oracle, LENGTHS)), logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        one.classify(texts(oracle, LENGTHS)), logits[:, 1:] - logits[:, :1], rtol=1e-4, atol=1e-5
    )


def test_a_config_that_names_tokens_is_enough(folder: Path) -> None:
    oracle = build("tied", folder)
    keys = {"classifier_from_token": [FALSE, TRUE], "method": "from_2_way_softmax"}
    (folder / "config.json").write_text(json.dumps({**oracle.config, **keys}), encoding="utf-8")
    wanted = last_logits(oracle)[:, [FALSE, TRUE]].softmax(-1)[:, 1:]
    found = triptych.load(folder, dtype="float32").classify(texts(oracle, LENGTHS))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_one_token_alone_is_a_label_of_its_own(folder: Path) -> None:
    oracle = build("own", folder)
    model = triptych.load(folder, dtype="float32", classifier_from_token=[TRUE], method="no_post_processing")
    wanted = last_logits(oracle)[:, [TRUE]].sigmoid()
    torch.testing.assert_close(model.classify(texts(oracle, LENGTHS)), wanted, rtol=1e-4, atol=1e-6)


def test_texts_of_tokens_are_looked_up_in_the_vocabulary(folder: Path) -> None:
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    oracle = build_oracle({**config, "vocab_size": 400}, folder, seed=1)
    tokenizer = byte_level()
    save(tokenizer, folder)
    ids = [tokenizer.token_to_id("q"), tokenizer.token_to_id("w")]
    asked: dict[str, Any] = {"dtype": "float32", "method": "from_2_way_softmax"}
    by_text = triptych.load(folder, classifier_from_token=["q", "w"], **asked)
    by_id = triptych.load(folder, classifier_from_token=ids, **asked)
    torch.testing.assert_close(by_text.classify(texts(oracle, LENGTHS)), by_id.classify(texts(oracle, LENGTHS)))
    assert by_text.labels == ("w",)
    with pytest.raises(InputError) as caught:
        triptych.load(folder, classifier_from_token=["q w", 3, "naïve!"], method="no_post_processing")
    assert [str(p).partition(" tokens [")[0] for p in caught.value.problems] == [
        "classifier_from_token: 'q w' is 3",
        f"classifier_from_token: 'naïve!' is {len(tokenizer.encode('naïve!', add_special_tokens=False).ids)}",
    ]


def test_a_text_without_a_tokenizer_is_refused(folder: Path) -> None:
    build("own", folder)
    with pytest.raises(InputError, match=r"classifier_from_token: .*has no tokenizer to look texts up in; give ids"):
        triptych.load(folder, classifier_from_token=["no", "yes"], method="from_2_way_softmax")


@pytest.mark.parametrize(
    ("keys", "messages"),
    [
        (
            {"classifier_from_token": [1, 2], "method": "from_2way_softmax"},
            ["config.method: there is no method 'from_2way_softmax'; did you mean 'from_2_way_softmax'?"],
        ),
        (
            {"classifier_from_token": [1, 2, 3], "method": "from_2_way_softmax"},
            ["config.classifier_from_token: from_2_way_softmax takes two tokens, first the one for false; found 3"],
        ),
        (
            {"classifier_from_token": [1, -2, True], "method": "no"},
            [
                "config.classifier_from_token: ids of tokens are wanted here, not [-2, True]; `load` looks texts up",
                "config.method: there is no method 'no'; known: from_2_way_softmax, no_post_processing",
            ],
        ),
        ({"classifier_from_token": [1, 2]}, ["config.method: what is made of the tokens' rows is wanted beside"]),
        ({"classifier_from_token": []}, ["a list of tokens is wanted beside `method`, not []", "config.method"]),
        ({"classifier_from_token": "yes", "method": "no_post_processing"}, ["a list of tokens is wanted"]),
        ({"method": "no_post_processing"}, ["config.classifier_from_token: a list of tokens is wanted"]),
        (
            {"classifier_from_token": [3, 256, 300], "method": "no_post_processing", "vocab_size": 256},
            ["config.classifier_from_token: no row 256, 300 in a head over 256 tokens"],
        ),
    ],
)
def test_mistakes_are_told_all_at_once(keys: dict[str, Any], messages: list[str]) -> None:
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    with pytest.raises(SpecError) as caught:
        triptych.assemble(None, config | keys, convert="classify")
    assert len(caught.value.problems) == len(messages)
    for problem, message in zip(caught.value.problems, messages, strict=True):
        assert message in str(problem)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("BertModel", "language_model.head: bert has no head whose rows could be labels"),
        ("Gemma2ForCausalLM", "language_model.head: labels are rows of a plain head"),
    ],
)
def test_heads_that_are_more_than_rows_are_refused(architecture: str, message: str) -> None:
    config = tiny_config(architecture)
    assert config is not None
    keys = {"classifier_from_token": [1, 2], "method": "from_2_way_softmax"}
    with pytest.raises(SpecError, match=message):
        triptych.assemble(None, config | keys)


def test_tokens_say_nothing_of_embeddings() -> None:
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    keys = {"classifier_from_token": [1, 2], "method": "from_2_way_softmax"}
    with pytest.raises(SpecError, match=r"has `classifier_from_token: .*which llama.yaml does not read"):
        triptych.assemble(None, config | keys, convert="embed")
