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
CONF = "conf"  # folders of config groups
CLASSES = "classes"  # by architecture, and what else register_model was given
NAMED: dict[str, Kind] = {
    "processors": "processor",
    "dummy_inputs": "dummy_inputs",
    "schemas": "schema",
    "transcriptions": "transcription",
}


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("list", help="name the specs, model classes and parts that are registered")
    parser.add_argument(
        "kind",
        nargs="?",
        metavar="KIND",
        help="models, towers, fragments, classes, processors, dummy_inputs, schemas, transcriptions, conf, or parts: "
        "norms, ...",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from triptych.errors import OptionError, suggest

    kinds = _kinds()
    if args.kind is not None and args.kind not in kinds:
        raise OptionError(f"no kind {args.kind!r}{suggest(args.kind, kinds)}")
    for trouble in _troubles(args.kind):
        print(trouble, file=sys.stderr)
    found = {kind: _rows(kind) for kind in ([args.kind] if args.kind else kinds)}
    if args.json:
        print_json(found[args.kind] if args.kind else found)
        return 0
    for kind, rows in found.items():
        if not args.kind:
            print(f"{kind}:")
        for row in rows:
            print(f"{'' if args.kind else '  '}{row['name']:<20} {_text(row)}".rstrip())
    return 0


def _text(row: dict[str, Any]) -> str:
    """What a row answers to, and who offers it where that is not triptych itself."""
    names = ", ".join(row.get("architectures") or row.get("model_types") or row.get("origins") or ())
    others = [origin for origin in row["distributions"] if origin.partition(" ")[0] != "triptych"]
    return names if row.get("origins") or not others else f"{names} ({', '.join(others)})".lstrip()


def _kinds() -> list[str]:
    from triptych.registry import KINDS

    return [*SPEC_KINDS, CLASSES, *NAMED, CONF, *(_plural(kind) for kind in KINDS)]


def _troubles(asked: str | None) -> list[str]:
    """What is registered and cannot be listed, of the kind that is asked for, or of all."""
    from triptych.registry import part_troubles, spec_troubles
    from triptych.registry.models import model_troubles
    from triptych.registry.named import named_troubles
    from triptych.spec.catalog import unreadable

    specs = [*spec_troubles(), *unreadable()] if asked is None or asked in SPEC_KINDS else []
    if asked is None:
        return [*model_troubles(), *part_troubles(), *named_troubles(), *specs]
    if asked in NAMED:
        return named_troubles(NAMED[asked])
    if asked == CLASSES:
        return model_troubles()
    return specs if asked in (*SPEC_KINDS, CONF) else part_troubles(asked.removesuffix("s"))


def _plural(kind: str) -> str:
    return f"{kind}s"


def _rows(kind: str) -> list[dict[str, Any]]:
    if kind in SPEC_KINDS:
        return _spec_rows(SPEC_KINDS[kind])
    if kind == CLASSES:
        from triptych.registry.models import GROUP, claims, model_names

        return [
            {**row, "origins": [offer.origin for offer in claims(row["name"])]} for row in _named(model_names(), GROUP)
        ]
    if kind in NAMED:
        from triptych.registry.named import SORTS, names_of

        return _named(names_of(NAMED[kind]), SORTS[NAMED[kind]].group)
    if kind == CONF:
        from triptych.registry import offers

        return _named(offers.conf_names(), offers.CONF)
    from triptych.registry import parts

    part = kind.removesuffix("s")
    return _named(parts.part_names(part), parts.GROUP, prefix=f"{part}.")


def _named(names: list[str], group: str, *, prefix: str = "") -> list[dict[str, Any]]:
    from triptych.registry.offers import distributions

    return [{"name": name, "distributions": distributions(group, f"{prefix}{name}")} for name in names]


def _spec_rows(kinds: tuple[str, ...]) -> list[dict[str, Any]]:
    from triptych.registry.offers import spec_distributions
    from triptych.spec.catalog import catalog

    return [
        {
            "name": spec.name,
            "kind": spec.kind,
            "architectures": spec.architectures,
            "model_types": spec.model_types,
            "path": str(spec.path),
            "distributions": spec_distributions(spec.name),
        }
        for spec in catalog().values()
        if spec.kind in kinds
    ]
