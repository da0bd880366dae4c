"""What no file and no override of an experiment may say: Python names to call, Hydra's own settings, look-ups outside.

An experiment is data. What could run code, or bring the environment of whoever runs it into a result, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from triptych.errors import Place, Problem, short
from triptych.spec.document import Items, Tree, walk

CALLS = frozenset({"_target_", "_partial_", "_recursive_", "_convert_", "_args_"})
LOOK_UP = re.compile(r"\$\{(?!\s*[\w.\[\]]+\s*\})")  # `${` that does not begin the path of another key
RESOLVER = re.compile(r"\$\{\s*([\w.]+)\s*:")
NO_CALL = "names code to call; an experiment is data alone"
NO_HYDRA = "Hydra's own settings are not an experiment's to change"


def refused(tree: Tree) -> Iterator[Problem]:
    """Every mistake of this kind in a file."""
    for key in tree:
        if key.partition(".")[0] == "hydra":
            yield Problem(NO_HYDRA, key, tree.keys_at.get(key))
    if not isinstance(defaults := tree.get("defaults", []), list):
        yield Problem(f"a list is wanted; found {short(defaults)}", "defaults", tree.values_at.get("defaults"))
    yield from _of_defaults(defaults)
    yield from _calls(tree, ())
    for path, value, place in walk(tree):
        if isinstance(value, str) and (found := look_up(value)):
            yield Problem(found, ".".join(path), place)


def refused_override(text: str) -> str:
    """What is wrong with an override; '' when nothing is."""
    key = text.partition("=")[0].lstrip("+~")
    if re.split(r"[./@]", key)[0] == "hydra" or "@hydra" in key:
        return NO_HYDRA
    if called := next((word for word in sorted(CALLS) if re.search(rf"(?<!\w){word}(?!\w)", text)), ""):
        return f"{called!r} {NO_CALL}"
    return look_up(text)


def look_up(text: str) -> str:
    """What is wrong with a text that asks a resolver; '' for one that asks none. `${a.b}` is another key's value."""
    if not LOOK_UP.search(text):
        return ""
    named = RESOLVER.search(text)
    what = (
        f"'{named[1]}:' is a look-up outside the experiment" if named else "what `${` begins is not the path of a key"
    )
    return f"{what}; write the value, or ${{another.key}}"


def _of_defaults(defaults: object) -> Iterator[Problem]:
    if not isinstance(defaults, Items):
        return
    for entry, place in zip(defaults, defaults.places, strict=True):
        if not isinstance(entry, str | Tree):
            yield Problem(f"an entry is `/group: option` or a name, not {short(entry)}", "defaults", place)
            continue
        for name in entry if isinstance(entry, Tree) else [entry]:
            words = re.split(r"[\s/@.]+", str(name).strip())
            if "hydra" in words:
                yield Problem(NO_HYDRA, "defaults", place)


def _calls(value: object, path: tuple[str, ...]) -> Iterator[Problem]:
    if isinstance(value, Tree):
        for key, child in value.items():
            if key in CALLS:
                yield Problem(f"{key!r} {NO_CALL}", ".".join((*path, key)), value.keys_at.get(key))
            yield from _calls(child, (*path, key))
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from _calls(child, (*path, str(number)))


def at_override(text: str) -> Place:
    """The place of what an override says, as it was typed."""
    return Place(f"override {text!r}", 0, 0)
