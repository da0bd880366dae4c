"""From a spec and a config to modules on meta: the residual program, names, widths, keys of caches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from triptych.assembly import Assembled, LanguageModel, MultimodalModel, TextModel, Tower, assemble
from triptych.errors import InputError, SpecError
from triptych.parts.step import Step
from triptych.spec.catalog import catalog, load_named, sample_config
from triptych.spec.document import Tree, parse_document
from triptych.spec.item_facts import ImageFacts
from triptych.spec.merge import merge
from triptych.weights import fill_random


def assembled(changes: str = "", spec: str = "llama", **config: Any) -> Assembled:
    tree = merge(load_named(spec)[1], parse_document(changes, file="my.yaml"))
    assert isinstance(tree, Tree)
    tree = tree.having("inert", ["intermediate_size", "num_*_heads"]) if spec == "llama" else tree
    return assemble(tree, {**sample_config(tree), **config}, name="my")


def hidden(found: Assembled, *, seed: int = 0) -> torch.Tensor:
    """Hidden rows of two packed sequences, under drawn weights."""
    module = found.module
    assert isinstance(module, LanguageModel)
    fill_random(module, seed=seed, device=torch.device("cpu"), dtype=torch.float32)
    step = Step.of((3, 2))
    with torch.no_grad():
        rows: torch.Tensor = module(torch.tensor([1, 2, 3, 4, 5]), step.positions, step=step)
    return rows


@pytest.mark.parametrize("name", [name for name, spec in catalog().items() if spec.kind != "fragment"])
def test_every_registered_spec_is_built_of_its_sample_without_memory(name: str) -> None:
    tree = load_named(name)[1]
    found = assemble(None, sample_config(tree))
    kinds = {
        "language_model": LanguageModel,
        "embedding_model": TextModel,
        "multimodal": MultimodalModel,
        "tower": Tower,
    }
    kind = kinds[catalog()[name].kind]
    assert isinstance(found.module, kind)
    assert isinstance(found.module, LanguageModel) == (kind is LanguageModel)
    assert found.name == name
    assert all(parameter.is_meta for parameter in found.module.parameters())
    assert not list(found.module.buffers())


def test_names_of_modules_are_those_of_branches_and_parts() -> None:
    names = dict(assembled().module.named_modules())
    assert {"embed", "layers.0.mix.norm", "layers.0.mix.attention.qkv", "layers.1.ffn.mlp.down", "norm", "head"} <= set(
        names
    )


def test_a_variant_of_a_part_keeps_its_path() -> None:
    text = "parts: {local: {like: attention, reach: {window: 4}}}\n"
    text += "blocks: {layer: {mix: {mixer: ='local' if layer else 'attention'}}}"
    module = assembled(text).module
    assert isinstance(module, LanguageModel)
    assert set(module.cache_needs()) == {"layers.0.mix.attention", "layers.1.mix.attention"}
    assert [need.window for need in module.cache_needs().values()] == [None, 4]


PARALLEL = """
blocks:
  layer:
    mix: null
    ffn: null
    both: {norm: norm, parallel: {mix: {mixer: attention}, ffn: {mixer: mlp}}}
"""


def test_members_side_by_side_stand_flat_in_the_block() -> None:
    names = {name for name, _ in assembled(PARALLEL).module.named_parameters()}
    assert {"layers.0.both.norm.weight", "layers.0.mix.attention.qkv.weight", "layers.0.ffn.mlp.down.weight"} <= names


def test_members_of_one_kind_keep_their_caches_apart() -> None:
    text = "blocks: {layer: {mix: null, both: {parallel: {a: {mixer: attention}, b: {mixer: attention}}}}}"
    module = assembled(text).module
    assert isinstance(module, LanguageModel)
    assert set(module.cache_needs()) == {f"layers.{i}.{name}.attention" for i in range(2) for name in "ab"}


def test_members_see_the_same_rows_and_are_summed() -> None:
    torch.manual_seed(0)
    found = assembled(PARALLEL).module
    fill_random(found, seed=0, device=torch.device("cpu"), dtype=torch.float32)
    (block, _), step, x = found.layers, Step.of((4,)), torch.randn(4, 64)  # type: ignore[union-attr, misc]
    y = block.both.norm(x)
    wanted = x + block.mix.attention(y, step) + block.ffn.mlp(y, step)
    assert torch.allclose(block(x, step), wanted, atol=1e-6)


def test_a_branch_is_norm_mixer_post_norm_scale_and_then_the_sum_is_normed() -> None:
    text = "blocks: {layer: {mix: null, ffn: {post_norm: norm, scale: 0.5, sum_norm: norm}}}"
    found = assembled(text).module
    fill_random(found, seed=0, device=torch.device("cpu"), dtype=torch.float32)
    (block, _), step, x = found.layers, Step.of((4,)), torch.randn(4, 64)  # type: ignore[union-attr, misc]
    branch = block.ffn
    wanted = branch.sum_norm(x + 0.5 * branch.post_norm(branch.mlp(branch.norm(x), step)))
    assert torch.allclose(block(x, step), wanted, atol=1e-6)


def test_with_a_residual_the_normed_rows_go_on_times_that_many() -> None:
    text = "blocks: {layer: {mix: null, ffn: {residual: 3, scale: 0.5}}}"
    found = assembled(text).module
    fill_random(found, seed=0, device=torch.device("cpu"), dtype=torch.float32)
    (block, _), step, x = found.layers, Step.of((4,)), torch.randn(4, 64)  # type: ignore[union-attr, misc]
    y = block.ffn.norm(x)
    assert torch.allclose(block(x, step), 3 * y + 0.5 * block.ffn.mlp(y, step), atol=1e-6)


def test_a_scale_of_nothing_leaves_the_rows_alone() -> None:
    plain = hidden(assembled("blocks: {layer: {mix: null, ffn: null}}\nlanguage_model: {norm: null}"))
    scaled = hidden(assembled("blocks: {layer: {mix: {scale: 0}, ffn: {scale: 0}}}\nlanguage_model: {norm: null}"))
    assert torch.equal(plain, scaled)


def test_layers_by_name_are_built_each_of_its_block() -> None:
    text = "language_model: {layers: {block: ='bare' if layer else 'layer'}}\nblocks: {bare: {like: layer, ffn: null}}"
    names = {name for name, _ in assembled(text).module.named_modules()}
    assert "layers.0.ffn" in names
    assert "layers.1.ffn" not in names


OTHERS = "parts: {scale: {like: mlp}, other: {use: rms_norm, eps: 1}, norm: {use: mlp, hidden: 3, activation: gelu}}\n"
OTHERS += "language_model: {norm: other}\nblocks: {layer: {mix: {norm: other}, ffn: {norm: other, mixer: MIXER}}}"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("blocks: {layer: {forward: {mixer: mlp}}}", "forward"),
        ("blocks: {layer: {training: {mixer: mlp}}}", "training"),
        ("blocks: {layer: {ffn: {mixer: null, parallel: {mix: {mixer: mlp}}}}}", "mix"),
        (OTHERS.replace("MIXER", "norm"), "norm"),
        ("parts: {scale: {use: mlp, hidden: 3, activation: gelu}}\nblocks: {layer: {ffn: {mixer: scale}}}", "scale"),
    ],
)
def test_a_name_that_is_taken_is_refused(text: str, name: str) -> None:
    with pytest.raises(SpecError, match=rf"layers\.0.*: the name '{name}' is taken in this place"):
        assembled(text)


def test_a_variant_takes_no_name() -> None:
    assert "layers.0.ffn.mlp" in dict(
        assembled("parts: {scale: {like: mlp}}\nblocks: {layer: {ffn: {mixer: scale}}}").module.named_modules()
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "projectors:\n  image: {mlp: {use: mlp, out: 5}}",
            r"my\.yaml:2:10: projectors\.image: gives rows of 5; the language model takes 64",
        ),
        (
            "projectors: {image: {mlp: {use: mlp}, reduce: {use: linear, out: 60}}}",
            r"my\.yaml:1:21: projectors\.image: gives rows of 60; the language model takes 64",
        ),
        ("projectors: {image: {forward: {use: mlp}}}", r"projectors\.image: the name 'forward' is taken"),
        ("projectors: {video: {mlp: {use: mlp}}}", r"projectors\.video: no tower 'video' gives it rows"),
        (
            "tokens: {video: {placeholder: 1, count: 1}}",
            r"my\.yaml:1:10: tokens\.video: no tower 'video' gives it rows",
        ),
        (
            "tokens: {image: {placeholder: =config.text_config}}",
            r"my\.yaml:1:31: tokens\.image: the placeholder is a token",
        ),
        ("tokens: {image: {placeholder: true}}", r"my\.yaml:1:31: .*"),
        ("tokens: {image: {count: null}}", r":\d+:\d+: tokens\.image\.count: required, and not given"),
        ("prompt_updates: []", r"tokens\.image: 0 entries of prompt_updates for it; one says what it replaces"),
    ],
)
def test_parts_of_a_multimodal_model_must_fit_together(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        assembled(text, spec="llava")


def test_a_count_that_is_no_number_of_tokens_is_refused_when_it_is_asked() -> None:
    for text in ("=rows - 100", "=rows / 2", "='x'"):
        found = assembled(f"tokens: {{image: {{count: {text}}}}}", spec="llava")
        with pytest.raises(SpecError, match=r"my\.yaml:1:25: tokens\.image\.count: .*(1 or more tokens, not|'x')"):
            found.tokens["image"].count(ImageFacts(48, 64), {})


def test_a_text_model_takes_no_items() -> None:
    module = assembled().module
    assert isinstance(module, LanguageModel)
    with pytest.raises(InputError, match="takes text only; it has no tower for image"):
        module.embed_multimodal(image=[torch.zeros(3, 8, 8)])


def test_a_multimodal_model_names_the_towers_that_it_has() -> None:
    module = assembled(spec="llava").module
    assert isinstance(module, MultimodalModel)
    with pytest.raises(InputError, match="this model has no tower for 'imag'; did you mean 'image'"):
        module.embed_multimodal(imag=[torch.zeros(3, 8, 8)])


def test_a_spec_without_a_model_is_refused() -> None:
    with pytest.raises(SpecError, match="a spec has a `language_model`, or it is a `tower`"):
        assemble(parse_document("schema: 1", file="f.yaml"), {})


def test_overrides_are_on_top_of_the_spec() -> None:
    tree = load_named("llama")[1]
    found = assemble("llama", sample_config(tree), overrides=["parts.attention.reach.window=5"]).module
    assert isinstance(found, LanguageModel)
    assert {need.window for need in found.cache_needs().values()} == {5}


def test_parts_that_are_planned_once_are_modules_of_their_own() -> None:
    module = assembled().module
    modules = [m for m in module.modules() if isinstance(m, nn.Module)]
    assert len({id(m) for m in modules}) == len(modules)
    parameters = [id(p) for p in module.parameters()]
    assert len(set(parameters)) == len(parameters)
