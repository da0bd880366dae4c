"""`path.to.key=value` on top of a spec: what it changes, and what names nothing."""

from __future__ import annotations

import pytest

from triptych.errors import Place, SpecError
from triptych.spec.catalog import load_named
from triptych.spec.document import Tree, locate
from triptych.spec.overrides import overridden

LLAMA = load_named("llama")[1]


def at(tree: Tree, path: str) -> object:
    found: object = tree
    for step in path.split("."):
        assert isinstance(found, Tree)
        found = found[step]
    return found


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("parts.attention.reach.window=64", "parts.attention.reach.window", 64),
        ("parts.norm.eps=1e-3", "parts.norm.eps", 1e-3),
        ("parts.norm.eps==config.norm_eps * 2", "parts.norm.eps", "=config.norm_eps * 2"),
        ("parts.attention.position=null", "parts.attention.position", None),
        ("parts.attention.position=", "parts.attention.position", None),
        ("inert=[a, b]", "inert", ["a", "b"]),
        (
            "parts.attention.qk_norm={use: layer_norm, eps: 1}",
            "parts.attention.qk_norm",
            {"use": "layer_norm", "eps": 1},
        ),
        ("sample.hidden_size=128", "sample.hidden_size", 128),
        ("defaults.hidden_size=128", "defaults.hidden_size", 128),
    ],
)
def test_an_override_sets_one_value(text: str, path: str, value: object) -> None:
    before = load_named("llama")[1]
    found = overridden(LLAMA, [text])
    assert at(found, path) == value
    assert locate(found, tuple(path.split("."))) == Place(f"override {text!r}", 0, 0)
    assert before == LLAMA, "the tree that it was put on stays as it was"


def test_overrides_are_merged_in_order_and_may_lean_on_each_other() -> None:
    found = overridden(
        LLAMA,
        [
            "parts.local={like: attention, reach: {window: 4}}",
            "blocks.layer.mix.mixer=local",
            "parts.local.reach.window=8",
        ],
    )
    assert found["parts"]["local"] == {"like": "attention", "reach": {"window": 8}}


def test_without_overrides_the_tree_is_what_it_was() -> None:
    assert overridden(LLAMA, []) is LLAMA


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("window", "not of the form path.to.key=value"),
        ("=3", "not of the form path.to.key=value"),
        ("parts..window=3", "not of the form path.to.key=value"),
        (".parts=3", "not of the form path.to.key=value"),
        ("parts.attention.window=[", "did not find expected node content"),
        ("parts.attention.window=a: b", "mapping values are not allowed"),
        ("parts.attention.window=!!python/name:os 3", "tag '!!python/name:os'"),
        ("parts.attention.window=1\nparts: 2", "one value is wanted"),
        ("parts.attention.window=\udcff", "not UTF-8 text"),
        ("parts.attention.window=" + "[" * 100, "nested more than 40 deep"),
        ("parts.attention.reach.windw=3", "windw: unknown key 'windw'; did you mean 'window'"),
        ("parts.attention.reach.window=wide", "window: input should be a valid integer.*found 'wide'"),
        ("parts.attention.reach.window==confg.x", "'confg' has no meaning here; did you mean 'config'"),
        ("parts.attention.reach.window.x=3", "window: .*integer"),
        ("parts.atention.reach.window=3", "nothing uses the part 'atention'; did you mean 'attention'"),
        ("blocks.lyer={mix: {norm: norm, mixer: mlp}}", "nothing uses the block 'lyer'; did you mean 'layer'"),
        ("blocks.layer.mix.mixer=atention", "no 'atention' in parts; did you mean 'attention'"),
        ("defaults.hiden_size=3", "nothing reads 'hiden_size'; did you mean 'hidden_size'"),
        ("config.hiden_size=dim", "nothing reads 'hiden_size'; did you mean 'hidden_size'"),
        ("weights.embd=x", "no 'embd' in this model; did you mean 'embed'"),
        ("weights.head=5", "a name on disk is wanted, not 5"),
        ("window=3", "unknown key 'window'; known: architectures, "),
        ("architectures.0=Mine", "architectures: input should be a valid list"),
        ("schema=2", "schema: input should be 1; found 2"),
    ],
)
def test_an_override_that_is_wrong_or_names_nothing_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=rf"(?s)^override .*{message}") as raised:
        overridden(LLAMA, ["parts.norm.eps=1", text])
    assert len(raised.value.problems) == 1
