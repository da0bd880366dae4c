"""One stage of training, by transformers' Trainer: rates by component, checkpoints that are whole or not there."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback, set_seed

from triptych.errors import OptionError
from triptych.training.arguments import arguments_of, groups_of, mark, plain_path
from triptych.training.errors import TrainingError
from triptych.training.examples import Examples, pack
from triptych.training.forms import StageForm, TrainForm
from triptych.training.kept import fill_folder
from triptych.training.learner import Learner
from triptych.training.optimizer import MuonBesideAdamW, matrices_of
from triptych.training.shards import CURE, Shards, check_shards, load_whole
from triptych.training.trial import Trial
from triptych.weights import save_tensors
from triptych.weights.saving import FILE
from triptych.whole_file import part_of, whole_folder

SCHEDULER = "scheduler.pt"  # as the trainer calls it
LEARNED = "learned.safetensors"  # low-rank matrices of a checkpoint, in whose model they are added already
Log = Callable[[Mapping[str, object]], None]


class Stage(Trainer):
    """Trains the model of `examples` as `stage` says. `like` is the folder that it was loaded from, `spec` its spec."""

    model: Any

    def __init__(
        self,
        examples: Examples,
        trial: Trial | None,
        *,
        name: str,
        stage: StageForm,
        often: TrainForm,
        home: Path,
        spec: str,
        seed: int,
        half: str | None,
        log: Log,
    ) -> None:
        """`half` is the narrower dtype that products are in, while weights are in float32.

        Raises OptionError for components that the model does not have, under DeepSpeed, and for a stage that FSDP
        cannot train.
        """
        model = examples.model
        self.name, self.stage, self.trial, self.like, self.spec = name, stage, trial, model.folder, spec
        self.home, self.keep = home, often.keep
        learner = Learner(model.module, kernels=model.kernels)
        set_seed(seed)  # low-rank matrices are drawn
        self.matrices = mark(model.module, stage, name=name)
        arguments = arguments_of(stage, often, home=home, seed=seed, half=half, cpu=model.device.type == "cpu")
        if trial is not None:
            arguments.eval_strategy = "steps" if often.eval_every else "no"
        arguments._n_gpu = min(1, arguments.n_gpu)  # several are several processes: no batch is cut here
        super().__init__(
            model=learner,
            args=arguments,
            data_collator=pack,
            train_dataset=examples,
            eval_dataset=None if trial is None else trial.examples,
            callbacks=[_Told(name, log)],
        )
        self.remove_callback(PrinterCallback)
        if self.is_deepspeed_enabled:
            told = f"stage {name!r}: DeepSpeed leaves a piece of the weights to each process, and no whole model"
            raise OptionError(f"{told}; {CURE}")
        self.shards: Shards | None = None
        if self.is_fsdp_enabled:
            plugin = self.accelerator.state.fsdp_plugin
            check_shards(plugin, stage, name=name)
            self.shards = Shards(learner, plugin)

    def run(self) -> dict[str, Tensor]:
        """Train, from the last whole checkpoint on; the parameters at the end, for the process that writes.

        Raises TrainingError when the loss or its gradient is no number any more.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        if self.args.should_save:
            for part in self.home.glob(".*.part"):  # of a process that was killed while it saved
                shutil.rmtree(part)
        self.accelerator.wait_for_everyone()
        there = checkpoints(self.home)
        self.train(resume_from_checkpoint=str(there[-1]) if there else None)
        if self.trial is not None and not self._tried_now:
            self.evaluate()
        if self.matrices is not None:
            self.matrices.merge()
        return self._parameters()

    def _parameters(self) -> dict[str, Tensor]:
        """Those of the model, whole; under FSDP the first process alone has them."""
        if self.shards is not None:
            return self.shards.gather(self.model, everywhere=False)
        parameters: dict[str, Tensor] = dict(self.model.model.named_parameters())
        return parameters

    @property
    def _tried_now(self) -> bool:
        tried = [row["step"] for row in self.state.log_history if "eval_loss" in row]
        return bool(tried) and tried[-1] == self.state.global_step

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """With a rate for each component."""
        if self.optimizer is None:
            model, muon = model or self.model, self.stage.optimizer == "muon"
            kind, options = self.get_optimizer_cls_and_kwargs(self.args)
            matrices = matrices_of(model) if muon else set[Tensor]()
            groups = groups_of(self.stage, dict(model.named_parameters()), matrices=matrices)
            self.optimizer = MuonBesideAdamW(groups, adamw=options) if muon else kind(groups, **options)
        return self.optimizer

    def compute_loss(self, model: Any, *args: Any, **options: Any) -> Any:
        if self.shards is None:
            loss: Any = super().compute_loss(model, *args, **options)
            return loss
        with self.accelerator.autocast():  # which is of the model itself where it is not cut
            loss = super().compute_loss(model, *args, **options)
        return self.shards.with_all_that_learns(model, loss, self._sum)

    def training_step(self, *args: Any, **options: Any) -> Tensor:
        loss: Tensor = super().training_step(*args, **options)
        self._check(loss, "loss")
        return loss

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        found: Any = super()._get_grad_norm(model, grad_norm=grad_norm)  # type: ignore[no-untyped-call]
        found = found.full_tensor() if hasattr(found, "full_tensor") else found  # of all parts
        self._check(found, "norm of the gradient")
        return found

    def _check(self, value: Tensor | float, what: str) -> None:
        """Raise TrainingError where a number is none; the weights are those before the step then, and are kept."""
        number = float(self._sum(torch.as_tensor(value, device=self.args.device)))
        if math.isfinite(number):
            return
        kept = self.home / f"checkpoint-{self.state.global_step}"
        self._save_checkpoint(self.model, None)
        step = self.state.global_step + 1
        told = f"stage {self.name!r}, step {step}: the {what} is {number}"
        raise TrainingError(f"{told}; the weights before it are kept in {kept}. A lower learning rate may do")

    def _sum(self, value: Tensor) -> Tensor:
        """Of all processes: what is no number in one of them stops each."""
        if self.args.world_size == 1:
            return value
        total: Tensor = self.accelerator.reduce(value.detach(), reduction="sum")
        return total

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """With the rate of each component, where they differ."""
        if "learning_rate" in logs and self.optimizer is not None and len(self.stage.train) > 1:
            groups = self.optimizer.param_groups  # the schedule, which told the rate of the first, is that of all
            share = logs.pop("learning_rate") / groups[0]["initial_lr"]
            logs |= {f"learning_rate.{group['component']}": share * group["initial_lr"] for group in groups}
        super().log(logs, start_time)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """What the examples that are held out come to, logged."""
        assert self.trial is not None
        found = self.trial(self.model if self.shards is None else self.shards.whole(self.model))
        self.log(found)
        self.control.should_evaluate = False  # it is asked for again where an epoch ends with this step
        return found

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """As the trainer does, whole or not at all: it is written elsewhere, and takes its place at the end."""
        home, name = self.home, f"checkpoint-{self.state.global_step}"
        if (home / name).is_dir():
            return
        self.accelerator.wait_for_everyone()  # every process sees whether it is there
        with whole_folder(home / name) if self.args.should_save else nullcontext(part_of(home / name)) as part:
            self._elsewhere = part
            self.accelerator.wait_for_everyone()  # each puts the state of its random numbers there
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                _raise(part / name)
        self.accelerator.wait_for_everyone()
        for old in checkpoints(home)[: -self.keep] if self.args.should_save else ():
            shutil.rmtree(old)

    def _get_output_dir(self, trial: Any) -> str:
        return str(getattr(self, "_elsewhere", None) or super()._get_output_dir(trial))

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Of parts, those of all processes are gathered."""
        if self.shards is None:
            super().save_model(output_dir, _internal_call)
        else:
            self._save(output_dir, self._parameters())

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """A folder that `load` reads, the low-rank matrices added to the weights, and these beside them."""
        if not self.args.should_save:  # this is asked of every process
            return
        assert output_dir is not None
        assert self.like is not None
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        model = self.model.model
        tensors = {plain_path(name): tensor for name, tensor in (state_dict or {}).items()}
        if self.matrices is not None:
            tensors = self.matrices.merged()
            save_tensors(folder, self.matrices.learned(), file=LEARNED)
        fill_folder(folder, tensors or dict(model.named_parameters()), like=self.like, spec=self.spec)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        with _told_as_of_a_disk(output_dir):
            if self.shards is None:
                super()._save_optimizer_and_scheduler(output_dir)
            else:  # without the parts of the model, which is there whole
                from accelerate.utils import save_fsdp_optimizer

                state = self.accelerator.state
                save_fsdp_optimizer(state.fsdp_plugin, self.accelerator, self.optimizer, self.model, output_dir)
                if self.args.should_save:
                    assert self.lr_scheduler is not None
                    torch.save(self.lr_scheduler.state_dict(), Path(output_dir, SCHEDULER))

    def _save_rng_state(self, output_dir: str) -> None:
        with _told_as_of_a_disk(output_dir):
            super()._save_rng_state(output_dir)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder, module = Path(resume_from_checkpoint), (model or self.model).model
        file = FILE if self.matrices is None else LEARNED  # what these stand beside is as it was at the beginning
        parameters = dict(module.named_parameters())
        for name, tensor in load_file(folder / file).items():
            load_whole(parameters[name], tensor)


def _raise(folder: Path) -> None:
    """What is in a folder stands beside it, and the folder is gone."""
    for file in [*folder.iterdir()]:
        file.rename(folder.parent / file.name)
    folder.rmdir()


@contextmanager
def _told_as_of_a_disk(folder: str) -> Iterator[None]:
    """Torch raises its own kind where a disk is full."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(f"{folder}: the state of training cannot be written: {error}") from error


def checkpoints(home: Path) -> list[Path]:
    """Those that are whole, the oldest first."""
    return sorted(home.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))


class _Told(TrainerCallback):
    """Hands on what is logged at a step."""

    def __init__(self, name: str, log: Log) -> None:
        self.name, self.log = name, log

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        if logs and ("loss" in logs or "eval_loss" in logs):
            values = {key: value for key, value in logs.items() if key not in ("epoch", "total_flos")}
            self.log({"stage": self.name, "step": state.global_step, **values})
