"""Each value of a checkpoint comes to its place: fused, turned, tied, absent, in another dtype, by any layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tests.weights.loading import LLAMA, assembled, llama_tensors, loaded, matched, numbered
from triptych.weights import fill


def test_fused_matrices_are_joined_in_order(tmp_path: Path) -> None:
    tensors = llama_tensors()
    found = loaded(assembled(), tensors, tmp_path).parameters
    for i in range(2):
        pieces = [tensors[f"model.layers.{i}.self_attn.{name}_proj.weight"] for name in "qkv"]
        assert torch.equal(found[f"layers.{i}.mix.attention.qkv.weight"], torch.cat(pieces))
        pieces = [tensors[f"model.layers.{i}.mlp.{name}_proj.weight"] for name in ("gate", "up")]
        assert torch.equal(found[f"layers.{i}.ffn.mlp.gate_up.weight"], torch.cat(pieces))


def test_every_parameter_holds_values_and_asks_for_no_gradient(tmp_path: Path) -> None:
    found = loaded(assembled(), llama_tensors(), tmp_path).parameters
    assert all(p.device.type == "cpu" and not p.requires_grad for p in found.values())
    assert torch.equal(found["embed.tokens.weight"], llama_tensors()["model.embed_tokens.weight"])
    assert torch.equal(
        found["layers.1.ffn.norm.weight"], llama_tensors()["model.layers.1.post_attention_layernorm.weight"]
    )


def test_biases_follow_their_matrices_by_the_same_row(tmp_path: Path) -> None:
    tensors = llama_tensors()
    biases = {name.replace("weight", "bias"): (len(t),) for name, t in tensors.items() if "self_attn" in name}
    extra = {name: tensor + 10_000 for name, tensor in numbered(biases).items()}
    found = loaded(assembled(attention_bias=True), tensors | extra, tmp_path).parameters
    pieces = [extra[f"model.layers.1.self_attn.{name}_proj.bias"] for name in "qkv"]
    assert torch.equal(found["layers.1.mix.attention.qkv.bias"], torch.cat(pieces))
    assert torch.equal(found["layers.1.mix.attention.out.bias"], extra["model.layers.1.self_attn.o_proj.bias"])


GPT2 = {
    "wte.weight": (256, 64),
    "wpe.weight": (512, 64),
    "ln_f.weight": (64,),
    "ln_f.bias": (64,),
} | {
    f"h.{i}.{name}": shape
    for i in range(2)
    for name, shape in {
        "ln_1.weight": (64,),
        "ln_1.bias": (64,),
        "attn.c_attn.weight": (64, 192),
        "attn.c_attn.bias": (192,),
        "attn.c_proj.weight": (64, 64),
        "attn.c_proj.bias": (64,),
        "ln_2.weight": (64,),
        "ln_2.bias": (64,),
        "mlp.c_fc.weight": (64, 256),
        "mlp.c_fc.bias": (256,),
        "mlp.c_proj.weight": (256, 64),
        "mlp.c_proj.bias": (64,),
    }.items()
}
MASKS = {f"h.{i}.attn.{name}": shape for i in range(2) for name, shape in (("bias", (1, 1, 8, 8)), ("masked_bias", ()))}


@pytest.mark.parametrize("prefix", ["transformer.", ""])
def test_matrices_stored_input_by_output_are_turned_and_old_masks_dropped(tmp_path: Path, prefix: str) -> None:
    tensors = {f"{prefix}{name}": tensor for name, tensor in numbered(GPT2 | MASKS).items()}
    found = loaded(assembled("gpt2"), tensors, tmp_path)
    assert torch.equal(
        found.parameters["layers.1.mix.attention.qkv.weight"], tensors[f"{prefix}h.1.attn.c_attn.weight"].T
    )
    assert torch.equal(found.parameters["layers.1.mix.attention.qkv.bias"], tensors[f"{prefix}h.1.attn.c_attn.bias"])
    assert found.matching.dropped == tuple(sorted(f"{prefix}{name}" for name in MASKS))
    assert found.matching.table.name == ("" if prefix else "released")


def test_a_tied_head_needs_no_tensor_and_minds_none(tmp_path: Path) -> None:
    tensors = llama_tensors()
    both = loaded(assembled(tie_word_embeddings=True), tensors, tmp_path)
    assert "head.weight" not in both.parameters
    assert both.matching.unneeded == ("lm_head.weight",)
    del tensors["lm_head.weight"]
    assert loaded(assembled(tie_word_embeddings=True), tensors, tmp_path).matching.unneeded == ()


def test_what_drop_names_may_be_there_or_not(tmp_path: Path) -> None:
    inverse = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(1) for i in range(2)}
    assert loaded(assembled(), llama_tensors() | inverse, tmp_path).matching.dropped == tuple(inverse)
    assert matched(assembled(), llama_tensors(), tmp_path).dropped == ()


def test_a_drop_stands_for_all_below_it_and_for_nothing_beside(tmp_path: Path) -> None:
    extra = numbered({"head.a": (1,), "head.b.c": (1,), "header": (1,)})
    found = matched(assembled(changes="weights: {drop: [head]}"), llama_tensors() | extra, tmp_path)
    assert found.dropped == ("head.a", "head.b.c")
    assert [f.path for f in found.findings] == ["header"]


ABSENT = """
parts: {attention: {bias: true, out: {bias: false}}}
weights:
  layers.{i}:
    mix.attention.qkv.bias: [self_attn.q_proj.bias, {from: self_attn.k_proj.bias, absent: 0}, self_attn.v_proj.bias]
"""


def test_what_may_be_absent_is_filled(tmp_path: Path) -> None:
    extra = numbered(
        {f"model.layers.{i}.self_attn.{n}_proj.bias": (s,) for i in range(2) for n, s in (("q", 8), ("v", 4))}
    )
    found = loaded(assembled(changes=ABSENT), llama_tensors() | extra, tmp_path).parameters
    bias = found["layers.1.mix.attention.qkv.bias"]
    assert torch.equal(bias[:8], extra["model.layers.1.self_attn.q_proj.bias"])
    assert torch.equal(bias[8:12], torch.zeros(4))
    assert torch.equal(bias[12:], extra["model.layers.1.self_attn.v_proj.bias"])


def test_what_may_be_absent_and_is_there_is_read(tmp_path: Path) -> None:
    sizes = {"q": 8, "k": 4, "v": 4}
    extra = numbered({f"model.layers.{i}.self_attn.{n}_proj.bias": (s,) for i in range(2) for n, s in sizes.items()})
    found = loaded(assembled(changes=ABSENT), llama_tensors() | extra, tmp_path).parameters
    pieces = [extra[f"model.layers.0.self_attn.{n}_proj.bias"] for n in sizes]
    assert torch.equal(found["layers.0.mix.attention.qkv.bias"], torch.cat(pieces))


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.bfloat16),
        (torch.float32, torch.float16),
        (torch.float64, torch.float32),
        (torch.bfloat16, torch.bfloat16),
        (torch.bfloat16, None),
    ],
)
def test_a_model_comes_in_the_dtype_that_is_asked_for(
    tmp_path: Path, stored: torch.dtype, asked: torch.dtype | None
) -> None:
    tensors = {name: (tensor / 7).to(stored) for name, tensor in llama_tensors().items()}
    found = loaded(assembled(), tensors, tmp_path, dtype=asked).parameters
    wanted = asked or stored
    pieces = [tensors[f"model.layers.1.self_attn.{name}_proj.weight"].to(wanted) for name in "qkv"]
    assert torch.equal(found["layers.1.mix.attention.qkv.weight"], torch.cat(pieces))
    assert {p.dtype for p in found.values()} == {wanted}


def test_what_parts_change_on_the_way_may_change_dtype_too(tmp_path: Path) -> None:
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in numbered(GPT2).items()}
    found = loaded(assembled("gpt2"), tensors, tmp_path).parameters
    assert torch.equal(found["layers.0.ffn.mlp.up.weight"], tensors["h.0.mlp.c_fc.weight"].T.float())


LAYOUTS = """
weights:
  layouts:
    wrapped: {model: outer.model, lm_head: outer.lm_head}
    bare: {model: ''}
    other: {model.layers: blocks}
"""


@pytest.mark.parametrize(
    ("old", "new", "layout"),
    [
        ("", "", ""),
        ("model.", "", "bare"),
        ("model.layers.", "blocks.", "other"),
    ],
)
def test_the_layout_that_fits_is_taken(tmp_path: Path, old: str, new: str, layout: str) -> None:
    tensors = {new + name.removeprefix(old) if name.startswith(old) else name: t for name, t in llama_tensors().items()}
    found = loaded(assembled(changes=LAYOUTS), tensors, tmp_path)
    assert found.matching.table.name == layout
    assert torch.equal(
        found.parameters["layers.1.mix.norm.weight"], llama_tensors()["model.layers.1.input_layernorm.weight"]
    )


def test_a_layout_renames_every_beginning(tmp_path: Path) -> None:
    tensors = {f"outer.{name}": tensor for name, tensor in llama_tensors().items()}
    assert loaded(assembled(changes=LAYOUTS), tensors, tmp_path).matching.table.name == "wrapped"


def test_no_file_is_read_by_two_layouts_at_once(tmp_path: Path) -> None:
    tensors = {name.replace("model.layers.1.", "blocks.1."): tensor for name, tensor in llama_tensors().items()}
    assert matched(assembled(changes=LAYOUTS), tensors, tmp_path).findings


def test_progress_counts_every_byte_once(tmp_path: Path) -> None:
    model, tensors = assembled(), llama_tensors()
    seen: list[tuple[int, int]] = []
    matching = matched(model, tensors, tmp_path)
    fill(model.module, matching, device=torch.device("cpu"), dtype=None, progress=lambda *now: seen.append(now))
    total = sum(tensor.nbytes for tensor in tensors.values())
    assert seen[-1] == (total, total)
    assert len(seen) == len(tensors)
    assert seen == sorted(seen)


def test_a_name_may_depend_on_the_config(tmp_path: Path) -> None:
    text = "weights: {head: ='model.embed_tokens' if config.shared else 'lm_head', embed.tokens: model.other}"
    tensors = llama_tensors()
    tensors["model.other.weight"] = tensors["model.embed_tokens.weight"] + 5000
    del tensors["lm_head.weight"]
    found = loaded(assembled(changes=text, shared=True), tensors, tmp_path).parameters
    assert torch.equal(found["head.weight"], tensors["model.embed_tokens.weight"])


def test_the_model_stays_without_memory_until_it_is_filled() -> None:
    model = assembled(**{**LLAMA, "hidden_size": 2**15, "intermediate_size": 2**17, "num_hidden_layers": 200}).module
    assert isinstance(model, nn.Module)
    assert all(p.is_meta for p in model.parameters())
