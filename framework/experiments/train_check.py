"""What is wrong with an experiment that trains, told before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from triptych.errors import InputError, Place, Problem, SpecError
from triptych.experiments.data import kind_problems, of_file
from triptych.experiments.document import Experiment
from triptych.experiments.making import folder_to_make, kinds_to_make
from triptych.spec.catalog import sample_config
from triptych.spec.config_file import read_config
from triptych.spec.document import Tree, locate
from triptych.spec.plan import plan
from triptych.training.components import begin_problems, outlined, stage_problems
from triptych.training.forms import names_of


def train_problems(settings: Experiment, spec: Tree, tree: Tree) -> list[Problem]:
    """Every mistake in the stages and in the data; `spec` is empty where it is wrong itself."""
    found = [*_of_stages(settings, spec), *_of_data(settings)]
    return [replace(each, place=each.place or _place(tree, each.path)) for each in found]


def _of_stages(settings: Experiment, spec: Tree) -> Iterator[Problem]:
    stages = settings.train.stages
    if not stages:
        yield Problem("no stages; each says what is trained, for how long", "train.stages")
    names = names_of(stages)
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem(f"several stages are called {name!r}", "train.stages")
    try:
        known = outlined(plan(spec, _config(settings, spec))) if spec else set[str]()
    except SpecError as error:
        yield from error.problems
        known = set()
    yield from begin_problems(settings.train, known, checkpoint=settings.checkpoint is not None)
    for number, stage in enumerate(stages):
        yield from stage_problems(stage, known, at=f"train.stages.{number}")


def _config(settings: Experiment, spec: Tree) -> dict[str, object]:
    """Of a checkpoint on a disk, or of the spec's sample; a hub's is not fetched for a first look."""
    folder = Path(settings.checkpoint) if settings.checkpoint is not None else None
    return sample_config(spec, needed_by="the model") if folder is None else read_config(folder)


def _of_data(settings: Experiment) -> Iterator[Problem]:
    data = settings.data
    if data.prompts:
        yield Problem("prompts in place have no answers; a `data.file` of JSON lines has", "data.prompts")
    if data.file is None:
        yield Problem("no examples; give a `data.file` of JSON lines with answers", "data.file")
    made = folder_to_make(settings)
    for key in ("file", "held_out"):
        if (path := getattr(data, key)) is None:
            continue
        if Path(path).parent == made:
            if key == "file":
                yield from _of_kinds(settings, kinds_to_make())
            continue
        try:
            if not (items := of_file(Path(path), answers=True, key=f"data.{key}")):
                yield Problem(f"{path}: no examples in it", f"data.{key}")
        except InputError as error:
            yield from error.problems
            continue
        if key == "file":
            yield from _of_kinds(settings, {item.kind for item in items if item.kind is not None})
    folder = settings.train.tokenizer
    if folder is not None and Path(folder).parent != made and not (Path(folder) / "tokenizer.json").is_file():
        yield Problem(f"{folder}: no folder with a tokenizer.json", "train.tokenizer")


def _of_kinds(settings: Experiment, there: set[str]) -> Iterator[Problem]:
    for number, stage in enumerate(settings.train.stages):
        yield from kind_problems(stage.kinds, there, key=f"train.stages.{number}.kinds")


def _place(tree: Tree, path: str) -> Place | None:
    return locate(tree, tuple(int(step) if step.isdecimal() else step for step in path.split(".")))
