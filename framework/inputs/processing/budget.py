"""How many rows of items are computed and kept at a time, and how many items of a modality that makes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from triptych.arguments import check_arguments
from triptych.errors import CapabilityError, InputError, OptionError, Problem, TriptychWarning, suggest
from triptych.inputs.processing.blame import blame
from triptych.inputs.processing.inputs import MultiModalInputs
from triptych.inputs.processing.processor import BaseMultiModalProcessor


class BudgetWarning(TriptychWarning):
    """No item can come, so nothing is set aside for items."""


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """What one step of a runner holds: tokens of a prompt, tokens and requests of a batch; rows of items, if set apart.

    With `chunked` an item may be spread over steps. Without `compute` and `cache` they are as large as the batch.
    """

    max_model_len: int
    max_num_batched_tokens: int
    max_num_seqs: int
    compute: int | None = None
    cache: int | None = None
    chunked: bool = True


@dataclass(frozen=True)
class MultiModalBudget:
    """Rows of items that a step computes and that are kept, and how many items of each modality that is.

    `tokens` are the most placeholders that one item takes, for the modalities that may come.
    """

    compute: int
    cache: int
    tokens: Mapping[str, int]
    items_per_prompt: Mapping[str, int]
    items_per_batch: Mapping[str, int]

    def get_modality_with_most_tokens(self) -> str | None:
        """The one to profile with, of two alike the first by name; None when no item can come."""
        return min(self.tokens, key=lambda modality: (-self.tokens[modality], modality), default=None)


def get_budget(processor: BaseMultiModalProcessor[Any], limits: BatchLimits) -> MultiModalBudget:
    """The budget for a model's items. Raises OptionError for an item that no batch holds and that cannot be spread."""
    check_arguments(processor=(processor, BaseMultiModalProcessor), limits=(limits, BatchLimits))
    allowed = {modality: most for modality, most in processor.info.get_allowed_mm_limits().items() if most > 0}
    tokens = get_max_tokens_per_item(processor, limits.max_model_len, dict.fromkeys(allowed, 1))
    if not tokens:
        warnings.warn("no modality can come, so nothing is set aside for items", BudgetWarning, stacklevel=2)
        return MultiModalBudget(0, 0, {}, {}, {})
    largest = max(tokens.values())
    if not limits.chunked and largest > limits.max_num_batched_tokens:
        size = f"one item takes {largest} tokens, and a step holds {limits.max_num_batched_tokens}"
        raise OptionError(f"{size}; raise max_num_batched_tokens, or let items be spread over steps")
    compute = max(_or(limits.compute, limits.max_num_batched_tokens), largest)
    cache = max(_or(limits.cache, limits.max_num_batched_tokens), largest)
    per_prompt = {m: max(1, min(allowed[m], limits.max_model_len // tokens[m])) for m in tokens}
    most = min(compute, cache)
    per_batch = {m: max(1, min(most // tokens[m], limits.max_num_seqs * per_prompt[m])) for m in tokens}
    return MultiModalBudget(compute, cache, tokens, per_prompt, per_batch)


def get_max_tokens_per_item(
    processor: BaseMultiModalProcessor[Any], seq_len: int, mm_counts: Mapping[str, int]
) -> dict[str, int]:
    """The most placeholders that one item of each modality takes: as the info says, else as a dummy item shows.

    Raises InputError for modalities that the model does not take, CapabilityError for one of which nothing tells.
    """
    check_arguments(
        processor=(processor, BaseMultiModalProcessor), seq_len=(seq_len, int), mm_counts=(mm_counts, Mapping)
    )
    if not mm_counts:
        return {}
    _check_taken(processor, mm_counts)
    with blame(processor.info, "to tell how many tokens an item takes"):
        known = processor.info.get_mm_max_tokens_per_item(seq_len, mm_counts)
    if known is None:
        places = get_dummy_inputs(processor, seq_len, mm_counts).mm_placeholders
        known = {m: max(place.get_num_embeds() for place in found) for m, found in places.items() if found}
    if lost := [modality for modality in mm_counts if known.get(modality, 0) < 1]:
        told = "neither the info nor a dummy item tells how many tokens an item takes; 1 or more are wanted"
        raise CapabilityError(Problem(told, modality) for modality in lost)
    return {modality: known[modality] for modality in mm_counts}


def get_dummy_inputs(
    processor: BaseMultiModalProcessor[Any],
    seq_len: int,
    mm_counts: Mapping[str, int],
    *,
    max_num_batched_tokens: int | None = None,
) -> MultiModalInputs:
    """Dummy items through the processor, the prompt padded with id 0 to `seq_len`, or to what a step holds.

    Raises InputError for modalities that the model does not take, PluginError when the dummy inputs fail, and what the
    processor raises.
    """
    check_arguments(
        processor=(processor, BaseMultiModalProcessor),
        seq_len=(seq_len, int),
        mm_counts=(mm_counts, Mapping),
        max_num_batched_tokens=(max_num_batched_tokens, int | None),
    )
    _check_taken(processor, mm_counts)
    settings = processor.info.ctx.settings
    options = {modality: settings.get_dummy_options(modality) for modality in mm_counts}
    with blame(processor.dummy_inputs, "to make dummy items"):
        given = processor.dummy_inputs.get_dummy_processor_inputs(seq_len, mm_counts, options)
    found = processor.apply(replace(given, keep=False))
    return found.padded(min(seq_len, _or(max_num_batched_tokens, seq_len)))


def _check_taken(processor: BaseMultiModalProcessor[Any], mm_counts: Mapping[str, int]) -> None:
    taken = processor.info.get_supported_mm_limits()
    problems = [Problem(f"the model takes no such items{suggest(m, taken)}", m) for m in mm_counts if m not in taken]
    problems += [Problem(f"{count} items are not to be had", m) for m, count in mm_counts.items() if count < 0]
    if problems:
        raise InputError(problems)


def _or(asked: int | None, otherwise: int) -> int:
    return otherwise if asked is None else asked
