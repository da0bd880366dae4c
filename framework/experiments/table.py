"""What runs came to, as a table: a line each, a column for each choice and each measurement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows to stdout; a value that a row has not is left empty. Where it is no terminal, no line is cut."""
    table = Table()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    for column in columns:
        table.add_column(column, justify="right" if _numbers(row.get(column) for row in rows) else "left")
    for row in rows:
        table.add_row(*(Text(_said(row.get(column))) for column in columns))
    console = Console(highlight=False)
    console.print(table) if console.is_terminal else Console(highlight=False, width=10_000).print(table)


def _numbers(values: Iterable[object]) -> bool:
    return all(isinstance(value, int | float) for value in values if value is not None)


def _said(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)
