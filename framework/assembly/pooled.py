"""What a model class that writes text has beside its own when it embeds or classifies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, ClassVar, Literal, NoReturn

import torch
from torch import Tensor, nn

from triptych.assembly.head_rows import row_weights
from triptych.assembly.heads import HEADS, find_heads
from triptych.capabilities import ScoreType, get_default_seq_pooling_type, get_default_tok_pooling_type
from triptych.capabilities.construct import arguments
from triptych.errors import CapabilityError, WeightMapError
from triptych.parts.parameters import Linear
from triptych.settings import Settings
from triptych.spec.base import PartSpec
from triptych.spec.classifier import METHOD, TOKENS, TokenLabels, read_token_labels
from triptych.spec.conversion import plan_pooler, width_of
from triptych.weights import AutoWeightsLoader
from triptych.weights.stages import Placeholder, StageMissingLayer

TAKEN = {"CLS": "first", "LAST": "last", "MEAN": "mean"}  # a class's word for what is pooled -> a spec's
Weights = Iterable[tuple[str, Tensor]]


class _Absent:
    """Takes back a method that is inherited: neither the class nor an instance has it."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> NoReturn:
        raise AttributeError(f"{owner.__qualname__} pools, and has no {self.name}")


class Pooled(nn.Module):
    """Stands before a model class among the bases of one that pools."""

    is_pooling_model: ClassVar[Literal[True]] = True
    does: ClassVar[str]
    conversion: ClassVar[str]
    converted: ClassVar[type]
    compute_logits = _Absent()

    pooler: nn.Module
    """Hidden rows [T, D] and the step that cuts them -> a row for each sequence, or for each token."""

    def __init__(self, settings: Settings, prefix: str = "") -> None:
        super().__init__(**arguments(self.converted, _without_labels(settings), prefix=prefix))
        self._heads = find_heads(self, self._language_model())
        own = getattr(self, "pooler", None)
        found = own if own is not None else getattr(self._language_model(), "pooler", None)
        if found is None:
            self.pooler = self._make_pooler(settings)
        elif settings.pooler:
            raise CapabilityError(
                "it has a pooler of its own, which nothing can be said of", path=type(self).__qualname__
            )
        elif own is None:
            self.pooler = found
        self._leave_heads_out()

    def load_weights(self, weights: Weights) -> set[str] | None:
        """Load as the class itself does, or by name where it has no way of its own; the names of what was loaded.

        Names may have `model.` in front or not, whatever the class has. Tensors of the head are passed over.
        """
        own: Callable[[Weights], set[str] | None] | None = getattr(super(), "load_weights", None)
        given = self._given(weights)
        return own(given) if own is not None else AutoWeightsLoader(self).load_weights(given)

    def _make_pooler(self, settings: Settings) -> nn.Module:
        built: nn.Module = self._plan(settings).build(width=width_of(settings.config))
        return built

    def _plan(self, settings: Settings) -> PartSpec:
        """What is said of the pooler, else what is usual for the conversion with the row that the class says."""
        usual = self._usual()
        said = {"normalize": False, **settings.pooler} if settings.pooler else {}
        return plan_pooler(self.conversion, settings.config, {**usual, **said})

    def _usual(self) -> dict[str, str]:
        """What the class itself says of the pooler."""
        return {"take": TAKEN[get_default_seq_pooling_type(type(self))]}

    def _given(self, weights: Weights) -> Iterator[tuple[str, Tensor]]:
        for name, tensor in weights:
            if not self._is_of_head(found := self._named_here(name)):
                yield found, tensor

    def _named_here(self, name: str) -> str:
        """The name with `model.` in front, or without, if it leads somewhere only so."""
        first, _, rest = name.partition(".")
        inner = self._modules.get("model")
        if _has(self, first):
            return name
        if inner is not None and _has(inner, first):
            return f"model.{name}"
        return rest if first == "model" and _has(self, rest.partition(".")[0]) else name

    def _language_model(self) -> nn.Module:
        """The one inside, or the model itself."""
        found: object = getattr(self, "get_language_model", lambda: self)()
        return found if isinstance(found, nn.Module) else self

    def _is_of_head(self, name: str) -> bool:
        known = {HEADS[0], *(path for path, _, _ in self._heads)}
        return any(name.startswith(f"{path}.") for path in known)

    def _leave_heads_out(self) -> None:
        for _, owner, name in self._heads:
            head = owner.get_submodule(name)
            if not isinstance(head, Placeholder):  # `to` leaves an embedding alone that the head is tied to
                setattr(owner, name, StageMissingLayer("head", head.to("meta")))


class Embeds(Pooled):
    """A row for each sequence."""

    does = "as a model for embeddings"
    conversion = "embed"


class _Classifies(Pooled):
    """The chance of each label, through the linear layer `score`."""

    _rows: TokenLabels | None = None

    def load_weights(self, weights: Weights) -> set[str] | None:
        """As for embeddings; `score` has a bias from then on if there is one on disk.

        Raises CapabilityError when labels are rows of a head, and the class makes more of its logits than these.
        """
        loaded = super().load_weights(weights)
        if self._rows is not None:
            self._take_rows(self._rows)
        here = {f"score.{name}" for name, _ in self.score.named_parameters()} if "score" in self._modules else set()
        return loaded if loaded is None else loaded | here

    def _make_pooler(self, settings: Settings) -> nn.Module:
        spec: Any = self._plan(settings)
        self._rows, width = read_token_labels(settings.config), width_of(settings.config)
        self.score = Linear(width, spec.labels, bias=False)
        if self._rows is not None:
            self.score.register_parameter("weight", None)  # no tensor on disk is of that name
        pooler: nn.Module = spec.build(width=width, score=self.score)
        return pooler

    def _given(self, weights: Weights) -> Iterator[tuple[str, Tensor]]:
        """What the class itself is to load, without a bias of `score` that is not there yet."""
        for name, tensor in super()._given(weights):
            if name == "score.bias" and self.score.bias is None:
                self._add_bias(tensor)
            else:
                yield name, tensor

    def _add_bias(self, tensor: Tensor) -> None:
        weight = self.score.weight
        if tensor.shape != weight.shape[:1]:
            raise WeightMapError(f"{[*weight.shape[:1]]} in the model; on disk {[*tensor.shape]}", path="score.bias")
        self.score.bias = nn.Parameter(tensor.to(weight.device, weight.dtype), requires_grad=weight.requires_grad)

    def _is_of_head(self, name: str) -> bool:
        return self._rows is None and super()._is_of_head(name)

    def _leave_heads_out(self) -> None:
        """Where labels are rows of the head, it is left out once these have been taken."""
        if self._rows is None:
            super()._leave_heads_out()

    @torch.no_grad()
    def _take_rows(self, labels: TokenLabels) -> None:
        heads = [owner.get_submodule(name) for _, owner, name in self._heads]
        if len(heads) != 1:
            message = f"labels are rows of one head, {' or '.join(HEADS)}; it has {len(heads)}"
            raise CapabilityError(message, path=type(self).__qualname__)
        compute: Callable[[Tensor], Tensor | None] = super(Pooled, self).compute_logits  # type: ignore[misc]
        self.score.weight, self.score.bias = row_weights(heads[0], labels, compute)
        super()._leave_heads_out()


class Classifies(_Classifies):
    """The chance of each label for each sequence."""

    does = "as a classifier of sequences"
    conversion = "classify"
    score_type: ClassVar[ScoreType] = "cross-encoder"


class _OfTokens(Pooled):
    """A row for each token, whichever of a sequence the class would take."""

    def _usual(self) -> dict[str, str]:
        if get_default_tok_pooling_type(type(self)) == "STEP":
            message = (
                "it keeps the rows after steps alone (default_tok_pooling_type STEP), which a pooler of ours does not"
            )
            raise CapabilityError(f"{message}; one of its own may", path=type(self).__qualname__)
        return {}


class EmbedsTokens(_OfTokens):
    """A row for each token, at length 1: what late interaction compares."""

    does = "as a model for embeddings of tokens"
    conversion = "token_embed"
    score_type: ClassVar[ScoreType] = "late-interaction"


class ClassifiesTokens(_OfTokens, _Classifies):
    """The chance of each label for each token."""

    does = "as a classifier of tokens"
    conversion = "token_classify"


def _without_labels(settings: Settings) -> Settings:
    """What the class itself is built of: which tokens are labels is for what is made of it, and unknown inside it."""
    return replace(settings, config={k: v for k, v in settings.config.items() if k not in (TOKENS, METHOD)})


def _has(module: nn.Module, name: str) -> bool:
    return name in module._modules or name in module._parameters or name in module._buffers
