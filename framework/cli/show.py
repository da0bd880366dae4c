"""`triptych show`: a spec with all that it inherits, and where each value comes from."""

from __future__ import annotations

import argparse

from triptych.cli.output import print_json

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from triptych.spec.document import Tree


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("show", help="print a spec with its bases merged in and the origin of each value")
    parser.add_argument("name", metavar="NAME", help="a registered spec, or the path of a YAML file")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="merged on top, e.g. parts.norm.eps=1e-6"
    )
    parser.add_argument(
        "--capabilities", action="store_true", help="what the model can do instead, built of the spec's sample config"
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
    from triptych.errors import SpecError
    from triptych.spec.catalog import sample_config
    from triptych.spec.overrides import overridden

    merged = overridden(tree, args.overrides)
    if not merged.get("sample"):
        raise SpecError(f"{name} has no `sample` config to build a model of")
    config = sample_config(merged)
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
