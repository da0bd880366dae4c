"""Embeds: what is one, that it fits the model, and that it passes by the extractor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from triptych import InputError
from triptych.inputs.fields import MultiModalFieldConfig
from triptych.inputs.media import (
    AudioEmbeddingItems,
    DictEmbeddingItems,
    EmbeddingItems,
    EmbedFields,
    ImageEmbeddingItems,
    ImageProcessorItems,
    MultiModalDataItems,
    MultiModalDataParser,
    VideoEmbeddingItems,
)

WIDTH = 16


def parse(data: Mapping[str, object], **options: Any) -> MultiModalDataItems:
    return MultiModalDataParser(expected_hidden_size=WIDTH, embeds=True, **options).parse_mm_data(data)


@pytest.mark.parametrize(
    ("modality", "kind"),
    [("image", ImageEmbeddingItems), ("video", VideoEmbeddingItems), ("audio", AudioEmbeddingItems)],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_three_dims_or_a_list_of_two_are_embeds(modality: str, kind: type[EmbeddingItems], dtype: torch.dtype) -> None:
    rows = torch.randn(2, 5, WIDTH).to(dtype)
    for data in (rows, [*rows], tuple(rows)):
        items = parse({modality: data}).get_items(modality, kind)
        assert [items.get_feature_size(i) for i in range(items.get_count())] == [5, 5]
        assert items.get_processor_data() == {}
        passed = items.get_passthrough_data()
        assert [*passed] == [f"{modality}_embeds"]
        assert torch.equal(torch.stack(passed[f"{modality}_embeds"]), rows)


def test_items_may_be_of_several_lengths_and_arrays() -> None:
    data = [np.zeros((2, WIDTH), np.float32), torch.zeros(7, WIDTH)]
    items = parse({"image": data}).get_items("image", ImageEmbeddingItems)
    assert [items.get_feature_size(i) for i in range(2)] == [2, 7]


def test_an_array_that_torch_cannot_view_is_cut_into_its_items() -> None:
    data = np.random.default_rng(0).standard_normal((50, 2, WIDTH)).astype(np.float32)
    data.flags.writeable = False
    items = parse({"image": data}).get_items("image", ImageEmbeddingItems)
    assert all(np.array_equal(items.given(i), rows) for i, rows in enumerate(data))


def test_no_embeds_at_all_are_an_absent_modality() -> None:
    assert parse({"image": torch.zeros(0, 5, WIDTH)}) == {}


def test_three_dims_of_bytes_are_an_image() -> None:
    data = torch.zeros(3, 5, 7, dtype=torch.uint8)
    assert parse({"image": data}).get_items("image", ImageProcessorItems).get_image_size(0) == (7, 5)


@pytest.mark.parametrize("modality", ["image", "video", "audio"])
@pytest.mark.parametrize("data", [torch.zeros(5, WIDTH), np.zeros((5, WIDTH), np.float32)])
@pytest.mark.parametrize("embeds", [True, False])
def test_a_single_array_of_two_dims_is_refused_with_the_reason(modality: str, data: object, embeds: bool) -> None:
    with pytest.raises(InputError) as caught:
        MultiModalDataParser(embeds=embeds).parse_mm_data({modality: data})
    assert str(caught.value) == (
        f"{modality}: is one float32 [5, 16] of two dims, which is neither an item nor embeds; embeds are "
        "[items, tokens, hidden] or a list of [tokens, hidden]: for those of one item give [embeds]"
    )


def test_every_item_is_checked_against_the_model() -> None:
    rows = [torch.zeros(2, WIDTH), torch.zeros(2, 8), torch.zeros(2, WIDTH, dtype=torch.int64), torch.zeros(0, WIDTH)]
    with pytest.raises(InputError) as caught:
        parse({"image": [*rows, torch.zeros(WIDTH)]})
    assert str(caught.value).splitlines() == [
        "image[1]: expected shape (n, 16), found (2, 8): the rows of this model are 16 wide",
        "image[2]: expected dtype float, found int64",
        "image[3]: is float32 [0, 16], and has no rows",
        "image[4]: expected shape (n, 16), found (16)",
    ]


def test_any_width_is_taken_where_the_models_is_not_known() -> None:
    items = MultiModalDataParser(embeds=True).parse_mm_data({"image": torch.zeros(2, 5, 9)})
    assert items.get_count("image") == 2


@pytest.mark.parametrize("data", [torch.zeros(2, 5, WIDTH), [torch.zeros(5, WIDTH)], {"image_embeds": 1}])
def test_embeds_are_refused_unless_the_settings_let_them_in(data: object) -> None:
    with pytest.raises(InputError, match=r"^image: is embeds, which the settings do not let in \(embeds=True would\)"):
        MultiModalDataParser().parse_mm_data({"image": data})


def by_grid(data: Mapping[str, Any]) -> Mapping[str, MultiModalFieldConfig]:
    sizes = data["image_grid_thw"].prod(-1)
    return {
        "image_embeds": MultiModalFieldConfig.flat_from_sizes("image", sizes),
        "image_grid_thw": MultiModalFieldConfig.batched("image"),
        "scores": MultiModalFieldConfig.batched("image"),
    }


FIELDS = EmbedFields(rows="image_embeds", required=("image_grid_thw",), optional=("scores",), cut=by_grid)
GRID = torch.tensor([[1, 2, 2], [1, 1, 3]])
ROWS = torch.arange(7 * WIDTH).reshape(7, WIDTH).float()


def parse_fields(data: Mapping[str, object]) -> DictEmbeddingItems:
    return parse({"image": data}, embed_fields={"image": FIELDS}).get_items("image", DictEmbeddingItems)


def test_several_fields_are_cut_into_items_each_in_its_way() -> None:
    data: dict[str, Tensor] = {"image_embeds": ROWS, "image_grid_thw": GRID}
    items = parse_fields(data)
    assert [items.get_feature_size(i) for i in range(items.get_count())] == [4, 3]
    assert torch.equal(items.given(1)["image_embeds"], ROWS[4:])
    assert torch.equal(items.given(1)["image_grid_thw"], GRID[1])
    assert items.get_processor_data() == {}
    assert items.get_passthrough_data() == data


def test_an_optional_field_may_be_there() -> None:
    items = parse_fields({"image_embeds": ROWS, "image_grid_thw": GRID, "scores": [0.5, 0.25]})
    assert items.given(1)["scores"] == 0.25


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (
            {"image_embed": ROWS, "grid": GRID},
            [
                "image.image_embed: no such field of embeds; did you mean 'image_embeds'?",
                "image.grid: no such field of embeds; known: image_embeds, image_grid_thw, scores",
                "image.image_embeds: is missing, and embeds of this model need it",
                "image.image_grid_thw: is missing, and embeds of this model need it",
            ],
        ),
        (
            {"image_embeds": ROWS, "image_grid_thw": GRID, "scores": [0.5]},
            ["image: the fields have different numbers of items: image_embeds 2, image_grid_thw 2, scores 1"],
        ),
        (
            {"image_embeds": ROWS[:, :8], "image_grid_thw": GRID},
            [
                f"image[{i}]: expected shape (n, 16), found ({n}, 8): the rows of this model are 16 wide"
                for i, n in enumerate((4, 3))
            ],
        ),
    ],
)
def test_fields_that_do_not_fit_are_told_together(data: dict[str, object], lines: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        parse_fields(data)
    assert str(caught.value).splitlines() == lines


def test_sizes_that_the_rows_do_not_have_are_told() -> None:
    with pytest.raises(InputError, match=r"^image: the fields of the embeds cannot be cut into items: "):
        parse_fields({"image_embeds": ROWS[:6], "image_grid_thw": GRID})


def test_a_mapping_needs_a_model_that_takes_one() -> None:
    with pytest.raises(TypeError, match=r"^image: is a mapping, and this model has no embeds in several fields$"):
        parse({"image": {"image_embeds": ROWS}})
