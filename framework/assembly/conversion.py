"""Model classes that write text, as classes that embed or classify, whole sequences or each token of them."""

from __future__ import annotations

from types import new_class
from typing import Any, TypeVar, cast

from torch import nn

from triptych.assembly.model_class import FromSpec, model_class
from triptych.assembly.pooled import Classifies, ClassifiesTokens, Embeds, EmbedsTokens, Pooled
from triptych.capabilities import check_triptych_model, is_pooling_model
from triptych.errors import CapabilityError, short
from triptych.registry.suffixes import find_suffix

Class = TypeVar("Class", bound=type)


def as_embedding_model(cls: Class) -> Class:
    """The class itself if it pools, else a subclass of it that gives a row for each sequence.

    Its name ends in ForEmbedding. It has no head; its pooler is the class's own, else that of its language model, else
    made by `settings`: the row that `default_seq_pooling_type` names, at length 1. Its weights may be named with
    `model.` in front or without. Raises CapabilityError for what is no model, or no torch module.
    """
    return cls if _pools(cls) else cast(Class, converted_class(cls, conversion="embed"))


def as_seq_cls_model(cls: Class) -> Class:
    """The class itself if it pools, else a subclass of it that gives the chance of each label for a sequence.

    Its name ends in ForSequenceClassification. As `as_embedding_model`; but that the pooler made for it ends in the
    linear layer `score`, which has a bias if the checkpoint has one, or is made of rows of the head where the config
    names tokens as labels. A sequence may be a query and a document: its score type is cross-encoder.
    """
    return cls if _pools(cls) else cast(Class, converted_class(cls, conversion="classify"))


def converted_class(model: type, *, conversion: str) -> type:
    """The class that embeds or classifies with the model of another.

    Raises SpecError for a spec that cannot, CapabilityError for a class written by hand that cannot.
    """
    if not isinstance(model, type):
        raise CapabilityError(f"a model class is converted, not {short(model)}")
    if issubclass(model, FromSpec):
        if model.convert == conversion:
            return model
        return model_class(model.tree, name=model.spec_name, architecture=model.__name__, convert=conversion)
    return model if is_pooling_model(model) else _subclass(model, *_WAYS[conversion])


def _pools(model: object) -> bool:
    return isinstance(model, type) and is_pooling_model(model)


_WAYS: dict[str, tuple[type[Pooled], str]] = {
    "embed": (Embeds, "ForEmbedding"),
    "classify": (Classifies, "ForSequenceClassification"),
    "token_embed": (EmbedsTokens, "ForTokenEmbedding"),
    "token_classify": (ClassifiesTokens, "ForTokenClassification"),
}


def _subclass(model: type, way: type[Pooled], suffix: str) -> type:
    check_triptych_model(model)
    if not issubclass(model, nn.Module):
        raise CapabilityError(
            "this class is no torch.nn.Module, and nothing else is converted", path=model.__qualname__
        )
    stem = model.__name__.removesuffix(find_suffix(model.__name__, runner="generate"))
    body: dict[str, Any] = {"__module__": model.__module__, "__doc__": f"{model.__name__}, {way.does}."}
    body["converted"] = model
    return new_class(stem + suffix, (way, model), exec_body=lambda namespace: namespace.update(body))
