"""What every model is: built from settings, ids to embeddings, embeddings to hidden rows, perhaps to logits."""

# N tokens, H hidden size, V vocabulary

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol, overload, runtime_checkable

from typing_extensions import TypeIs

from triptych.capabilities.construct import takes_settings
from triptych.capabilities.members import Member, class_of, declared, has_member, names_parameter, takes_keyword
from triptych.errors import CapabilityError, Problem

if TYPE_CHECKING:
    from torch import Tensor

    from triptych.capabilities.pipeline import IntermediateTensors

logger = logging.getLogger(__name__)


@runtime_checkable
class TriptychModel(Protocol):
    """A model that can be run. `is_triptych_model` recognises one by its structure; inheriting this is not needed."""

    def __init__(self, settings: Any, prefix: str = "") -> None:
        """Build from `settings` alone; `prefix` is the path of this model inside an outer one."""

    @declared
    def embed_input_ids(self, input_ids: Tensor) -> Tensor:
        """Embeddings [N, H] of ids [N]."""
        ...

    @declared
    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        *,
        step: Any,  # triptych.parts.step.Step, which brings torch
        intermediate_tensors: IntermediateTensors | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor | IntermediateTensors:
        """Hidden rows [N, H] of ids [N] at positions [N] or [A, N]; a stage but the last: what the next one needs."""
        ...

    @classmethod
    def is_unused_checkpoint_weight(cls, name: str) -> bool:  # noqa: ARG003
        """Whether the tensor `name` of a checkpoint is left out on purpose; False for all if not written."""
        return False


@runtime_checkable
class TextGenerationModel(TriptychModel, Protocol):
    """A model with a head over the vocabulary; recognised by its structure, without a flag."""

    @declared
    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        """Logits [N, V] of hidden rows [N, H]; None on tensor ranks other than 0."""
        ...


@overload
def is_triptych_model(model: type[object]) -> TypeIs[type[TriptychModel]]: ...
@overload
def is_triptych_model(model: object) -> TypeIs[TriptychModel]: ...
def is_triptych_model(model: object) -> bool:
    """Whether a class takes `settings`, embeds ids and has the forward of a model; of an instance, the last two.

    What a torch module lacks is logged; other classes are not models, and nothing is said.
    """
    lacks = missing_pieces(model)
    if lacks and any(base.__module__ == "torch.nn.modules.module" for base in class_of(model).__mro__):
        logger.warning("%s is no model: %s", class_of(model).__qualname__, "; ".join(lacks))
    return not lacks


@overload
def is_text_generation_model(model: type[object]) -> TypeIs[type[TextGenerationModel]]: ...
@overload
def is_text_generation_model(model: object) -> TypeIs[TextGenerationModel]: ...
def is_text_generation_model(model: object) -> bool:
    """Whether it is a model and has `compute_logits`."""
    return is_triptych_model(model) and _can_call(model, "compute_logits")


def missing_pieces(model: object) -> list[str]:
    """What keeps a class or instance from being a model, piece by piece, in words; empty when it is one."""
    lacks = []
    if isinstance(model, type) and not takes_settings(model):
        lacks.append("its constructor does not take settings")
    if not _can_call(model, "embed_input_ids"):
        lacks.append("it has no embed_input_ids")
    if not _can_call(model, "forward"):
        lacks.append("it has no forward")
    else:
        forward = getattr(model, "forward", None)
        absent = [name for name in ("input_ids", "positions") if not takes_keyword(forward, name)]
        lacks += [f"its forward does not take {name}" for name in absent]
    return lacks


def check_triptych_model(model: object) -> None:
    """Raise CapabilityError that names every missing piece, as registration does."""
    name = class_of(model).__qualname__
    if lacks := missing_pieces(model):
        raise CapabilityError(Problem(f"this class is no model: {piece}", name) for piece in lacks)


def is_language_model(module: object) -> bool:
    """Whether a child of a multimodal model can be its language model: it has `embed_input_ids` and `forward`."""
    return _can_call(module, "embed_input_ids") and _can_call(module, "forward")


def why_not_run(model: object) -> str:
    """Why the runner refuses a model that is listed and inspected like any other, and what to port; else empty."""
    name = class_of(model).__qualname__
    if getattr(model, "supports_v0_only", False):
        return (
            f"{name} declares supports_v0_only: it is written for a runner that keeps positions, caches and attention "
            "metadata aside. Pass them: give its forward and its layers the keyword `step`, and drop the flag"
        )
    if not names_parameter(getattr(model, "forward", None), "step"):
        return (
            f"the forward of {name} has no parameter `step`, which holds the sequences and caches of a call. "
            "Add the keyword, and hand it to each layer that attends or keeps a state"
        )
    return ""


def _can_call(model: object, name: str) -> bool:
    return has_member(model, Member(name)) and callable(getattr(model, name))
