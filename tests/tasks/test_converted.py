"""A class written by hand that writes text, loaded as one that embeds or classifies: through the public door."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

import triptych
from tests.assembly.hand_written import TinyForCausalLM
from tests.inputs.small_tokenizers import byte_level, save
from tests.parity.oracle import TOLERANCE, Oracle, build_oracle, rms_ratio, tiny_config
from triptych.errors import CapabilityError, OptionError
from triptych.parts.step import Step
from triptych.registry import models as models_module
from triptych.settings import Settings

ROPE = {"rope_type": "default", "rope_theta": 10000.0}
LENGTHS = (23, 5, 11, 1)


@pytest.fixture(autouse=True)
def _registered_for_one_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_module, "_registered", {})
    triptych.register_model("TinyForCausalLM", TinyForCausalLM)


def made(folder: Path, architecture: str, ours: str, **changes: Any) -> Oracle:
    """A checkpoint of transformers' Llama that names a class of ours as its own."""
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    changes = {"architectures": [architecture], "rope_parameters": ROPE, "pad_token_id": None, **changes}
    oracle = build_oracle({**config, "vocab_size": 400, **changes}, folder, seed=5)
    (folder / "config.json").write_text(json.dumps({**oracle.config, "architectures": [ours]}), encoding="utf-8")
    return oracle


def texts(oracle: Oracle) -> list[list[int]]:
    return [oracle.random_ids(length, seed=number) for number, length in enumerate(LENGTHS)]


@torch.inference_mode()
def rows(oracle: Oracle) -> list[Tensor]:
    base = getattr(oracle.model, "model", oracle.model)
    return [base(torch.tensor([ids])).last_hidden_state[0] for ids in texts(oracle)]


@pytest.mark.parametrize(
    ("architecture", "ours", "convert"),
    [("LlamaForCausalLM", "TinyForCausalLM", "embed"), ("LlamaModel", "TinyModel", None)],
)
def test_embeddings_are_those_of_the_reference(architecture: str, ours: str, convert: Any, tmp_path: Path) -> None:
    oracle = made(tmp_path, architecture, ours)
    model = triptych.load(tmp_path, dtype="float32", convert=convert)
    assert model.name == "TinyForEmbedding"
    wanted = torch.stack([F.normalize(x_TD[-1], dim=-1) for x_TD in rows(oracle)])
    assert rms_ratio(model.embed(texts(oracle)), wanted) <= TOLERANCE
    with pytest.raises(CapabilityError, match="TinyForEmbedding has no head: it writes no text"):
        model.generate([[1, 2]])
    with pytest.raises(CapabilityError, match="TinyForEmbedding as it was loaded is no classifier"):
        model.classify([[1, 2]])


def test_chances_are_those_of_the_reference(tmp_path: Path) -> None:
    changes = {"id2label": {"0": "good", "1": "fair", "2": "bad"}}
    oracle = made(tmp_path, "LlamaForSequenceClassification", "TinyForSequenceClassification", **changes)
    model = triptych.load(tmp_path, dtype="float32")
    assert (model.name, model.labels) == ("TinyForSequenceClassification", ("good", "fair", "bad"))
    with torch.inference_mode():
        wanted = torch.cat([oracle.model(torch.tensor([ids])).logits for ids in texts(oracle)]).softmax(-1)
    torch.testing.assert_close(model.classify(texts(oracle)), wanted, rtol=1e-4, atol=1e-6)
    with pytest.raises(CapabilityError, match="as it was loaded gives no embeddings"):
        model.embed([[1, 2]])


def test_chances_of_tokens_are_those_of_the_reference(tmp_path: Path) -> None:
    changes = {"id2label": {"0": "B", "1": "I", "2": "O"}}
    oracle = made(tmp_path, "LlamaForTokenClassification", "TinyForTokenClassification", **changes)
    model = triptych.load(tmp_path, dtype="float32")
    assert (model.name, model.labels) == ("TinyForTokenClassification", ("B", "I", "O"))
    for found, ids in zip(model.token_classify(texts(oracle)), texts(oracle), strict=True):
        with torch.inference_mode():
            wanted = oracle.model(torch.tensor([ids])).logits[0].softmax(-1)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_rows_of_tokens_are_those_of_the_reference_whichever_row_the_class_takes_of_a_text(tmp_path: Path) -> None:
    oracle = made(tmp_path, "LlamaForCausalLM", "TinyForCausalLM")
    model = triptych.load(tmp_path, dtype="float32", convert="token_embed")
    assert model.name == "TinyForTokenEmbedding"
    for found, wanted in zip(model.token_embed(texts(oracle)), rows(oracle), strict=True):
        assert rms_ratio(found, F.normalize(wanted, dim=-1)) <= TOLERANCE


@pytest.mark.parametrize("in_config", [False, True])
def test_tokens_named_by_text_are_labels(in_config: bool, tmp_path: Path) -> None:
    oracle = made(tmp_path, "LlamaForCausalLM", "TinyForCausalLM")
    tokenizer = byte_level()
    save(tokenizer, tmp_path)
    asked: dict[str, Any] = {"classifier_from_token": ["q", "w"], "method": "from_2_way_softmax"}
    if in_config:
        config = json.loads((tmp_path / "config.json").read_text("utf-8"))
        (tmp_path / "config.json").write_text(json.dumps({**config, **asked}), encoding="utf-8")
    model = triptych.load(tmp_path, dtype="float32", **({} if in_config else asked))
    logits = torch.stack([oracle.logits(ids)[-1] for ids in texts(oracle)])
    wanted = logits[:, [tokenizer.token_to_id(token) for token in "qw"]].softmax(-1)[:, 1:]
    torch.testing.assert_close(model.classify(texts(oracle)), wanted, rtol=1e-4, atol=1e-6)
    assert (model.name, model.labels) == ("TinyForSequenceClassification", ("w",))


def sentence_folder(tmp_path: Path) -> nn.Module:
    """The folder with the mean of rows and a linear layer after it, which is given back."""
    steps = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense")]
    listed = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in steps]
    (tmp_path / "modules.json").write_text(json.dumps(listed), encoding="utf-8")
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode": "mean"}', encoding="utf-8")
    (tmp_path / "2_Dense").mkdir()
    stated = {"in_features": 64, "out_features": 8, "bias": True}
    (tmp_path / "2_Dense" / "config.json").write_text(json.dumps(stated), encoding="utf-8")
    dense = nn.Linear(64, 8)
    save_file(
        {f"linear.{name}": tensor for name, tensor in dense.state_dict().items()},
        tmp_path / "2_Dense" / "model.safetensors",
    )
    return dense


def test_a_sentence_folder_says_how_rows_are_pooled(tmp_path: Path) -> None:
    oracle, dense = made(tmp_path, "LlamaModel", "TinyModel"), sentence_folder(tmp_path)
    with torch.inference_mode():
        wanted = torch.stack([torch.tanh(dense(x_TD.mean(0))) for x_TD in rows(oracle)])
    assert rms_ratio(triptych.load(tmp_path, dtype="float32").embed(texts(oracle)), wanted) <= TOLERANCE


def test_overrides_of_a_spec_are_refused_for_a_class(tmp_path: Path) -> None:
    made(tmp_path, "LlamaModel", "TinyModel")
    with pytest.raises(OptionError, match="TinyForEmbedding"):
        triptych.load(tmp_path, overrides=["pooler.take=mean"])


class Sums(nn.Module):
    """A pooler that an author wrote."""

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        return torch.stack([part.sum(0) for part in x_TD.split([*step.lengths])])


class SumsForCausalLM(TinyForCausalLM):
    is_pooling_model: ClassVar = True
    pooler: nn.Module

    def __init__(self, settings: Settings, prefix: str = "") -> None:
        super().__init__(settings, prefix)
        self.pooler = Sums()


class JudgesForCausalLM(SumsForCausalLM):
    score_type: ClassVar = "cross-encoder"


def test_a_pooler_that_an_author_wrote_is_used_as_its_class_says(tmp_path: Path) -> None:
    oracle = made(tmp_path, "LlamaForCausalLM", "SumsForCausalLM")
    triptych.register_model("SumsForCausalLM", SumsForCausalLM)
    wanted = torch.stack([x_TD.sum(0) for x_TD in rows(oracle)])
    model = triptych.load(tmp_path, dtype="float32")
    assert rms_ratio(model.embed(texts(oracle)), wanted) <= TOLERANCE
    with pytest.raises(CapabilityError, match="is no classifier"):
        model.classify(texts(oracle))
    triptych.register_model("SumsForCausalLM", JudgesForCausalLM, on_duplicate="replace")
    model = triptych.load(tmp_path, dtype="float32")
    assert rms_ratio(model.classify(texts(oracle)), wanted) <= TOLERANCE
    with pytest.raises(CapabilityError, match="gives no embeddings"):
        model.embed(texts(oracle))


class StepsForCausalLM(TinyForCausalLM):
    default_tok_pooling_type: ClassVar = "STEP"


def test_a_class_that_keeps_the_rows_of_steps_alone_is_refused_instead_of_given_all(tmp_path: Path) -> None:
    made(tmp_path, "LlamaForCausalLM", "StepsForCausalLM")
    triptych.register_model("StepsForCausalLM", StepsForCausalLM)
    with pytest.raises(CapabilityError, match=r"StepsForTokenEmbedding: it keeps the rows after steps alone .*STEP"):
        triptych.load(tmp_path, dtype="float32", convert="token_embed")


class EachRow(nn.Module):
    """A pooler that keeps the rows of all tokens."""

    def forward(self, x_TD: Tensor, step: Step) -> Tensor:
        del step
        return 2 * x_TD


class ComparesForCausalLM(TinyForCausalLM):
    is_pooling_model: ClassVar = True
    score_type: ClassVar = "late-interaction"
    pooler: nn.Module

    def __init__(self, settings: Settings, prefix: str = "") -> None:
        super().__init__(settings, prefix)
        self.pooler = EachRow()


def test_a_pooler_of_a_class_for_late_interaction_gives_rows_of_tokens(tmp_path: Path) -> None:
    oracle = made(tmp_path, "LlamaForCausalLM", "ComparesForCausalLM")
    triptych.register_model("ComparesForCausalLM", ComparesForCausalLM)
    model = triptych.load(tmp_path, dtype="float32")
    for found, wanted in zip(model.token_embed(texts(oracle)), rows(oracle), strict=True):
        assert rms_ratio(found, 2 * wanted) <= TOLERANCE
    query, *documents = (2 * x_TD for x_TD in rows(oracle))
    wanted = torch.stack([(query @ document.T).amax(1).sum() for document in documents])
    assert rms_ratio(model.score(texts(oracle)[0], texts(oracle)[1:]), wanted) <= TOLERANCE
    with pytest.raises(CapabilityError, match=r"gives no embeddings; load\("):
        model.embed(texts(oracle))


@pytest.mark.parametrize("call", ["embed", "token_embed", "score"])
def test_a_pooler_that_gives_other_rows_than_its_class_says_is_told(call: str, tmp_path: Path) -> None:
    made(tmp_path, "LlamaForCausalLM", "OddForCausalLM")
    score_type = "bi-encoder" if call == "embed" else "late-interaction" if call == "token_embed" else "cross-encoder"
    pooler = EachRow() if call == "embed" else Sums()

    class OddForCausalLM(TinyForCausalLM):
        is_pooling_model: ClassVar = True
        score_type: ClassVar
        pooler: nn.Module

        def __init__(self, settings: Settings, prefix: str = "") -> None:
            super().__init__(settings, prefix)
            self.pooler = pooler

    OddForCausalLM.score_type = score_type
    triptych.register_model("OddForCausalLM", OddForCausalLM)
    model = triptych.load(tmp_path, dtype="float32")
    if call == "score":
        save(byte_level(), tmp_path)
        model = triptych.load(tmp_path, dtype="float32")
        with pytest.raises(CapabilityError, match="its pooler gives 64 numbers for a pair, and a score is one"):
            model.score("one", "two")
        return
    with pytest.raises(CapabilityError, match=r"forward of \w+ gives a tensor \[\d+, 64\]; a tensor \[\d+, ...\] is"):
        getattr(model, call)([[1, 2], [3]])


def test_a_sentence_folder_is_refused_for_a_pooler_that_need_not_heed_it(tmp_path: Path) -> None:
    made(tmp_path, "LlamaForCausalLM", "SumsForCausalLM")
    triptych.register_model("SumsForCausalLM", SumsForCausalLM)
    sentence_folder(tmp_path)
    with pytest.raises(OptionError, match="SumsForCausalLM"):
        triptych.load(tmp_path, dtype="float32")
