"""Every family that writes text, as a model that embeds or classifies each token, equals its reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import Tensor

import triptych
from tests.parity.oracle import MATTERS, TOLERANCE, Oracle, rms_ratio, tiny_config
from tests.parity.siblings import build, outputs, sibling, texts
from triptych.errors import CapabilityError, InputError
from triptych.runner import reading
from triptych.spec.catalog import catalog

LENGTHS = (23, 5, 11, 5, 1, 100, 8)
LABELS = {"id2label": {"0": "B", "1": "I", "2": "O"}}
OWN = {
    name: listed.architectures[0]
    for name, listed in catalog().items()
    if listed.kind in ("language_model", "embedding_model")
    and listed.architectures
    and tiny_config(listed.architectures[0])
    and hasattr(transformers, listed.architectures[0])
}


CLASSIFIERS = [name for name in OWN if sibling(OWN[name], "ForTokenClassification")]
BARE = [name for name in OWN if sibling(OWN[name], "Model")]


def logits(oracle: Oracle) -> list[Tensor]:
    return [outputs(oracle, ids).logits[0] for ids in texts(oracle, LENGTHS)]


def test_most_families_have_both_references() -> None:
    assert len(BARE) >= 12
    assert len(CLASSIFIERS) >= 9


@pytest.mark.parametrize("family", BARE)
def test_the_rows_of_tokens_are_those_of_the_reference_at_length_one(family: str, folder: Path) -> None:
    oracle = build(OWN[family], "Model", folder)
    model = triptych.load(folder, dtype=torch.float32, convert="token_embed")
    assert (model.name, hasattr(model.module, "compute_logits")) == (family, False)
    for found, ids in zip(model.token_embed(texts(oracle, LENGTHS)), texts(oracle, LENGTHS), strict=True):
        assert found.shape[0] == len(ids)
        assert rms_ratio(found, F.normalize(outputs(oracle, ids).last_hidden_state[0], dim=-1)) <= TOLERANCE


@pytest.mark.parametrize("family", CLASSIFIERS)
def test_the_class_for_tokens_gives_the_chances_of_labels(family: str, folder: Path) -> None:
    oracle = build(OWN[family], "ForTokenClassification", folder, **LABELS)
    model = triptych.load(folder, dtype=torch.float32)
    assert (model.name, model.labels) == (family, ("B", "I", "O"))
    for found, wanted in zip(model.token_classify(texts(oracle, LENGTHS)), logits(oracle), strict=True):
        torch.testing.assert_close(found, wanted.softmax(-1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_every_tensor_of_a_classifier_of_tokens_matters(family: str, folder: Path) -> None:
    oracle, inert = build(OWN[family], "ForTokenClassification", folder, **LABELS), set()
    ids = texts(oracle, LENGTHS)[0]
    wanted = outputs(oracle, ids).logits
    for name, tensor in oracle.model.state_dict().items():
        kept = tensor.clone()
        tensor.zero_()
        if rms_ratio(outputs(oracle, ids).logits, wanted) < MATTERS:
            inert.add(name.rpartition(".")[0].rpartition(".")[2])
        tensor.copy_(kept)
    assert inert <= {"key", "token_type_embeddings"}  # see the tests of embeddings for both


@pytest.mark.parametrize(
    ("changes", "chances"),
    [
        ({"id2label": {"0": "entity"}}, torch.sigmoid),
        ({"problem_type": "multi_label_classification"}, torch.sigmoid),
        ({"id2label": {"0": "reward"}, "problem_type": "regression"}, lambda x: x),
        ({"token_classification_bias": False}, lambda x: x.softmax(-1)),
    ],
)
def test_chances_are_of_the_kind_of_problem(changes: dict[str, Any], chances: Any, folder: Path) -> None:
    oracle = build(OWN["llama"], "ForTokenClassification", folder, **changes)
    model = triptych.load(folder, dtype=torch.float32)
    for found, wanted in zip(model.token_classify(texts(oracle, LENGTHS)), logits(oracle), strict=True):
        torch.testing.assert_close(found, chances(wanted), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("family", "suffix"), [("bert", "Model"), ("llama", "ForTokenClassification")])
def test_seven_together_are_seven_alone(family: str, suffix: str, folder: Path) -> None:
    oracle = build(OWN[family], suffix, folder)
    convert: Any = "token_embed" if suffix == "Model" else None
    model = triptych.load(folder, dtype=torch.float32, convert=convert)
    call = model.token_embed if convert else model.token_classify
    assert len(texts(oracle, LENGTHS)) == 7
    for most in (1, 3, 32):
        for found, ids in zip(call(texts(oracle, LENGTHS), max_batch=most), texts(oracle, LENGTHS), strict=True):
            (alone,) = call([ids])
            assert rms_ratio(found, alone) <= TOLERANCE


def test_a_text_longer_than_one_call_reads_is_read_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "TOKENS", 256)
    oracle = build(OWN["llama"], "Model", folder, max_position_embeddings=1_000)
    model = triptych.load(folder, dtype=torch.float32, convert="token_embed")
    both = [oracle.random_ids(900, seed=1), oracle.random_ids(3, seed=2)]
    for found, ids in zip(model.token_embed(both), both, strict=True):
        wanted = F.normalize(outputs(oracle, ids).last_hidden_state[0], dim=-1)
        assert rms_ratio(found, wanted) <= TOLERANCE


def test_a_projector_narrows_the_rows_of_tokens(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    oracle = build(OWN["bert"], "Model", folder)
    linear = torch.randn(8, 64, generator=torch.Generator().manual_seed(0)) / 8
    save_file({**load_file(folder / "model.safetensors"), "linear.weight": linear}, folder / "model.safetensors")
    narrow = ["pooler.projector=[{out: 8, bias: false}]", 'weights={"pooler.projector.{i}": linear}']
    model = triptych.load(folder, dtype=torch.float32, convert="token_embed", overrides=narrow)
    for found, ids in zip(model.token_embed(texts(oracle, LENGTHS)), texts(oracle, LENGTHS), strict=True):
        assert found.shape == (len(ids), 8)
        wanted = F.normalize(outputs(oracle, ids).last_hidden_state[0] @ linear.T, dim=-1)
        assert rms_ratio(found, wanted) <= TOLERANCE


def test_what_a_model_was_not_loaded_for_it_does_not_do(folder: Path) -> None:
    build(OWN["llama"], "ForTokenClassification", folder)
    model = triptych.load(folder, dtype=torch.float32)
    calls: dict[str, Any] = {
        r"gives no embeddings; load\(..., convert='embed'\) may do": model.embed,
        r"is no classifier; load\(..., convert='classify'\) may do": model.classify,
        r"gives no embeddings of tokens; load\(..., convert='token_embed'\) may do": model.token_embed,
        r"writes no text": model.generate,
    }
    for message, call in calls.items():
        with pytest.raises(CapabilityError, match=f"llama .*{message}"):
            call([[1, 2]])
    with pytest.raises(InputError, match=r"prompts\[1\]: is empty"):
        model.token_classify([[1], []])
    assert model.token_classify([]) == []
