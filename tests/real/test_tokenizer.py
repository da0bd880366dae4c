"""SmolLM2's real tokenizer and chat template: the ids and texts of transformers, streamed too."""

from __future__ import annotations

from pathlib import Path

import pytest

from triptych.inputs.chat import load_chat_template
from triptych.inputs.detokenizer import Detokenizer
from triptych.inputs.tokenizer import end_ids, load_tokenizer

pytestmark = pytest.mark.slow
TEXTS = [
    "Hello, world! It's 2024-05-17, 3.14159.",
    "def f(x):\n    return x ** 2  # square\n",
    "Füße, naïve, 東京タワー, Привет, 🦊👩‍🚀, \u200bzero\u00a0width",
    "<|im_start|>user\nhi<|im_end|>\n",
    "   ",
    "",
    "1234567890" * 5,
]


def test_ids_and_texts_are_those_of_transformers(smollm2: Path) -> None:
    from transformers import AutoTokenizer

    wanted, found = AutoTokenizer.from_pretrained(smollm2), load_tokenizer(smollm2)
    assert found is not None
    assert end_ids(smollm2, {}, found) == {wanted.eos_token_id}
    for text in TEXTS:
        ids = wanted(text)["input_ids"]
        assert (found.encode(text), found.encode_bare(text)) == (
            ids,
            wanted(text, add_special_tokens=False)["input_ids"],
        )
        whole = wanted.decode(ids, skip_special_tokens=True)
        stream = Detokenizer(found)
        pieces = [*map(stream.push, ids), stream.flush()]
        assert found.decode(ids) == "".join(pieces) == whole
        assert not any("\ufffd" in piece for piece in pieces)


def test_a_chat_is_that_of_transformers(smollm2: Path) -> None:
    from transformers import AutoTokenizer

    wanted, found = AutoTokenizer.from_pretrained(smollm2), load_tokenizer(smollm2)
    assert found is not None
    template = load_chat_template(smollm2, found.named)
    assert template is not None
    for text in TEXTS:
        turn = [{"role": "user", "content": text}]
        ids = wanted.apply_chat_template(turn, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert found.encode_bare(template.render(turn)) == ids
