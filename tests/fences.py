"""The fenced blocks of a page: what stands in them, and what the comment above one says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(?:<!-- (.+?) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w./-]+\.\w+)\n")
LANGUAGES = ("python", "yaml", "toml", "sh", "text")  # `text` is what the block before it prints


@dataclass(frozen=True)
class Fence:
    """A block. `mark`: the comment on the line above; `file`: the path that its first line names, as `# a/b.yaml`."""

    mark: str
    language: str
    text: str

    @property
    def file(self) -> str:
        found = FILE.match(self.text)
        return found[1] if found and self.language != "sh" else ""

    def marked(self, word: str) -> str:
        """What the mark says after `word: `; '' where it says something else."""
        return self.mark.removeprefix(f"{word}: ") if self.mark.startswith(f"{word}: ") else ""

    @property
    def commands(self) -> list[str]:
        """Of a block of shell, its commands; one that ends in a backslash goes on in the next line."""
        return [line for line in re.sub(r"\\\n", "", self.text).splitlines() if line.strip()]


def fences(page: Path) -> list[Fence]:
    """All blocks of a page, in order."""
    return [Fence(*found) for found in FENCE.findall(page.read_text("utf-8"))]
