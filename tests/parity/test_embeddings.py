"""Models for embeddings equal their reference: every registered spec, every variation, on weights that hide nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import triptych
from tests.parity.oracle import MATTERS, TOLERANCE, Oracle, build_oracle, rms_ratio, tiny_config, write_config
from triptych.errors import SpecError
from triptych.parts.step import Step
from triptych.spec.catalog import catalog

SPECS = {listed.architectures[0]: name for name, listed in catalog().items() if listed.kind == "embedding_model"}
CHANGES: dict[str, dict[str, Any]] = {
    "plain": {},
    "another activation": {"hidden_act": "gelu_new"},
    "one head": {"num_attention_heads": 1},
    "small eps": {"layer_norm_eps": 1e-12, "num_hidden_layers": 1},
    "three types": {"type_vocab_size": 3},
}
LENGTHS = (57, 5, 23, 1, 11, 23)


@dataclass(frozen=True)
class Pair:
    """A reference model and ours, loaded from the checkpoint that it saved."""

    oracle: Oracle

    @cached_property
    def model(self) -> Any:
        return triptych.load(self.oracle.folder, dtype=torch.float32)

    @cached_property
    def texts(self) -> list[list[int]]:
        return [self.oracle.random_ids(length, seed=number) for number, length in enumerate(LENGTHS)]

    @torch.inference_mode()
    def wanted(self, ids: Sequence[int], types: Sequence[int] | None = None) -> Tensor:
        """Rows [T, D] of one sequence."""
        more = {} if types is None else {"token_type_ids": torch.tensor([list(types)])}
        rows: Tensor = self.oracle.model(torch.tensor([list(ids)]), **more).last_hidden_state[0]
        return rows

    @torch.inference_mode()
    def found(self, texts: Sequence[Sequence[int]], types: Sequence[int] | None = None) -> tuple[Tensor, ...]:
        """Rows [T, D] of each sequence, all packed in one step."""
        step = Step.of(list(map(len, texts)), types=types)
        rows: Tensor = self.model.module(torch.tensor([*chain(*texts)]), step.positions, step=step)
        return rows.split(list(map(len, texts)))


@pytest.fixture(
    scope="module",
    params=[(architecture, change) for architecture in SPECS for change in CHANGES],
    ids=lambda param: f"{SPECS[param[0]]}, {param[1]}",
)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    architecture, change = request.param
    config = tiny_config(architecture)
    assert config is not None, f"no tiny/{architecture}.json"
    folder = tmp_path_factory.mktemp("checkpoint")
    yield Pair(build_oracle(config | CHANGES[change], folder, seed=len(change)))
    shutil.rmtree(folder)


def types_of(ids: Sequence[int]) -> list[int]:
    return [int(number > len(ids) // 2) for number in range(len(ids))]


def test_every_tensor_matters_to_the_reference(pair: Pair) -> None:
    ids, inert = pair.texts[0], set()
    wanted = pair.wanted(ids, types_of(ids))
    for name, tensor in pair.oracle.model.state_dict().items():
        kept = tensor.clone()
        tensor.zero_()
        if rms_ratio(pair.wanted(ids, types_of(ids)), wanted) < MATTERS:
            inert.add(name)
        tensor.copy_(kept)
    # the reference's own pooler stands behind the rows; a key's bias adds the same to every score of a query
    layers = pair.oracle.config["num_hidden_layers"]
    keys = {f"encoder.layer.{i}.attention.self.key.bias" for i in range(layers)}
    assert inert == {"pooler.dense.weight", "pooler.dense.bias"} | keys


def test_the_config_chooses_the_spec(pair: Pair) -> None:
    assert pair.model.name == SPECS[pair.oracle.config["architectures"][0]]


def test_rows_are_those_of_the_reference(pair: Pair) -> None:
    for found, ids in zip(pair.found(pair.texts), pair.texts, strict=True):
        assert rms_ratio(found, pair.wanted(ids)) <= TOLERANCE, len(ids)


def test_rows_of_pairs_are_those_of_the_reference(pair: Pair) -> None:
    types = [*chain.from_iterable(map(types_of, pair.texts))]
    for found, ids in zip(pair.found(pair.texts, types), pair.texts, strict=True):
        assert rms_ratio(found, pair.wanted(ids, types_of(ids))) <= TOLERANCE, len(ids)


@pytest.mark.parametrize("take", ["first", "last", "mean", "max"])
def test_embeddings_are_pooled_rows_of_the_reference(pair: Pair, take: str) -> None:
    model = triptych.load(
        pair.oracle.folder, dtype=torch.float32, overrides=[f"pooler.take={take}", "pooler.normalize=true"]
    )
    pooled = {"first": lambda x: x[0], "last": lambda x: x[-1], "mean": lambda x: x.mean(0), "max": lambda x: x.amax(0)}
    wanted = torch.stack([F.normalize(pooled[take](pair.wanted(ids)), dim=-1) for ids in pair.texts])
    for most in (1, 4, 32):
        found = model.embed(pair.texts, max_batch=most)
        assert found.dtype == torch.float32
        assert rms_ratio(found, wanted) <= TOLERANCE, most


def test_a_dense_layer_of_the_pooler_is_read_and_applied(pair: Pair) -> None:
    overrides = ["pooler={take: first, dense: tanh}", "weights={pooler.dense: bert.pooler.dense}"]
    model = triptych.load(pair.oracle.folder, dtype=torch.float32, overrides=overrides)
    with torch.inference_mode():
        wanted = pair.oracle.model(torch.tensor([pair.texts[0]])).pooler_output
    assert rms_ratio(model.embed(pair.texts[0]), wanted) <= TOLERANCE


def test_a_config_that_leaves_out_what_its_class_assumes_means_the_same(pair: Pair, tmp_path: Path) -> None:
    config = {key: value for key, value in pair.oracle.config.items() if key not in pair.oracle.default_keys()}
    assert len(config) < len(pair.oracle.config)
    found = triptych.load(write_config(pair.oracle, config, tmp_path), dtype=torch.float32).embed(pair.texts)
    assert rms_ratio(found, pair.model.embed(pair.texts)) <= TOLERANCE


@pytest.mark.parametrize(
    "change", [{"is_decoder": True}, {"position_embedding_type": "relative_key"}, {"add_cross_attention": True}]
)
def test_what_would_change_the_numbers_and_is_not_served_is_refused(change: dict[str, Any]) -> None:
    config = tiny_config("BertModel")
    assert config is not None
    ((key, _),) = change.items()
    with pytest.raises(SpecError, match=rf"`{key}: "):
        triptych.assemble(None, config | change)
