"""Schemas told apart by a literal: the tag selects, and where it selects none each schema says why."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
import torch
from torch import Tensor

from triptych.errors import SchemaError
from triptych.schemas import TensorSchema, TensorShape, tagged_union


class Pixels(TensorSchema):
    pixel_values: Annotated[Tensor, TensorShape("n", 3, "h", "w")]
    type: Literal["pixel_values", "pixels"]


class Embeds(TensorSchema):
    type: Literal["image_embeds"] = "image_embeds"
    embeds: Annotated[Tensor, TensorShape("n", "f", dtype="float")]


INPUTS = tagged_union("type", Pixels, Embeds)


def told(**values: Any) -> list[str]:
    with pytest.raises(SchemaError) as raised:
        INPUTS(**values)
    return str(raised.value).splitlines()


def test_the_tag_selects_the_branch() -> None:
    assert type(INPUTS(type="pixels", pixel_values=torch.zeros(1, 3, 2, 2))) is Pixels
    assert type(INPUTS(type="image_embeds", embeds=torch.zeros(1, 4))) is Embeds


def test_the_selected_branch_tells_all_its_faults_and_no_other_branch_any() -> None:
    assert told(type="image_embeds", embeds=torch.zeros(2), extra=1) == [
        "embeds: expected shape (n, f), found (2): rank 1, not 2",
        "extra: no such field; known: embeds, type",
    ]


def test_selecting_no_branch_lists_every_branchs_first_failure() -> None:
    assert told(type="image_embed", embeds=torch.zeros(2, 2)) == [
        "type: found 'image_embed' (str) selects no schema; did you mean 'image_embeds'?",
        "Pixels.pixel_values: required, and not given",
        "Embeds.type: expected 'image_embeds', found 'image_embed' (str); did you mean 'image_embeds'?",
    ]


def test_without_a_tag_no_branch_is_guessed() -> None:
    assert told(embeds=torch.zeros(2, 2)) == [
        "type: found nothing, which selects no schema",
        "Pixels.pixel_values: required, and not given",
        "Embeds.type: required, and not given",
    ]


def test_a_tag_is_told_from_what_merely_equals_it() -> None:
    class One(TensorSchema):
        version: Literal[1]

    class Two(TensorSchema):
        version: Literal[True]

    versions = tagged_union("version", One, Two)
    assert type(versions(version=1)) is One
    assert type(versions(version=True)) is Two
    with pytest.raises(SchemaError, match=r"version: found 1\.0 \(float\) selects no schema"):
        versions(version=1.0)


def test_bindings_go_to_the_branch_that_has_their_symbols() -> None:
    bindings = {"h": 2, "w": 2, "f": 8}
    INPUTS(type="pixels", pixel_values=torch.zeros(1, 3, 2, 2), resolve_bindings=bindings)
    assert told(type="image_embeds", embeds=torch.zeros(1, 4), resolve_bindings=bindings) == [
        "embeds: expected shape (n, 8), found (1, 4): dim 1 must be 8 ('f', bound by resolve_bindings), not 4"
    ]
    assert told(type="image_embeds", embeds=torch.zeros(1, 4), resolve_bindings={"g": 1})[0].startswith(
        "resolve_bindings.g: no field has this symbol"
    )


def test_without_validation_the_tag_still_selects() -> None:
    assert type(INPUTS(type="pixels", validate=False)) is Pixels
    with pytest.raises(SchemaError, match="selects no schema"):
        INPUTS(type="other", validate=False)


def test_a_lenient_branch_is_told_apart_by_its_literal_too() -> None:
    class Ported(TensorSchema, lenient=True):
        type: Literal["ported"]

    union = tagged_union("type", Ported, Embeds)
    assert union(type="ported", extra=1).ignored
    with pytest.raises(SchemaError, match=r"Ported\.type: expected 'ported', found 'x'"):
        union(type="x")


def test_all_that_keeps_schemas_from_being_told_apart_is_told() -> None:
    class Typed(TensorSchema):
        typ: Literal["a"]

    class Open(TensorSchema):
        type: Literal["a"] | str

    class Optional(TensorSchema):
        type: Literal["b"] | None

    class Same(TensorSchema):
        type: Literal["c", "pixels"]

    with pytest.raises(SchemaError) as raised:
        tagged_union("type", Pixels, Typed, Open, Optional, Same)
    assert [line.rpartition("<locals>.")[2] for line in str(raised.value).splitlines()] == [
        "Typed.type: no such field; did you mean 'typ'?",
        "Open.type: schemas are told apart by a Literal that is not optional",
        "Optional.type: schemas are told apart by a Literal that is not optional",
        "Same.type: 'pixels' selects Pixels already",
    ]
    with pytest.raises(SchemaError, match="type: a union is of at least one schema"):
        tagged_union("type")
