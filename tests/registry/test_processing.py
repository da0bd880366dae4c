"""What prepares the inputs of a multimodal class is registered on the class."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import pytest

from triptych import CapabilityError, RegistrationError, SupportsMultiModal, model, register_processor
from triptych.registry.inspection import inspect_loaded
from triptych.registry.processing import RegistrationWarning, get_factories


class Info(NamedTuple):
    context: str


class Dummy(NamedTuple):
    info: Info


class Processor(NamedTuple):
    info: Info
    dummy_inputs: Dummy


class Other(Processor):
    pass


class TakesImages(SupportsMultiModal):
    def __init__(self, *, settings: object, prefix: str = "") -> None: ...

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:  # noqa: ARG003
        return f"<{modality}>"

    def embed_multimodal(self, **kwargs: object) -> list[object]:  # type: ignore[override]
        return list(kwargs)

    def forward(self, input_ids: object, positions: object, *, step: object) -> object:  # noqa: ARG002
        return input_ids


def test_the_context_makes_the_info_the_info_the_dummy_inputs_and_both_the_processor() -> None:
    @register_processor(Processor, info=Info, dummy_inputs=Dummy)
    class Model(TakesImages): ...

    built = get_factories(Model).build("a checkpoint")
    assert built == Processor(Info("a checkpoint"), Dummy(Info("a checkpoint")))


def test_a_second_registration_on_the_same_class_warns() -> None:
    @register_processor(Processor, info=Info, dummy_inputs=Dummy)
    class Model(TakesImages): ...

    with pytest.warns(RegistrationWarning, match="has a processor already; Other takes its place"):
        register_processor(Other, info=Info, dummy_inputs=Dummy)(Model)
    assert isinstance(get_factories(Model).build(""), Other)


def test_on_a_subclass_it_silently_replaces_the_inherited_one() -> None:
    @register_processor(Processor, info=Info, dummy_inputs=Dummy)
    class Model(TakesImages): ...

    class Inherits(Model): ...

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Replaces = register_processor(Other, info=Info, dummy_inputs=Dummy)(type("Replaces", (Model,), {}))
    built = [type(get_factories(found).build("")) for found in (Model, Inherits, Replaces)]
    assert built == [Processor, Processor, Other]


def test_a_class_without_factories_fails() -> None:
    with pytest.raises(
        ValueError, match=r"^TakesImages has no processor .*@register_processor\(processor, info=\.\.\."
    ):
        get_factories(TakesImages)


def test_registering_a_multimodal_class_without_processor_fails_at_registration() -> None:
    with pytest.raises(CapabilityError, match="TakesImages has no processor that prepares items beside text"):
        model("TakesImagesForConditionalGeneration")(TakesImages)


def test_a_class_that_has_its_processor_is_registered() -> None:
    found = register_processor(Processor, info=Info, dummy_inputs=Dummy)(type("Model", (TakesImages,), {}))
    assert inspect_loaded(found, architecture="Model").supports_multimodal


def test_registering_without_dummy_inputs_fails_at_registration_with_everything_that_is_missing() -> None:
    with pytest.raises(RegistrationError) as caught:
        register_processor(Processor, info="Info", dummy_inputs=None)  # type: ignore[arg-type]
    assert str(caught.value).splitlines() == [
        "info: is 'Info'; a class is wanted",
        "dummy_inputs: is None; a class is wanted",
    ]
    with pytest.raises(TypeError, match="dummy_inputs"):
        register_processor(Processor, info=Info)  # type: ignore[call-arg]
