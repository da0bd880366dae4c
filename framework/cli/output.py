"""What the commands print in JSON. `json` is imported when it is needed: `--help` does not pay for it."""

from __future__ import annotations


def print_json(value: object) -> None:
    import json

    print(json.dumps(value, indent=2))
