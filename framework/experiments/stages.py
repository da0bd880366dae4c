"""The task `train`: stages, one after the other, each from the model that the last one left.

stages/NAME/checkpoint-STEP   models that were kept on the way, with what it takes to go on from them
stages/NAME/model             what the stage came to
model                         leads to that of the last stage
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from triptych.errors import OptionError
from triptych.experiments.data import Item, of_file, of_kinds, told_with_places
from triptych.experiments.folder import RunFolder
from triptych.experiments.making import folder_to_make, make
from triptych.experiments.processes import is_first, wait_for_all
from triptych.experiments.read import Ready, checkpoint_folder
from triptych.experiments.whole import Row, number
from triptych.tasks import Model, load, random_init
from triptych.training.forms import StageForm, names_of
from triptych.whole_file import whole_folder

if TYPE_CHECKING:
    from triptych.training.stage import Stage


def measure(ready: Ready, folder: RunFolder) -> None:
    """Train, from where the run was left; rows are what is logged. `model` in the folder is there at the end.

    Data that are to be made are made first. Raises TrainingError when a loss is no number, OptionError or InputError
    where what it takes is not installed.
    """
    if find_spec("accelerate") is None:
        raise OptionError("training needs Accelerate; pip install triptych[train]", path="task")
    if is_first() and (missing := folder_to_make(ready.settings)):
        make(missing, ready.settings)
    before = _begin(ready, folder)
    wait_for_all(cpu=ready.settings.run.device == "cpu")
    for name, stage in zip(names_of(ready.settings.train.stages), ready.settings.train.stages, strict=True):
        home = folder.path / "stages" / name
        if not (model := home / "model").is_dir():
            _run(ready, folder, name=name, stage=stage, before=before, home=home)
        before = model
    if is_first():
        _lead(folder, before)


def _lead(folder: RunFolder, before: Path) -> None:
    """`model` in the folder leads to that of the last stage."""
    link = folder.path / ".model.part"
    link.unlink(missing_ok=True)
    link.symlink_to(before.relative_to(folder.path), target_is_directory=True)
    os.replace(link, folder.path / "model")


def summary(found: Sequence[Row]) -> Row:
    """The steps of all stages, and the last of each thing that was measured."""
    steps = {str(row["stage"]): number(row, "step") for row in found}
    measured = ("loss", "eval_loss", "eval_exact", "parameters")
    last = {key: row[key] for row in found for key in row if key.startswith(measured)}
    return {"steps": int(sum(steps.values())), **last}


def _begin(ready: Ready, folder: RunFolder) -> Path:
    """The checkpoint, or a folder of the spec with random weights."""
    from triptych.training.beginning import scale_matrices
    from triptych.training.kept import begin_folder

    settings, path = ready.settings, folder.path / "begin"
    if settings.checkpoint is not None:
        return checkpoint_folder(settings.checkpoint)
    if is_first() and not path.is_dir():
        model = random_init(str(folder.spec), seed=settings.run.seed)
        scale_matrices(model.module, settings.train.begin)
        tokenizer = Path(settings.train.tokenizer) if settings.train.tokenizer is not None else None
        begin_folder(path, model, spec=folder.spec.read_text(encoding="utf-8"), tokenizer=tokenizer)
    return path


def _run(ready: Ready, folder: RunFolder, *, name: str, stage: StageForm, before: Path, home: Path) -> None:
    from triptych.training.kept import fill_folder

    spec = folder.spec.read_text(encoding="utf-8")
    training = _stage(ready, folder, name=name, stage=stage, before=before, home=home)
    parameters = training.run()
    if is_first():
        with whole_folder(home / "model") as part:
            fill_folder(part, parameters, like=before, spec=spec)
        for checkpoint in home.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
    training.accelerator.wait_for_everyone()


def _stage(ready: Ready, folder: RunFolder, *, name: str, stage: StageForm, before: Path, home: Path) -> Stage:
    from triptych.training.examples import Examples
    from triptych.training.stage import Stage
    from triptych.training.trial import Trial

    settings, data = ready.settings, ready.settings.data
    model = _loaded(ready, folder, before)
    asked = partial(Examples, model, raw=data.raw, telling=told_with_places)
    trial = None
    if data.held_out is not None:
        held_out = asked(_items(data.held_out))
        trial = Trial(held_out, batch_size=stage.batch_size, max_tokens=settings.generate.max_tokens)
    parameters = sum(each.numel() for each in model.module.parameters())
    there = {(row.get("stage"), row.get("step"), "loss" in row) for row in folder.rows}

    def log(row: Row) -> None:
        """What was measured before a run was taken up again is measured as it was."""
        if (row["stage"], row["step"], "loss" in row) not in there:
            folder.add(row if "loss" in row else {**row, "parameters": parameters})  # beside what they come to

    return Stage(
        asked(of_kinds(_items(data.file or ""), stage.kinds, key=f"train.stages.{name}.kinds")),
        trial,
        name=name,
        stage=stage,
        often=settings.train,
        home=home,
        spec=folder.spec.read_text(encoding="utf-8"),
        seed=settings.run.seed,
        half=None if settings.run.dtype == "float32" else settings.run.dtype,
        log=log,
    )


def _loaded(ready: Ready, folder: RunFolder, path: Path) -> Model:
    """Weights are float32 while they are trained, whatever products are in."""
    from triptych.spec.catalog import own_spec

    run = ready.settings.run
    spec = None if own_spec(path) else str(folder.spec)
    return load(path, spec=spec, device=run.device, dtype="float32", kernels=run.kernels)


def _items(file: str) -> list[Item]:
    return of_file(Path(file), answers=True)
