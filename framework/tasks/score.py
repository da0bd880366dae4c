"""How well documents answer queries, by the kind of score that a model gives."""

# B pairs, Q tokens of a query, T of a document, D width

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from triptych.capabilities import ScoreType, supports_score_template
from triptych.capabilities.tasks import SCORE_TYPE_OF_TASK
from triptych.errors import CapabilityError, InputError
from triptych.inputs.prompt import Prompt as ReadPrompt
from triptych.runner.request import RunOptions
from triptych.tasks.pooling import Pooling, pooling_task
from triptych.tasks.prompts import Prompt, Prompts, paired, read_each

QUERY, DOCUMENT = ("query",), ("document", "passage", "corpus")  # names of prompts; the first that a folder keeps
ROLES = (QUERY[0], DOCUMENT[0])  # of the two messages, for a chat template that knows them


def cross_encoder(rows: Sequence[Tensor]) -> Tensor:
    """The one number of a pair that is read as one sequence."""
    return rows[0][0]


def bi_encoder(rows: Sequence[Tensor]) -> Tensor:
    """The cosine between the rows [D] of query and document."""
    query_D, document_D = rows
    return F.normalize(query_D, dim=0) @ F.normalize(document_D, dim=0)


def late_interaction(rows: Sequence[Tensor]) -> Tensor:
    """sum_i max_j q_i . d_j (Khattab and Zaharia 2020, "ColBERT", section 3.3)."""
    query_QD, document_TD = rows
    return (query_QD @ document_TD.T).amax(1).sum()


_VALUE: dict[ScoreType, Callable[[Sequence[Tensor]], Tensor]] = {
    "cross-encoder": cross_encoder,
    "bi-encoder": bi_encoder,
    "late-interaction": late_interaction,
}


@dataclass(frozen=True)
class Scorer:
    """A model that pools, as it scores pairs of a query and a document. Raises CapabilityError for one that does not.

    A cross-encoder reads a pair as one sequence: through the template of its class, or the chat template of its folder
    where that speaks of a query and a document, else as its tokenizer joins two texts. The others read each alone,
    after the prompt that the folder keeps for it.
    """

    pooling: Pooling

    def __post_init__(self) -> None:
        name = self.pooling.name
        if self.kind is None:
            ways = "load(..., convert=...) with 'classify', 'embed' or 'token_embed' may do"
            raise CapabilityError(f"{name} as it was loaded scores no pairs; {ways}")
        labels = getattr(self.pooling.module.pooler, "labels", None)
        if isinstance(labels, int) and labels > 1:
            instead = "classify(texts, pairs=...) gives the chances of all"
            raise CapabilityError(f"{name} has {labels} labels, and a score is the number of one; {instead}")

    @cached_property
    def kind(self) -> ScoreType | None:
        """How the model scores; None for one that does not."""
        return SCORE_TYPE_OF_TASK.get(pooling_task(self.pooling.module) or "")

    def read(self, query: Prompt, document: Prompt) -> tuple[ReadPrompt, ...]:
        """What is pooled for a pair. Raises InputError for what the model does not take."""
        if self.kind == "cross-encoder":
            if not isinstance(query, str) or not isinstance(document, str):
                raise InputError("a cross-encoder takes texts")
            return (self.pooling.checked(self._joined(query, document), ""),)
        pairs = zip((query, document), (QUERY, DOCUMENT), strict=True)
        return tuple(self.pooling.checked(self._alone(text, names), names[0]) for text, names in pairs)

    def value(self, rows: Sequence[Tensor]) -> Tensor:
        """The score of a pair, of the rows of what was read for it. Raises CapabilityError where they are no score."""
        assert self.kind is not None
        if self.kind == "cross-encoder" and rows[0].shape != (1,):
            given = f"its pooler gives {len(rows[0])} numbers for a pair, and a score is one"
            raise CapabilityError(f"{self.pooling.name} scores no pairs: {given}")
        return _VALUE[self.kind](rows)

    def _alone(self, text: Prompt, names: Sequence[str]) -> ReadPrompt:
        known = [name for name in names if name in self.pooling.sentences.prompts]
        (found,) = self.pooling.read(text, prompt=known[0] if known else None)
        return found

    def _joined(self, query: str, document: str) -> ReadPrompt:
        module: Any = self.pooling.module
        if supports_score_template(module) and (whole := module.get_score_template(query, document)) is not None:
            (found,) = self.pooling.read(whole)
            tokens = {"prompt_token_ids": [*found.token_ids]}
            module.post_process_tokens(tokens)
            return ReadPrompt(tuple(tokens["prompt_token_ids"]))
        reader = self.pooling.reader
        if reader.template is not None and reader.tokenizer is not None and reader.template.speaks_of(*ROLES):
            messages = [{"role": role, "content": text} for role, text in zip(ROLES, (query, document), strict=True)]
            return ReadPrompt(tuple(reader.tokenizer.encode_bare(reader.template.render(messages))))
        (found,) = self.pooling.read(query, document)
        return found


def score(scorer: Scorer, queries: Prompts, documents: Prompts, *, run: RunOptions) -> Tensor:
    """The score of each query with its document, [B]; one query stands beside every document.

    Raises InputError, before anything runs, for lists that do not fit together and with every pair that has a mistake.
    """
    asked, found = ([text for text, _ in paired(texts, None)] for texts in (queries, documents))
    if len(asked) == 1:
        asked *= len(found)
    if len(asked) != len(found):
        raise InputError(f"{len(asked)} queries take as many documents, or one query does; found {len(found)}")
    read = read_each(list(zip(asked, found, strict=True)), scorer.read)
    rows = scorer.pooling.rows_of_each(read, run=run)
    return torch.stack([scorer.value(each) for each in rows]) if rows else torch.empty(0, device=run.device)
