"""Flags, members and what is verified: every interface by the same tests."""

from __future__ import annotations

import inspect
import warnings
from types import new_class
from typing import Any

import pytest
from typing_extensions import is_protocol

import triptych.capabilities
from tests.capabilities.models import FLAGGED, INTERFACES, PROVABLE, flags, with_members
from triptych.capabilities import (
    CAPABILITIES,
    CapabilityWarning,
    SupportsPP,
    capability_report,
    check_capabilities,
)
from triptych.errors import CapabilityError, MissingMemberError

BY_STRUCTURE = ["supports_lora", "supports_pp", "supports_eagle3", "supports_mrope"]


def made(*bases: type, **body: Any) -> Any:
    """A class `Model`."""
    return new_class("Model", bases, {}, lambda namespace: namespace.update(body))


def predicate(name: str) -> Any:
    return getattr(triptych.capabilities, name)


@pytest.mark.parametrize("name", PROVABLE)
def test_a_flag_with_its_members_is_verified(name: str) -> None:
    by_hand = made(**with_members(name), **flags(name))
    inherited = [made(INTERFACES[name], **with_members(name))] if name in INTERFACES else []
    for model in (by_hand, *inherited):
        assert capability_report(model)[name] == "verified"
        assert predicate(name)(model) or name == "is_pooling_model", "which asks for a whole model"
        check_capabilities(model)


@pytest.mark.parametrize(("name", "missing"), [(name, m.name) for name in PROVABLE for m in CAPABILITIES[name].needs])
def test_a_flag_without_a_method_is_contradicted(name: str, missing: str) -> None:
    body = with_members(name)
    del body[missing]
    model = made(**body, **flags(name))
    assert capability_report(model)[name] == "contradicted"
    with pytest.raises(CapabilityError, match=rf"Model has {CAPABILITIES[name].flag} = .* lacks .*{missing}"):
        check_capabilities(model)


@pytest.mark.parametrize("name", PROVABLE)
def test_members_without_the_flag_warn(name: str) -> None:
    others = {flag: value for flag, value in flags(name).items() if flag != CAPABILITIES[name].flag}
    model = made(**with_members(name), **others)
    assert capability_report(model)[name] == "implemented"
    with pytest.warns(
        CapabilityWarning, match=rf"Model has all that {name} needs, and lacks {CAPABILITIES[name].flag}"
    ):
        check_capabilities(model)


@pytest.mark.parametrize("name", BY_STRUCTURE)
def test_predicates_that_test_members_warn_of_a_flag_without_members_and_of_members_without_the_flag(name: str) -> None:
    with pytest.warns(CapabilityWarning, match=r"and lacks what that needs"):
        assert not predicate(name)(made(**flags(name)))
    with pytest.warns(CapabilityWarning, match=rf"and lacks {CAPABILITIES[name].flag}"):
        assert not predicate(name)(made(**with_members(name)))


@pytest.mark.parametrize("name", ["is_hybrid", "supports_pp", "supports_mrope", "supports_score_template"])
def test_a_flag_by_inheritance_only_is_contradicted(name: str) -> None:
    model = made(INTERFACES[name])
    assert capability_report(model)[name] == "contradicted"
    assert capability_report(model())[name] == "contradicted"


@pytest.mark.parametrize("name", [name for name in CAPABILITIES if not CAPABILITIES[name].needs])
def test_what_nothing_here_can_prove_is_declared_only(name: str) -> None:
    assert capability_report(made(**flags(name)))[name] == "declared only"
    assert capability_report(made())[name] == "absent"


@pytest.mark.parametrize("name", FLAGGED)
def test_a_flag_is_true_where_the_interface_is_inherited_and_false_where_it_is_absent(name: str) -> None:
    row = CAPABILITIES[name]
    assert getattr(INTERFACES[name], row.flag) == row.value
    for nothing in (made(), made()(), object(), None):
        assert not predicate(name)(nothing)


@pytest.mark.parametrize("name", FLAGGED)
def test_predicates_answer_for_instances_as_for_classes(name: str) -> None:
    model = made(**with_members(name), **flags(name))
    assert predicate(name)(model) == predicate(name)(model()) == (name != "is_pooling_model")


def test_every_flag_has_a_row_that_says_what_proves_it() -> None:
    interfaces = [value for value in vars(triptych.capabilities).values() if inspect.isclass(value)]
    flags = {
        name
        for interface in interfaces
        if is_protocol(interface)
        for name, value in vars(interface).items()
        if isinstance(value, bool) and not name.startswith("_")
    }
    assert flags == {row.flag for row in CAPABILITIES.values()} - {"", "score_type"}


def test_every_interface_of_models_is_tested_here() -> None:
    found = {n for n, v in vars(triptych.capabilities).items() if inspect.isclass(v) and is_protocol(v)}
    plain = {"TriptychModel", "TextGenerationModel", "SupportsEagleBase", "QuantSettings", "StreamingPostProcessor"}
    plain.add("Pooler")
    assert found == {interface.__name__ for interface in INTERFACES.values()} | plain


def test_every_member_that_a_row_needs_stands_in_the_interface() -> None:
    for name, interface in INTERFACES.items():
        for member in CAPABILITIES[name].needs:
            assert hasattr(interface, member.name) or any(
                member.name in inspect.get_annotations(base) for base in interface.__mro__
            ), f"{interface.__name__} says nothing of {member.name}"


def test_a_declared_member_names_class_and_method_when_it_is_called() -> None:
    message = r"Model declares SupportsPP; it has no make_empty_intermediate_tensors of its own"
    with pytest.raises(MissingMemberError, match=message):
        made(SupportsPP)().make_empty_intermediate_tensors(1, None, None)
    with pytest.raises(NotImplementedError, match=r"Model declares IsHybrid; it has no get_mamba_state_copy_func"):
        made(INTERFACES["is_hybrid"]).get_mamba_state_copy_funcs(["mamba"])


def test_all_contradictions_of_a_class_are_told_together() -> None:
    model = made(is_hybrid=True, supports_mrope=True, attn_type="sideways")
    with pytest.raises(CapabilityError) as raised:
        check_capabilities(model)
    assert [line.partition(",")[0] for line in str(raised.value).splitlines()] == [
        "Model has supports_mrope = True",
        "Model has is_hybrid = True",
        "Model: there is no attn_type 'sideways'; known: attention_free",
    ]


def test_a_class_without_any_capability_passes_in_silence() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_capabilities(object)
    assert set(capability_report(object).states.values()) == {"absent"}
