"""The tasks of models by name, and the kind of score that each gives."""

from __future__ import annotations

from typing import Literal, get_args

from triptych.arguments import check_arguments
from triptych.errors import OptionError, suggest

GenerationTask = Literal["generate", "transcription", "realtime"]
PoolingTask = Literal["embed", "classify", "token_embed", "token_classify", "plugin", "embed&token_classify"]
ScoreType = Literal["bi-encoder", "cross-encoder", "late-interaction"]

GENERATION_TASKS: tuple[str, ...] = get_args(GenerationTask)
POOLING_TASKS: tuple[str, ...] = get_args(PoolingTask)
SCORE_TYPE_OF_TASK: dict[str, ScoreType] = {
    "embed": "bi-encoder",
    "classify": "cross-encoder",
    "token_embed": "late-interaction",
}
RETIRED_TASKS = {"score": "'classify'", "encode": "'token_embed' or 'token_classify'"}


def check_task(name: str) -> None:
    """Raise OptionError for a task that there is not; for a retired one it names the replacement."""
    check_arguments(name=(name, str))
    if name in RETIRED_TASKS:
        raise OptionError(f"task {name!r} is retired; {RETIRED_TASKS[name]} stands in its place")
    if name not in (known := (*GENERATION_TASKS, *POOLING_TASKS)):
        raise OptionError(f"unknown task {name!r}{suggest(name, known)}")
