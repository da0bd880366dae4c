"""`triptych show`: a spec with all that it inherits; the model that it makes; how it differs from another."""

from __future__ import annotations

import argparse
import os

from triptych.cli.output import print_json

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from typing import Literal

ABOUT = (
    "print a spec with its bases merged in and the origin of each value; or what it makes; or two, where they differ"
)


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("show", help=ABOUT, description=f"{ABOUT}.")
    parser.add_argument(
        "name",
        metavar="NAME",
        help="a registered spec, or the path of a YAML file; for --tree and --capabilities also a model class",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        default=[],
        metavar="key=value|NAME",
        help="merged on top, e.g. parts.norm.eps=1e-6; a second NAME: where the two specs differ, and nothing else; "
        "overrides are of the NAME before them",
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--tree",
        action="store_true",
        help="the model instead: components, widths, tokens of an item, parameters, cache",
    )
    instead.add_argument("--capabilities", action="store_true", help="what the model can do instead")
    instead.add_argument(
        "--schemas", action="store_true", help="its input schemas instead, for the sample config; --json: JSON Schema"
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="the config.json to draw the model for, or its folder; default: the spec's sample, which a class has not",
    )
    parser.add_argument("--picture", metavar="FILE", help="draw the tree in this file: .svg, .png, or .md (Mermaid)")
    parser.add_argument("--json", action="store_true", help="as JSON: the tree, and origins by dotted path")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    drawn = [f"--{name}" for name in ("config", "picture") if getattr(args, name) is not None]
    if args.capabilities or args.schemas:
        return _instead(args, drawn)
    if args.tree or drawn:
        from triptych.cli.show_tree import show_tree

        printed = args.tree or args.json or args.picture is None
        form: Literal["json", "text"] = "json" if args.json else "text"
        return show_tree(
            args.name, args.overrides, config=args.config, picture=args.picture, form=form if printed else None
        )
    if any(map(is_spec, args.overrides)):
        from triptych.cli.show_differences import show_differences

        return show_differences([args.name, *args.overrides], as_json=args.json)
    return _spec(args)


def is_spec(word: str) -> bool:
    """Whether a word after NAME names another spec and is no override; the path of one may hold `=` too."""
    return "=" not in word or (word.endswith((".yaml", ".yml")) and os.path.isfile(word))


def _instead(args: argparse.Namespace, drawn: list[str]) -> int:
    if drawn:
        from triptych.errors import OptionError

        raise OptionError(f"{' and '.join(drawn)}: for the tree of a model; it goes with --tree alone")
    if args.capabilities:
        from triptych.cli.show_capabilities import show_capabilities

        return show_capabilities(args.name, args.overrides, as_json=args.json)
    from triptych.cli.show_schemas import show_schemas

    return show_schemas(args.name, args.overrides, as_json=args.json)


def _spec(args: argparse.Namespace) -> int:
    from triptych.spec.catalog import load_named
    from triptych.spec.document import walk
    from triptych.spec.overrides import overridden
    from triptych.spec.render import render

    tree = overridden(load_named(args.name)[1], args.overrides)
    if args.json:
        origins = {".".join(path): str(place) for path, _, place in walk(tree) if place}
        print_json({"spec": tree, "origins": origins})
    else:
        for line in render(tree).splitlines():
            print(line)
    return 0
