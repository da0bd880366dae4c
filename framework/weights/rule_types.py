"""What the rules of a mapper may be made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from triptych.errors import Problem, short


def mistyped_rules(tables: Mapping[str, object]) -> list[Problem]:
    """Every rule of the tables `regex`, `substr`, `stacked`, `prefix` and `suffix` that is of other types than these
    take.
    """
    return [problem for table, rules in tables.items() for problem in _of_table(table, rules)]


def _of_table(table: str, rules: object) -> Iterator[Problem]:
    if not isinstance(rules, Mapping):
        yield Problem(f"a mapping old -> new is wanted, not {short(rules)}", table)
        return
    for old, new in rules.items():
        if table == "regex" and not isinstance(old, re.Pattern):
            yield Problem(f"a compiled expression is wanted, re.compile({short(old)}) say", table)
        elif table != "regex" and not isinstance(old, str):
            yield Problem(f"a text is wanted as what is found, not {short(old)}", table)
        if table == "stacked" and not _is_shard(new):
            yield Problem(f"for {short(old)}: (new fragment, shard id) is wanted, not {short(new)}", table)
        elif table != "stacked" and not isinstance(new, str | None):
            yield Problem(f"for {short(old)}: a text, or None to drop the weight, is wanted, not {short(new)}", table)


def _is_shard(new: object) -> bool:
    return (
        isinstance(new, tuple)
        and len(new) == 2
        and isinstance(new[0], str)
        and isinstance(new[1], str | int | tuple | list | None)
    )
