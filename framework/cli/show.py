"""`triptych show`: a spec with all that it inherits, and where each value comes from."""

from __future__ import annotations

import argparse

from triptych.cli.output import print_json

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("show", help="print a spec with its bases merged in and the origin of each value")
    parser.add_argument("name", metavar="NAME", help="a registered spec, or the path of a YAML file")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="merged on top, e.g. parts.norm.eps=1e-6"
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--capabilities", action="store_true", help="what the model can do instead; NAME may be that of a model class"
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

    if args.capabilities:
        from triptych.cli.show_capabilities import show_capabilities

        return show_capabilities(args.name, args.overrides, as_json=args.json)
    if args.schemas:
        from triptych.cli.show_schemas import show_schemas

        return show_schemas(args.name, args.overrides, as_json=args.json)
    tree = overridden(load_named(args.name)[1], args.overrides)
    if args.json:
        origins = {".".join(path): str(place) for path, _, place in walk(tree) if place}
        print_json({"spec": tree, "origins": origins})
    else:
        for line in render(tree).splitlines():
            print(line)
    return 0
