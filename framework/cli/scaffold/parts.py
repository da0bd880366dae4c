"""How a spec uses a part of its package's own, by what its base is made of."""

from __future__ import annotations

from typing import Any

from triptych.errors import OptionError
from triptych.spec.document import Tree


def using(part: str, tree: Tree, *, base: str) -> dict[str, Any]:
    """The sections of a spec on top of `tree` that put the part `KIND.NAME` to use. Raises OptionError for no place."""
    kind, _, name = part.partition(".")
    found = _norm(name, tree) if kind == "norm" else _mixer(name, tree)
    if not found:
        wanted = "`parts.norm` or a projector" if kind == "norm" else "`parts.mlp` with weights for it in its layers"
        raise OptionError(f"{base} has no place for a {kind}: it has no {wanted}; another --base may", path="--part")
    return found


def _norm(name: str, tree: Tree) -> dict[str, Any]:
    parts = tree.get("parts") or {}
    if isinstance(own := parts.get("norm"), Tree):
        return {"parts": {"norm": {"use": name, "eps": own.get("eps", 1e-6)}}}
    projectors = [key for key, steps in (tree.get("projectors") or {}).items() if isinstance(steps, Tree)]
    if not projectors:
        return {}
    steps = {key: {name: {"use": name, "eps": 1e-6}} for key in projectors}
    rows = {f"projectors.{key}.{name}": f"{key}_projector_norm" for key in projectors}
    return {"projectors": steps, "weights": rows}


def _mixer(name: str, tree: Tree) -> dict[str, Any]:
    own = (tree.get("parts") or {}).get("mlp")
    rows = {
        layers: [row for row in below if ".mlp." in row]
        for layers, below in (tree.get("weights") or {}).items()
        if isinstance(below, Tree)
    }
    rows = {layers: below for layers, below in rows.items() if below}
    if not isinstance(own, Tree) or not rows or not {"hidden", "activation"} <= own.keys():
        return {}
    fields = {"use": name, "hidden": own["hidden"], "activation": own["activation"]}
    return {"parts": {"mlp": fields}, "weights": {layers: _renamed(below) for layers, below in rows.items()}}


def _renamed(rows: list[str]) -> dict[str, str | None]:
    """The rows of the base's part taken back, and those of the new one."""
    branch = rows[0].partition(".mlp.")[0]
    return {**dict.fromkeys(rows), f"{branch}.mlp.up": "mlp.up_proj", f"{branch}.mlp.down": "mlp.down_proj"}
