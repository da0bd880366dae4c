"""That language models equal their reference: every variation of a spec, on weights that hide nothing.

The tests are those of `test_dense.py`, `test_experts.py` and `test_states.py`, each with specs of one kind, so that
processes that test side by side have a share each.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self

import pytest
import torch
from torch import Tensor

import triptych
from tests.parity.aliases import aliased
from tests.parity.cases import Case, all_cases, rewrite
from tests.parity.oracle import LOOSE, MATTERS, TOLERANCE, Oracle, build_oracle, rms_ratio, write_config
from triptych.parts.cache import Cache
from triptych.parts.cache_layout import Layout
from triptych.parts.cache_needs import State
from triptych.parts.step import Step
from triptych.spec.catalog import load_named
from triptych.spec.mixers import mixers_in

LENGTHS = (57, 5, 23, 1, 11)  # the first is longer than every window and original context here
TOKENS = 24
Kind = Literal["dense", "experts", "states"]


@cache
def kind_of(spec: str) -> Kind:
    """What is most apart of a spec's mixers: that they go on from a state, that rows choose among them, or neither."""
    mixers = {*mixers_in(load_named(spec)[1])}
    recurrent, stacked = (any(getattr(mixer, name) for mixer in mixers) for name in ("recurrent", "stacked"))
    return "states" if recurrent else "experts" if stacked else "dense"


def tolerance_of(module: Any) -> float:
    """What logits may differ by, by what a model has: a family's experts may be left out by a config."""
    parts, needs = [*module.modules()], module.cache_needs().values()
    loose = any(getattr(part, "stacked", None) for part in parts) or any(isinstance(need, State) for need in needs)
    return LOOSE if loose else TOLERANCE


@dataclass(frozen=True)
class Pair:
    """A reference model and ours, loaded from the checkpoint that it saved."""

    case: Case
    oracle: Oracle

    @classmethod
    def of(cls, case: Case, folder: Path) -> Self:
        """Draw the reference of a case anew and save it in a folder."""
        oracle = build_oracle(case.config, folder, seed=case.seed, attention=case.attention)
        return cls(case, oracle if case.alias is None else aliased(oracle, case.alias))

    @cached_property
    def model(self) -> Any:
        return triptych.load(self.oracle.folder, dtype=torch.float32)

    @cached_property
    def prompts(self) -> list[list[int]]:
        return [self.prompt(length, seed=length) for length in LENGTHS]

    @property
    def tolerance(self) -> float:
        return tolerance_of(self.model.module)

    @property
    def cached_prompts(self) -> list[list[int]]:
        """The prompts that a cache can be filled with piece by piece."""
        return [p for p in self.prompts if self.case.original is None or len(p) <= self.case.original]

    def prompt(self, length: int, *, seed: int) -> list[int]:
        return self.oracle.random_ids(length, seed=self.case.seed + seed)


def pairs(kind: Kind) -> Any:
    """The fixture `pair` of a file of tests: every case of every spec of a kind."""

    @pytest.fixture(scope="module", params=[case for case in all_cases() if kind_of(case.spec) == kind], ids=str)
    def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
        folder = tmp_path_factory.mktemp("checkpoint")
        yield Pair.of(request.param, folder)
        shutil.rmtree(folder)

    return pair


def test_every_tensor_matters_to_the_reference(pair: Pair) -> None:
    found = set(pair.oracle.inert_tensors(pair.prompts[0], below=MATTERS))
    assert found == set(pair.case.inert) & pair.oracle.model.state_dict().keys()


def test_the_config_chooses_the_spec(pair: Pair) -> None:
    assert triptych.assemble(None, pair.oracle.config).name == pair.case.spec


def test_logits_are_those_of_the_reference(pair: Pair) -> None:
    for ids in pair.prompts:
        assert rms_ratio(pair.model.logits(ids), pair.oracle.logits(ids)) <= pair.tolerance, len(ids)


def test_greedy_tokens_are_those_of_the_reference(pair: Pair) -> None:
    prompt, wanted = clear_choices(pair, length=11 if pair.case.original else 23)
    (found,) = pair.model.generate([prompt], max_tokens=TOKENS, ignore_eos=True)
    assert list(found.token_ids) == wanted


def test_a_packed_batch_equals_each_sequence_alone(pair: Pair) -> None:
    ids, step = torch.tensor(list(chain(*pair.prompts))), Step.of(LENGTHS)
    packed = forward(pair.model.module, ids, step).split(LENGTHS)
    for alone, found in zip(pair.prompts, packed, strict=True):
        assert rms_ratio(found, pair.model.logits(alone)) <= pair.tolerance, len(alone)
    together = pair.model.generate(pair.prompts, max_tokens=8, ignore_eos=True)
    for prompt, found in zip(pair.prompts, together, strict=True):
        (single,) = pair.model.generate([prompt], max_tokens=8, ignore_eos=True)
        assert found.token_ids == single.token_ids


def test_a_cache_filled_in_pieces_equals_one_prefill(pair: Pair) -> None:
    prompts = [p for p in pair.cached_prompts if len(p) > 1]
    for cut in (in_ones, in_thirds):
        pieces = [cut(p) for p in prompts]
        for found, ids in zip(stepwise(pair.model.module, pieces), prompts, strict=True):
            assert rms_ratio(found, pair.model.logits(ids)) <= pair.tolerance, (cut.__name__, len(ids))


def test_a_config_written_in_another_way_means_the_same(pair: Pair, tmp_path: Path) -> None:
    ids = pair.prompts[0]
    wanted = pair.oracle.logits(ids)
    silent = {"remove": pair.oracle.default_keys()}
    for how in pair.case.written if pair.case.alias is not None else (*pair.case.written, silent):
        config = rewrite(pair.oracle.config, how)
        if (
            "only_ours" not in how and pair.case.alias is None
        ):  # with the reason: the reference does not read what was released once
            assert rms_ratio(pair.oracle.rewritten(config).logits(ids), wanted) <= pair.tolerance, how
        model = triptych.load(write_config(pair.oracle, config, tmp_path), dtype=torch.float32)
        assert rms_ratio(model.logits(ids), wanted) <= pair.tolerance, how


def clear_choices(pair: Pair, *, length: int) -> tuple[list[int], list[int]]:
    """A prompt and its greedy continuation in which no choice is a near tie, which rounding could decide."""
    for seed in range(20):
        prompt = pair.prompt(length, seed=1000 + seed)
        tokens = pair.oracle.generate(prompt, TOKENS)
        logits = pair.oracle.logits([*prompt, *tokens])[length - 1 : -1]
        best = logits.topk(2).values
        if float((best[:, 0] - best[:, 1]).min()) > MATTERS * float(logits.std()):
            return prompt, tokens
    raise AssertionError(f"{pair.case}: the logits are too flat for greedy tokens to mean anything")


@torch.inference_mode()
def forward(module: Any, ids: Tensor, step: Step) -> Tensor:
    """Logits `[T, V]` of packed ids."""
    logits: Tensor = module.compute_logits(module(ids, step.positions, step=step))
    return logits


def in_ones(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[i : i + 1] for i in range(len(ids))]


def in_thirds(ids: Sequence[int]) -> list[Sequence[int]]:
    """A prefill, one token, and the rest at once."""
    head = max(1, len(ids) // 3)
    return [piece for piece in (ids[:head], ids[head : head + 1], ids[head + 1 :]) if piece]


def stepwise(module: Any, pieces: Sequence[Sequence[Sequence[int]]]) -> list[Tensor]:
    """Logits `[T, V]` of each sequence, fed piece by piece beside the others; those that are done drop out."""
    lengths = [sum(map(len, p)) for p in pieces]
    layout = Layout.whole(module.cache_needs(), pages=len(pieces), page=max(lengths))
    cache = Cache(layout, dtype=torch.float32, device="cpu")
    found: list[list[Tensor]] = [[] for _ in pieces]
    for turn in range(max(map(len, pieces))):
        pages = [page for page, p in enumerate(pieces) if turn < len(p)]
        rows = [list(pieces[page][turn]) for page in pages]
        step = cache.step([len(r) for r in rows], pages=pages)
        logits = forward(module, torch.tensor(list(chain(*rows))), step)
        for page, piece in zip(pages, logits.split([len(r) for r in rows]), strict=True):
            found[page].append(piece)
    return [torch.cat(p) for p in found]
