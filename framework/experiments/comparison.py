"""What the members of a sweep came to, beside each other: a row each, kept as JSON lines and as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from triptych.errors import TriptychError
from triptych.experiments.plot import COLOURS, plot
from triptych.experiments.run import folder_name
from triptych.experiments.sweep import Member
from triptych.whole_file import write_whole


def compared(member: Member) -> dict[str, object]:
    """A line of the comparison: the choices that make this member, then what it came to, or `error`."""
    return {**_choices(member), **(member.outcome.result if member.outcome else {"error": why(member)})}


def shown(member: Member) -> dict[str, object]:
    """The same, of what it came to only that which its experiment compares, if that names something."""
    return {**_choices(member), **(_measured(member) if member.outcome else {"error": why(member)})}


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
    names, colours = [*map(_name, members)], None
    if _in_two(members):
        names, colours = [_said(each.choices[:-1]) for each in members], [_said(each.choices[-1:]) for each in members]
    if picture := plot([*map(_measured, members)], names, title=" ".join(words), colours=colours):
        write_whole(folder / "comparison.png", picture)
    return folder


def _choices(member: Member) -> dict[str, object]:
    return {key: value for key, _, value in (word.partition("=") for word in member.choices)}


def _measured(member: Member) -> dict[str, object]:
    """What a member came to, in the order in which its experiment names what is compared."""
    if (done := member.outcome) is None:
        return {}
    named = {key: done.result[key] for key in done.compare if key in done.result}
    return named or dict(done.result)


def _in_two(members: Sequence[Member]) -> bool:
    """Whether there are choices of several things, and few enough of the last for a colour each."""
    return len(members[0].choices) > 1 and len({member.choices[-1] for member in members}) <= COLOURS


def _name(member: Member) -> str:
    return _said(member.choices)


def _said(choices: Sequence[str]) -> str:
    """Options without the names of their groups, which all members share, and values with their keys."""
    pairs = (word.partition("=") for word in choices)
    return " ".join(f"{key.rpartition('.')[2]}={value}" if "." in key else value for key, _, value in pairs)
