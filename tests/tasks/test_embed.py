"""Embeddings through the public door: texts, token ids, prompts, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import triptych
from tests.inputs.small_tokenizers import byte_level, save
from tests.parity.oracle import build_oracle, tiny_config
from triptych.errors import CapabilityError, InputError, SpecError
from triptych.runner.pool import CURE

TEXTS = ["the quick brown fox", "one", "naïve café, one by one, over the lazy dog"]


def made(folder: Path, architecture: str) -> Path:
    config = tiny_config(architecture)
    assert config is not None
    build_oracle({**config, "vocab_size": 400, "max_position_embeddings": 64}, folder, seed=3)
    return save(byte_level(), folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("bert"), "BertModel")


def test_a_text_is_embedded_as_its_token_ids_are(folder: Path) -> None:
    model = triptych.load(folder, dtype="float32")
    assert model.tokenizer is not None
    found = model.embed(TEXTS)
    assert found.shape == (3, 64)
    torch.testing.assert_close(model.embed([model.tokenizer.encode(text) for text in TEXTS]), found)
    torch.testing.assert_close(model.embed(TEXTS[1]), found[1:2])


def test_prompts_and_the_length_of_a_sentence_folder_are_kept_to(folder: Path) -> None:
    texts = {"prompts": {"query": "one by one"}}
    (folder / "modules.json").write_text('[{"path": "", "type": "x.Transformer"}, {"path": "p", "type": "x.Pooling"}]')
    (folder / "p").mkdir()
    (folder / "p" / "config.json").write_text('{"pooling_mode": "mean"}')
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 6}')
    (folder / "config_sentence_transformers.json").write_text(json.dumps(texts))
    try:
        model = triptych.load(folder, dtype="float32")
        assert model.tokenizer is not None
        ids = model.tokenizer.encode("one by one" + TEXTS[2])[:6]
        torch.testing.assert_close(model.embed(TEXTS[2], prompt="query"), model.embed(ids))
        with pytest.raises(InputError, match=r"no prompt 'qery'.*did you mean 'query'\?"):
            model.embed(TEXTS, prompt="qery")
    finally:
        (folder / "modules.json").unlink()


def test_a_language_model_embeds_with_the_pooler_it_is_given(tmp_path: Path) -> None:
    where = made(tmp_path, "LlamaForCausalLM")
    model = triptych.load(where, dtype="float32")
    with pytest.raises(
        CapabilityError, match=r"llama as it was loaded gives no embeddings; load\(..., convert='embed'"
    ):
        model.embed(TEXTS)
    pooled = triptych.load(where, dtype="float32", overrides=["pooler.take=last"])
    ids = [5, 9, 33]
    torch.testing.assert_close(pooled.module.compute_logits(pooled.embed(ids)), model.logits(ids)[-1:])
    assert pooled.generate([ids], max_tokens=3)[0].token_ids == model.generate([ids], max_tokens=3)[0].token_ids


def test_a_pair_of_texts_is_classified_as_by_transformers(tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    config = tiny_config("BertForSequenceClassification")
    assert config is not None
    build_oracle({**config, "vocab_size": 400, "max_position_embeddings": 64}, tmp_path, seed=3)
    save(byte_level(), tmp_path)
    model = triptych.load(tmp_path, dtype="float32")
    oracle, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(tmp_path),
        AutoTokenizer.from_pretrained(tmp_path),
    )
    with torch.inference_mode():
        rows = [
            oracle(**tokenizer(a, b, return_token_type_ids=True, return_tensors="pt")).logits
            for a, b in zip(TEXTS, TEXTS[::-1], strict=True)
        ]
    found = model.classify(TEXTS, pairs=TEXTS[::-1])
    torch.testing.assert_close(found, torch.cat(rows).softmax(-1), rtol=1e-4, atol=1e-6)
    assert not found.allclose(model.classify([a + b for a, b in zip(TEXTS, TEXTS[::-1], strict=True)]), atol=1e-3)
    torch.testing.assert_close(model.classify(TEXTS[0], pairs=TEXTS[2]), found[:1])
    for texts, pairs in ((TEXTS, TEXTS[:2]), ([[1, 2], [3]], ["a", "b"]), (TEXTS, "one")):
        with pytest.raises(InputError, match=r"pairs: \d texts take as many others, each a text too"):
            model.classify(texts, pairs=pairs)
    with pytest.raises(CapabilityError, match="bert as it was loaded gives no embeddings"):
        model.embed(TEXTS)


def test_prompts_that_the_model_does_not_take_are_named(folder: Path) -> None:
    model = triptych.load(folder, dtype="float32")
    with pytest.raises(InputError) as caught:
        model.embed([[1, 2], [], [400], [1] * 65])
    assert str(caught.value).splitlines() == [
        "prompts[1]: is empty; at least one token is needed",
        "prompts[2]: has the token id 400, and the model has 0 to 399",
        f"prompts[3]: has 65 tokens, and the model takes at most 64; {CURE}",
    ]


def test_the_end_of_what_is_too_long_is_left_out_where_truncate_asks_for_it(folder: Path) -> None:
    model = triptych.load(folder, dtype="float32")
    assert model.tokenizer is not None
    ids, _ = model.tokenizer.encode_cut("one by one " * 40, None, 64)
    found = model.embed(["one by one " * 40, TEXTS[0], [7] * 70], truncate=True)
    torch.testing.assert_close(found, model.embed([ids, model.tokenizer.encode(TEXTS[0]), [7] * 64]))
    with pytest.raises(
        InputError, match=r"prompt: has \d+ tokens, .*; shorten it, or let truncate \(--truncate\) leave"
    ):
        model.embed("one by one " * 40)


def test_what_has_no_head_writes_nothing(folder: Path) -> None:
    model = triptych.load(folder, dtype="float32")
    for call in (lambda: model.generate("one"), lambda: model.stream("one"), lambda: model.logits([1])):
        with pytest.raises(CapabilityError, match="bert has no head: it writes no text; embed"):
            call()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pooler.take=middle", r"pooler.take: .*'first', 'last', 'mean' or 'max'"),
        ("pooler.tke=mean", r"pooler.tke: unknown key 'tke'; did you mean 'take'\?"),
        ("pooler.use=mean", r"unknown pooler 'mean'; known: sequence"),
        ("pooler.dense=swosh", r"unknown activation 'swosh'; did you mean 'swish'\?"),
    ],
)
def test_a_pooler_that_is_written_wrongly_is_refused(override: str, message: str, folder: Path) -> None:
    with pytest.raises(SpecError, match=message):
        triptych.load(folder, overrides=[override])
