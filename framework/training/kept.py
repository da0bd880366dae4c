"""Folders of models: what was trained, with the spec that it was made by, as `load` reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from triptych.inputs.tokenizer import end_ids, load_tokenizer
from triptych.spec.catalog import OWN_SPEC
from triptych.tasks import Model
from triptych.tasks.source import HUB_FILES
from triptych.weights import save_tensors
from triptych.whole_file import whole_folder

BYTES = 256
END = "<end>"  # the token after all bytes, where the vocabulary has room for it
NOT_BESIDE = ("*.safetensors", "*.safetensors.index.json", "trainer_state.json", OWN_SPEC)


def fill_folder(folder: Path, tensors: Mapping[str, Tensor], *, like: Path, spec: str) -> None:
    """Write a model into a folder: parameters by their paths, the spec, and the small files of the folder `like`."""
    for file in beside(like):
        shutil.copyfile(file, folder / file.name)
    (folder / OWN_SPEC).write_text(spec, encoding="utf-8")
    save_tensors(folder, tensors)


def beside(folder: Path) -> list[Path]:
    """The small files of a checkpoint folder: config, tokenizer, processor, chat template."""
    named = {file for pattern in HUB_FILES for file in folder.glob(pattern) if file.is_file()}
    return sorted(file for file in named if not any(file.match(pattern) for pattern in NOT_BESIDE))


def begin_folder(path: Path, model: Model, *, spec: str, tokenizer: Path | None) -> None:
    """A folder of a model with random weights: its tokens are those of a folder with a `tokenizer`, else bytes."""
    with whole_folder(path) as folder:
        (folder / "config.json").write_text(json.dumps(model.config, indent=2), encoding="utf-8")
        if tokenizer is not None:
            for file in beside(tokenizer):
                if file.name not in ("config.json", "preprocessor_config.json"):
                    shutil.copyfile(file, folder / file.name)
        else:
            tokens = model.processor.info.ctx.tokens.values() if model.processor is not None else ()
            _write_bytes(folder, vocab=model.module.vocab_size, placeholders={rule.placeholder for rule in tokens})
        found = end_ids(None, {}, load_tokenizer(folder))
        if found:  # a config's sample may name another, of the tokenizer that its family has
            (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [*found]}), encoding="utf-8")
        if model.processor is not None:
            model.processor.info.ctx.image_processor.save(folder)
        (folder / OWN_SPEC).write_text(spec, encoding="utf-8")
        save_tensors(folder, dict(model.module.named_parameters()))


def _write_bytes(folder: Path, *, vocab: int, placeholders: set[int]) -> None:
    """A tokenizer whose tokens are bytes, and one that ends a text where there is an id for it."""
    letters = {letter: byte for byte, letter in enumerate(_letters())}
    found = Tokenizer(models.BPE(vocab=letters, merges=[]))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    found.decoder = decoders.ByteLevel()
    named = {}
    if vocab > BYTES and BYTES not in placeholders:
        found.add_special_tokens([AddedToken(END, special=True, normalized=False)])
        named = {"eos_token": END}
    found.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(named), encoding="utf-8")


def _letters() -> list[str]:
    """The letter that the library writes for each byte: itself where it shows, else one past all of them."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(BYTES) if byte not in shown]
    return [chr(byte if byte in shown else BYTES + hidden.index(byte)) for byte in range(BYTES)]
