"""`triptych show`: a spec with all that it inherits, and where each value comes from."""

from __future__ import annotations

import argparse

from triptych.cli.output import print_json

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from typing import Any

    from triptych.spec.document import Tree


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("show", help="print a spec with its bases merged in and the origin of each value")
    parser.add_argument("name", metavar="NAME", help="a registered spec, or the path of a YAML file")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="merged on top, e.g. parts.norm.eps=1e-6"
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--capabilities", action="store_true", help="what the model can do instead, built of the spec's sample config"
    )
    instead.add_argument(
        "--schemas", action="store_true", help="its input schemas instead, for the sample config; --json: JSON Schema"
    )
    parser.add_argument("--json", action="store_true", help="as JSON: the tree, and origins by dotted path")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from triptych.spec.catalog import load_named
    from triptych.spec.document import walk
    from triptych.spec.overrides import overridden
    from triptych.spec.render import render

    name, written = load_named(args.name)
    if args.capabilities:
        return _capabilities(name, written, args)
    if args.schemas:
        return _schemas(name, written, args)
    tree = overridden(written, args.overrides)
    if args.json:
        origins = {".".join(path): str(place) for path, _, place in walk(tree) if place}
        print_json({"spec": tree, "origins": origins})
    else:
        for line in render(tree).splitlines():
            print(line)
    return 0


def _capabilities(name: str, tree: Tree, args: argparse.Namespace) -> int:
    """What the built model declares, holds, and shows to be so; 1 when something contradicts."""
    from triptych.assembly import assemble
    from triptych.capabilities import capability_report

    config = _sample(name, tree, args)
    report = capability_report(assemble(tree, config, overrides=args.overrides, name=name).module)
    if args.json:
        wrong = [str(problem) for problem in report.contradictions]
        print_json({"name": name, "capabilities": report.states, "contradictions": wrong})
    else:
        present = {capability: state for capability, state in report.states.items() if state != "absent"}
        for capability, state in present.items():
            print(f"{capability:<36} {state}")
        if not present:
            print(f"{name} declares no capability")
        for problem in report.contradictions:
            print(problem)
    return int(bool(report.contradictions))


def _schemas(name: str, tree: Tree, args: argparse.Namespace) -> int:
    """The spec's schemas, and which of them the items of each modality have. No torch is imported."""
    from triptych.schemas import json_schema
    from triptych.spec.plan import plan

    planned = plan(tree, _sample(name, tree, args), overrides=args.overrides, name=name)
    items = {m: [b.__qualname__ for b in (i.taken, *i.others)] for m, i in planned.items.items()}
    found = {schema: json_schema(written) for schema, written in planned.schemas.items()}
    if args.json:
        print_json({"name": name, "items": items, "schemas": found})
        return 0
    for modality, names in items.items():
        print(f"{modality}: {' or '.join(names)}")
    for schema, described in found.items():
        print(f"{schema}:")
        for field, said in described.get("properties", {}).items():
            print(f"  {field:<20} {said.get('description') or ' or '.join(map(str, said.get('enum', ())))}".rstrip())
    if not found:
        print(f"{name} states no schema")
    return 0


def _sample(name: str, tree: Tree, args: argparse.Namespace) -> dict[str, Any]:
    from triptych.errors import SpecError
    from triptych.spec.catalog import sample_config
    from triptych.spec.overrides import overridden

    merged = overridden(tree, args.overrides)
    if not merged.get("sample"):
        raise SpecError(f"{name} has no `sample` config to build a model of")
    return sample_config(merged)
