"""Which modules of the field a spec serves, what that is made of, and how near it comes to its reference.

    python -m tools.coverage [--json | --page] [--kind text_lm ...] [--facts]

The modules are those of `tests/architectures.csv`. Errors are measured as it runs, over every case of the parity tests:
the worst RMS ratio of logits in float32; `--facts` leaves them out. `--page` prints docs/coverage.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from statistics import median

from tools.structure import parts_of, structure_of
from triptych.spec.catalog import catalog, load_named

ROOT = Path(__file__).resolve().parent.parent
FACTS = ROOT / "tests" / "architectures.csv"
TEXT = ("text_lm", "moe_lm", "hybrid_lm", "ssm_lm")
"""The kinds of modules that are language models; the columns below are about these."""
WIDE = 200  # columns of the table, so that a row is a line


@dataclass(frozen=True)
class Row:
    """One module. `spec` is '' where none serves it; `oracle` is '' where no public implementation is its reference.

    `error` is the worst RMS ratio of logits that was measured; None where nothing was.
    """

    module: str
    kind: str
    spec: str
    lines: int
    parts: tuple[str, ...]
    structure: str
    oracle: str
    relation: str
    error: float | None = None
    verified: bool = False


def facts(kinds: Iterable[str] = TEXT) -> list[dict[str, str]]:
    """What is known of the modules of some kinds, in the order of the file."""
    wanted = {*kinds}
    with FACTS.open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["kind"] in wanted]


def known_kinds() -> list[str]:
    """The kinds of modules that the file has."""
    with FACTS.open(encoding="utf-8", newline="") as file:
        return sorted({row["kind"] for row in csv.DictReader(file)})


def rows(kinds: Iterable[str] = TEXT) -> Iterator[Row]:
    """A row for each module, without errors."""
    serving = {name: spec for spec in catalog().values() for name in spec.architectures}
    for module in facts(kinds):
        known = serving.get(module["arch"].split(" ")[0])
        relation = module["oracle_relation"] or "none"
        oracle = module["hf_oracle"] if relation in ("same", "near", "alias") else ""
        row = Row(module["module"], module["kind"], "", 0, (), "", oracle, relation)
        if known is not None:
            tree = load_named(known.name)[1]
            row = replace(
                row, spec=known.name, lines=lines_of(known.path), parts=parts_of(tree), structure=structure_of(tree)
            )
        yield row


def lines_of(path: Path) -> int:
    """How many lines of a file say something."""
    return sum(bool(line.split("#")[0].strip()) for line in path.read_text("utf-8").splitlines())


def measured(found: Iterable[Row]) -> Iterator[Row]:
    """The rows with their errors; those of one spec are measured once."""
    errors = import_module("tests.parity.measure").errors  # not by its name: tests are not typed as strictly
    worst = dict[str, tuple[float | None, bool]]()
    for row in found:
        if row.spec and row.spec not in worst:
            worst[row.spec] = errors(row.spec)
        error, within = worst.get(row.spec, (None, False))
        yield replace(row, error=error, verified=within and error is not None)


def totals(found: list[Row]) -> Mapping[str, object]:
    """The numbers at the top of the page."""
    served = [row for row in found if row.spec]
    lengths = {row.spec: row.lines for row in served}
    return {
        "modules": len(found),
        "served": len(served),
        "with a reference": sum(bool(row.oracle) for row in found),
        "verified": sum(row.verified for row in found if row.oracle),
        "specs": len(lengths),
        "structures": len({row.structure for row in served}),
        "median lines": median(lengths.values()) if lengths else 0,
    }


def page(found: list[Row]) -> str:
    """The text of docs/coverage.md."""
    by_spec = defaultdict[str, list[str]](list)
    for row in found:
        by_spec[row.spec].append(row.module)
    told = "".join(f"| {key} | {value} |\n" for key, value in totals(found).items())
    return HEAD + told + TABLE + "".join(f"{_line(row)}\n" for row in found)


HEAD = """# Language models

Modules of language models that engines have, and the specs that serve them. `python -m tools.coverage --page` writes
this page: it builds every case of the parity tests anew and tells the worst RMS ratio of our logits to those of the
reference, in float32. A reference is an implementation that is not ours; *near* and *alias* ones are another module's,
with the same mathematics but for names, or for what the tests state.

| | |
|---|---|
"""
TABLE = """
| module | spec | lines | parts | reference | worst error | verified |
|---|---|---|---|---|---|---|
"""


def _line(row: Row) -> str:
    oracle = row.oracle + (f" ({row.relation})" if row.relation in ("near", "alias") else "")
    cells = [row.module, row.spec or "none", str(row.lines or ""), ", ".join(row.parts), oracle or "self-referenced"]
    return f"| {' | '.join([*cells, _error(row), 'yes' if row.verified else 'no'])} |"


def _error(row: Row) -> str:
    return "" if row.error is None else f"{row.error:.0e}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.coverage", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="an object with `totals` and `rows`")
    parser.add_argument("--page", action="store_true", help="the page in docs/")
    parser.add_argument("--facts", action="store_true", help="measure nothing")
    parser.add_argument(
        "--kind", action="append", choices=known_kinds(), help=f"of a module (default: {', '.join(TEXT)})"
    )
    args = parser.parse_args()
    given = rows(args.kind or TEXT)
    found = [*(given if args.facts else measured(given))]
    if args.json:
        json.dump({"totals": totals(found), "rows": [asdict(row) for row in found]}, sys.stdout, indent=1)
    elif args.page:
        print(page(found), end="")
    else:
        _print(found)


def _print(found: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    heads = ("module", "kind", "spec", "lines", "reference", "error", "verified", "parts")
    table = Table(*heads, box=None)
    for row in found:
        names = "+".join(name.partition(".")[2] for name in row.parts)
        cells = (row.module, row.kind, row.spec, str(row.lines or ""), row.oracle, _error(row))
        table.add_row(*cells, "yes" if row.verified else "no", names)
    console = Console(width=WIDE)
    console.print(table)
    console.print("  ".join(f"{key}: {value}" for key, value in totals(found).items()))


if __name__ == "__main__":
    main()
