"""What type checkers make of predicates; test_typing.py has this file checked."""

from __future__ import annotations

from typing import assert_type

from triptych.capabilities import (
    IsHybrid,
    MixtureOfExperts,
    PoolingModel,
    SupportsMultiModal,
    SupportsPP,
    TriptychModel,
    is_hybrid,
    is_mixture_of_experts,
    is_pooling_model,
    is_triptych_model,
    supports_multimodal,
    supports_multimodal_raw_input_only,
    supports_pp,
)


def instances(model: object) -> None:
    if is_triptych_model(model):
        assert_type(model, TriptychModel)
    if is_pooling_model(model):
        assert_type(model, PoolingModel)
    if supports_multimodal(model):
        assert_type(model, SupportsMultiModal)
        assert_type(model.get_placeholder_str("image", 1), str | None)
    if supports_pp(model):
        assert_type(model, SupportsPP)
    if is_mixture_of_experts(model):
        assert_type(model, MixtureOfExperts)
    if supports_multimodal_raw_input_only(model):
        assert_type(model, object)


def classes(model: type[object]) -> None:
    if is_triptych_model(model):
        assert_type(model, type[TriptychModel])
    if supports_multimodal(model):
        assert_type(model, type[SupportsMultiModal])
    if is_hybrid(model):
        assert_type(model, type[IsHybrid])


def either(model: SupportsPP | int) -> None:
    if not supports_pp(model):
        assert_type(model, int)
