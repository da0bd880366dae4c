"""Writes docs/capabilities.md: what each capability is declared by, and what proves it."""

from __future__ import annotations

from pathlib import Path

from triptych.capabilities import CAPABILITIES, Capability

PAGE = Path(__file__).resolve().parent.parent / "docs" / "capabilities.md"
HEAD = """# Capabilities

A model class says what it can do by flags, class attributes that an interface such as `SupportsMultiModal` sets, and by
its members. `triptych show NAME --capabilities` tells where a spec stands, `capability_report(model)` where a class or
an instance does:

| state | flag | members |
|---|---|---|
| absent | no | no |
| implemented | no | yes; it is warned of |
| verified | yes, or none is needed | yes |
| declared | yes | only an instance has them |
| declared only | yes | nothing here can prove it |
| contradicted | yes | no: a class is not registered, a spec is not assembled |

A spec declares them under `capabilities:`, by the names of the first column.

| capability | flag | what proves it |
|---|---|---|
"""


def page() -> str:
    """The text of the page."""
    return HEAD + "".join(f"{_row(row)}\n" for row in CAPABILITIES.values())


def _row(row: Capability) -> str:
    flag = f"`{row.flag}`" if row.value is True else f'`{row.flag} = "{row.value}"`'
    proof = ", ".join(f"`{member}`" for member in row.needs) or "nothing here"
    unless = f"; not needed with `{row.unless}`" if row.unless else ""
    return f"| `{row.name}` | {flag if row.flag else 'none'} | {proof}{unless} |"


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
