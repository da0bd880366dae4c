"""Tokenizers of words for tiny models: a word for each token id, and the texts that stand for items."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Sequence, Split, WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

IMAGE, VIDEO = "<image>", "<video>"
TARGETS = (IMAGE, "<IMG_CONTEXT>", "[IMG]")
NEWLINES = 6  # at the most beside each other, which are one token


def words(config: Any, *texts: str) -> PreTrainedTokenizerFast:
    """A word for each token id; a text begins with the token 1. The target for an image is among `texts`, or IMAGE."""
    target = next((text for text in texts if text in TARGETS), IMAGE)
    last = config.get_text_config().vocab_size - 1
    others = [text for text in texts if text != target]
    special = {last - number: text for number, text in enumerate(others)}
    special |= {0: "<unk>", 1: "<s>", config.image_token_id: target}
    if (video := getattr(config, "video_token_id", None)) is not None:
        special[video] = VIDEO
    found = {number: f"w{number}" for number in range(config.get_text_config().vocab_size)} | special
    backend = Tokenizer(WordLevel({word: number for number, word in found.items()}, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.add_special_tokens([*special.values()])
    backend.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", bos_token="<s>")


def lines(
    config: Any,
    special: Mapping[int, str],
    *,
    begins: bool = True,
    own: Mapping[int, str] = MappingProxyType({}),
    **named: str,
) -> PreTrainedTokenizerFast:
    """A word for each token id, some of its `own`, and one for each number of newlines.

    A text begins with the token 1 if it `begins`.
    """
    newlines = {number + 1: "\n" * number for number in range(1, NEWLINES + 1)}
    found = {number: f"w{number}" for number in range(config.get_text_config().vocab_size)}
    found |= {0: "<unk>", 1: "<bos>"} | newlines | dict(own) | dict(special)
    backend = Tokenizer(WordLevel({word: number for number, word in found.items()}, unk_token="<unk>"))
    backend.pre_tokenizer = Sequence([Split(" ", "removed"), Split(Regex("\n+"), "isolated")])
    backend.add_special_tokens(["<unk>", "<bos>", *special.values()])
    if begins:
        backend.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", bos_token="<bos>", extra_special_tokens=named
    )
