"""Which specs there are and which of them answers for a config. Each file is read once; nothing is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from triptych.errors import RegistrationError, SpecError, suggest
from triptych.registry import spec_files
from triptych.spec.document import Tree, read_document
from triptych.spec.merge import find_spec, load_tree


@dataclass(frozen=True)
class Listed:
    """A registered spec as a list shows it."""

    name: str
    kind: str
    architectures: tuple[str, ...]
    model_types: tuple[str, ...]
    path: Path


@cache
def catalog() -> dict[str, Listed]:
    """Every registered spec by name."""
    return {name: _listed(name, path) for name, path in spec_files().items()}


def _listed(name: str, path: Path) -> Listed:
    tree = read_document(path)
    words = {key: tuple(tree.get(key) or ()) for key in ("architectures", "model_types")}
    return Listed(name, _kind(tree, path, words), words["architectures"], words["model_types"], path)


def _kind(tree: Tree, path: Path, words: Mapping[str, tuple[str, ...]]) -> str:
    """model, tower or fragment: by what the whole spec holds, its bases' keys included."""
    if not any(words.values()):
        return "fragment"
    merged = load_tree(path) if "base" in tree else tree
    return "tower" if "tower" in merged else "multimodal" if "towers" in merged else "language_model"


def load_named(name: str) -> tuple[str, Tree]:
    """A spec by name or by the path of a YAML file: (its name, the merged tree)."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else find_spec(name)
    return path.stem, load_tree(path)


def find_family(config: Mapping[str, Any]) -> str:
    """The spec that answers for a config: by its `architectures`, else by its `model_type`.

    Raises SpecError when none does, with the nearest names; RegistrationError when several do.
    """
    wanted = {"architectures": config.get("architectures") or (), "model_types": (config.get("model_type"),)}
    for key, words in wanted.items():
        found = [listed.name for listed in catalog().values() if set(getattr(listed, key)) & set(words)]
        if len(found) > 1:
            raise RegistrationError(f"{', '.join(map(str, words))}: claimed by {' and by '.join(found)}")
        if found:
            return found[0]
    words = [str(w) for w in (*wanted["architectures"], *wanted["model_types"]) if w]
    known = [w for listed in catalog().values() for w in (*listed.architectures, *listed.model_types)]
    if not words:
        raise SpecError("this config names neither `architectures` nor `model_type`; no spec can be chosen for it")
    raise SpecError(f"no spec answers for {' / '.join(words)}{suggest(words[0], known)}")


def sample_config(tree: Tree) -> dict[str, Any]:
    """The spec's `sample` as a checkpoint's config, naming the family that it is of."""
    first = next(iter(tree.get("model_types") or ()), None)
    words = {"architectures": list(tree.get("architectures") or ()), "model_type": first}
    return {**words, **(tree.get("sample") or {})}
