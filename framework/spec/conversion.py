"""A model that writes text, used otherwise: what `conf/conversion/` says for all families, and what a family adds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, get_args

from triptych.errors import SpecError, short, suggest
from triptych.registry.suffixes import Conversion
from triptych.spec.base import PartSpec
from triptych.spec.classifier import METHOD, TOKENS, TokenLabels, read_token_labels
from triptych.spec.document import Tree, parse_document
from triptych.spec.merge import merge
from triptych.spec.scope import Scope
from triptych.spec.stack import defaulted
from triptych.spec.structure import check_structure

NOTHING: Mapping[str, Any] = MappingProxyType({})


def converted(tree: Tree, conversion: str, *, name: str, config: Mapping[str, Any] = NOTHING) -> Tree:
    """The spec with a conversion merged on top: the general one, then what the family says under `conversions`.

    A `config` that names tokens as labels has the layer of the labels made of the head. Raises SpecError for a
    conversion that there is not, and for a spec that it does not fit.
    """
    if conversion not in (known := {*get_args(Conversion)} - {"none"}):
        raise SpecError(f"no conversion {short(conversion)}{suggest(str(conversion), known)}", path="convert")
    check_structure(tree)
    stack = tree.get("language_model")
    if not isinstance(stack, Tree) or stack.get("spec"):
        raise SpecError(f"{name} has no text model of its own; only such a one can {conversion}", path="convert")
    own = (tree.get("conversions") or Tree()).get(conversion)
    found = merge(merge(tree, _general(conversion)), own or Tree())
    if conversion.endswith("classify") and (labels := read_token_labels(config)):
        found = merge(found, _from_head(Scope.of(name, tree, config), labels))
    assert isinstance(found, Tree)
    return found


def _from_head(scope: Scope, labels: TokenLabels) -> Tree:
    """What makes a classifier of the rows of a head: the name on disk of its matrix, and the rows that are taken."""
    stack, rows, scope = scope.tree["language_model"], scope.tree.get("weights") or Tree(), scope.at("language_model")
    place = stack.values_at.get("head")
    if stack.get("head") is None:
        scope.at("head").fail(f"{scope.name} has no head whose rows could be labels", place)
    head, embed = defaulted(scope, "head", stack, "linear"), defaulted(scope, "embed", stack, "tokens")
    said = dict(head)  # by its Spec, which stands above this layer
    if type(head) is not scope.spec_class("head", "linear", place) or said["softcap"] is not None:
        scope.at("head").fail("labels are rows of a plain head; what this one does to its logits is not in them", place)
    labels.check(dict(embed)["vocab"])
    source = rows.get("embed.tokens" if said["tied"] else "head")
    if not isinstance(source, str):
        scope.at("head").fail("labels are rows of a head that `weights` has one name on disk for", place)
    via = Tree({"use": "rows", "of": [*labels.of], "less": [*labels.less], "scale": said["scale"]})
    row = Tree({"from": source, "via": via})
    return Tree({"pooler": Tree({"bias": said["bias"]}), "weights": Tree({"pooler.out": row})})


def plan_pooler(conversion: str, config: Mapping[str, Any], said: Mapping[str, object]) -> PartSpec:
    """The pooler of a model that no spec describes: what `said` has in a spec's words, else what the conversion has.

    Raises SpecError with every mistake.
    """
    tree = _general(conversion)
    pooler = Tree({**tree["pooler"], **said})
    return defaulted(Scope.of("the pooler", tree, config), "pooler", tree.having("pooler", pooler), "sequence")


def width_of(config: Mapping[str, Any]) -> int:
    """The width of the hidden rows of a config's text model. Raises SpecError where it does not say."""
    text = config.get("text_config")
    found = Scope.of("", Tree(), text if isinstance(text, Mapping) else config).config["hidden_size"]
    if isinstance(found, bool) or not isinstance(found, int) or found < 1:
        raise SpecError(f"a width is wanted, not {short(found)}", path="config.hidden_size")
    return found


def labels_of(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a classifier's labels in their order; empty where the config names none.

    Tokens that are labels are their names; else it is as with the number of labels: two are the default, and the text
    model's count where it has names for another number.
    """
    if tokens := config.get(TOKENS):
        return tuple(map(str, tokens[1:] if config.get(METHOD) == "from_2_way_softmax" else tokens))
    text = config.get("text_config")
    inner = _named(text) if isinstance(text, Mapping) else ()
    own = _named(config)
    return inner if len(own) in (0, 2) and len(inner) not in (0, 2) else own or inner


def _named(config: Mapping[str, Any]) -> tuple[str, ...]:
    named = config.get("id2label")
    if not isinstance(named, Mapping) or not all(str(key).isdecimal() for key in named):
        return ()
    return tuple(str(named[key]) for key in sorted(named, key=int))


@cache
def _general(conversion: str) -> Tree:
    name = f"conversion/{conversion}.yaml"
    return parse_document((files("triptych.conf") / name).read_text("utf-8"), file=name)
