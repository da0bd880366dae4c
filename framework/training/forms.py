"""What an experiment may say of training: its stages, each field typed, with its default, written once. No torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from triptych.spec.base import BaseSpec

Rate = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]


class LoraForm(BaseSpec):
    """Low-rank matrices beside those of a component; what they add counts `alpha / rank` times, twice unless told."""

    rank: Annotated[PositiveInt, Field(le=4096)] = 8
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class StageForm(BaseSpec):
    """What is trained, for how long. `train` gives a learning rate for each component; the longest path counts.

    What stands below a path of `freeze` stays as it is, and so does all that no path names. Of a component in `lora`
    the weights stay too: matrices beside them are trained, and added to them at the end. The rate rises over the first
    `warmup` of the steps. `batch_size` examples go through the model at once, those of `accumulate` such batches make
    a step; each device has its own. `weight_decay` is of matrices alone. With `kinds`, questions of no other are asked.

    With `optimizer: muon` the matrices of linear layers are Muon's, at the same rates; all else is AdamW's, whose
    averages of gradients and of their squares forget as `betas` say.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=60)] | None = None
    train: dict[str, Rate]
    freeze: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    lora: dict[str, LoraForm] = Field({})
    steps: PositiveInt | None = None
    epochs: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    batch_size: PositiveInt = 8
    accumulate: PositiveInt = 1
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warmup: Share = 0.0
    optimizer: Literal["adamw", "muon"] = "adamw"
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: NonNegativeFloat = 0.0
    max_grad_norm: Rate = 1.0


class TrainForm(BaseSpec):
    """Stages, one after the other, and how often something is written down.

    Losses are logged every `log_every` steps; the model is kept every `save_every`, the last `keep` times of them, and
    tried on the examples that are held out every `eval_every` (0: at the end of each stage alone). `tokenizer` is a
    folder with one, for a model that is not a checkpoint's; without it a token is a byte. Such a model begins from
    matrices N(0, 1 / fan-in), times what `begin` says of a component, the longest path counting.
    """

    stages: tuple[StageForm, ...] = ()
    begin: dict[str, Rate] = Field({})
    log_every: PositiveInt = 10
    save_every: PositiveInt = 500
    eval_every: NonNegativeInt = 0
    keep: PositiveInt = 2
    tokenizer: str | None = None


def names_of(stages: tuple[StageForm, ...]) -> list[str]:
    """What each stage is called: by its name, else by its number."""
    return [stage.name or str(number) for number, stage in enumerate(stages, 1)]
