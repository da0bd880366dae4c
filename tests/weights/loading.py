"""Tiny checkpoints made by hand, and models filled from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from triptych.assembly import Assembled, assemble
from triptych.spec.catalog import load_named, sample_config
from triptych.spec.document import Tree, parse_document
from triptych.spec.merge import merge
from triptych.weights import Checkpoint, Matching, check, fill, match, tables

LLAMA = {"vocab_size": 11, "hidden_size": 8, "intermediate_size": 6, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA |= {"num_key_value_heads": 2, "head_dim": 2, "max_position_embeddings": 16}


def assembled(spec: str = "llama", changes: str = "", **config: Any) -> Assembled:
    """A registered spec, changed, for its sample or Llama's tiny config with other values."""
    tree = merge(load_named(spec)[1], parse_document(changes, file="my.yaml"))
    assert isinstance(tree, Tree)
    return assemble(tree, {**sample_config(tree), **(LLAMA if spec == "llama" else {}), **config}, name="my")


def llama_tensors(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    """What a checkpoint of the tiny Llama holds, every value another one; `shapes` are instead of the right ones."""
    layer = {
        "input_layernorm": (8,),
        "self_attn.q_proj": (8, 8),
        "self_attn.k_proj": (4, 8),
        "self_attn.v_proj": (4, 8),
        "self_attn.o_proj": (8, 8),
        "post_attention_layernorm": (8,),
        "mlp.gate_proj": (6, 8),
        "mlp.up_proj": (6, 8),
        "mlp.down_proj": (8, 6),
    }
    names = {f"model.layers.{i}.{name}.weight": shape for i in range(2) for name, shape in layer.items()}
    names |= {"model.embed_tokens.weight": (11, 8), "model.norm.weight": (8,), "lm_head.weight": (11, 8)}
    return numbered(names | shapes)


def numbered(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Tensors of these shapes; no two of their elements are the same."""
    found, start = {}, 0
    for name, shape in shapes.items():
        size = torch.Size(shape).numel()
        found[name] = torch.arange(start, start + size, dtype=torch.float32).view(shape)
        start += size
    return found


@dataclass(frozen=True)
class Loaded:
    """A filled model, and what was made of its checkpoint."""

    parameters: dict[str, Tensor]
    matching: Matching


def matched(model: Assembled, tensors: Mapping[str, Tensor], folder: Path) -> Matching:
    """The dry run: headers alone are read."""
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    return match(model.module, tables(model.plan.scopes), Checkpoint(folder).tensors)


def loaded(
    model: Assembled, tensors: Mapping[str, Tensor], folder: Path, *, dtype: torch.dtype | None = torch.float32
) -> Loaded:
    matching = matched(model, tensors, folder)
    check(matching, checkpoint="checkpoint")
    fill(model.module, matching, device=torch.device("cpu"), dtype=dtype)
    return Loaded(dict(model.module.named_parameters()), matching)
