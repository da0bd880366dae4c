"""The tree of a built model: numbers are those of its modules, and of models whose sizes are known."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from triptych.assembly import Assembled, MultimodalModel, Tower, assemble
from triptych.check.outline import Node, outline, parts_inside
from triptych.check.token_counts import item_of, pictures
from triptych.cli.node_words import numbers
from triptych.parts.cache_needs import Rows, State
from triptych.parts.grid import Grid
from triptych.spec.base import PartSpec
from triptych.spec.catalog import catalog, load_named, sample_config

BUILT = [name for name, listed in catalog().items() if listed.kind != "fragment"]


def assembled(name: str, *overrides: str, **config: Any) -> Assembled:
    tree = load_named(name)[1]
    return assemble(tree, {**sample_config(tree), **config}, overrides=overrides, name=name)


def items_of(name: str) -> set[str]:
    """The modalities that a spec with a tower takes."""
    tree = load_named(name)[1]
    return {"image"} if tree.get("tower") and not tree.get("language_model") else set(tree.get("tokens") or ())


def of_defaults(name: str, **config: Any) -> Node:
    """Of a config that says next to nothing: the released model that the spec's defaults are those of."""
    listed = catalog()[name]
    said = {"architectures": list(listed.architectures), "model_type": listed.model_types[0], **config}
    return outline(assemble(name, said))


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def one(node: Node, name: str) -> Node:
    (found,) = [inner for inner in walk(node) if inner.name == name]
    return found


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", BUILT)
def test_components_have_all_the_parameters_there_are(name: str) -> None:
    found = assembled(name)
    tree = outline(found)
    assert tree.parameters == size(found.module)
    for node in walk(tree):
        below = sum(child.parameters * child.count for child in node.children)
        if node.kind in {"branch", "embed", "part"}:  # which have norms and matrices of their own
            assert node.parameters >= below, node.name
        elif node.children:
            assert node.parameters == below, node.name


@pytest.mark.parametrize("name", BUILT)
def test_the_cache_is_what_the_mixers_ask_for(name: str) -> None:
    found = assembled(name)
    tree = outline(found)
    if isinstance(found.module, Tower):
        assert not any("cache" in node.facts for node in walk(tree))
        return
    every = found.module.cache_needs().values()
    needs = [need for need in every if isinstance(need, Rows)]
    assert tree.facts.get("cache_in_states", 0) == sum(need.size for need in every if isinstance(need, State))
    assert tree.facts.get("cache", 0) == sum(need.heads * sum(need.widths) for need in needs)
    windows = sum(need.heads * sum(need.widths) for need in needs if need.window or need.chunk)
    assert tree.facts.get("cache_in_windows", 0) == windows
    layers = [node for node in walk(one(tree, "language_model")) if node.kind == "layer"]
    assert sum(node.count * int(node.facts.get("cache", 0)) for node in layers) == tree.facts.get("cache", 0)
    for layer in layers:
        assert layer.facts.get("cache", 0) == sum(int(branch.facts.get("cache", 0)) for branch in layer.children)
    assert not any("cache" in inner.facts for t in tree.children if t.kind == "tower" for inner in walk(t))


def test_a_tower_keeps_no_cache_whatever_its_attention() -> None:
    tree = outline(assembled("vit", "parts.attention.reach.causal=true"))
    assert one(tree, "mix").parameters
    assert not any("cache" in node.facts for node in walk(tree))


@pytest.mark.parametrize("name", [name for name in BUILT if "image" in items_of(name)])
@torch.no_grad()
def test_rows_and_tokens_are_those_that_come_out(name: str) -> None:
    found = assembled(name)
    (node,) = [node for node in outline(found).children if node.kind == "tower"]
    tower = found.module if isinstance(found.module, Tower) else found.module.towers["image"]
    assert isinstance(tower, Tower)
    if isinstance(found.module, MultimodalModel):
        given = item_of(found, "image", found.tokens["image"].largest({}))
    else:
        scope = found.plan.scopes[""]
        size = scope.at("items", "size").part("size", scope.tree["items"]["size"])[1].build()
        grid = size(size.largest("image", {}), {})
        given = {"image": [pictures(grid, tower, several=False)], "image_grid": [torch.tensor([*grid])]}
    grids = [Grid(*grid.tolist()[:3]) for grid in given.get("image_grid", ())]
    (rows,), _ = tower(given["image"], grids)
    assert tuple(rows.shape) == (node.facts["rows"], node.facts["width_out"])
    if isinstance(found.module, MultimodalModel):
        (tokens,) = found.module.embed_multimodal(**given)
        assert tokens.shape[0] == node.facts["tokens"]
        assert one(outline(found), "projectors.image").facts == {
            "width_in": rows.shape[1],
            "width_out": tokens.shape[1],
        }
    else:
        assert "tokens" not in node.facts


def test_a_released_whisper_keeps_the_rows_of_its_source_beside_those_of_its_tokens() -> None:
    tree = of_defaults("whisper")
    noughts = 3 * 4 * 384  # the biases of keys, which no file has
    assert tree.parameters == 37_760_640 + noughts
    assert tree.facts == {"cache": 4 * 2 * 384, "cache_in_states": 4 * 2 * 1500 * 384}
    assert one(tree, "towers.audio").facts["rows"] == 1500


def test_a_released_llama_has_its_published_size() -> None:
    tree = of_defaults("llama")
    assert tree.parameters == 6_738_415_616
    assert tree.facts == {"cache": 32 * 2 * 4096}
    (layer,) = [node for node in walk(tree) if node.kind == "layer"]
    assert (layer.which, layer.parameters) == (tuple(range(32)), 4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096)
    assert one(tree, "language_model").facts == {
        "width": 4096,
        "layers": 32,
        "vocabulary": 32000,
        "context": 2048,
        "cache": 262_144,
    }


PUBLISHED = {  # parameters of the release that the defaults are of; its cache: layers, 2, kv heads, width of one
    "mistral": (7_241_732_096, 32 * 2 * 8 * 128),
    "gpt2": (124_439_808, 12 * 2 * 12 * 64),
    "gemma": (8_537_680_896, 28 * 2 * 16 * 256),
    "phi3": (3_821_079_552, 32 * 2 * 32 * 96),
    "starcoder2": (3_030_371_328, 30 * 2 * 2 * 128),
    "bert": (109_482_240 - 768 * 769, 0),  # less a pooler that no embedding needs
    "clip_vision": (87_456_000 - 2 * 768, 0),  # less the norm of the pooled row, which no language model sees
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_released_models_have_their_published_sizes(name: str) -> None:
    tree = of_defaults(name)
    assert (tree.parameters, tree.facts.get("cache", 0)) == PUBLISHED[name]


def test_a_row_of_a_tower_is_a_patch_or_its_class_token() -> None:
    clip, siglip = (of_defaults(name).children[0].facts for name in ("clip_vision", "siglip_vision"))
    assert (clip["rows"], clip["item"], clip["width_out"]) == ((224 // 32) ** 2 + 1, "224 x 224", 768)
    assert (siglip["rows"], siglip["item"], siglip["width_out"]) == ((224 // 16) ** 2, "224 x 224", 768)


def test_a_released_gemma_2_has_its_published_size_and_half_its_cache_in_windows() -> None:
    tree = of_defaults("gemma2")
    assert tree.parameters == 2_614_341_888
    assert tree.facts == {"cache": 26 * 2 * 4 * 256, "cache_in_windows": 13 * 2 * 4 * 256}
    even, odd = [node for node in walk(tree) if node.kind == "layer"]
    assert (even.which, odd.which) == (tuple(range(0, 26, 2)), tuple(range(1, 26, 2)))
    assert [node.children[0].options.get("reach.window") for node in (even, odd)] == [4096, None]
    assert one(tree, "head").parameters == 0, "tied"


def test_a_released_llava_has_its_published_tokens() -> None:
    tree = of_defaults("llava")
    tower = one(tree, "towers.image")
    assert {key: tower.facts[key] for key in ("item", "rows", "tokens", "width", "layers")} == {
        "item": "336 x 336",
        "rows": 576,
        "tokens": 576,
        "width": 1024,
        "layers": 23,
    }
    assert tower.facts["not_built"] == "layers.23"
    assert one(tree, "projectors.image").parameters == 1024 * 4096 + 4096 + 4096**2 + 4096


def test_members_side_by_side_stand_below_their_branch() -> None:
    both = "{norm: norm, parallel: {mix: {mixer: attention}, ffn: {mixer: mlp}}}"
    tree = outline(assembled("llama", f"blocks.layer={{mix: null, ffn: null, both: {both}}}"))
    branch = one(tree, "both")
    assert [(member.name, member.part) for member in branch.children] == [("mix", "attention"), ("ffn", "mlp")]
    assert branch.parameters == 64 + sum(member.parameters for member in branch.children)
    assert all(one(tree, name).facts == {"cache": 64} for name in ("layer", "both", "mix"))
    assert one(tree, "ffn").facts == {}


def test_parts_inside_a_mixer_stand_below_it_down_to_the_last() -> None:
    tree = outline(assembled("longcat_flash"))
    branch = one(tree, "mix")
    assert [(inner.name, inner.which) for inner in branch.children] == [
        ("attention", (0, 1)),
        ("mlp", (0, 1)),
        ("experts", ()),
    ]
    assert branch.parameters == sum(inner.parameters * inner.count for inner in branch.children) + 4 * 64, "norms"
    assert [inner.facts for inner in branch.children] == [{"cache": 24}, {}, {}]
    assert one(tree, "experts").parameters == one(tree, "router").parameters + 4 * 3 * 64 * 32
    assert one(tree, "router").options["k"] == 3
    assert one(tree, "attention").options["latents.kv"] == 16


def test_a_part_of_a_part_that_is_not_there_is_not_drawn() -> None:
    assert [inner.name for inner in one(outline(assembled("mixtral")), "ffn").children] == ["router"], "none shared"
    below = {
        inner.name for node in walk(outline(assembled("llama"))) for inner in node.children if inner.kind == "part"
    }
    assert not below, "positions have no parameters"


def test_a_part_in_a_mapping_is_drawn_under_the_name_of_the_mapping() -> None:
    layers = [node for node in walk(outline(assembled("deepseek_v3"))) if node.name == "shared"]
    assert [(node.parameters, node.options["hidden"]) for node in layers] == [(3 * 64 * 32, 32)]


def test_blocks_that_layers_share_are_drawn_where_they_stand_those_of_one_size_together() -> None:
    one_block, two = (
        outline(assembled("zamba2", num_mem_blocks=n, layers_block_type=["mamba", *["hybrid"] * 3])) for n in (1, 2)
    )
    assert [(node.which, node.parameters) for node in one(one_block, "embed").children] == [((1,), 104_128)]
    assert [node.which for node in one(two, "embed").children] == [(1,), (2,)], "of which the first has two uses"
    block = one(one_block, "block")
    assert [(inner.name, inner.which) for inner in block.children] == [
        ("attention", ()),
        ("mlp", ()),
        ("adapters", (0, 1, 2)),
    ]
    assert block.parameters == sum(inner.parameters * inner.count for inner in block.children) + 3 * 64, "norms"
    assert [inner.facts for inner in block.children] == [{}] * 3, "layers keep what is kept"
    mixer = one(one_block, "layers").children[1].children[0].children[0]
    assert (mixer.name, mixer.options["heads"], mixer.facts) == ("mixer", 8, {"cache_in_states": 2624})


def test_modules_that_go_by_words_are_one_node() -> None:
    class Holding(PartSpec):
        held: PartSpec = PartSpec()

    owner = nn.Module()
    owner.held = nn.ModuleDict({"first": nn.Linear(2, 2), "second": nn.Linear(2, 3)})
    found = [(node.name, node.which, node.parameters) for node in parts_inside(Holding(), owner)]
    assert found == [("held", (), 15)]


def test_a_pooler_stands_beside_the_language_model() -> None:
    tree = tree_of_labels()
    pooler = one(tree, "pooler")
    assert [child.kind for child in tree.children] == ["language_model", "pooler"]
    assert pooler.facts == {"width_in": 64, "width_out": 3}
    assert pooler.parameters == 64 * 3
    assert tree.parameters == one(tree, "language_model").parameters + pooler.parameters


def tree_of_labels() -> Node:
    tree = load_named("llama")[1]
    config = {**sample_config(tree), "id2label": {"0": "a", "1": "b", "2": "c"}}
    return outline(assemble(tree, config, convert="classify", name="llama"))


@given(which=st.lists(st.integers(0, 40), min_size=1, unique=True).map(sorted))
def test_numbers_in_short_are_those_and_no_others(which: list[int]) -> None:
    text = numbers(which)
    if " ... " in text:
        first, second, last = (int(word) for word in text.replace(" ... ", ", ").split(", "))
        assert list(range(first, last + 1, second - first)) == which
        return
    runs = [[int(word) for word in run.split(" to ")] for run in text.split(", ")]
    assert [number for run in runs for number in range(run[0], run[-1] + 1)] == which
    assert all(before[-1] + 1 < after[0] for before, after in pairwise(runs))
