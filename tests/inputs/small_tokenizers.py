"""Tokenizers trained on a few lines, saved as checkpoints have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = [
    "the quick brown fox jumps over the lazy dog",
    "the lighthouse keeper counts the waves, one by one",
    "naïve café, crème brûlée; über straße",
    "numbers 0 1 2 3 4 5 6 7 8 9 and the year 2020!",
    "def main(): return [x for x in range(10)]",
]
TEXTS = [
    "the quick fox",
    "  leading and trailing  ",
    "",
    "naïve café 東京 🦊 \u200d end",
    "<s> a special token in the text </s>",
    "a line\nand\ttabs 12345",
    "<image>between<image> placeholders",
]
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>", "<image>"]


def byte_level() -> Tokenizer:
    """As GPT-2's: every byte is a token, so nothing is unknown; a begin token goes in front."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    special = [("<s>", 1), ("</s>", 2)]
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A </s>:1 $B:1", special_tokens=special
    )
    return made


def byte_fallback() -> Tokenizer:
    """As Llama 2's: words begin with a mark, and what is no token falls back to tokens of bytes."""
    bytes_ = [f"<0x{n:02X}>" for n in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=SPECIAL + bytes_, show_progress=False)
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trained.train_from_iterator([line.replace("🦊", "") for line in CORPUS], trainer)
    state = trained.to_str()
    made = Tokenizer.from_str(state.replace('"byte_fallback":false', '"byte_fallback":true'))
    made.add_special_tokens(SPECIAL)
    strip = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    made.decoder = decoders.Sequence(strip)
    made.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)])
    return made


def save(tokenizer: Tokenizer, folder: Path, **config: Any) -> Path:
    """The folder with tokenizer.json and tokenizer_config.json as transformers writes them."""
    from transformers import PreTrainedTokenizerFast

    named = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **{**named, **config}).save_pretrained(folder)
    return folder
