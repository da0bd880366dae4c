"""Which registered family a checkpoint's config is nearest to, and what in the config that family has no place for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from math import isfinite
from pathlib import Path
from typing import Any

from triptych.errors import TriptychError
from triptych.spec.catalog import Listed, catalog, find_family, sample_config
from triptych.spec.config import Config, Names, bindings, inert_keys
from triptych.spec.document import Tree, read_document, walk
from triptych.spec.expressions import is_expression, mentions
from triptych.spec.merge import find_spec, load_tree
from triptych.spec.plan import plan


@dataclass(frozen=True)
class Kinship:
    """A family beside a config: the keys of the config that it reads, and the names it asks for in vain.

    `claim` is 2 for the family that answers for the config, 1 for one that lists its model type, else 0. `count` is how
    many keys it reads with those inside them, `depth` how many bases it stands on, `likeness` that of their names, from
    0 to 1.
    """

    name: str
    claim: int
    read: tuple[str, ...]
    count: int
    depth: int
    missing: tuple[str, ...]
    likeness: float

    @property
    def rank(self) -> tuple[int, int, int, int, float, str]:
        """Sorts the nearest first, of those that read alike the plainest."""
        return -self.claim, -self.count, self.depth, len(self.missing), -self.likeness, self.name


def telling_keys(config: Mapping[str, Any]) -> list[str]:
    """The keys of a config that say something of the model: not null, and not among those that never do."""
    inert = inert_keys()
    return [key for key, value in config.items() if value is not None and not _matches(key, inert)]


def count_keys(config: Mapping[str, Any], keys: Iterable[str]) -> int:
    """How many these keys of a config are, a mapping counting as those in it that say something."""
    return sum(max(1, len(telling_keys(config[key]))) if isinstance(config[key], Mapping) else 1 for key in keys)


def kinships(config: Mapping[str, Any]) -> list[Kinship]:
    """Every registered family beside a config, the nearest first; a family that cannot be read is left out."""
    found = []
    for listed in catalog().values():
        if listed.kind != "fragment":
            try:
                found.append(_kinship(listed, load_tree(listed.path), config))
            except TriptychError:  # told to who asks for it
                continue
    return sorted(found, key=lambda kin: kin.rank)


def unplaced(tree: Tree, config: Mapping[str, Any], *, name: str) -> list[str]:
    """Why the spec `tree`, called `name`, cannot serve a config: keys it does not read, values it does not take."""
    try:
        plan(tree, config, name=name)
    except TriptychError as error:
        problems = [(p.path, p.message.partition("; numbers could be")[0]) for p in error.problems]
        return [f"{path}: {message}" if path else message for path, message in problems]
    return []


def sample_words(tree: Tree, config: Mapping[str, Any], *, read: tuple[str, ...]) -> dict[str, Any]:
    """The switches, words and factors of a config that the spec `tree` reads and that go with its tiny sample.

    Sizes are left out: those of the sample are small, and fit each other.
    """
    try:
        tiny, found = sample_config(tree), dict[str, Any]()
    except TriptychError:
        return {}
    for key in read:
        value = config[key]
        if _is_word(value) and value != tiny.get(key):
            with_it = {**tiny, **found, key: value}
            found |= {key: value} if not unplaced(tree, with_it, name="sample") else {}
    return found


def _is_word(value: object) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    return isinstance(value, bool) or (isinstance(value, str) and not is_expression(value))


def _kinship(listed: Listed, tree: Tree, config: Mapping[str, Any]) -> Kinship:
    asked = {name for _, value, _ in walk(tree.without("sample")) for name in mentions(value)}
    asked |= set(tree.get("requires") or ())
    reading = Config(config, bindings(tree), Names({}, None))
    keys = reading.behind(asked)[1]
    read = tuple(key for key in telling_keys(config) if key in keys)
    missing = tuple(sorted(name for name in asked if not reading.behind([name])[1] & config.keys()))
    return Kinship(
        listed.name,
        claim=_claim(listed, config),
        read=read,
        count=count_keys(config, read),
        depth=_depth(listed.path),
        missing=missing,
        likeness=_likeness(listed, config),
    )


def _depth(path: Path) -> int:
    given = read_document(path).get("base")
    bases = given if isinstance(given, list) else [given] if given else []
    return max((1 + _depth(find_spec(base, near=path.parent)) for base in bases), default=0)


def _claim(listed: Listed, config: Mapping[str, Any]) -> int:
    try:
        if find_family(config) == listed.name:
            return 2
    except TriptychError:  # nobody answers, or several do
        pass
    return int(config.get("model_type") in listed.model_types)


def _likeness(listed: Listed, config: Mapping[str, Any]) -> float:
    given = config.get("architectures")
    own = [*(given if isinstance(given, list) else []), config.get("model_type")]
    words = [word.lower() for word in own if isinstance(word, str)]
    known = [word.lower() for word in (*listed.architectures, *listed.model_types)]
    return max((SequenceMatcher(None, a, b).ratio() for a in words for b in known), default=0.0)


def _matches(key: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)
