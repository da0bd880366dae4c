"""Pipeline stages: what one hands to the next, and the models that can be cut into them."""

# N tokens, H hidden size

from __future__ import annotations

from collections.abc import ItemsView, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, overload, runtime_checkable

from triptych.arguments import check_arguments
from triptych.capabilities.members import declared
from triptych.capabilities.predicates import Proven
from triptych.errors import StageError, suggest

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class IntermediateTensors:
    """Tensors [N, ...] by name that a stage hands to the next. A key reads one of them; a slice cuts all by rows."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        check_arguments(tensors=(tensors, Mapping))
        self.tensors = dict(tensors)

    @overload
    def __getitem__(self, key: str) -> Tensor: ...
    @overload
    def __getitem__(self, key: slice) -> IntermediateTensors: ...
    def __getitem__(self, key: str | slice) -> Tensor | IntermediateTensors:
        """Raises StageError for a name that the earlier stage did not send."""
        if isinstance(key, slice):
            return IntermediateTensors({name: tensor[key] for name, tensor in self.tensors.items()})
        if key not in self.tensors:
            raise StageError(f"the earlier stage sent no {key!r}{suggest(key, self.tensors)}")
        return self.tensors[key]

    def __setitem__(self, key: str, tensor: Tensor) -> None:
        self.tensors[key] = tensor

    def __contains__(self, key: object) -> bool:
        return key in self.tensors

    def __len__(self) -> int:
        return len(self.tensors)

    def items(self) -> ItemsView[str, Tensor]:
        """The tensors with their names."""
        return self.tensors.items()

    def __repr__(self) -> str:
        return f"IntermediateTensors({', '.join(self.tensors)})"


@runtime_checkable
class SupportsPP(Protocol):
    """A model that runs in pipeline stages.

    A class whose constructor sets `make_empty_intermediate_tensors` annotates it in its body.
    """

    supports_pp: ClassVar[Literal[True]] = True

    @declared
    def make_empty_intermediate_tensors(
        self, batch_size: int, dtype: torch.dtype, device: torch.device
    ) -> IntermediateTensors:
        """Zeros [batch_size, H] under each name that a later stage is handed."""
        ...

    @declared
    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        *,
        step: Any,
        intermediate_tensors: IntermediateTensors | None,
    ) -> Tensor | IntermediateTensors:
        """Every stage but the first reads `intermediate_tensors`; every stage but the last returns them."""
        ...


supports_pp = Proven[SupportsPP]("supports_pp")
