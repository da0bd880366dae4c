"""`triptych list`: what is registered. Nothing is imported to be listed."""

from __future__ import annotations

import argparse
import sys

from triptych.cli.output import print_json

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from typing import Any

    from triptych.registry.named import Kind

SPEC_KINDS = {
    "models": ("language_model", "embedding_model", "multimodal"),
    "towers": ("tower",),
    "fragments": ("fragment",),
}
CLASSES = "classes"  # by architecture, and what else register_model was given
NAMED: dict[str, Kind] = {"processors": "processor", "dummy_inputs": "dummy_inputs", "schemas": "schema"}


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("list", help="name the specs, model classes and parts that are registered")
    parser.add_argument(
        "kind",
        nargs="?",
        metavar="KIND",
        help="models, towers, fragments, classes, processors, dummy_inputs, schemas, or a kind of part: norms, ...",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from triptych.errors import OptionError, suggest

    kinds = _kinds()
    if args.kind is not None and args.kind not in kinds:
        raise OptionError(f"no kind {args.kind!r}{suggest(args.kind, kinds)}")
    for trouble in _troubles():
        print(trouble, file=sys.stderr)
    found = {kind: _rows(kind) for kind in ([args.kind] if args.kind else kinds)}
    if args.json:
        print_json(found[args.kind] if args.kind else found)
        return 0
    for kind, rows in found.items():
        if not args.kind:
            print(f"{kind}:")
        for row in rows:
            names = ", ".join(row.get("architectures") or row.get("model_types") or row.get("origins") or ())
            print(f"{'' if args.kind else '  '}{row['name']:<20} {names}".rstrip())
    return 0


def _kinds() -> list[str]:
    from triptych.registry import KINDS

    return [*SPEC_KINDS, CLASSES, *NAMED, *(_plural(kind) for kind in KINDS)]


def _troubles() -> list[str]:
    """What is registered and cannot be listed."""
    from triptych.registry import part_troubles, spec_troubles
    from triptych.registry.models import model_troubles
    from triptych.registry.named import named_troubles
    from triptych.spec.catalog import unreadable

    return [*model_troubles(), *part_troubles(), *named_troubles(), *spec_troubles(), *unreadable()]


def _plural(kind: str) -> str:
    return f"{kind}s"


def _rows(kind: str) -> list[dict[str, Any]]:
    from triptych.registry import part_names

    if kind == CLASSES:
        from triptych.registry.models import claims, model_names

        return [{"name": name, "origins": [offer.origin for offer in claims(name)]} for name in model_names()]
    if kind in NAMED:
        from triptych.registry.named import names_of

        return [{"name": name} for name in names_of(NAMED[kind])]
    if kind not in SPEC_KINDS:
        return [{"name": name} for name in part_names(kind.removesuffix("s"))]
    from triptych.spec.catalog import catalog

    return [
        {
            "name": spec.name,
            "kind": spec.kind,
            "architectures": spec.architectures,
            "model_types": spec.model_types,
            "path": str(spec.path),
        }
        for spec in catalog().values()
        if spec.kind in SPEC_KINDS[kind]
    ]
