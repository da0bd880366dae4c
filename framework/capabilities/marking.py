"""Contexts in the constructor of a multimodal model that say which parts are towers, and which its language model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, cast

from triptych.capabilities.components import ComponentMap
from triptych.capabilities.language_model import find_language_model
from triptych.errors import CapabilityError, Problem
from triptych.settings import Settings

if TYPE_CHECKING:
    from torch import nn

Targets: TypeAlias = "type[nn.Module] | tuple[type[nn.Module], ...]"
LANGUAGE_MODEL = "language_model"  # its stage name


def tower_stage_name(modalities: Iterable[str]) -> str:
    """What stands in messages for a tower of these modalities. Raises CapabilityError when there are none."""
    names = sorted(set(modalities))
    if not names:
        raise CapabilityError("a tower is of one modality or of several; none is named")
    return "vision_tower" if names == ["image", "video"] else "_".join([*names, "tower"])


class MarksComponents(Protocol):
    """What the constructor of a multimodal model builds its components in, so that settings can leave them out.

    Without `targets` a context marks the direct children that are assigned in it, with them every module of these types
    below the model. What settings leave out has no memory: in its place stands a `StageMissingLayer`, from which
    attributes can be read. Raises CapabilityError when a component is marked a second time.
    """

    marked_by: ClassVar[str] = "triptych.weights.marking:marked"
    """What watches the assignments. By name, as it needs torch, which nothing here imports."""

    _language_model_names: Sequence[str] = ()
    _tower_model_names: Sequence[str] = ()
    _idle_marks: Sequence[str] = ()
    """The contexts in which nothing was assigned, by the name of their component."""

    @contextmanager
    def _mark_language_model(self, settings: Settings, *, targets: Targets | None = None) -> Iterator[None]:
        """Mark the language model, or parts of it; left out when the model is to be encoders only."""
        left_out = bool(settings.why_no_language_model())
        with _marked(self, LANGUAGE_MODEL, targets=targets, left_out=left_out) as names:
            yield
        self._language_model_names = [*self._language_model_names, *names]

    @contextmanager
    def _mark_tower_model(
        self, settings: Settings, modalities: str | Iterable[str], *, targets: Targets | None = None
    ) -> Iterator[None]:
        """Mark a tower, or several, of these modalities.

        Left out when a prompt may have no item of any of them, and on stages that run no towers.
        """
        kinds = {modalities} if isinstance(modalities, str) else set(modalities)
        stage_name, left_out = tower_stage_name(kinds), bool(settings.why_no_tower(kinds))
        with _marked(self, stage_name, targets=targets, left_out=left_out) as names:
            yield
        self._tower_model_names = [*self._tower_model_names, *names]

    @contextmanager
    def _mark_composite_model(
        self, settings: Settings, *, language_targets: Targets, tower_targets: Mapping[str, Targets]
    ) -> Iterator[None]:
        """Mark modules of these types as the language model, and as towers by modality, wherever they are built."""
        with ExitStack() as stack:
            stack.enter_context(self._mark_language_model(settings, targets=language_targets))
            for modality, targets in tower_targets.items():
                stack.enter_context(self._mark_tower_model(settings, modality, targets=targets))
            yield

    def get_mm_mapping(self) -> ComponentMap:
        """The components by what the constructor marked. No mark is of projectors: a class with some writes this."""
        model = cast("nn.Module", self)
        language_model = find_language_model(model, self._language_model_names)
        return ComponentMap(language_model=language_model, towers=tuple(self._tower_model_names))


@contextmanager
def _marked(
    model: MarksComponents, stage_name: str, *, targets: Targets | None, left_out: bool
) -> Iterator[Sequence[str]]:
    """The names that the context marks, there once it has ended."""
    module, _, name = model.marked_by.partition(":")
    watch: Any = getattr(import_module(module), name)
    watched: AbstractContextManager[list[str]] = watch(model, stage_name, targets=targets, left_out=left_out)
    with watched as names:
        yield names
    _check_new(model, stage_name, names)
    if not names:
        model._idle_marks = [*model._idle_marks, stage_name]


def _check_new(model: MarksComponents, stage_name: str, names: Iterable[str]) -> None:
    earlier = {
        **dict.fromkeys(model._language_model_names, "the language model"),
        **dict.fromkeys(model._tower_model_names, "a tower"),
    }
    if twice := [name for name in names if name in earlier]:
        text = "is marked as {} already, and as {} again; narrow the targets, or assign it in one context alone"
        raise CapabilityError(Problem(text.format(earlier[name], stage_name), name) for name in twice)
