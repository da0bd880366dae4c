"""The tokenizer of questions and answers: bytes, the words that occur, and each digit by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from triptych.handwriting.questions import wordings
from triptych.whole_file import write_whole

IMAGE, USER, MODEL, END = SPECIAL = ("<image>", "<user>", "<model>", "<end>")
ANSWERS = ("Yes", "No", "0123456789")
VOCABULARY = 384  # tokens: those in SPECIAL, 256 bytes, and pieces of words
TEMPLATE = """\
{%- for message in messages -%}
{{- '<user>' if message['role'] == 'user' else '<model>' -}}
{%- if message['content'] is string -%}
{{- message['content'] | trim -}}
{%- else -%}
{%- for part in message['content'] -%}
{{- '<image>' if part['type'] == 'image' else part['text'] | trim -}}
{%- endfor -%}
{%- endif -%}
{{- '<end>' if message['role'] != 'user' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<model>' -}}{%- endif -%}
"""


def learn_tokenizer() -> Tokenizer:
    """Byte-level BPE of VOCABULARY tokens at most, learned from every question and answer that there can be."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, normalized=False, special=True) for token in SPECIAL],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator([*wordings(), *ANSWERS], trainer)
    return made


def write_tokenizer(made: Tokenizer, folder: Path) -> None:
    """`tokenizer.json`, and beside it the names of the special tokens and the form of a chat."""
    named: Mapping[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": END,
        "image_token": IMAGE,
        "clean_up_tokenization_spaces": False,
    }
    write_whole(folder / "tokenizer.json", made.to_str(pretty=True) + "\n")
    write_whole(folder / "tokenizer_config.json", json.dumps(named, indent=2) + "\n")
    write_whole(folder / "chat_template.jinja", TEMPLATE)
