"""A model that writes text, used otherwise: what `conf/conversion/` says for all families, and what a family adds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from triptych.errors import SpecError, short, suggest
from triptych.registry.suffixes import find_suffix, siblings
from triptych.spec.document import Tree, parse_document
from triptych.spec.merge import merge
from triptych.spec.structure import check_structure

# The end of a class's name -> the conversion that makes it of the family that writes.
CONVERSIONS = {"ForSequenceClassification": "classify", "Model": "embed"}


def converted(tree: Tree, conversion: str, *, name: str) -> Tree:
    """The spec with a conversion merged on top: the general one, then what the family says under `conversions`.

    Raises SpecError for a conversion that there is not, and for a spec that it does not fit.
    """
    if conversion not in (known := set(CONVERSIONS.values())):
        raise SpecError(f"no conversion {short(conversion)}{suggest(str(conversion), known)}", path="convert")
    check_structure(tree)
    stack = tree.get("language_model")
    if not isinstance(stack, Tree) or stack.get("spec"):
        raise SpecError(f"{name} has no text model of its own; only such a one can {conversion}", path="convert")
    own = (tree.get("conversions") or Tree()).get(conversion)
    found = merge(merge(tree, _general(conversion)), own or Tree())
    assert isinstance(found, Tree)
    return found


def family_words(architecture: str) -> dict[str, str]:
    """Names of the classes that could serve in place of one that no spec names -> the conversion that it takes."""
    conversion = CONVERSIONS.get(find_suffix(architecture))
    return dict.fromkeys(siblings(architecture), conversion) if conversion else {}


def labels_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a classifier's labels in their order; empty where the config names none."""
    named = config.get("id2label")
    if not isinstance(named, Mapping) or not all(str(key).isdecimal() for key in named):
        return ()
    return tuple(str(named[key]) for key in sorted(named, key=int))


@cache
def _general(conversion: str) -> Tree:
    name = f"conversion/{conversion}.yaml"
    return parse_document((files("triptych.conf") / name).read_text("utf-8"), file=name)
