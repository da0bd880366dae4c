"""A composed experiment -> typed settings and a whole spec, or everything that is wrong with both at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from triptych.errors import Place, Problem, SpecError
from triptych.experiments.compose import Composed
from triptych.experiments.document import Experiment
from triptych.experiments.overrides import MODEL
from triptych.experiments.refused import at_override
from triptych.experiments.train_check import train_problems
from triptych.spec.catalog import find_family, own_spec
from triptych.spec.config_file import read_config
from triptych.spec.document import Tree
from triptych.spec.mapping import tree_of
from triptych.spec.merge import inherited, load_tree, merge
from triptych.spec.overrides import overridden
from triptych.spec.scope import Collector, problems_of
from triptych.spec.validate import mistakes


@dataclass(frozen=True)
class Ready:
    """An experiment that can run: its settings, typed and as a `tree` with places, and the spec of its model."""

    name: str
    settings: Experiment
    spec: Tree
    tree: Tree


def read(composed: Composed) -> Ready:
    """Check the whole of a composed experiment. Raises SpecError with every mistake, each with its line or override."""
    problems = Collector()
    settings: Experiment | None = None
    spec = Tree()
    with problems.catching():
        settings = _settings(composed)
    if isinstance(composed.tree.get("model"), Tree | None):
        with problems.catching():
            spec = _spec(composed)
    if settings is not None and settings.task == "train":
        problems.problems += train_problems(settings, spec, composed.tree)
    problems.check()
    assert settings is not None
    defaults = tree_of(settings.model_dump(mode="json", exclude={"model", "compare"}), origin="default")
    tree = merge(defaults, composed.tree.without("model", "compare"))  # which says nothing of a run
    assert isinstance(tree, Tree)
    return Ready(composed.name, settings, spec, tree)


def _settings(composed: Composed) -> Experiment:
    tree, file = composed.tree, composed.file
    try:
        return Experiment.model_validate(tree)
    except ValidationError as error:
        raise SpecError(
            p for detail in error.errors() for p in problems_of(detail, Experiment, tree, (), file)
        ) from None


def _spec(composed: Composed) -> Tree:
    """The model's tree on top of its bases, with its overrides; what is wrong stands below `model`."""
    typed = {at_override(text.removeprefix(MODEL)): at_override(text) for text in composed.model_overrides}
    try:
        tree = inherited(_model(composed))
        found = overridden(tree, [text.removeprefix(MODEL) for text in composed.model_overrides])
        if wrong := list(mistakes(found)):
            raise SpecError(wrong)
    except SpecError as error:
        raise SpecError(_below_model(problem, typed) for problem in error.problems) from None
    return found


def _model(composed: Composed) -> Tree:
    """What stands under `model`; where nothing does, the family that answers for the checkpoint's config."""
    given, checkpoint = composed.tree.get("model"), composed.tree.get("checkpoint")
    if given is not None:
        assert isinstance(given, Tree)
        return given
    if not isinstance(checkpoint, str):
        raise SpecError("a spec is missing, or a `checkpoint` that chooses one", place=composed.file)
    folder = checkpoint_folder(checkpoint)
    if (own := own_spec(folder)) is not None:
        return load_tree(Path(own))
    return tree_of({"base": find_family(read_config(folder))}, origin=f"checkpoint {checkpoint}")


def checkpoint_folder(checkpoint: str) -> Path:
    """The folder itself, or that to which the files of a hub id were fetched. Raises CheckpointError for neither."""
    if os.path.isdir(checkpoint):
        return Path(checkpoint)
    from triptych.tasks.source import fetched  # and torch with it

    return fetched(checkpoint)


def _below_model(problem: Problem, typed: Mapping[Place, Place]) -> Problem:
    path = f"{MODEL}{problem.path}" if problem.path else "model"
    place = problem.place and typed.get(problem.place, problem.place)
    return Problem(problem.message, path, place)
