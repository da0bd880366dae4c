"""Which specs there are and which of them answers for a config. Each file is read once; nothing is imported."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from os import PathLike
from os.path import isdir, isfile, join
from pathlib import Path
from typing import Any

from triptych.errors import RegistrationError, SpecError, short, suggest
from triptych.registry import spec_files
from triptych.registry.models import model_names
from triptych.registry.specs import spec_origins
from triptych.registry.suffixes import family_words
from triptych.spec.classifier import TOKENS
from triptych.spec.document import Tree
from triptych.spec.merge import Loader, find_spec, load_tree

OWN_SPEC = "spec.yaml"  # of a folder that brings its spec, as one that was trained here does


@dataclass(frozen=True)
class Listed:
    """A registered spec as a list shows it. `config_file`: a name of a config beside the usual one, and its keys."""

    name: str
    kind: str
    architectures: tuple[str, ...]
    model_types: tuple[str, ...]
    path: Path
    config_file: tuple[str, tuple[str, ...]] | None = None


def catalog() -> dict[str, Listed]:
    """Every registered spec by name, but for those that cannot be read: `unreadable` says why."""
    return _read_all(tuple(spec_files().items()))[0]


def unreadable() -> list[str]:
    """Why some registered specs are not in the catalog."""
    return _read_all(tuple(spec_files().items()))[1]


@cache
def _read_all(files: tuple[tuple[str, Path], ...]) -> tuple[dict[str, Listed], list[str]]:
    found, wrong, loader = dict[str, Listed](), list[str](), Loader()
    for name, path in files:
        try:
            found[name] = _listed(name, path, loader)
        except SpecError as error:  # a broken spec troubles only who asks for it
            wrong.append(f"spec {name!r} ({', '.join(spec_origins(name))}) cannot be read: {error}")
    return found, wrong


def _listed(name: str, path: Path, loader: Loader) -> Listed:
    tree = loader.read(path)
    words = {key: _words(tree, key) for key in ("architectures", "model_types")}
    return Listed(name, _kind(loader, path, words), **words, path=path, config_file=_config_file(tree))


def _config_file(tree: Tree) -> tuple[str, tuple[str, ...]] | None:
    """Of a form that is checked where a spec is: what is amiss claims nothing."""
    given = tree.get("config_file")
    if not isinstance(given, Tree) or not isinstance(name := given.get("name"), str):
        return None
    return name, _words(given, "keys")


def _words(tree: Tree, key: str) -> tuple[str, ...]:
    given = tree.get(key)
    if given is not None and not (isinstance(given, list) and all(isinstance(word, str) for word in given)):
        raise SpecError(f"a list of names is wanted, not {short(given)}", path=key, place=tree.values_at.get(key))
    return tuple(given or ())


def _kind(loader: Loader, path: Path, words: Mapping[str, tuple[str, ...]]) -> str:
    """By what the whole spec holds, its bases' keys included; a model of text that has no head is for embeddings."""
    if not any(words.values()):
        return "fragment"
    merged = loader.load(path)
    text = merged.get("language_model")
    writes = isinstance(text, Mapping) and (text.get("head") is not None or text.get("spec"))
    if "tower" in merged or "towers" in merged:
        return "tower" if "tower" in merged else "multimodal"
    return "language_model" if writes else "embedding_model"


def load_named(name: str) -> tuple[str, Tree]:
    """A spec by name or by the path of a YAML file: (its name, the merged tree).

    Raises SpecError, as `spec_file` does.
    """
    path = spec_file(name)
    return path.stem, load_tree(path)


def spec_file(name: str) -> Path:
    """The file of a spec by its name, by its path, or by that of a checkpoint folder which brings it.

    Raises SpecError; for a name that is no spec's it says whose it is, or the nearest.
    """
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    try:
        return find_spec(name)
    except SpecError:
        if (own := own_spec(name)) is not None:
            return Path(own)
        if serving := [s.name for s in catalog().values() if name in (*s.architectures, *s.model_types)]:
            raise SpecError(f"unknown spec {name!r}; {' and '.join(serving)} answers for it") from None
        if name in model_names():
            raise SpecError(f"{name} is a model class, written by hand; there is no spec of it") from None
        if isdir(name):
            wanted = f"a spec's name or YAML file is wanted; of a checkpoint: triptych check SPEC --checkpoint {name}"
            raise SpecError(f"{name} is a folder; {wanted}") from None
        raise


def own_spec(folder: str | PathLike[str]) -> str | None:
    """The path of the spec that a checkpoint folder brings; None where there is none, and its config chooses."""
    path = join(folder, OWN_SPEC)
    return path if isfile(path) else None


def find_family(config: Mapping[str, Any], *, inside: bool = False) -> str:
    """The spec that answers for a config: by its `architectures`, or by its `model_type` where it names none.

    A class that no spec names may still be one of a family's, converted: `find_conversion` says how. A config `inside`
    another one may name a class that is not the whole of it: its `model_type` counts then too.
    Raises SpecError when no spec answers, with the nearest names; RegistrationError when several do.
    """
    classes, types = _texts(config.get("architectures")), _texts(config.get("model_type"))
    if found := _claimed("architectures", classes) or (_claimed("model_types", types) if inside or not classes else ""):
        return found
    if found := next((s for name in classes for s in [_claimed("architectures", [*family_words(name)])] if s), ""):
        return found
    if not classes and not types:
        raise SpecError("this config names neither `architectures` nor `model_type`; no spec can be chosen for it")
    known = [w for listed in catalog().values() for w in (*listed.architectures, *listed.model_types)]
    words, kin = [*classes, *types], _claimed("model_types", types)
    near = f"; {kin} serves {' and '.join(catalog()[kin].architectures)}" if kin else suggest(words[0], known)
    broken = "".join(f" ({why})" for why in unreadable())
    raise SpecError(f"no spec answers for {' / '.join(words)}{near}{broken}")


def find_conversion(config: Mapping[str, Any], family: str) -> str | None:
    """What the class that a config names makes of the family that answers for it; None when it is the family's own.

    A config that names tokens as labels makes a classifier of it, whatever its class.
    """
    if config.get(TOKENS) is not None:
        return "classify"
    classes, own = _texts(config.get("architectures")), set(catalog()[family].architectures)
    ways = [how for name in classes for word, how in family_words(name).items() if word in own]
    return None if own & set(classes) else next(iter(ways), None)


def _claimed(key: str, words: list[str]) -> str:
    """The one spec that lists one of the words under `key`, or ''."""
    found = [listed.name for listed in catalog().values() if set(getattr(listed, key)) & set(words)]
    if len(found) > 1:
        raise RegistrationError(f"{', '.join(words)}: claimed by {' and by '.join(found)}")
    return found[0] if found else ""


def _texts(value: object) -> list[str]:
    """The words in what a config says: a list of them, or one."""
    return [word for word in (value if isinstance(value, list) else [value]) if isinstance(word, str) and word]


def sample_config(tree: Tree, *, needed_by: str = "") -> dict[str, Any]:
    """The spec's `sample` as a checkpoint's config, naming the family that it is of.

    Raises SpecError for what is no mapping, and when the spec called `needed_by` has none.
    """
    sample = tree.get("sample") or {}
    if needed_by and not sample:
        raise SpecError(f"{needed_by} has no `sample` config to build a model of")
    if not isinstance(sample, Mapping):
        raise SpecError(f"a mapping is wanted, not {short(sample)}", path="sample", place=tree.values_at.get("sample"))
    classes, types = _words(tree, "architectures"), _words(tree, "model_types")
    own = deepcopy(sample)  # the tree is read once for all, and a config is its owner's to change
    return {"architectures": list(classes), "model_type": next(iter(types), None), **own}
