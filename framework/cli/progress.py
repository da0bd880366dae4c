"""Bars on stderr, gone when they are full; silent where stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import ProgressColumn


@contextmanager
def loading(title: str) -> Iterator[Callable[[int, int], None]]:
    """Call what it gives with the bytes that are done and those that there are."""
    from rich.progress import DownloadColumn

    with _bar(title, DownloadColumn()) as update:
        yield update


@contextmanager
def counting(title: str) -> Iterator[Callable[[int, int], None]]:
    """Call what it gives with the rows that are done and those that there are."""
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    with _bar(title, MofNCompleteColumn(), TimeRemainingColumn()) as update:
        yield update


@contextmanager
def _bar(title: str, *more: ProgressColumn) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), *more)
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
