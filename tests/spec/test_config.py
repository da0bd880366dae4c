"""Where a config keeps a fact: bindings shared and a family's own, defaults, null as absent, layer by layer."""

from __future__ import annotations

from typing import Any

import pytest

from triptych.errors import SpecError
from triptych.spec.document import parse_document
from triptych.spec.scope import Scope


def scope(config: dict[str, Any], spec: str = "") -> Scope:
    return Scope.of("my", parse_document(spec, file="my.yaml"), config)


@pytest.mark.parametrize(
    ("name", "config", "found"),
    [
        ("hidden_size", {"hidden_size": 1, "n_embd": 2}, 1),  # the name itself first
        ("hidden_size", {"n_embd": 2, "d_model": 3}, 2),  # then other names, in order
        ("hidden_size", {"hidden_size": None, "d_model": 3}, 3),  # null is absent
        ("num_key_value_heads", {"num_attention_heads": 8}, 8),  # a fact that follows from another
        ("num_key_value_heads", {"num_key_value_heads": None, "n_head": 8}, 8),
        ("head_dim", {"hidden_size": 64, "num_attention_heads": 4}, 16),
        ("head_dim", {"n_embd": 64, "n_head": 4}, 16),
        ("norm_eps", {"layer_norm_epsilon": 1e-5}, 1e-5),
        ("rope_base", {"rope_theta": 5.0, "rope_parameters": {"rope_theta": 7.0}}, 7.0),  # a dotted key
        ("rope_base", {"rope_theta": 5.0, "rope_scaling": None}, 5.0),
        ("rope_base", {}, 10000.0),
        ("somewhere", {"somewhere": 0}, 0),  # a name without a binding is a key
        ("somewhere", {"somewhere": False}, False),
    ],
)
def test_shared_bindings_are_tried_in_order(name: str, config: dict[str, Any], found: Any) -> None:
    assert scope(config).config[name] == found


def test_a_name_that_is_kept_nowhere_says_where_it_was_looked_for() -> None:
    with pytest.raises(SpecError, match=r"^'=config\.hidden_size': the config has no hidden_size / n_embd / d_model$"):
        scope({}).value("=config.hidden_size")


OWN = """
config:
  width: [deep.er.width, =config.half * 2]
  half: [half, other_half]
  kind:
  - =config.kinds[layer]
  - ='plain'
  hidden_size: only_here
defaults: {half: 5, bias: true, kinds: null}
"""


def test_a_familys_own_binding_replaces_the_shared_one_and_the_name() -> None:
    assert scope({"only_here": 3, "hidden_size": 1, "n_embd": 2}, OWN).config["hidden_size"] == 3
    with pytest.raises(SpecError, match=r"the config has no only_here$"):
        scope({"hidden_size": 1}, OWN).value("=config.hidden_size")


def test_a_place_may_be_a_key_a_dotted_key_or_an_expression() -> None:
    assert scope({"deep": {"er": {"width": 9}}, "half": 2}, OWN).config["width"] == 9
    assert scope({"deep": {"er": 3}, "half": 2}, OWN).config["width"] == 4
    assert scope({"deep": 1, "other_half": 3}, OWN).config["width"] == 6


@pytest.mark.parametrize(
    ("config", "half"),
    [
        ({"half": 2}, 2),
        ({"other_half": 3}, 3),
        ({}, 5),  # a default comes after every place on disk
        ({"half": None}, None),  # and only where the file is silent: null says that there is none
        ({"half": 0}, 0),
    ],
)
def test_a_default_holds_where_the_file_is_silent(config: dict[str, Any], half: Any) -> None:
    assert scope(config, OWN).config["half"] == half


def test_a_default_comes_before_expressions() -> None:
    spec = "config: {width: [width, =config.other]}\ndefaults: {width: 7}"
    assert scope({"other": 3}, spec).config["width"] == 7
    assert scope({"other": 3, "width": None}, spec).config["width"] == 3


def test_a_default_for_a_shared_name_keeps_its_places() -> None:
    spec = "defaults: {num_key_value_heads: 2}"
    assert scope({"num_kv_heads": 3, "n_head": 8}, spec).config["num_key_value_heads"] == 3
    assert scope({"n_head": 8}, spec).config["num_key_value_heads"] == 2


def test_a_binding_sees_the_layer() -> None:
    found = scope({"kinds": ["full", "sliding"]}, OWN)
    assert [found.at_layer(n).value("=config.kind") for n in (0, 1)] == ["full", "sliding"]
    assert scope({}, OWN).at_layer(1).value("=config.kind") == "plain"


def test_what_asks_for_the_layer_through_a_binding_is_no_fact_of_all_layers() -> None:
    layer = scope({"kinds": ["full", "sliding"]}, OWN).at_layer(0)
    assert layer.value("=config.half") == 5
    assert layer.names.layer_reads == 0
    for _ in range(2):  # found at once the second time, and counted all the same
        assert layer.value("=config.kind") == "full"
    assert layer.names.layer_reads == 2


def test_a_cycle_of_bindings_is_named() -> None:
    spec = "config: {a: [a, =config.b], b: =config.c + 1, c: =config.a}"
    with pytest.raises(SpecError, match=r"config bindings lead round in a circle: .*a -> b -> c -> a"):
        scope({}, spec).value("=config.a")
    assert scope({"a": 1}, spec).value("=config.b") == 2


def test_bindings_that_ask_for_each_other_many_times_over_are_found_once() -> None:
    chain = "\n".join(f"  b{n}: =config.b{n + 1} + config.b{n + 1}" for n in range(25))
    assert scope({"b25": 1}, f"config:\n{chain}").value("=config.b0") == 2**25
    missing = "\n".join(f"  b{n}: [=config.b{n + 1}, =config.b{n + 1}]" for n in range(25))
    with pytest.raises(SpecError, match="the config has no b0"):
        scope({}, f"config:\n{missing}").value("=config.b0")


def test_a_chain_of_bindings_without_end_is_refused() -> None:
    chain = "\n".join(f"  b{n}: =config.b{n + 1}" for n in range(2000))
    with pytest.raises(SpecError, match="config bindings lead through more than 30 names"):
        scope({"b2000": 1}, f"config:\n{chain}").value("=config.b0")


def test_null_from_a_config_leaves_a_key_out() -> None:
    found = scope({"window": None, "size": 3}, "x: {window: =config.window, size: =config.size, inner: {a: =None}}")
    assert found.value(found.tree["x"]) == {"size": 3, "inner": {}}
    assert found.value(found.tree["x"], keep_null=True) == {"window": None, "size": 3, "inner": {"a": None}}


def test_every_expression_without_a_value_is_told_with_its_place() -> None:
    found = scope({"b": 1}, "x:\n  a: =config.nope\n  b: =config.b\n  c: [=config.none]")
    with pytest.raises(SpecError) as raised:
        found.value(found.tree["x"])
    assert str(raised.value).splitlines() == [
        "my.yaml:2:6: a: '=config.nope': the config has no nope",
        "my.yaml:4:7: c: '=config.none': the config has no none",
    ]
