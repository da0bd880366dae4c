"""Names on disk to names of a hand-written model, rule by rule."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers.core_model_loading import WeightRenaming

from triptych.errors import WeightMapError
from triptych.weights import Target, WeightsMapper

FUSED = WeightsMapper(
    stacked={
        ".q_proj": (".qkv_proj", "q"),
        ".k_proj": (".qkv_proj", "k"),
        ".v_proj": (".qkv_proj", "v"),
        "gate_proj": ("gate_up_proj", 0),
        "up_proj": ("gate_up_proj", 1),
    }
)

Rules = Mapping[str, str | None]


@pytest.mark.parametrize(
    ("mapper", "name", "new"),
    [
        (WeightsMapper(), "a.b", "a.b"),
        (WeightsMapper(regex={re.compile(r"h\.(\d+)"): r"layers.\1"}), "h.1.h.23", "layers.1.layers.23"),
        (WeightsMapper(substr={".fc": ".mlp.fc"}), "a.fc.fc", "a.mlp.fc.fc"),
        (WeightsMapper(prefix={"model.": "lm."}), "model.model.x", "lm.model.x"),
        (WeightsMapper(prefix={"": "model."}), "x", "model.x"),
        (WeightsMapper(prefix={"model.": "lm."}), "a.model.x", "a.model.x"),
        (WeightsMapper(suffix={".gamma": ".weight"}), "a.gamma.gamma", "a.gamma.weight"),
        (WeightsMapper(suffix={".gamma": ".weight"}), "a.gamma.b", "a.gamma.b"),
        (WeightsMapper(prefix={"a.": "b.", "b.": "c."}), "a.x", "c.x"),
    ],
)
def test_a_substring_or_prefix_rule_rewrites_one_occurrence_and_a_regex_all(
    mapper: WeightsMapper, name: str, new: str
) -> None:
    assert mapper.map_name(name) == new


def test_tables_apply_in_one_order_each_rule_on_the_result_of_the_former() -> None:
    mapper = WeightsMapper(
        suffix={"5p": "6"},
        prefix={"4.": "5"},
        stacked={"3": ("4", "s")},
        substr={"2": "3"},
        regex={re.compile("1"): "2"},
        renaming=[WeightRenaming("0", "1")],
    )
    assert mapper.targets("0.p") == (Target("6", "s"),)


def test_a_renaming_of_transformers_is_a_rule() -> None:
    mapper = WeightsMapper(renaming=[WeightRenaming("^vision_model", "visual"), WeightRenaming("fc1", "up")])
    assert mapper.map_name("vision_model.layers.0.fc1.weight") == "visual.layers.0.up.weight"


@pytest.mark.parametrize(
    "mapper",
    [
        WeightsMapper(regex={re.compile(r"\.inv_freq$"): None}),
        WeightsMapper(substr={"rotary": None}),
        WeightsMapper(prefix={"model.rotary.": None}),
        WeightsMapper(suffix={".inv_freq": None}),
        WeightsMapper(regex={re.compile("model"): "m"}, prefix={"m.": None}, suffix={"inv_freq": "never"}),
    ],
)
def test_target_none_drops_the_weight(mapper: WeightsMapper) -> None:
    assert mapper.map_name("model.rotary.inv_freq") is None
    assert mapper.targets("model.rotary.inv_freq") == ()
    assert mapper.map_name("other.weight") == "other.weight"


def test_dropped_names_vanish() -> None:
    mapper = WeightsMapper(prefix={"a.": "b.", "c.": None})
    assert mapper.apply_list(["c.x", "a.x"]) == ["b.x"]
    assert mapper.apply_dict({"c.x": 1, "a.x": 2}) == {"b.x": 2}
    assert [name for name, _ in mapper.apply([("c.x", torch.ones(1)), ("a.x", torch.ones(1))])] == ["b.x"]


def test_names_that_become_one_keep_one_value_and_may_not_have_two() -> None:
    assert FUSED.apply_dict({"q_proj": 4, "k_proj": 4}) == {"qkv_proj": 4}
    with pytest.raises(WeightMapError, match=r"k_proj: becomes 'qkv_proj', as another name does that has another valu"):
        FUSED.apply_dict({"q_proj": 4, "k_proj": 8})


def test_the_tensor_carries_shard_id() -> None:
    tensor = torch.ones(2)
    ((name, part),) = FUSED.apply([("layers.0.q_proj.weight", tensor)])
    assert name == "layers.0.qkv_proj.weight"
    assert part.shard_id == "q"  # type: ignore[attr-defined]
    assert part.data_ptr() == tensor.data_ptr()
    assert not hasattr(tensor, "shard_id"), "the caller's tensor stays as it was"


def test_a_list_yields_the_same_storage_once_per_shard() -> None:
    mapper = WeightsMapper(stacked={"kv": ("qkv", ["k", "v"])})
    tensor = torch.ones(2)
    found = list(mapper.apply([("kv.weight", tensor)]))
    assert [(name, part.shard_id) for name, part in found] == [("qkv.weight", "k"), ("qkv.weight", "v")]  # type: ignore[attr-defined]
    assert {part.data_ptr() for _, part in found} == {tensor.data_ptr()}


def test_a_tuple_is_one_shard() -> None:
    mapper = WeightsMapper(stacked={".in_proj_qkv": (".in_proj_qkvz", (0, 1, 2))})
    assert mapper.targets("a.in_proj_qkv.weight") == (Target("a.in_proj_qkvz.weight", (0, 1, 2)),)


@pytest.mark.parametrize(
    ("name", "new", "shard"),
    [
        ("a.q_proj.weight", "a.qkv_proj.weight", "q"),
        ("q_proj", "qkv_proj", "q"),
        ("a.qkv_proj.weight", "a.qkv_proj.weight", None),
        ("a.faq_proj.weight", "a.faq_proj.weight", None),
        ("a.q_proj_norm.weight", "a.q_proj_norm.weight", None),
        ("a.gate_proj.weight", "a.gate_up_proj.weight", 0),
        ("a.up_proj.bias", "a.gate_up_proj.bias", 1),
    ],
)
def test_stacked_rules_match_whole_dotted_segments(name: str, new: str, shard: str | int | None) -> None:
    assert FUSED.targets(name) == (Target(new, shard),)


def test_at_most_one_stacked_rule_applies_and_none_to_its_own_output() -> None:
    swap = WeightsMapper(stacked={"a": ("b", 0), "b": ("a", 1)})
    assert swap.targets("x.a.w") == (Target("x.b.w", 0),)
    assert swap.targets("x.b.w") == (Target("x.a.w", 1),)


def test_a_name_that_two_stacked_rules_match_fails_with_both() -> None:
    with pytest.raises(
        WeightMapError, match=r"^q_proj\.v_proj: the stacked rules '\.q_proj' and '\.v_proj' both match"
    ):
        FUSED.map_name("q_proj.v_proj")


@pytest.mark.parametrize(
    ("a", "b"),
    [("q", ".q."), ("q_proj", "self_attn.q_proj"), ("attn.q", "q.weight"), ("a.b.c", "b"), ("x.a", "a.b.x.a.y")],
)
def test_overlapping_rules_fail_at_construction(a: str, b: str) -> None:
    for first, second in ((a, b), (b, a)):
        with pytest.raises(
            WeightMapError, match=re.escape(f"stacked rules {first!r} and {second!r} can match the sam")
        ):
            WeightsMapper(stacked={first: ("qkv", 0), second: ("qkv", 1)})


@pytest.mark.parametrize(("a", "b"), [("q_proj", "kq_proj"), ("attn.q", "attn.k"), ("q.weight", "q.bias")])
def test_rules_for_other_segments_do_not_overlap(a: str, b: str) -> None:
    assert WeightsMapper(stacked={a: ("x", 0), b: ("x", 1)}).targets(a) == (Target("x", 0),)


def test_rules_of_other_types_are_all_told_at_construction() -> None:
    with pytest.raises(WeightMapError) as caught:
        WeightsMapper(
            regex={"layers.(\\d+)": "h"},  # type: ignore[dict-item]
            substr=[("a", "b")],  # type: ignore[arg-type]
            stacked={".q": ".qkv", ".k": (".qkv",)},  # type: ignore[dict-item]
            prefix={3: "a", "b.": 4},  # type: ignore[dict-item]
        )
    assert str(caught.value).splitlines() == [
        "regex: a compiled expression is wanted, re.compile('layers.(\\\\d+)') say",
        "substr: a mapping old -> new is wanted, not [('a', 'b')]",
        "stacked: for '.q': (new fragment, shard id) is wanted, not '.qkv'",
        "stacked: for '.k': (new fragment, shard id) is wanted, not ('.qkv',)",
        "prefix: a text is wanted as what is found, not 3",
        "prefix: for 'b.': a text, or None to drop the weight, is wanted, not 4",
    ]


def test_a_rule_whose_names_another_takes_fails_at_construction() -> None:
    with pytest.raises(WeightMapError) as raised:
        WeightsMapper(
            prefix={"model.": "lm.", "model.visual.": "visual."}, suffix={".weight": ".w", ".norm.weight": ".n"}
        )
    assert str(raised.value).splitlines() == [
        "prefix rule 'model.' takes every name that 'model.visual.' after it stands for; put it last",
        "suffix rule '.weight' takes every name that '.norm.weight' after it stands for; put it last",
    ]
    mapper = WeightsMapper(prefix={"model.visual.": "visual.", "model.": "lm."})
    assert mapper.apply_list(["model.visual.x", "model.x"]) == ["visual.x", "lm.x"]


def test_merging_tables_the_second_wins() -> None:
    a = WeightsMapper(prefix={"a.": "x.", "b.": "y."}, renaming=[WeightRenaming("p", "r")])
    b = WeightsMapper(prefix={"b.": None}, substr={"t": "u"}, renaming=[WeightRenaming("r", "s")])
    assert (a | b).apply_list(["a.t", "b.t", "p"]) == ["x.u", "s"]
    assert a.apply_list(["a.t", "b.t", "p"]) == ["x.t", "y.t", "r"], "neither is changed"


@pytest.mark.parametrize("table", ["regex", "substr", "prefix", "suffix", "stacked"])
def test_of_two_rules_for_the_same_text_the_second_tables_wins(table: str) -> None:
    old = re.compile("x") if table == "regex" else "x"
    a, b = (WeightsMapper(**{table: {old: (new, 0) if table == "stacked" else new}}) for new in "ab")
    assert (a | b).map_name("x") == "b"
    assert (b | a).map_name("x") == "a"


def test_a_merge_that_overlaps_fails() -> None:
    with pytest.raises(WeightMapError, match=r"'\.q_proj' and 'attn\.q_proj'"):
        FUSED | WeightsMapper(stacked={"attn.q_proj": ("qkv", 0)})


def test_the_rename_mapper_keeps_renames_only() -> None:
    mapper = FUSED | WeightsMapper(
        renaming=[WeightRenaming("^h", "layers")],
        regex={re.compile("x$"): None, re.compile("y$"): "z"},
        substr={"drop": None, "attn": "self_attn"},
        prefix={"p.": None, "layers.": "model.layers."},
        suffix={".s": None, ".gamma": ".weight"},
    )
    renames = mapper.get_rename_mapper()
    kept = ["a.x", "drop", "p.a", "a.s", "a.q_proj"]
    assert renames.apply_list(kept) == kept
    assert renames.map_name("h.0.attn.gamma") == "model.layers.0.self_attn.weight"
    assert renames.map_name("y") == "z"


STEP = st.text("abc", min_size=1, max_size=2)
NAME = st.lists(STEP, min_size=1, max_size=4).map(".".join)
RULES = st.dictionaries(st.text("abc.", min_size=1, max_size=2), st.none() | st.text("abc.", max_size=2), max_size=3)


@given(a=STEP, b=STEP, name=NAME)
def test_renaming_and_its_inverse_give_the_name_back(a: str, b: str, name: str) -> None:
    there, back = (WeightsMapper(prefix={f"{x}.": f"{y}."}) for x, y in ((a, b), (b, a)))
    assume(name.startswith(f"{a}.") or not name.startswith(f"{b}."))
    renamed = there.map_name(name)
    assert renamed is not None
    assert back.map_name(renamed) == name


def mapper_of(prefix: Rules, substr: Rules) -> WeightsMapper:
    try:
        return WeightsMapper(prefix=prefix, substr=substr)
    except WeightMapError:
        assume(False)
        raise


@given(rules=st.lists(RULES, min_size=6, max_size=6), name=NAME)
def test_merging_is_associative(rules: list[Rules], name: str) -> None:
    a, b, c = (mapper_of(*pair) for pair in zip(rules[:3], rules[3:], strict=True))
    try:
        left, right = (a | b) | c, a | (b | c)
    except WeightMapError:
        assume(False)
        raise
    assert left == right
    assert left.map_name(name) == right.map_name(name)


@given(rules=RULES, name=NAME)
def test_rules_of_a_table_apply_in_its_order(rules: Rules, name: str) -> None:
    whole = WeightsMapper(substr=rules).map_name(name)
    step: str | None = name
    for old, new in rules.items():
        step = None if step is None else WeightsMapper(substr={old: new}).map_name(step)
    assert whole == step


@given(names=st.lists(NAME, max_size=5), rules=RULES)
def test_lists_dicts_and_tensors_are_renamed_alike(names: list[str], rules: Rules) -> None:
    mapper = WeightsMapper(substr=rules)
    found = mapper.apply_list(names)
    assert [name for name, _ in mapper.apply((name, torch.ones(1)) for name in names)] == found
    assert set(mapper.apply_dict(dict.fromkeys(names, 0))) == set(found)
