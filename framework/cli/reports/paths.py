"""Where a file stands as seen from the root of what is checked: the names that reports share with a repository."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def relative(file: str) -> str:
    """The path below the root, with `/`; outside of it the whole path. The root is GitHub's workspace, else here."""
    root, path = os.path.abspath(os.environ.get("GITHUB_WORKSPACE") or os.curdir), os.path.abspath(file)
    inside = os.path.commonpath([root, path]) == root
    return Path(os.path.relpath(path, root) if inside else path).as_posix()


def uri(file: str) -> str:
    """As `relative`, as a URI reference: relative below the root, else `file:///...`."""
    path = relative(file)
    quoted = quote(os.fsencode(path))
    return f"file://{quoted}" if path.startswith("/") else quoted
