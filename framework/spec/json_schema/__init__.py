"""The JSON Schema of spec files with everything that is installed, for editors.

It says less than `validate`: what a name refers to, and what a base leaves to say, no schema can know. What it refuses,
`validate` refuses too, but for numbers in quotes.
"""

from __future__ import annotations

from triptych.registry import spec_files
from triptych.spec.json_schema.parts import part_definitions
from triptych.spec.json_schema.values import filled
from triptych.spec.json_schema.weights import WEIGHTS
from triptych.spec.structure import DocumentForm
from triptych.spec.written import Json

DIALECT = "http://json-schema.org/draft-07/schema#"  # what editors know best


def spec_json_schema() -> tuple[Json, list[str]]:
    """The schema, and why the fields of some parts are not in it. Imports each registered part's Spec."""
    parts, troubles = part_definitions()
    form = DocumentForm.model_json_schema()
    definitions = {**form.pop("$defs"), **WEIGHTS, **parts}
    whole = {"$schema": DIALECT, "title": "triptych spec", **form, "$defs": definitions}
    whole["properties"] = {"base": _base(), **form["properties"]}
    whole["anyOf"] = [{"required": ["schema"]}, {"required": ["base"]}]  # an heir's may stand in its base
    return filled(whole), troubles


def _base() -> Json:
    """A registered spec, or one that stands beside the file: names are offered, and none is refused."""
    name: Json = {"anyOf": [{"enum": sorted(spec_files())}, {"type": "string"}]}
    return {"anyOf": [*name["anyOf"], {"type": "array", "items": name}, {"type": "null"}]}
