"""Updates by the text of a prompt, where its tokens cut a target differently than the tokens of the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from triptych.errors import Problem, PromptUpdateError, short
from triptych.inputs.updates.codec import TextCodec
from triptych.inputs.updates.placed import PlaceholderFeaturesInfo, place
from triptych.inputs.updates.planning import Plan
from triptych.inputs.updates.searching import TextPrompt
from triptych.inputs.updates.targets import PromptIndex
from triptych.inputs.updates.update import ItemUpdates, ResolvedPromptUpdate
from triptych.inputs.updates.writing import Written, write


def text_prompt(token_ids: Sequence[int], updates: ItemUpdates, tokenizer: TextCodec) -> TextPrompt:
    """The text of a prompt, and of the targets that are looked for in it."""
    every = (update.target for items in updates.values() for alternatives in items for update in alternatives)
    tokens = {target.tokens if isinstance(target, PromptIndex) else target for target in every}
    return TextPrompt(tokenizer.decode_whole(token_ids), {each: tokenizer.decode_whole(each) for each in tokens})


def write_by_piece(prompt: TextPrompt, plan: Plan, tokenizer: TextCodec) -> Written:
    """Each piece of the prompt is encoded alone; contents are put between as they are."""

    def encode(start: int, end: int) -> list[int]:
        return tokenizer.encode_bare(prompt.text[start:end]) if start < end else []

    return write(plan, encode, length=len(prompt))


def write_as_text(prompt: TextPrompt, plan: Plan, tokenizer: TextCodec) -> Written:
    """The whole text is encoded with the text of contents in it, whose tokens are then searched from left to right.

    The plan applies one update or more, as it is for items that the tokens had no place for. Raises PromptUpdateError
    for contents that are not found, and where more than one place might be meant.
    """
    pieces = list(_pieces(prompt.text, plan, tokenizer))
    problems = [Problem(_AMBIGUOUS, _path(u)) for before, content, u in pieces if _is_earlier(before, content)]
    if problems:
        raise PromptUpdateError(problems)
    rest = prompt.text[plan.applied[-1].end :]
    token_ids = tokenizer.encode_bare("".join([*(before + content for before, content, _ in pieces), rest]))
    return token_ids, list(_search(token_ids, [update for _, _, update in pieces]))


_AMBIGUOUS = "the text before its place has the text of its content too; encode the prompt by piece, or take it out"


def _pieces(text: str, plan: Plan, tokenizer: TextCodec) -> Iterator[tuple[str, str, ResolvedPromptUpdate]]:
    """The text before each content, and that of the content."""
    last = 0
    for applied in plan.applied:
        full = applied.update.content.full
        yield text[last : applied.start], tokenizer.decode_whole(full) if full else "", applied.update
        last = applied.end


def _is_earlier(before: str, content: str) -> bool:
    """Whether a search from left to right for the content ends in the text before it."""
    return bool(content) and (before + content).find(content) < len(before)


def _search(token_ids: Sequence[int], updates: Sequence[ResolvedPromptUpdate]) -> Iterator[PlaceholderFeaturesInfo]:
    start, problems = 0, list[Problem]()
    for update in updates:
        full = list(update.content.full)
        if (at := _find(token_ids, full, start)) is not None:
            yield place(update, at)
            start = at + len(full)
        elif full:
            found = f"its content {short(full)} is encoded to other tokens"
            problems.append(Problem(f"{found}; encode the prompt by piece", _path(update)))
    if problems:
        raise PromptUpdateError(problems)


def _find(token_ids: Sequence[int], wanted: Sequence[int], start: int) -> int | None:
    """Where the tokens stand first, from `start` on; None when nowhere, or when there are none."""
    first, width = wanted[:1], len(wanted)
    starts = (at for at in range(start, len(token_ids) - width + 1) if token_ids[at : at + 1] == first)
    return next((at for at in starts if token_ids[at : at + width] == wanted), None) if wanted else None


def _path(update: ResolvedPromptUpdate) -> str:
    return f"{update.modality}[{update.item_idx}]"
