"""Every family that writes text, as a model for embeddings and as a classifier, equals its reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import triptych
from tests.parity.oracle import MATTERS, TOLERANCE, build_oracle, rms_ratio, tiny_config
from tests.parity.siblings import build, outputs, sibling, texts
from triptych.errors import CapabilityError, SpecError
from triptych.spec.catalog import catalog

LENGTHS = (23, 5, 11, 5, 1)
FAMILIES = {
    name: listed.architectures[0]
    for name, listed in catalog().items()
    if listed.kind in ("language_model", "embedding_model")
    and listed.architectures
    and tiny_config(listed.architectures[0])
}
CHANCES: dict[str, tuple[dict[str, Any], Callable[[Tensor], Tensor]]] = {
    "three labels": ({"id2label": {"0": "good", "1": "fair", "2": "bad"}}, lambda x: x.softmax(-1)),
    "one label": ({"id2label": {"0": "relevant"}}, torch.sigmoid),
    "several at once": ({"problem_type": "multi_label_classification"}, torch.sigmoid),
    "a number": ({"id2label": {"0": "score"}, "problem_type": "regression"}, lambda x: x),
}


CLASSIFIERS = [name for name in FAMILIES if sibling(FAMILIES[name], "ForSequenceClassification")]
BARE = [name for name in FAMILIES if sibling(FAMILIES[name], "Model")]


def test_most_families_have_both_references() -> None:
    assert len(BARE) >= 12
    assert len(CLASSIFIERS) >= 9


@pytest.mark.parametrize("family", BARE)
def test_the_class_without_a_head_gives_embeddings(family: str, folder: Path) -> None:
    oracle = build(FAMILIES[family], "Model", folder)
    model = triptych.load(folder, dtype=torch.float32)
    assert (model.name, hasattr(model.module, "compute_logits")) == (family, False)
    rows = [outputs(oracle, ids).last_hidden_state[0] for ids in texts(oracle, LENGTHS)]
    wanted = torch.stack([rows_TD[0] if family == "bert" else F.normalize(rows_TD[-1], dim=-1) for rows_TD in rows])
    assert rms_ratio(model.embed(texts(oracle, LENGTHS)), wanted) <= TOLERANCE


@pytest.mark.parametrize("family", CLASSIFIERS)
def test_the_class_for_sequences_gives_the_chances_of_labels(family: str, folder: Path) -> None:
    oracle = build(FAMILIES[family], "ForSequenceClassification", folder, **CHANCES["three labels"][0])
    model = triptych.load(folder, dtype=torch.float32)
    assert (model.name, model.labels) == (family, ("good", "fair", "bad"))
    found = model.classify(texts(oracle, LENGTHS))
    wanted = torch.cat([outputs(oracle, ids).logits for ids in texts(oracle, LENGTHS)])
    torch.testing.assert_close(found, wanted.softmax(-1), rtol=1e-4, atol=1e-6)
    assert rms_ratio(found.log() - found.log().mean(-1, True), wanted - wanted.mean(-1, True)) <= 10 * TOLERANCE
    with pytest.raises(CapabilityError, match=r"gives no embeddings; load\(..., convert='embed'\) may do"):
        model.embed("one")


@pytest.mark.parametrize("case", CHANCES)
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_chances_are_of_the_kind_of_problem(family: str, case: str, folder: Path) -> None:
    changes, chances = CHANCES[case]
    oracle = build(FAMILIES[family], "ForSequenceClassification", folder, **changes)
    found = triptych.load(folder, dtype=torch.float32).classify(texts(oracle, LENGTHS))
    wanted = chances(torch.cat([outputs(oracle, ids).logits for ids in texts(oracle, LENGTHS)]))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_every_tensor_of_a_classifier_matters(family: str, folder: Path) -> None:
    oracle = build(FAMILIES[family], "ForSequenceClassification", folder)
    ids, inert = texts(oracle, LENGTHS)[0], set()
    wanted = outputs(oracle, ids).logits
    for name, tensor in oracle.model.state_dict().items():
        kept = tensor.clone()
        tensor.zero_()
        if rms_ratio(outputs(oracle, ids).logits, wanted) < MATTERS:
            inert.add(name.rpartition(".")[0].rpartition(".")[2])
        tensor.copy_(kept)
    assert inert <= {"key", "token_type_embeddings"}  # see the tests of embeddings for both


def test_a_model_that_writes_is_converted_when_asked(folder: Path) -> None:
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    oracle = build_oracle(config, folder, seed=1)
    model = triptych.load(folder, dtype=torch.float32, convert="embed")
    with torch.inference_mode():
        hidden = oracle.model.model(torch.tensor(texts(oracle, LENGTHS)[:1])).last_hidden_state[0, -1:]
    assert rms_ratio(model.embed(texts(oracle, LENGTHS)[0]), F.normalize(hidden, dim=-1)) <= TOLERANCE
    writing = triptych.load(folder, dtype=torch.float32)
    assert sum(p.numel() for p in model.module.parameters()) < sum(p.numel() for p in writing.module.parameters())
    with pytest.raises(CapabilityError, match=r"llama as it was loaded is no classifier"):
        model.classify("one")


@pytest.mark.parametrize(
    ("config", "convert", "message"),
    [
        (
            {"architectures": ["LlamaForCausalLM"]},
            "clasify",
            r"convert: no conversion 'clasify'; did you mean 'classify'\?",
        ),
        ({"architectures": ["LlavaForConditionalGeneration"]}, "embed", "llava has no text model of its own"),
        ({"architectures": ["LlavaModel"]}, None, "llava has no text model of its own"),
        ({"architectures": ["LlamaForVideoClassification"]}, None, "no spec answers for LlamaForVideoClassification"),
        ({"architectures": ["BertLMHeadModel"]}, None, "no spec answers for BertLMHeadModel"),
    ],
)
def test_what_cannot_be_converted_is_refused(config: dict[str, Any], convert: str | None, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        triptych.assemble(None, config, convert=convert)
