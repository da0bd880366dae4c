"""The logprobs of a prompt, whose hidden rows come chunk by chunk and are kept until it is read."""

# T tokens of a prompt, C of a chunk, D width

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from triptych.runner.entry import Entry
from triptych.runner.logprobs import PromptLogprobs, score_prompt
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.reading import read_logits


def keep_rows(entry: Entry, hidden_CD: Tensor) -> None:
    """Keep the rows of a chunk, where the logprobs of its prompt are asked for and were not told yet."""
    if entry.options.prompt_logprobs is not None and not entry.answer_ids:
        entry.hidden.append(hidden_CD)


def take_scores(model: TextGenerationModel, entry: Entry) -> PromptLogprobs | None:
    """The logprobs of a prompt that is read; None where no rows were kept. The rows are kept no longer."""
    if not entry.hidden:
        return None
    hidden_TD, asked = torch.cat(entry.hidden), entry.options.prompt_logprobs
    assert asked is not None
    entry.hidden = []
    head, prompt = partial(read_logits, model), entry.request.prompt
    return score_prompt(head, prompt, hidden_TD, likeliest=asked, vocab_size=model.vocab_size)
