"""The weights table as it is written: forms that no row has, and rows whose path leads nowhere."""

from __future__ import annotations

import re

import pytest

from tests.spec.conftest import Validated

CHILD = "schema: 1\nbase: llama\nweights:\n"  # rows begin on the fourth line

FORMS = {
    "  head: 5": r"4:9: weights.head: a name on disk is wanted, not 5",
    "  norm: {from: [x]}": r"4:16: weights.norm.from: a name on disk is wanted, not \['x'\]",
    "  norm: {via: transpose}": r"4:9: weights.norm: a row with `via`, `scales` or `absent` says `from` which name on",
    "  norm: {from: x, absent: y}": r"4:27: weights.norm.absent: a number is wanted, not 'y'",
    "  norm: {from: x, by: y}": r"4:19: weights.norm.by: unknown key 'by'; a row says from, via, scales, absent",
    "  norm: {from: x, scales: 5}": r"4:27: weights.norm.scales: a name on disk is wanted, not 5",
    "  norm: [x, 5]": r"4:13: weights.norm.1: a name on disk is wanted, not 5",
    "  norm: {from: x, via: 3}": r"4:24: weights.norm.via: a transform is the name of a part or a mapping, not 3",
    "  norm: {from: x, via: transpos}": (
        r"4:24: weights.norm.via: unknown transform 'transpos'; did you mean 'transpose'\?"
    ),
    "  norm: [{from: x, via: [transpose, {use: flatten, by: 2}]}]": (
        r"4:52: weights.norm.0.via.1.by: unknown key 'by'"
    ),
    "  drop: lm_head": r"4:9: weights.drop: a list of names on disk is wanted, not 'lm_head'",
    "  drop: [5]": r"4:9: weights.drop: a list of names on disk is wanted, not \[5\]",
    "  layers.{i}: {drop: [x]}": r"4:16: weights.layers.\{i\}.drop: `drop` is of the whole table; it stands under `w",
    "  layers.{i}: {at: 5}": r"4:20: weights.layers.\{i\}.at: a name on disk is wanted, not 5",
    "  layouts: old": r"4:12: weights.layouts: names of layouts are wanted, each with its renames, not 'old'",
    "  layouts: {old: x}": r"4:18: weights.layouts.old: beginnings of names are wanted, old: new, not 'x'",
    "  layouts: {old: {a: 3}}": r"4:22: weights.layouts.old.a: the beginning of a name is wanted, not 3",
    "  head: =confg.x": r"4:9: weights.head: '=confg.x': 'confg' has no meaning here",
}  # fmt: skip
PATHS = {
    "  embd.tokens: x": r"4:3: weights.embd.tokens: no 'embd' in this model; did you mean 'embed'\?",
    "  tower: x": r"4:3: weights.tower: no 'tower' in this model; known: embed, head, layers, norm",
    "  layers.{i}: {mixx.norm: x}": r"4:16: .*mixx.norm: no 'mixx' in this model; did you mean 'mix'\?",
    "  layers.{i}.mix.atention.qkv: x": r"4:3: .*: no 'atention' in this model; did you mean 'attention'\?",
    "  layers.{i}.mix: {post_nrm: x}": r"4:20: .*: no 'post_nrm' in this model; did you mean 'post_norm'\?",
    '  layers.{i}.mix.norm: "a.{j}.b"': r"4:3: .*: \{j\} in 'a.\{j\}.b' is not in the path of the row; known: i",
    '  layers.{n}: {at: "model.layers.{i}", mix.norm: x}': r"4:40: .*: \{i\} in 'model.*' is not in the path of the",
    '  head: ["x.{e}"]': r"4:3: weights.head: \{e\} in 'x.\{e\}' is not in the path",
}  # fmt: skip


@pytest.mark.parametrize(("rows", "message"), (FORMS | PATHS).items(), ids=FORMS | PATHS)
def test_a_row_that_is_mistyped_is_told_with_its_place(rows: str, message: str, validated: Validated) -> None:
    found = validated(f"{CHILD}{rows}\n")
    assert found
    assert re.match(rf"my\.yaml:{message}", found[0]), found


def test_a_capture_of_the_disk_alone_counts_what_is_stacked_and_nothing_else(validated: Validated) -> None:
    child = "schema: 1\nbase: mixtral\nweights:\n  layers.{i}:\n"
    assert not validated(child + '    ffn.moe.down: "b.{n}.w"\n')
    (found,) = validated(child + '    ffn.moe.router: "b.{n}.w"\n')
    assert re.match(r"my\.yaml:5:5: .*router: \{n\} in 'model.layers.\{i\}.b.\{n\}.w' is not in the path", found)


def test_all_mistyped_rows_are_told_at_once(validated: Validated) -> None:
    assert [line.split(": ")[1] for line in validated(CHILD + "  head: 5\n  norm: [5]\n  drop: x\n  layouts: 3\n")] == [
        "weights.head",
        "weights.norm.0",
        "weights.drop",
        "weights.layouts",
    ]
    assert len(validated(CHILD + "  hed: x\n  nrm: y\n  layers.{i}: {mxi.norm: z}\n")) == 3


@pytest.mark.parametrize(
    "rows",
    [
        "  head: null",
        "  drop: null",
        "  layouts: {old: null}",
        "  layouts: {old: {model: ''}}",
        "  head: {from: x, via: null, absent: 0}",
        "  head: [x, {from: y, via: [transpose]}]",
        "  head: ='a' if config.tie_word_embeddings else 'b'",
        "  layers.{i}: {at: '=config.prefix', mix.norm: x}",
        "  layers.{k}: {at: 'model.layers.{k}', mix.norm: x}",
        "  layers.{i}.mix.mlp: x",  # a part that this branch lacks: one table serves many variants
    ],
)
def test_rows_may_be_written_in_many_ways(rows: str, validated: Validated) -> None:
    assert validated(f"{CHILD}{rows}\n") == []
