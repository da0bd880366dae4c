"""What the members of a sweep came to, beside each other: a row each, kept as JSON lines and as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from triptych.errors import TriptychError
from triptych.experiments.plot import plot
from triptych.experiments.run import folder_name
from triptych.experiments.sweep import Member
from triptych.whole_file import write_whole


def compared(member: Member) -> dict[str, object]:
    """A line of the comparison: the choices that make this member, then what it came to, or `error`."""
    choices: dict[str, object] = {key: value for key, _, value in (word.partition("=") for word in member.choices)}
    return {**choices, **(member.outcome.result if member.outcome else {"error": why(member)})}


def why(member: Member) -> str:
    """What broke a member."""
    error = member.error
    return str(error) if isinstance(error, TriptychError) else f"{type(error).__name__}: {error}"


def keep(words: Sequence[str], members: Sequence[Member]) -> Path | None:
    """Write comparison.jsonl and comparison.png to a folder beside those of the runs, which is returned.

    None where no member came to anything. Raises OSError.
    """
    done = [member.outcome.folder.parent for member in members if member.outcome]
    if not done:
        return None
    folder = done[0] / "sweeps" / folder_name([word for word in words if not word.startswith("run.folder=")])
    folder.mkdir(parents=True, exist_ok=True)
    rows = [compared(member) for member in members]
    write_whole(folder / "comparison.jsonl", "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
    measured = [member.outcome.result if member.outcome else {} for member in members]
    if picture := plot(measured, [*map(_name, members)], title=" ".join(words)):
        write_whole(folder / "comparison.png", picture)
    return folder


def _name(member: Member) -> str:
    """Its choices: options without the names of their groups, which all members share, and values with their keys."""
    pairs = (word.partition("=") for word in member.choices)
    return " ".join(f"{key.rpartition('.')[2]}={value}" if "." in key else value for key, _, value in pairs)
