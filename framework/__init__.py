"""Models as data: a model family is a YAML document; one runner runs every spec."""

from __future__ import annotations

if __name__ != "triptych":
    raise ImportError(f"import triptych, not {__name__}")

TYPE_CHECKING = False  # as in `typing`, which is slow to import
if TYPE_CHECKING:
    from typing import Any

    from triptych.assembly.assemble import Assembled as Assembled
    from triptych.assembly.assemble import assemble as assemble
    from triptych.errors import TriptychError as TriptychError
    from triptych.tasks.load import load as load
    from triptych.tasks.load import random_init as random_init
    from triptych.tasks.model import Completion as Completion
    from triptych.tasks.model import Model as Model

# Imported when first asked for: `import triptych` costs nothing, `triptych.load` brings torch.
_WHERE = {
    "Assembled": "triptych.assembly.assemble",
    "assemble": "triptych.assembly.assemble",
    "TriptychError": "triptych.errors",
    "load": "triptych.tasks.load",
    "random_init": "triptych.tasks.load",
    "Completion": "triptych.tasks.model",
    "Model": "triptych.tasks.model",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'triptych' has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(_WHERE[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
