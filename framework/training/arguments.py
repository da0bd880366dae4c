"""What a stage comes to for its trainer: which parameters learn, at which rates, and the trainer's arguments."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import TrainingArguments

from triptych.errors import OptionError
from triptych.training.components import lora_of, rates_of, without_parameters
from triptych.training.forms import StageForm, TrainForm
from triptych.training.lora import Matrices, is_matrix


def mark(module: nn.Module, stage: StageForm, *, name: str) -> Matrices | None:
    """The parameters of what is trained take gradients, and no others; the low-rank matrices, where there are some.

    Raises OptionError for components that the model does not have, and where nothing is left to train.
    """
    named = (*stage.train, *stage.freeze, *stage.lora)
    if lost := without_parameters(named, [path for path, _ in module.named_parameters()]):
        raise OptionError(f"stage {name!r}: nothing of this model stands in {' and '.join(lost)}", path="train.stages")
    matrices = Matrices(module, stage) if stage.lora else None
    paths = [path for path, _ in module.named_parameters()]
    beside = lora_of(stage, paths)
    trained = {path for path in rates_of(stage, paths) if is_matrix(path) or path not in beside}
    for path, parameter in module.named_parameters():
        parameter.requires_grad_(path in trained)
    if not trained:
        raise OptionError(f"stage {name!r}: all of it is frozen", path="train.stages")
    return matrices


def groups_of(stage: StageForm, parameters: Mapping[str, Tensor], *, matrices: Set[Tensor]) -> list[dict[str, Any]]:
    """Groups for each component: of `matrices`, of what else has several dims, which decay, and of the others."""
    plain = {plain_path(name): p for name, p in parameters.items() if p.requires_grad}
    found = dict[tuple[str, bool, bool], dict[str, Any]]()
    for path, (name, rate) in rates_of(stage, plain).items():
        decays, matrix = plain[path].ndim > 1, plain[path] in matrices
        group = {"params": [], "lr": rate, "weight_decay": stage.weight_decay if decays else 0.0, "component": name}
        found.setdefault((name, decays, matrix), {**group, "matrices": matrix})["params"].append(plain[path])
    return [*found.values()]


def plain_path(name: str) -> str:
    """The path of a parameter in the model, by its path in a learner that something may be wrapped around."""
    return name.replace("_fsdp_wrapped_module.", "").removeprefix("module.").removeprefix("model.")


def arguments_of(
    stage: StageForm, often: TrainForm, *, home: Path, seed: int, half: str | None, cpu: bool
) -> TrainingArguments:
    """`home` is the folder of checkpoints, `half` the narrower dtype that products are in; None where they are not."""
    length = {"max_steps": stage.steps} if stage.steps else {"num_train_epochs": stage.epochs}
    schedules = {"constant": "constant_with_warmup"}
    return TrainingArguments(
        output_dir=str(home),
        **length,
        per_device_train_batch_size=stage.batch_size,
        gradient_accumulation_steps=stage.accumulate,
        learning_rate=max(stage.train.values()),
        lr_scheduler_type=schedules.get(stage.schedule, stage.schedule),
        warmup_steps=stage.warmup,
        max_grad_norm=stage.max_grad_norm,
        adam_beta1=stage.betas[0],
        adam_beta2=stage.betas[1],
        seed=seed,
        use_cpu=cpu,
        bf16=half == "bfloat16",
        fp16=half == "float16",
        logging_steps=often.log_every,
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=often.save_every,
        save_total_limit=often.keep,
        eval_steps=often.eval_every or None,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,  # a batch is no tensors alone
    )
