"""Models whose hidden rows feed a draft head, and what draft heads have in common."""

# N tokens, H hidden size, L layers, V vocabulary of the draft head

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from triptych.capabilities.predicates import Flagged, Proven
from triptych.errors import OptionError, StageError

if TYPE_CHECKING:
    from torch import Tensor

    from triptych.capabilities.pipeline import IntermediateTensors


@runtime_checkable
class SupportsEagleBase(Protocol):
    """What both kinds have: weights of their own, switched on while loading where the checkpoint holds them."""

    has_own_lm_head: bool = False
    has_own_embed_tokens: bool = False


@runtime_checkable
class SupportsEagle(SupportsEagleBase, Protocol):
    """A model whose last hidden rows feed a draft head."""

    supports_eagle: ClassVar[Literal[True]] = True


@runtime_checkable
class SupportsEagle3(SupportsEagleBase, Protocol):
    """A model that hands out hidden rows of some layers to a draft head.

    Its holder, which is `.model` of the language model, or the language model itself, is an EagleModelMixin.
    """

    supports_eagle3: ClassVar[Literal[True]] = True

    def set_aux_hidden_state_layers(self, layers: Iterable[int]) -> None:
        """Hand out the rows that go into these layers (and L: that come out of the last)."""
        _holder(self).keep_aux_hidden_state_layers(layers)

    def get_eagle3_default_aux_hidden_state_layers(self) -> tuple[int, ...]:
        """A low, a middle and a high layer: (2, L // 2, L - 3)."""
        count = len(_holder(self).layers)
        return (2, count // 2, count - 3)


class EagleModelMixin:
    """A stack of `layers` that hands out the rows going into some of them."""

    layers: Any
    aux_hidden_state_layers: tuple[int, ...] = ()

    def keep_aux_hidden_state_layers(self, layers: Iterable[int]) -> None:
        """Keep the layers, sorted, each once. Raises OptionError for one below 0."""
        wanted = sorted(set(layers))
        if wanted and wanted[0] < 0:
            raise OptionError(f"there is no layer {wanted[0]} to hand out rows of; layers count from 0")
        self.aux_hidden_state_layers = tuple(wanted)

    def add_aux_hidden_state(self, values: list[Tensor], *, layer: int, x_NH: Tensor, residual: Tensor | None) -> None:
        """Append what goes into `layer`, if it is wanted: the hidden rows plus the residual that is yet to be added."""
        if layer in self.aux_hidden_state_layers:
            values.append(x_NH if residual is None else x_NH + residual)

    def aux_of_earlier_stages(self, tensors: IntermediateTensors | None, *, first_layer: int) -> list[Tensor]:
        """The values of the stages before that which begins with `first_layer`.

        Raises StageError when one of them was not sent.
        """
        count = self._earlier(first_layer)
        if count and tensors is None:
            raise StageError(f"the stage of layer {first_layer} was handed nothing; {count} values come before it")
        return [tensors[_key(number)] for number in range(count)] if tensors is not None else []

    def aux_for_later_stages(self, values: Sequence[Tensor], *, first_layer: int) -> dict[str, Tensor]:
        """The values of the stage that begins with `first_layer`, under the names that later stages read."""
        return {_key(number): value for number, value in enumerate(values, self._earlier(first_layer))}

    def _earlier(self, first_layer: int) -> int:
        """How many values come from earlier stages: what goes into a stage's first layer came out of the one before."""
        return sum(layer <= first_layer for layer in self.aux_hidden_state_layers) if first_layer else 0


class LocalArgmaxMixin:
    """A draft head over V of the model's tokens; the buffer `d2t` [V], if there is one, leads back to all of them."""

    if TYPE_CHECKING:

        def compute_logits(self, hidden_states: Tensor) -> Tensor: ...

    def get_top_tokens(self, hidden_states: Tensor) -> Tensor:
        """The likeliest token [N] after each hidden row [N, H]: d2t[i] is the distance from draft token i to its id."""
        top = self.compute_logits(hidden_states).argmax(-1)
        d2t: Tensor | None = getattr(self, "d2t", None)
        return top if d2t is None else top + d2t[top]


supports_eagle = Flagged[SupportsEagle]("supports_eagle")
supports_eagle3 = Proven[SupportsEagle3]("supports_eagle3")


def supports_any_eagle(model: object) -> bool:
    """Whether either kind of draft head can be fed."""
    return supports_eagle(model) or supports_eagle3(model)


def _key(number: int) -> str:
    return f"aux_hidden_states_{number}"


def _holder(model: Any) -> EagleModelMixin:
    language_model = model.get_language_model() if hasattr(model, "get_language_model") else model
    holder = getattr(language_model, "model", language_model)
    assert isinstance(holder, EagleModelMixin), f"{type(holder).__qualname__} must be an EagleModelMixin"
    return holder
