"""Placeholders: as many ids as an image has rows, as the reference processor writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.inputs.small_tokenizers import byte_fallback, byte_level
from triptych.errors import InputError
from triptych.inputs.processing import (
    InputProcessingContext,
    SpecDummyInputsBuilder,
    SpecProcessingInfo,
    SpecProcessor,
)
from triptych.inputs.reader import PromptReader
from triptych.inputs.tokenizer import ByteTokenizer, Tokenizer, load_tokenizer
from triptych.spec.item_facts import ImageFacts, ItemFacts
from triptych.spec.tokens import TokenRule

PLACEHOLDER = 4  # the id of <image> in the small tokenizers
TEMPLATE = """{% for message in messages %}{{ message.role | upper }}: {% if message.content is string %}
{{- message.content }}{% else %}{% for part in message.content %}{% if part.type == 'image' %}<image>
{%- else %}{{ '\\n' + part.text }}{% endif %}{% endfor %}{% endif %}
{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"""


# As LLaVA's: content is a list of parts, and what a plain text would give is nothing
PARTS_ONLY = """{% for message in messages %}{{ message['role'] | upper }}: {# images first #}
{%- for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>' }}{% endfor %}
{%- for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ '\\n' + part.text }}{% endfor %}
{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"""


def image(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.full((height, width, 3), 100, np.uint8))


IMAGES = [image(20, 31), image(16, 16), image(60, 17)]


def four_rows(item: ItemFacts, processor: Mapping[str, Any]) -> int:  # noqa: ARG001
    """16 x 16 pixels after the crop, patches of 8."""
    return (processor["crop_size"]["height"] // 8) * (processor["crop_size"]["width"] // 8)


def largest(processor: Mapping[str, Any]) -> ItemFacts:  # noqa: ARG001
    return ImageFacts(16, 16)


RULE = TokenRule(PLACEHOLDER, "<image>", four_rows, largest)


def reader_of(folder: Path | None, tokenizer: Tokenizer | None, rule: TokenRule | None = RULE) -> PromptReader:
    """A reader for a model of images by that rule, or one that takes none."""
    if rule is None:
        return PromptReader(folder, tokenizer)
    info = SpecProcessingInfo(InputProcessingContext({}, tokenizer=tokenizer, folder=folder, tokens={"image": rule}))
    return PromptReader(folder, tokenizer, SpecProcessor(info, SpecDummyInputsBuilder(info)), {"image": rule.target})


@pytest.fixture(params=[byte_level, byte_fallback])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[PromptReader, Any]:
    """A reader of the folder that a LLaVA processor was saved to, and that processor."""
    from transformers import CLIPImageProcessor, LlavaProcessor, PreTrainedTokenizerFast

    named: dict[str, str] = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=request.param(), **named)
    pictures = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    told = {"patch_size": 8, "vision_feature_select_strategy": "full", "chat_template": TEMPLATE}
    reference = LlavaProcessor(pictures, tokenizer, **told)
    reference.save_pretrained(tmp_path)
    return reader_of(tmp_path, load_tokenizer(tmp_path)), reference


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("a fox, no image", 0),
        ("<image>", 1),
        ("<image>\nWhat is this?", 1),
        ("first <image> then <image> and <image>", 3),
        ("<image><image>side by side", 2),
    ],
)
def test_ids_and_pixels_are_those_of_the_reference(checkpoint: tuple[PromptReader, Any], text: str, count: int) -> None:
    reader, reference = checkpoint
    found = reader.read(text, {"image": IMAGES[:count]}, raw=True)
    wanted = reference(text=text, images=IMAGES[:count] or None)
    assert list(found.token_ids) == wanted["input_ids"][0]
    assert [i for i, of_image in enumerate(found.item_rows()) if of_image] == [
        i for i, token in enumerate(found.token_ids) if token == PLACEHOLDER
    ]
    for feature, pixels in zip(found.features, wanted["pixel_values"] if count else (), strict=True):
        assert feature.data is not None
        (given,) = feature.data.get_data().values()
        assert np.array_equal(np.asarray(given), pixels)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_chat_turn_is_that_of_the_reference(checkpoint: tuple[PromptReader, Any], count: int) -> None:
    reader, reference = checkpoint
    parts = [*({"type": "image"} for _ in range(count)), {"type": "text", "text": "What is this?"}]
    chat = [{"role": "user", "content": parts if count else "What is this?"}]
    text = reference.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    wanted = reference(text=text, images=IMAGES[:count] or None, add_special_tokens=False)
    assert list(reader.read("What is this?", {"image": IMAGES[:count]}).token_ids) == wanted["input_ids"][0]


def test_ids_that_a_processor_has_expanded_stay_as_they_are(checkpoint: tuple[PromptReader, Any]) -> None:
    reader, reference = checkpoint
    ids = reference(text="a <image> b <image> c", images=IMAGES[:2])["input_ids"][0]
    assert list(reader.read(ids, {"image": IMAGES[:2]}).token_ids) == ids


def test_text_without_placeholders_gets_them_in_front(checkpoint: tuple[PromptReader, Any]) -> None:
    reader, _ = checkpoint
    found = reader.read("What?", {"image": IMAGES[:2]}, raw=True)
    assert found.token_ids == reader.read("<image><image>\nWhat?", {"image": IMAGES[:2]}, raw=True).token_ids
    assert found.token_ids[:9] == (1, *[PLACEHOLDER] * 8)


def test_a_template_for_text_only_gets_placeholders_in_the_text(checkpoint: tuple[PromptReader, Any]) -> None:
    reader, _ = checkpoint
    assert reader.folder is not None
    plain = "{% for message in messages %}USER: {{ message.content | trim }} ASSISTANT:{% endfor %}"
    (reader.folder / "chat_template.jinja").write_text(plain, encoding="utf-8")
    found = reader.read("What?", {"image": IMAGES[:1]})
    assert reader.tokenizer is not None
    bare = reader.tokenizer.encode_bare("USER: <image>\nWhat? ASSISTANT:")
    assert found.token_ids == tuple(i for token in bare for i in [token] * (4 if token == PLACEHOLDER else 1))


@pytest.mark.parametrize(("text", "count"), [("What?", 0), ("S", 0), ("What?", 2), ("this <image> and <image>", 2)])
def test_a_template_for_parts_only_loses_no_text(checkpoint: tuple[PromptReader, Any], text: str, count: int) -> None:
    reader, _ = checkpoint
    assert reader.folder is not None
    assert reader.tokenizer is not None
    (reader.folder / "chat_template.jinja").write_text(PARTS_ONLY, encoding="utf-8")
    images = "<image>" * count if "<image>" not in text else ""
    bare = reader.tokenizer.encode_bare(f"USER: {images}\n{text}ASSISTANT:")
    wanted = [i for token in bare for i in [token] * (4 if token == PLACEHOLDER else 1)]
    assert list(reader.read(text, {"image": IMAGES[:count]}).token_ids) == wanted


def test_what_a_template_says_against_a_turn_is_told(checkpoint: tuple[PromptReader, Any]) -> None:
    reader, _ = checkpoint
    assert reader.folder is not None
    (reader.folder / "chat_template.jinja").write_text("{{ raise_exception('no users here') }}", encoding="utf-8")
    with pytest.raises(InputError, match="the chat template refuses these messages: no users here"):
        reader.read("What?")


class Blind(ByteTokenizer):
    """A tokenizer that does not know the placeholder, with a begin token."""

    def encode(self, text: str) -> list[int]:
        return [1, *super().encode(text)]


def read(
    text: str | Sequence[int], count: int, tokenizer: Tokenizer, folder: Path, rule: TokenRule | None = RULE
) -> Any:
    return reader_of(folder, tokenizer, rule).read(text, {"image": IMAGES[:count]}, raw=True)


def test_a_target_that_is_no_token_is_found_in_the_text(checkpoint: tuple[PromptReader, Any]) -> None:
    reader, _ = checkpoint
    assert reader.folder is not None
    found = read("a<image>b<image>", 2, Blind(256), reader.folder, TokenRule(700, "<image>", four_rows, largest))
    assert found.token_ids == (1, ord("a"), *[700] * 4, ord("b"), *[700] * 4)


def around(placeholder: int) -> TokenRule:
    def content(count: int, item: object, processor: object) -> list[str | int]:  # noqa: ARG001
        return ["{<image>", count, "}"]

    texts = {"before": "{<image>", "after": "}"}
    return TokenRule(placeholder, "<image>", four_rows, largest, content=content, **texts)


def test_what_stands_around_placeholders_is_a_part_of_the_text(checkpoint: tuple[PromptReader, Any]) -> None:
    reader, _ = checkpoint
    assert reader.folder is not None
    found = read("a<image>b<image>", 2, Blind(256), reader.folder, around(700))
    item = (*b"{<image>", *[700] * 4, ord("}"))
    assert found.token_ids == (1, ord("a"), *item, ord("b"), *item)
    assert [(each.start, len(each)) for each in found.item_ranges()] == [(10, 4), (24, 4)]


@pytest.mark.parametrize("given", ["target", "placeholder"])
def test_of_ids_each_item_becomes_what_stands_around_it_too(checkpoint: tuple[PromptReader, Any], given: str) -> None:
    reader, _ = checkpoint
    assert reader.folder is not None
    assert reader.tokenizer is not None
    before, after = (reader.tokenizer.encode_bare(text) for text in ("{<image>", "}"))
    ids = [5, {"target": PLACEHOLDER, "placeholder": 250}[given], 6]
    found = read(ids, 1, reader.tokenizer, reader.folder, around(250))
    assert found.token_ids == (5, *before, *[250] * 4, *after, 6)
    assert read(found.token_ids, 1, reader.tokenizer, reader.folder, around(250)).token_ids == found.token_ids


@pytest.mark.parametrize(
    ("prompt", "count", "message"),
    [
        (
            "<image> and <image>",
            1,
            r"the prompt has 2 placeholders \(<image>\) for 1 image; give 1 more image, or take",
        ),
        ("<image>", 0, r"1 placeholder \(<image>\) for 0 images; give 1 more image"),
        ("one <image>", 3, r"1 placeholder \(<image>\) for 3 images; write <image> where each image belongs"),
        ([5, 6, 7], 1, r"0 placeholders \(<image>\) for 1 image; write <image>"),
        (
            [5, *[PLACEHOLDER] * 7],
            2,
            r"7 placeholders .* 2 images, which take 8; image\[1\] takes 4 and has 3, as token 8 shows first$",
        ),
        (
            [5, *[PLACEHOLDER] * 6, 5, *[PLACEHOLDER] * 4],
            2,
            r"10 placeholders .* which take 8; image\[0\] takes 4 and has 6, as token 5 shows first$",
        ),
        ([5, *[PLACEHOLDER] * 4, 5], 2, r"which take 8; image\[1\] takes 4 and has 0$"),
        ([5, *[PLACEHOLDER] * 9], 2, r"which take 8; from token 9 on there are 1 that no image takes$"),
        ([*[PLACEHOLDER] * 4, 5, 4, 5, 4], 1, r"which take 4; from token 5 on there are 2 that no image takes$"),
    ],
)
def test_images_and_placeholders_must_fit(
    checkpoint: tuple[PromptReader, Any], prompt: str | list[int], count: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        checkpoint[0].read(prompt, {"image": IMAGES[:count]}, raw=True)


def test_a_model_that_takes_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 images given, and this model takes none; leave the images out"):
        read("hello", 2, ByteTokenizer(256), tmp_path, rule=None)


def test_text_to_a_model_without_a_tokenizer_is_refused() -> None:
    with pytest.raises(InputError, match="is text, and this model has no tokenizer; give token ids"):
        PromptReader(None, None).read("hello")


def test_images_to_a_model_without_a_folder_are_refused() -> None:
    with pytest.raises(InputError, match="this model came without one"):
        reader_of(None, ByteTokenizer(256)).read("hello", {"image": IMAGES[:1]})
