"""Bars on stderr, gone when they are full; silent where stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable

    Update = Callable[[int, int], None]


def loading(title: str) -> AbstractContextManager[Update]:
    """Call what it gives with the bytes that are done and those that there are."""
    return _bar(title, "DownloadColumn")


def counting(title: str) -> AbstractContextManager[Update]:
    """Call what it gives with the rows that are done and those that there are."""
    return _bar(title, "MofNCompleteColumn", "TimeRemainingColumn")


@contextmanager
def _bar(title: str, *more: str) -> Iterator[Update]:
    """A bar with `more` columns, by their names, for rich is imported only where there is one."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich import progress
    from rich.console import Console

    columns = (progress.TextColumn("{task.description}"), progress.BarColumn())
    others = (getattr(progress, name)() for name in more)
    with progress.Progress(*columns, *others, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
