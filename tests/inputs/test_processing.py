"""From a prompt and its items to token ids, tensors and places: info, dummy inputs, processor, budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from triptych.errors import (
    CapabilityError,
    InputError,
    InputTypeError,
    OptionError,
    PluginError,
    PromptUpdateError,
)
from triptych.inputs.fields import MultiModalFieldConfig
from triptych.inputs.items import MultiModalKwargsItems
from triptych.inputs.media import EmbeddingItems, ImageProcessorItems, MultiModalDataItems
from triptych.inputs.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    BatchLimits,
    EncDecMultiModalProcessor,
    InputProcessingContext,
    ProcessorInputs,
    build_processor,
    get_budget,
    get_dummy_inputs,
    get_max_tokens_per_item,
)
from triptych.inputs.processing.budget import BudgetWarning
from triptych.inputs.processing.dummy import DummySizeWarning
from triptych.inputs.processing.processor import Keywords
from triptych.inputs.tokenizer import ByteTokenizer
from triptych.inputs.updates import (
    PromptIndexTargets,
    PromptInsertion,
    PromptReplacement,
    PromptUpdate,
    PromptUpdateDetails,
)
from triptych.registry.processing import register_processor
from triptych.settings import MultiModalSettings

TARGET, ROW, END = 300, 301, 302  # past the bytes
SIDE = 8  # of the largest image that the model tells apart, in pixels


class Info(BaseProcessingInfo):
    """An image takes a row for each two of its pixels' rows."""

    most: ClassVar[int | None] = 3

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        return {"image": self.most}


class Dummy(BaseDummyInputsBuilder[Info]):
    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        return "<image>" * mm_counts.get("image", 0)

    def get_dummy_mm_data(
        self,
        seq_len: int,  # noqa: ARG002
        mm_counts: Mapping[str, int],
        mm_options: Mapping[str, Mapping[str, int]],
    ) -> dict[str, object]:
        sizes = {"width": SIDE, "height": SIDE, "num_images": mm_counts.get("image", 0)}
        return {"image": self._get_dummy_images(**sizes, options=mm_options.get("image"))}


class Processor(BaseMultiModalProcessor[Info]):
    """It keeps a note of each step that it takes."""

    def __init__(self, info: Info, dummy_inputs: BaseDummyInputsBuilder[Info]) -> None:
        super().__init__(info, dummy_inputs)
        self.steps: list[str] = []
        self.given: Keywords = {}

    def encode(self, text: str, *, bare: bool = False) -> list[int]:
        pieces = [super(Processor, self).encode(piece, bare=bare) for piece in text.split("<image>")]
        return [i for n, piece in enumerate(pieces) for i in ([TARGET, *piece] if n else piece)]

    def _get_hf_mm_data(self, mm_items: MultiModalDataItems) -> tuple[dict[str, object], dict[str, object]]:
        self.steps.append("collect")
        return super()._get_hf_mm_data(mm_items)

    def _call_hf_processor(
        self, text: str | None, mm_data: Mapping[str, object], mm_kwargs: Keywords
    ) -> Mapping[str, object]:
        self.steps.append("call")
        self.given = mm_kwargs
        assert text is None
        assert list(mm_data) == ["images"]
        images = mm_data["images"]
        assert isinstance(images, list)
        return {"pixels": [torch.from_numpy(np.array(i, np.float32)) for i in images], "noise": 1}

    def _postprocess_data(self, data: dict[str, object], mm_kwargs: Keywords) -> dict[str, object]:
        self.steps.append(f"postprocess data {sorted(data)}")
        return {key: value for key, value in super()._postprocess_data(data, mm_kwargs).items() if key != "noise"}

    def _get_mm_fields_config(
        self,
        hf_inputs: Mapping[str, object],
        mm_kwargs: Keywords,  # noqa: ARG002
    ) -> Mapping[str, MultiModalFieldConfig]:
        return {key: MultiModalFieldConfig.batched("image") for key in hf_inputs}

    def _get_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        mm_kwargs: Keywords,  # noqa: ARG002
        out_mm_kwargs: MultiModalKwargsItems,  # noqa: ARG002
    ) -> Sequence[PromptUpdate]:
        def content(item: int) -> PromptUpdateDetails:
            rows = self.rows(mm_items, item)
            return PromptUpdateDetails.select_token_id([*[ROW] * rows, END], ROW)

        return [PromptReplacement("image", [TARGET], content)]

    def _postprocess_prompt(self, token_ids: list[int]) -> list[int]:
        self.steps.append("postprocess prompt")
        return super()._postprocess_prompt(token_ids)

    def rows(self, mm_items: MultiModalDataItems, item: int) -> int:
        images = mm_items["image"]
        if isinstance(images, EmbeddingItems):
            return images.get_feature_size(item)
        assert isinstance(images, ImageProcessorItems)
        return images.get_image_size(item).height // 2


def context(**changes: Any) -> InputProcessingContext:
    settings = MultiModalSettings(**changes.pop("settings", {}))
    return InputProcessingContext({}, settings=settings, **{"tokenizer": ByteTokenizer(400), "name": "m", **changes})


def made(kind: type[Processor] = Processor, **changes: Any) -> Processor:
    info = Info(context(**changes))
    return kind(info, Dummy(info))


def image(height: int = 4) -> Image.Image:
    return Image.new("RGB", (3, height), (height, 0, 0))


def test_apply_gives_prompt_ids_item_data_hashes_and_placeholder_ranges() -> None:
    found = made()("a<image>b<image>", {"image": [image(4), image(6)]})
    assert found.prompt_token_ids == (97, ROW, ROW, END, 98, ROW, ROW, ROW, END)
    items = found.mm_kwargs["image"]
    assert [item.get_data()["pixels"].shape for item in items if item] == [(4, 3, 3), (6, 3, 3)]  # type: ignore[union-attr]
    places = found.mm_placeholders["image"]
    assert [(place.offset, place.length, place.get_num_embeds()) for place in places] == [(1, 3, 2), (5, 4, 3)]
    assert len({len(name) for name in found.mm_hashes["image"]}) == 1
    assert len(set(found.mm_hashes["image"])) == 2
    assert [feature.mm_position.offset for feature in found.features()] == [1, 5]


def test_the_prompt_may_arrive_as_token_ids_and_a_text_is_encoded_as_the_tokenizer_does() -> None:
    processor = made()
    from_ids = processor([97, TARGET], {"image": [image()]})
    assert from_ids.prompt_token_ids == processor("a<image>", {"image": [image()]}).prompt_token_ids


def test_hooks_run_in_order() -> None:
    processor = made(settings={"embeds": True})
    processor("<image>", {"image": [image()]})
    assert processor.steps == ["collect", "call", "postprocess data ['noise', 'pixels']", "postprocess prompt"]


def test_the_feature_extractor_is_not_called_when_every_item_is_embeds_which_are_merged_afterwards() -> None:
    processor = made(settings={"embeds": True})
    rows = torch.ones(3, 5, dtype=torch.float64)
    found = processor("<image>", {"image": [rows]})
    assert processor.steps == ["collect", "postprocess data ['image_embeds']", "postprocess prompt"]
    assert found.mm_placeholders["image"][0].get_num_embeds() == 3
    (item,) = found.mm_kwargs["image"]
    assert item is not None
    assert torch.equal(item.get_data()["image_embeds"], rows)  # type: ignore[arg-type]


def test_floating_outputs_are_cast_to_the_model_dtype() -> None:
    found = made(dtype=torch.bfloat16)("<image>", {"image": [image()]})
    (item,) = found.mm_kwargs["image"]
    assert item is not None
    assert item.get_data()["pixels"].dtype == torch.bfloat16  # type: ignore[union-attr]


def test_keywords_of_the_request_come_after_those_of_the_settings_and_change_the_name_of_an_item() -> None:
    processor = made(settings={"processor": {"size": 1, "images": {"crop": 2}}})
    first = processor("<image>", {"image": [image()]})
    assert processor.given["images"] == {"size": 1, "crop": 2}
    other = processor("<image>", {"image": [image()]}, {"images": {"size": 3}})
    assert processor.given["images"] == {"size": 3, "crop": 2}
    sound = processor("<image>", {"image": [image()]}, {"audio": {"rate": 3}})
    assert first.mm_hashes == sound.mm_hashes != other.mm_hashes


def test_the_extractor_may_ask_for_a_dummy_text() -> None:
    class WithText(Processor):
        seen: str | None = None

        def _get_dummy_text(self, mm_items: MultiModalDataItems) -> str | None:
            return self.dummy_inputs.get_dummy_text(mm_items.get_all_counts())

        def _call_hf_processor(
            self, text: str | None, mm_data: Mapping[str, object], mm_kwargs: Keywords
        ) -> Mapping[str, object]:
            self.seen = text
            return super()._call_hf_processor(None, mm_data, mm_kwargs)

    processor = made(WithText)
    processor("<image><image>", {"image": [image(4), image(6)]})
    assert processor.seen == "<image><image>"


@pytest.mark.parametrize(
    ("prompt", "count", "message"),
    [
        ("<image>", 2, r"^image\[1\]"),
        ("no target", 1, r"^image\[0\]"),
        ("<image><image>", 1, "image"),
    ],
)
def test_items_and_targets_that_do_not_fit_are_refused(prompt: str, count: int, message: str) -> None:
    with pytest.raises(PromptUpdateError, match=message):
        made()(prompt, {"image": [image()] * count})


def test_a_target_without_any_item_is_refused_as_one_that_is_left_over_is() -> None:
    message = r"^image: the prompt has its target \[300\] .* 2 times, and no item is given; give an item for each"
    with pytest.raises(PromptUpdateError, match=message):
        made()("a<image>b<image>", {})
    assert made()("ab", {}).prompt_token_ids == (97, 98)


def test_targets_without_any_item_are_looked_for_only_where_they_would_be_used_up() -> None:
    def kind(*updates: PromptUpdate) -> type[Processor]:
        class Some(Processor):
            def _get_prompt_updates(
                self,
                mm_items: MultiModalDataItems,
                mm_kwargs: Keywords,
                out_mm_kwargs: MultiModalKwargsItems,
            ) -> Sequence[PromptUpdate]:
                return [*updates, *super()._get_prompt_updates(mm_items, mm_kwargs, out_mm_kwargs)]

        return Some

    video = [TARGET, END]
    allowed = [
        PromptReplacement("video", video, [ROW], allow_extra=True),
        PromptInsertion("video", video, [ROW]),
        PromptReplacement("video", PromptIndexTargets.end(), [ROW]),
        PromptReplacement("video", [], [ROW]),
        PromptReplacement("video", lambda _: video, [ROW]),
        PromptReplacement("video", [ROW, END], [ROW]),  # stands in what an image brings
        PromptReplacement("video", [TARGET], [ROW]),  # that of images too
    ]
    for update in allowed:
        made(kind(update))([97, TARGET, END], {"image": [image()]})
    with pytest.raises(PromptUpdateError, match=r"^video: the prompt has its target \[97, 98\] .* 1 time, and"):
        made(kind(PromptReplacement("video", [97, 98], [ROW])))([TARGET, 97, 98], {"image": [image()]})


@pytest.mark.parametrize("given", [None, 3, [1.5], ["a"], b"ab", {1: 2}])
def test_a_prompt_is_a_text_or_token_ids(given: Any) -> None:
    with pytest.raises(InputTypeError, match=r"^prompt: a text or a list of token ids is needed, not"):
        made()(given, {"image": [image()]})


def test_plain_data_are_not_taken_for_parsed_ones() -> None:
    with pytest.raises(InputTypeError, match="call the processor on plain data"):
        made().apply({"prompt": [97]})  # type: ignore[arg-type]


@pytest.mark.parametrize("ids", [["a", "b"], "a"])
def test_ids_beside_items_are_as_many_as_the_items(ids: Any) -> None:
    processor = made()
    items = processor.info.get_data_parser().parse_mm_data({"image": [image()]})
    with pytest.raises(
        InputError, match=r"^uuids\.image: .* for 1 items; a list with an id or None for each is wanted"
    ):
        processor.apply(ProcessorInputs([TARGET], items, mm_uuids={"image": ids}))


BOOM = KeyError("boom")


def failing(hook: str, result: Any = BOOM) -> type[Processor]:
    def fails(*_: object) -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    return type("Failing", (Processor,), {hook: fails})


HOOKS = (
    "_get_hf_mm_data",
    "_get_dummy_text",
    "_postprocess_data",
    "_get_mm_fields_config",
    "_get_prompt_updates",
    "_postprocess_prompt",
    "_update_prompt",
    "_get_expected_rows",
)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_that_fails_is_told_with_the_class_that_has_it(hook: str) -> None:
    with pytest.raises(PluginError, match=r"^Failing fails on these items: KeyError: 'boom'$") as caught:
        made(failing(hook))("<image>", {"image": [image()]})
    assert isinstance(caught.value.__cause__, KeyError)


def test_the_package_of_a_class_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = failing(HOOKS[0])
    monkeypatch.setattr(kind, "__module__", "pytest.somewhere")
    with pytest.raises(PluginError, match=r"^Failing \(from pytest [\d.]+\) fails on these items: KeyError"):
        made(kind)("<image>", {"image": [image()]})


@pytest.mark.parametrize("hook", [*HOOKS[2:-1], "_call_hf_processor"])
def test_a_hook_that_gives_something_else_is_told_with_the_class_that_has_it(hook: str) -> None:
    with pytest.raises(PluginError, match=r"^Failing fails on these items: .*('int' object|is wanted, not 3$)"):
        made(failing(hook, 3))("<image>", {"image": [image()]})


def test_a_processor_that_raises_is_told_with_what_it_was_given() -> None:
    with pytest.raises(InputError, match=r"^Failing\(images=\[image 3 x 4\], images_kwargs={'size': 1}\) refuses it:"):
        made(failing("_call_hf_processor"))("<image>", {"image": [image()]}, {"images": {"size": 1}})


def test_an_error_of_triptych_that_a_hook_raises_stays_as_it_is() -> None:
    with pytest.raises(OptionError, match=r"^mine$"):
        made(failing("_call_hf_processor", OptionError("mine")))("<image>", {"image": [image()]})


def test_a_target_that_is_split_among_tokens_is_found_in_the_text_which_is_told_and_can_be_forbidden(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class OfLetters(Processor):
        """Its target is two letters that the tokenizer keeps apart from what stands around them."""

        def _get_prompt_updates(
            self,
            mm_items: MultiModalDataItems,  # noqa: ARG002
            mm_kwargs: Keywords,  # noqa: ARG002
            out_mm_kwargs: MultiModalKwargsItems,  # noqa: ARG002
        ) -> Sequence[PromptUpdate]:
            return [PromptReplacement("image", [400 - 1, 98], [ROW])]

    class Strict(OfLetters):
        searches_text = False

    class Merging(ByteTokenizer):
        """It has one token for `xa`, and another way to write what it stands for."""

        def decode_whole(self, token_ids: Sequence[int]) -> str:
            return "".join({399: "a", 398: "ab", ROW: "R"}.get(token, chr(token)) for token in token_ids)

        def encode_bare(self, text: str) -> list[int]:
            return [{"R": ROW}.get(letter, ord(letter)) for letter in text]

    found = made(OfLetters, tokenizer=Merging(400))([97, 398], {"image": [image()]})
    assert (found.used_fallback, found.prompt_token_ids) == (True, (97, ROW))
    assert "its text was searched, and encoded anew" in caplog.text
    with pytest.raises(PromptUpdateError, match=r"^image\[0\](?s:.*)allow_fallback is off"):
        made(Strict, tokenizer=Merging(400))([97, 398], {"image": [image()]})


def test_a_limit_of_a_modality_that_the_model_does_not_take_is_refused() -> None:
    register_processor(Processor, info=Info, dummy_inputs=Dummy)(found := type("Model", (TakesImages,), {}))
    with pytest.raises(OptionError, match=r"^limits\.images: m takes no such items; did you mean 'image'\?$"):
        build_processor(found, context(settings={"limits": {"images": 0}}))


def test_processed_items_are_counted() -> None:
    class Loses(Processor):
        def _postprocess_data(self, data: dict[str, object], mm_kwargs: Keywords) -> dict[str, object]:  # noqa: ARG002
            pixels = data["pixels"]
            assert isinstance(pixels, list)
            return {"pixels": pixels[1:]}

    with pytest.raises(PromptUpdateError, match=r"^image: expected 2 processed items, found 1$"):
        made(Loses)("<image><image>", {"image": [image(4), image(6)]})


def test_the_mask_of_a_placeholder_agrees_with_the_token_formula() -> None:
    class Declares(Processor):
        def _get_expected_rows(
            self,
            mm_items: MultiModalDataItems,
            out_mm_kwargs: MultiModalKwargsItems,  # noqa: ARG002
        ) -> Mapping[str, Sequence[int]]:
            return {"image": [5] * mm_items.get_count("image")}

    with pytest.raises(
        PromptUpdateError, match=r"^image\[0\]: its placeholder has 2 embeds, and the token formula gives 5"
    ):
        made(Declares)("<image>", {"image": [image()]})


@pytest.mark.parametrize(
    ("settings", "count", "message"),
    [
        ({}, 4, "the model takes no more than 3"),
        ({"limits": {"image": 1}}, 2, "raise limits.image to 2 for all of them"),
    ],
)
def test_the_limit_is_the_less_of_the_settings_and_the_models_maximum(
    settings: dict[str, Any], count: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        made(settings=settings)("<image>" * count, {"image": [image()] * count})


def test_a_processor_needs_a_tokenizer_unless_it_says_otherwise() -> None:
    class Free(Processor):
        requires_tokenizer = False

    with pytest.raises(InputError, match="Processor needs a tokenizer, and this model has none"):
        made(tokenizer=None)
    assert made(Free, tokenizer=None)([TARGET], {"image": [image()]}).prompt_token_ids == (ROW, ROW, END)
    with pytest.raises(InputError, match="is text, and this model has no tokenizer; give token ids"):
        made(Free, tokenizer=None)("<image>", {"image": [image()]})


class TextOnly(torch.nn.Module):
    """It takes no items."""


class TakesImages(torch.nn.Module):
    """It does, and has no processor."""

    supports_multimodal = True


def test_a_non_multimodal_model_or_a_class_without_factories_fails() -> None:
    with pytest.raises(CapabilityError, match=r"^m takes text only; there is no processor of items for it$"):
        build_processor(TextOnly, context())
    with pytest.raises(CapabilityError, match=r"^TakesImages has no processor that prepares items beside text"):
        build_processor(TakesImages, context())


def test_context_info_dummy_inputs_and_processor_are_built_in_this_order() -> None:
    register_processor(Processor, info=Info, dummy_inputs=Dummy)(found := type("Model", (TakesImages,), {}))
    processor = build_processor(found, given := context())
    assert isinstance(processor, Processor)
    assert processor.info.ctx is given
    assert processor.dummy_inputs.info is processor.info


def test_dummy_items_are_one_object_repeated_and_white_or_silent() -> None:
    dummy = made().dummy_inputs
    first, second = dummy._get_dummy_images(width=3, height=2, num_images=2)
    assert first is second
    assert (first.size, first.getpixel((0, 0))) == ((3, 2), (255, 255, 255))
    sound, other = dummy._get_dummy_audios(length=5, num_audios=2)
    assert sound is other
    assert (sound.shape, sound.any()) == ((5,), False)
    video, again = dummy._get_dummy_videos(width=3, height=2, num_frames=4, num_videos=2)
    assert video is again
    assert (video.shape, video.min()) == ((4, 2, 3, 3), 255)


def test_options_may_shrink_never_grow_beyond_the_models_maximum() -> None:
    processor = made(settings={"limits": {"image": {"count": 2, "height": 4}}})
    assert get_max_tokens_per_item(processor, 64, {"image": 1}) == {"image": 2}
    grown = made(settings={"limits": {"image": {"count": 2, "height": 40}}})
    with pytest.warns(DummySizeWarning, match="height 40 are asked for, and 8 is the most that counts; it is 8"):
        assert get_max_tokens_per_item(grown, 64, {"image": 1}) == {"image": SIDE // 2}


def test_maximum_tokens_come_from_the_info_or_from_processing_one_dummy_item() -> None:
    class Knows(Info):
        def get_mm_max_tokens_per_item(
            self,
            seq_len: int,  # noqa: ARG002
            mm_counts: Mapping[str, int],
        ) -> Mapping[str, int] | None:
            return dict.fromkeys(mm_counts, 77)

    processor, known = made(), Knows(context())
    assert get_max_tokens_per_item(processor, 64, {"image": 1}) == {"image": SIDE // 2}
    assert get_max_tokens_per_item(Processor(known, Dummy(known)), 64, {"image": 1}) == {"image": 77}
    assert processor.steps


@pytest.mark.parametrize("ask", [get_dummy_inputs, get_max_tokens_per_item])
def test_dummy_items_of_a_modality_that_the_model_does_not_take_are_refused(ask: Any) -> None:
    message = r"^video: the model takes no such items; known: image\nimage: -1 items are not to be had$"
    with pytest.raises(InputError, match=message):
        ask(made(), 16, {"video": 1, "image": -1})


@pytest.mark.parametrize("known", [{}, {"image": 0}])
def test_an_item_of_which_nothing_tells_how_many_tokens_it_takes_has_no_budget(known: dict[str, int]) -> None:
    class Silent(Info):
        def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Mapping[str, int]:  # noqa: ARG002
            return known

    info = Silent(context())
    with pytest.raises(CapabilityError, match=r"^image: neither the info nor a dummy item tells"):
        get_budget(
            Processor(info, Dummy(info)), BatchLimits(max_model_len=16, max_num_batched_tokens=16, max_num_seqs=1)
        )


def test_dummy_inputs_that_give_no_item_or_fail_are_told() -> None:
    class Empty(Dummy):
        def get_dummy_mm_data(self, *_: object) -> dict[str, object]:  # type: ignore[override]
            return {}

        def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:  # noqa: ARG002
            return ""

    class Fails(Dummy):
        def get_dummy_mm_data(self, *_: object) -> dict[str, object]:  # type: ignore[override]
            raise BOOM

    info = Info(context())
    with pytest.raises(CapabilityError, match=r"^image: neither the info nor a dummy item tells"):
        get_max_tokens_per_item(Processor(info, Empty(info)), 16, {"image": 1})
    with pytest.raises(PluginError, match=r"Fails fails to make dummy items: KeyError: 'boom'$"):
        get_max_tokens_per_item(Processor(info, Fails(info)), 16, {"image": 1})


def test_the_dummy_prompt_is_padded_with_0_to_the_sequence_length_bounded_by_batch_tokens() -> None:
    found = get_dummy_inputs(made(), 20, {"image": 2})
    rows = [*[ROW] * (SIDE // 2), END]
    assert found.prompt_token_ids == (*rows, *rows, *[0] * (20 - 2 * len(rows)))
    assert len(get_dummy_inputs(made(), 20, {"image": 2}, max_num_batched_tokens=15).prompt_token_ids) == 15
    assert len(get_dummy_inputs(made(), 3, {"image": 2}).prompt_token_ids) == 2 * len(rows)


LIMITS = BatchLimits(max_model_len=20, max_num_batched_tokens=16, max_num_seqs=2)


@pytest.mark.parametrize(
    ("changes", "compute", "cache", "per_prompt", "per_batch"),
    [
        ({}, 16, 16, 3, 4),  # an image takes 4: 20 // 4 is more than the model's 3; 16 // 4, and 2 x 3
        ({"compute": 2, "cache": 3}, 4, 4, 3, 1),  # never less than one item
        ({"compute": 100, "cache": 100}, 100, 100, 3, 6),
        ({"compute": 100, "cache": 9}, 100, 9, 3, 2),
        ({"max_model_len": 2}, 16, 16, 1, 2),
    ],
)
def test_a_budget(changes: dict[str, Any], compute: int, cache: int, per_prompt: int, per_batch: int) -> None:
    found = get_budget(made(), BatchLimits(**{**vars(LIMITS), **changes}))
    assert (found.compute, found.cache, found.tokens) == (compute, cache, {"image": SIDE // 2})
    assert (found.items_per_prompt, found.items_per_batch) == ({"image": per_prompt}, {"image": per_batch})


def test_no_active_modality_gives_0_and_0_with_a_warning() -> None:
    with pytest.warns(BudgetWarning, match="no modality can come"):
        found = get_budget(made(settings={"limits": {"image": 0}}), LIMITS)
    assert (found.compute, found.cache, found.get_modality_with_most_tokens()) == (0, 0, None)


def test_an_item_that_exceeds_the_batch_fails_when_items_cannot_be_spread() -> None:
    small = {**vars(LIMITS), "max_num_batched_tokens": 3}
    with pytest.raises(OptionError, match="one item takes 4 tokens, and a step holds 3; raise max_num_batched_tokens"):
        get_budget(made(), BatchLimits(**{**small, "chunked": False}))
    assert get_budget(made(), BatchLimits(**small)).compute == SIDE // 2


def test_profiling_uses_the_modality_with_most_tokens_ties_by_name() -> None:
    class Several(Info):
        def get_supported_mm_limits(self) -> Mapping[str, int | None]:
            return {"video": None, "image": None, "audio": None}

        def get_mm_max_tokens_per_item(
            self,
            seq_len: int,  # noqa: ARG002
            mm_counts: Mapping[str, int],  # noqa: ARG002
        ) -> Mapping[str, int] | None:
            return {"video": 9, "image": 9, "audio": 3}

    info = Several(context())
    assert get_budget(Processor(info, Dummy(info)), LIMITS).get_modality_with_most_tokens() == "image"


class Hears(EncDecMultiModalProcessor[Info], Processor):
    """Its encoder reads a placeholder for each item, its decoder the prompt."""

    def create_encoder_prompt(self, prompt: str | Sequence[int], mm_items: MultiModalDataItems) -> str | list[int]:  # noqa: ARG002
        return [TARGET] * mm_items.get_count("image")


@pytest.mark.parametrize(
    ("prompt", "start", "skip", "ids"),
    [
        ("ab", 9, False, (9, 97, 98)),
        ([9, 97], 9, False, (9, 97)),
        ("ab", 9, True, (97, 98)),
        ("ab", None, False, (97, 98)),
    ],
)
def test_an_encoder_decoder_has_a_prompt_for_each(
    prompt: str | list[int], start: int | None, skip: bool, ids: tuple[int, ...]
) -> None:
    config = {} if start is None else {"decoder_start_token_id": start}
    info = Info(InputProcessingContext(config, tokenizer=ByteTokenizer(400)))
    kind = type("Skips", (Hears,), {"skip_decoder_start_token": skip})
    found = kind(info, Dummy(info))(prompt, {"image": [image(), image()]})
    assert found.prompt_token_ids == ids
    assert found.encoder_prompt_token_ids == (ROW, ROW, END, ROW, ROW, END)
    assert all(b.offset - a.offset == 3 for a, b in pairwise(found.mm_placeholders["image"]))
