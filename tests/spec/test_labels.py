"""How many labels a classifier has and what they are called, wherever a config keeps that."""

from __future__ import annotations

from typing import Any

import pytest

from triptych.spec.catalog import load_named, sample_config
from triptych.spec.conversion import labels_of
from triptych.spec.document import Tree, parse_document
from triptych.spec.merge import merge
from triptych.spec.plan import plan

TWO, THREE, FIVE = ({"id2label": {str(i): f"{n}{i}" for i in range(n)}} for n in (2, 3, 5))


def labels(config: dict[str, Any], *, convert: str = "classify") -> int:
    """The labels of a llama that reads one fact of a nested config too, beside its own."""
    tree = merge(load_named("llama")[1], parse_document("inert: [text_config]", file="my.yaml"))
    assert isinstance(tree, Tree)
    pooler: Any = plan(tree, {**sample_config(tree), **config}, convert=convert).pooler
    count: int = pooler.labels
    return count


@pytest.mark.parametrize(
    ("config", "count", "names"),
    [
        ({}, 2, ()),
        ({"num_labels": 4}, 4, ()),
        (THREE, 3, ("30", "31", "32")),
        ({"id2label": None}, 2, ()),
        ({**TWO, "text_config": FIVE}, 5, ("50", "51", "52", "53", "54")),
        ({"num_labels": 2, "text_config": {"num_labels": 5}}, 5, ()),
        ({"text_config": FIVE}, 5, ("50", "51", "52", "53", "54")),
        ({**THREE, "text_config": FIVE}, 3, ("30", "31", "32")),
        ({"num_labels": 1, "text_config": FIVE}, 1, ...),
        ({**TWO, "text_config": {"hidden_size": 8}}, 2, ("20", "21")),
        ({**TWO, "text_config": {"id2label": {"0": "a", "1": "b"}}}, 2, ("20", "21")),
        ({**TWO, "text_config": None}, 2, ("20", "21")),
    ],
)
def test_labels_are_those_of_the_config_unless_it_has_the_default(config: Any, count: int, names: Any) -> None:
    assert labels(config) == count
    if names is not ...:
        assert labels_of(config) == names


@pytest.mark.parametrize(
    ("method", "count", "names"), [("from_2_way_softmax", 1, ("yes",)), ("no_post_processing", 2, ("no", "yes"))]
)
def test_tokens_that_are_labels_count_before_all_else(method: str, count: int, names: tuple[str, ...]) -> None:
    config = {**THREE, "method": method}
    assert labels({**config, "classifier_from_token": [3, 9]}) == count
    assert labels_of({**config, "classifier_from_token": ["no", "yes"]}) == names


NESTED = """
schema: 1
architectures: [NestedForCausalLM]
config:
  hidden_size: text_config.hidden_size
  vocab_size: text_config.vocab_size
"""


def test_a_text_family_with_a_nested_config_has_the_labels_that_it_states() -> None:
    tree = merge(load_named("llama")[1], parse_document(NESTED, file="nested.yaml"))
    assert isinstance(tree, Tree)
    config = {**sample_config(tree), **TWO, "text_config": {"hidden_size": 32, "vocab_size": 50, **FIVE}}
    for key in ("hidden_size", "vocab_size"):
        del config[key]
    found: Any = plan(tree, {**config, "num_attention_heads": 4, "num_key_value_heads": 4}, convert="classify")
    assert (found.language_model.width, found.pooler.labels, found.pooler.chances) == (32, 5, "softmax")
