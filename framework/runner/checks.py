"""What is wrong with prompts and options, told before anything runs."""

from __future__ import annotations

from collections.abc import Sequence

from triptych.errors import InputError, OptionError, Problem
from triptych.inputs.prompt import Prompt
from triptych.parts.cache_layout import Layout
from triptych.runner.options import SamplingOptions
from triptych.runner.protocols import TextModel


def check_prompts(
    model: TextModel, prompts: Sequence[Prompt], *, longest: int | None = None, cure: str = "shorten it"
) -> None:
    """Raise InputError that names every prompt which is empty, too long, or holds an id that the model lacks.

    `longest` is what a request may have where that is less than the model takes; `cure` tells what does for a prompt
    that is too long.
    """
    problems = []
    for number, prompt in enumerate(prompts):
        if message := _mistake(model, prompt, longest, cure):
            problems.append(Problem(message, f"prompts[{number}]" if len(prompts) > 1 else "prompt"))
    if problems:
        raise InputError(problems)


def reads_items_whole(model: object) -> bool:
    """Whether the rows of an item have to be computed in one step, as where they see each other both ways.

    A model says so by its attribute `whole_items`.
    """
    return bool(getattr(model, "whole_items", False))


def whole_ranges(model: object, prompt: Prompt) -> tuple[range, ...]:
    """What of a prompt has to be computed in one step: its blocks, and the items of a model that reads them whole."""
    items = prompt.item_ranges() if reads_items_whole(model) else ()
    apart = (each for each in items if not any(each.start in block for block in prompt.blocks))
    return tuple(sorted((*prompt.blocks, *apart), key=lambda each: each.start))


def check_whole_items(model: object, prompts: Sequence[Prompt], *, tokens: int, layout: Layout) -> None:
    """Raise InputError that names every prompt with more to read whole than a step of so many tokens, or a cache, has
    room for.
    """
    problems = []
    for number, prompt in enumerate(prompts):
        longest = max(whole_ranges(model, prompt), key=len, default=range(0))
        most, path = len(longest), f"prompts[{number}]"
        item = "an item of " if longest in prompt.item_ranges() else ""
        message = f"has {item}{most} tokens, which are read in one step"
        if most > tokens:
            told = f"{message}, and a step has {tokens}; max_num_batched_tokens={most} would fit"
            problems.append(Problem(told, path if len(prompts) > 1 else "prompt"))
        elif most and sum(group.pages(len(prompt.token_ids), new=most) for group in layout.groups) > layout.pages:
            told = f"{message}, and the cache has no room for them; a smaller one, or more kv_cache_memory, would do"
            problems.append(Problem(told, path if len(prompts) > 1 else "prompt"))
    if problems:
        raise InputError(problems)


def check_options(model: TextModel, options: Sequence[SamplingOptions]) -> None:
    """Raise OptionError for options that name token ids which the model lacks, each told once."""
    problems = dict.fromkeys(problem for each in options for problem in each.unknown_ids(model.vocab_size))
    if problems:
        raise OptionError(problems)


def _mistake(model: TextModel, prompt: Prompt, longest: int | None, cure: str) -> str | None:
    ids = prompt.token_ids
    if not ids:
        return "is empty; at least one token is needed"
    if model.context is not None and len(ids) > model.context:
        return f"has {len(ids)} tokens, and the model takes at most {model.context}; {cure}"
    if longest is not None and len(ids) > longest:
        return f"has {len(ids)} tokens, and a request may have {longest}; {cure}"
    if min(ids) >= 0 and max(ids) < model.vocab_size:
        return None
    places = zip(ids, prompt.item_rows(), strict=True)
    wrong = [token for token, of_item in places if not of_item and not 0 <= token < model.vocab_size]
    return f"has the token id {wrong[0]}, and the model has 0 to {model.vocab_size - 1}" if wrong else None
