"""A config that says what its spec cannot serve is refused: silent wrong numbers are the worst mistake."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.parity.oracle import tiny_config
from triptych.assembly import assemble
from triptych.errors import SpecError
from triptych.spec.catalog import load_named
from triptych.spec.plan import plan

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "half a head turned, where all of it is": ("Llama", {"partial_rotary_factor": 0.5}, "llama serves 1 only"),
    "half a head turned, says the mapping": (
        "Llama",
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
        "`rope_fraction: 0.5`; llama serves 1 only",
    ),
    "a window": ("Llama", {"sliding_window": 8}, "`sliding_window: 8`, which llama.yaml does not read"),
    "layer types": ("Mistral", {"layer_types": ["full_attention"] * 2}, "layer_types.* which mistral.yaml does not"),
    "a bias on q": ("Mistral", {"attention_bias": True}, "`attention_bias: True`, which mistral.yaml does not read"),
    "a bias in the MLP": ("Qwen2", {"mlp_bias": True}, "`mlp_bias: True`, which qwen2.yaml does not read"),
    "attention both ways": ("Gemma", {"use_bidirectional_attention": True}, "gemma serves False only"),
    "another activation": ("Gemma", {"hidden_activation": "relu"}, "gemma serves 'gelu_pytorch_tanh' only"),
    "two activations": ("Gemma2", {"hidden_act": "relu"}, "gemma2 serves 'gelu_pytorch_tanh' only"),
    "a longer pattern": ("Gemma2", {"sliding_window_pattern": 6}, "gemma2 serves 2 only"),
    "a softcap that is not applied": (
        "Gemma3",
        {"attn_logit_softcapping": 50.0},
        "`attn_logit_softcapping: 50.0`, which gemma3.yaml does not read",
    ),
    "local layers both ways": ("Gemma3", {"use_bidirectional_attention": True}, "gemma3 serves False only"),
    "a norm clipped": ("Olmo2", {"clip_qkv": 8.0}, "`clip_qkv: 8.0`, which olmo2.yaml does not read"),
    "layers that skip rope": ("Granite", {"layer_rope": [1, 0]}, r"`layer_rope: \[1, 0\]`, which granite.yaml"),
    "normed rows that do not go on beside a branch": (
        "MiniMaxText01",
        {"model_type": "minimax_text_01"},
        "`postnorm: False`; minimax_text_01 serves True only",
    ),
    "quantized weights": ("Llama", {"quantization_config": {"bits": 4}}, "quantization_config"),
    "normed queries": ("Cohere2", {"use_qk_norm": True}, "cohere2 serves False only"),
    "rope stretched by a factor": ("StableLm", {"rotary_scaling_factor": 2.0}, "stablelm serves 1.0 only"),
    "an unknown rope": ("Llama", {"rope_parameters": {"rope_type": "yarm", "factor": 4.0}}, "did you mean 'yarn'"),
    "a field of another rope": ("Llama", {"rope_parameters": {**YARN, "low_freq_factor": 1.0}}, "low_freq_factor"),
    "an unknown activation": ("Llama", {"hidden_act": "silo"}, "did you mean 'silu'"),
    "heads that do not divide": ("Llama", {"num_key_value_heads": 3}, "4 heads cannot share 3 kv_heads"),
    "an odd head": ("Llama", {"head_dim": 15}, "15"),
    "too few factors": (
        "Phi3",
        {"rope_parameters": {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [1.0]}},
        "short_factor has 1 entries for 8 pairs",
    ),
    "a rope of old code": ("Phi3", {"rope_scaling": {"type": "yarn", "long_factor": [1.0] * 8}}, "long_factor"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_spec_cannot_serve_is_named(what: str) -> None:
    family, change, message = REFUSED[what]
    config = tiny_config(f"{family}ForCausalLM")
    assert config is not None
    assemble(None, config)
    with pytest.raises(SpecError, match=message):
        assemble(None, config | change)


@pytest.mark.parametrize(
    ("branch", "change", "message"),
    [
        ("attention", {"window_length": 8}, "`attention_window: 8`; nemotron_nas serves None only"),
        ("attention", {"num_sink_tokens": 4}, "`attention_sinks: 4`; nemotron_nas serves None only"),
        ("attention", {"sparsify": ["q"]}, r"`sparsity: \['q'\]`; nemotron_nas serves None only"),
        ("ffn", {"sparsify": ["up"]}, r"`ffn_sparsity: \['up'\]`; nemotron_nas serves None only"),
    ],
)
def test_what_a_spec_cannot_serve_in_one_layer_is_named(branch: str, change: dict[str, Any], message: str) -> None:
    sample = load_named("nemotron_nas")[1]["sample"]
    config = copy.deepcopy({key: value for key, value in sample.items() if value is not None})
    config["block_configs"][0][branch] |= {key: False if value is True else None for key, value in change.items()}
    plan("nemotron_nas", config)
    config["block_configs"][2][branch] |= change
    with pytest.raises(SpecError, match=message):
        plan("nemotron_nas", config)


def test_cross_attention_is_refused() -> None:
    config = tiny_config("GPT2LMHeadModel")
    assert config is not None
    with pytest.raises(SpecError, match="gpt2 serves False only"):
        assemble(None, config | {"add_cross_attention": True})


@pytest.mark.parametrize(
    ("rope", "longest"),
    [
        ({"rope_type": "default"}, 512),
        ({"rope_type": "linear", "factor": 2.0}, 1024),
        ({"rope_type": "dynamic", "factor": 4.0}, 2048),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}, 2048),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}, 512),
        ({"rope_type": "yarn", "factor": None, "original_max_position_embeddings": 128}, 512),
        ({"type": "linear", "factor": 2.0}, 1024),
    ],
)
@pytest.mark.parametrize("key", ["rope_parameters", "rope_scaling"])
def test_the_longest_sequence_follows_from_the_scaling(rope: dict[str, Any], longest: int, key: str) -> None:
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    del config["rope_parameters"]
    assert assemble(None, config | {key: rope}).module.context == longest
