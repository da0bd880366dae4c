"""A list of requests, all of them answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from triptych.inputs.tokenizer import Tokenizer
from triptych.runner.arrivals import answer_limit
from triptych.runner.checks import check_options, check_prompts, check_whole_items
from triptych.runner.engine import Engine
from triptych.runner.event import Event, Failure
from triptych.runner.failures import fresh, located
from triptych.runner.protocols import TextGenerationModel
from triptych.runner.request import Request, RunOptions
from triptych.runner.sizes import Sizes


def generate(
    model: TextGenerationModel,
    requests: Sequence[Request],
    *,
    run: RunOptions,
    tokenizer: Tokenizer | None = None,
    end_ids: AbstractSet[int] = frozenset(),
    live: bool = False,
) -> Iterator[Event]:
    """Answer the requests, as many at a time as `max_batch` and the memory for their cache allow; the others wait.

    `end_ids` end an answer. With `live` each event brings its text, otherwise the last one of a request brings it all.
    Raises InputError, before anything runs, for prompts that are empty, too long or hold unknown ids, and for a request
    that no cache would fit; OptionError for options that name unknown ids. The first request that fails as it runs ends
    all of them with its error, which names it where it is one of several.
    """
    check_prompts(model, [request.prompt for request in requests])
    check_options(model, [request.options for request in requests])
    if not requests:
        return
    lengths = [(len(request.prompt.token_ids), answer_limit(model, request)) for request in requests]
    sizes = Sizes.of(lengths, model.cache_needs(), run)
    prompts = [request.prompt for request in requests]
    check_whole_items(model, prompts, tokens=run.max_num_batched_tokens, layout=sizes.layout)
    engine = Engine(model, sizes=sizes, run=run, tokenizer=tokenizer, end_ids=end_ids, live=live)
    for request in requests:
        engine.add(request)
    while engine.busy:
        for found in engine.step():
            if isinstance(found, Failure):
                is_its_own = len(requests) > 1 and not found.of_step
                raise located(found.error, f"prompts[{found.request}]") if is_its_own else fresh(found.error)
            yield found
