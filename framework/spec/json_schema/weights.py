"""Definitions of the weights table: rows below rows, sources, layouts."""

from __future__ import annotations

from triptych.spec.written import STANDS_FOR, Json

_TEXT: Json = {"type": ["string", "null"]}
_ROW: Json = {"$ref": "#/$defs/weights.row"}
_TRANSFORM: Json = {STANDS_FOR: "kind.transform"}
_SAYS_SOURCE = [{"required": [key]} for key in ("from", "via", "scales", "absent")]

WEIGHTS: dict[str, Json] = {
    "weights": {
        "type": ["object", "null"],
        "properties": {
            "drop": {"type": ["array", "null"], "items": {"type": "string"}},
            "layouts": {
                "type": ["object", "null"],
                "additionalProperties": {"type": ["object", "null"], "additionalProperties": _TEXT},
            },
        },
        "additionalProperties": _ROW,
    },
    "weights.row": {
        "description": "A name on disk, `{from, via, scales, absent}`, a list of these, or rows below it.",
        "type": ["string", "null", "array", "object"],
        "items": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/weights.source"}]},
        "if": {"type": "object", "anyOf": _SAYS_SOURCE},
        "then": {"$ref": "#/$defs/weights.source"},
        "else": {"properties": {"at": _TEXT, "drop": False, "layouts": False}, "additionalProperties": _ROW},
    },
    "weights.source": {
        "type": "object",
        "properties": {
            "from": {"type": "string"},
            "via": {"anyOf": [_TRANSFORM, {"type": "array", "items": _TRANSFORM}]},
            "scales": _TEXT,
            "absent": {"type": ["number", "null"]},
        },
        "additionalProperties": False,
    },
}
