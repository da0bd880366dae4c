"""The head of a class that wraps what writes: however far down it stands, a conversion finds it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import triptych
from tests.assembly.hand_written import TinyForCausalLM
from tests.assembly.test_conversion import FALSE, TRUE, built, chances, last, llama, pooled, saved
from tests.parity.oracle import TOLERANCE, Oracle, rms_ratio
from triptych.assembly.heads import find_heads
from triptych.capabilities import ComponentMap
from triptych.errors import CapabilityError
from triptych.parts.step import Step
from triptych.settings import Settings
from triptych.weights import AutoWeightsLoader, StageMissingLayer, WeightsMapper


class Around(nn.Module):
    """A model class that hands all to the one at `path`."""

    context, vocab_size = 128, 256
    path: str

    @property
    def inner(self) -> Any:
        return self.get_submodule(self.path)

    def embed_input_ids(self, input_ids: Tensor) -> Any:
        return self.inner.embed_input_ids(input_ids)

    def forward(
        self, input_ids: Tensor | None, positions: Tensor, *, step: Step, inputs_embeds: Tensor | None = None
    ) -> Any:
        return self.inner(input_ids, positions, step=step, inputs_embeds=inputs_embeds)

    def compute_logits(self, hidden_states: Tensor) -> Any:
        return self.inner.compute_logits(hidden_states)

    def load_weights(self, weights: Any) -> set[str]:
        return AutoWeightsLoader(self).load_weights(weights, mapper=WeightsMapper(prefix={"": f"{self.path}."}))


class DeepForCausalLM(Around):
    """Two levels down stands a class written by hand."""

    path = "wrapped.writer"

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.wrapped = nn.ModuleDict({"writer": TinyForCausalLM(settings)})


class SharpForCausalLM(Around):
    """One level down stands the class of a spec."""

    path = "llama"

    def __init__(self, settings: Settings, prefix: str = "") -> None:
        super().__init__()
        config = {**settings.config, "architectures": None}
        self.llama = triptych.init_registered_model(settings, config=config, prefix=f"{prefix}llama")


HEADS = {DeepForCausalLM: "wrapped.writer.lm_head", SharpForCausalLM: "llama.head"}


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def writer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    return llama("LlamaForCausalLM", tmp_path_factory.mktemp("writer"), tie_word_embeddings=request.param)


def weights(oracle: Oracle) -> list[tuple[str, Tensor]]:
    tied = oracle.config["tie_word_embeddings"]
    return [(name, tensor) for name, tensor in saved(oracle) if not (tied and name == "lm_head.weight")]


@pytest.mark.parametrize("cls", HEADS)
def test_a_wrapped_head_is_left_out_of_a_model_for_embeddings(cls: Any, writer: Oracle) -> None:
    module = built(triptych.as_embedding_model(cls), writer.config, weights(writer))
    assert isinstance(module.get_submodule(HEADS[cls]), StageMissingLayer)
    assert rms_ratio(pooled(module, writer), last(writer)) <= TOLERANCE


@pytest.mark.parametrize("cls", HEADS)
def test_rows_of_a_wrapped_head_are_the_labels(cls: Any, writer: Oracle) -> None:
    asked = {"classifier_from_token": [FALSE, TRUE], "method": "from_2_way_softmax"}
    module = built(triptych.as_seq_cls_model(cls), {**writer.config, **asked}, weights(writer))
    assert isinstance(module.get_submodule(HEADS[cls]), StageMissingLayer)
    torch.testing.assert_close(pooled(module, writer), chances(writer, [FALSE, TRUE])[:, 1:], rtol=1e-4, atol=1e-6)


def tree(**children: Any) -> nn.Module:
    found = nn.Module()
    for name, child in children.items():
        found.add_module(name, tree(**child) if isinstance(child, dict) else child)
    return found


def matrix() -> nn.Module:
    return nn.Linear(2, 3)


@pytest.mark.parametrize(
    ("model", "paths"),
    [
        (tree(lm_head=matrix(), inner={"lm_head": matrix()}), ["lm_head"]),
        (tree(inner={"embed_out": matrix(), "core": {"head": matrix()}}), ["inner.embed_out"]),
        (tree(a={"b": {"lm_head": matrix()}}, c={"d": {"head": matrix()}}), ["a.b.lm_head", "c.d.head"]),
        (tree(layers={"head": nn.ReLU()}, inner={"core": {"lm_head": matrix()}}), ["inner.core.lm_head"]),
        (tree(head=nn.ReLU()), ["head"]),
        (tree(inner={"norm": matrix()}), []),
    ],
)
def test_the_nearest_heads_are_found_and_further_down_only_matrices(model: nn.Module, paths: list[str]) -> None:
    assert [path for path, _, _ in find_heads(model, model)] == paths


class Seeing(nn.Module):
    """The head of its tower is nearer than that of its language model."""

    def __init__(self) -> None:
        super().__init__()
        self.vision, self.text = tree(head=matrix()), tree(inner={"lm_head": matrix()})

    def get_mm_mapping(self) -> ComponentMap:
        return ComponentMap(language_model="text", towers=("vision.",))


def test_what_a_tower_has_under_such_a_name_is_no_head() -> None:
    model = Seeing()
    assert [path for path, _, _ in find_heads(model, model.text)] == ["text.inner.lm_head"]


def test_two_heads_at_one_depth_are_no_labels(writer: Oracle) -> None:
    class Twice(DeepForCausalLM):
        def __init__(self, settings: Settings) -> None:
            super().__init__(settings)
            self.wrapped["other"] = tree(head=matrix())

    asked = {"classifier_from_token": [FALSE, TRUE], "method": "from_2_way_softmax"}
    module = triptych.as_seq_cls_model(Twice)(settings=Settings(config={**writer.config, **asked}))
    with pytest.raises(CapabilityError, match=r"labels are rows of one head, lm_head or head or embed_out; it has 2"):
        module._take_rows(module._rows)
