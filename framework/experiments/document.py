"""What an experiment may say: each field typed, with its default, written once."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from triptych.spec.base import BaseSpec
from triptych.training.forms import TrainForm

Task = Literal["check", "generate", "score", "bench", "train"]
Made = Literal["handwriting"]  # data that an experiment makes itself


def _known_device(name: str) -> str:
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise ValueError("input should be cpu, cuda or cuda:0, say")
    return name


class RunForm(BaseSpec):
    """Where, in what numbers and on which kernels it runs, what seeds its draws, the folder that runs are kept below.

    `kernels` as on a command line: `auto`, `triton` or `reference`, and that of some ops, `auto,rms_norm=reference`.
    """

    device: Annotated[str, AfterValidator(_known_device)] = "cpu"
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    kernels: str = "auto"
    seed: Annotated[NonNegativeInt, Field(lt=2**53)] = 0  # a spec has no larger numbers
    folder: str = "runs"


class DataForm(BaseSpec):
    """`prompts` in place, or the path of a `file` of JSON lines, an `ItemForm` each.

    A prompt is a user's turn where the checkpoint has a chat template, unless `raw`. `held_out` is such a file too, of
    what a model is tried on that learns from the other. `make` names what is drawn where the folder of `file` is
    missing, from the seed of the run.
    """

    prompts: tuple[str, ...] = ()
    file: str | None = None
    held_out: str | None = None
    make: Made | None = None
    raw: bool = False


class ItemForm(BaseSpec):
    """A prompt, the answer that is looked for, and the files of its images, from the folder of the data file.

    Questions of a `kind` are counted by themselves too.
    """

    prompt: str
    answer: str | None = None
    images: tuple[str, ...] = ()
    kind: str | None = None


class GenerateForm(BaseSpec):
    """How answers are drawn; the seed is that of the run."""

    max_tokens: PositiveInt = 16
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    top_k: NonNegativeInt = 0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0


class BenchForm(BaseSpec):
    """How often the answers to all prompts are timed, after how many times that are not."""

    repeats: PositiveInt = 5
    warmup: NonNegativeInt = 1


class Experiment(BaseSpec):
    """A whole experiment. `model` is a spec, or `base` and what differs from it; the spec merger reads it.

    `checkpoint` is a folder or a hub id that the weights come from; without `model` it chooses the spec too. `compare`
    names what the table and the picture of a sweep show of what its members came to: all of it where nothing is said.
    """

    task: Task
    model: dict[str, object] | None = None
    checkpoint: str | None = None
    run: RunForm = RunForm()
    data: DataForm = DataForm()
    generate: GenerateForm = GenerateForm()
    bench: BenchForm = BenchForm()
    train: TrainForm = TrainForm()
    compare: tuple[str, ...] = ()
