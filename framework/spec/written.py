"""Marks on types for the JSON Schema of specs: what may be written where pydantic alone would say less, or more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
EXPRESSION: Json = {"type": "string", "pattern": "^="}
NULL: Json = {"type": "null"}
STANDS_FOR = "x-stands-for"  # key of a definition that is filled in once everything registered is known


@dataclass(frozen=True)
class Written:
    """What may be written instead of what the type itself says; asked when a schema is made."""

    schema: Callable[[], Json]

    def __get_pydantic_json_schema__(self, core: Json, handler: Callable[[Json], Json]) -> Json:
        return dict(self.schema())  # pydantic writes into what it is given


class OrExpression:
    """An =expression may stand in the place of the value; after a validator that lets one through."""

    def __get_pydantic_json_schema__(self, core: Json, handler: Callable[[Json], Json]) -> Json:
        return {"anyOf": [handler(core["schema"]), dict(EXPRESSION)]}


@dataclass(frozen=True)
class Beside:
    """A key whose value is a name, beside those of a mapping that has one type for all its values."""

    key: str

    def __get_pydantic_json_schema__(self, core: Json, handler: Callable[[Json], Json]) -> Json:
        return {**handler(core), "properties": {self.key: {"type": "string"}}}
