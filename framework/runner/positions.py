"""Where the rows of a step stand, of a model whose tokens have positions of several axes."""

# T rows of a step, N tokens of a prompt, A axes

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.capabilities import supports_mrope, supports_multimodal_pruning
from triptych.inputs.prompt import Prompt
from triptych.registry.authors import blaming


@dataclass(frozen=True)
class PromptPositions:
    """Positions [N, A] of a prompt's tokens, on the host; a later one stands at its number and `delta`, on all axes."""

    rows: Tensor
    delta: int

    def of(self, start: int, count: int) -> Tensor:
        """Those of `count` tokens from `start` on, of the prompt and of what follows it."""
        asked, after = self.rows[start : start + count], max(start, len(self.rows))
        if len(asked) == count:
            return asked
        later = torch.arange(after, start + count) + self.delta
        return torch.cat((asked, later[:, None].expand(-1, self.rows.shape[1])))


def positions_of(model: object, prompt: Prompt) -> PromptPositions | None:
    """Where the tokens of a prompt stand; None where at their numbers: in text, and for models of one axis.

    Raises what the model does for items whose places it cannot tell.
    """
    if not prompt.features or not supports_mrope(model):
        return None
    with blaming(model, "as it tells where the tokens of a prompt stand"):
        rows_AN, delta = model.get_mrope_input_positions([*prompt.token_ids], prompt.features)
    return PromptPositions(rows_AN.T.cpu(), delta)


def with_rows(
    model: object, prompt: Prompt, places: PromptPositions | None, rows: list[Tensor], *, start: int
) -> tuple[list[Tensor], PromptPositions | None]:
    """The rows of items in a prompt's tokens from `start` on, and where its tokens stand, by what these rows say.

    Raises what the model does.
    """
    if places is None or not rows or not supports_multimodal_pruning(model):
        return rows, places
    with blaming(model, "as it tells where the rows that stay of an item stand"):
        found, positions_AN, delta = model.recompute_mrope_positions([*prompt.token_ids], rows, places.rows.T, start)
    return [*found], PromptPositions(positions_AN.T.cpu(), delta)


def step_positions(
    parts: Sequence[tuple[PromptPositions | None, int, int]], *, device: torch.device | str
) -> Tensor | None:
    """Positions [T, A] of sequences that go on at a token, by so many; None where all stand at their numbers."""
    known = next((places for places, _, _ in parts if places is not None), None)
    if known is None:
        return None
    plain = PromptPositions(known.rows[:0], 0)
    return torch.cat([(places or plain).of(start, count) for places, start, count in parts]).to(device)
