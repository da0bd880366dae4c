"""The call of a processor: its failure is told with its arguments, its floats are of the model's dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from triptych.errors import InputError, InputTypeError
from triptych.inputs.media import call_processor


def given_back(**data: object) -> dict[str, object]:
    return data


def failing(**_: object) -> dict[str, object]:
    raise ZeroDivisionError("by 0")


def test_a_failing_processor_is_told_with_its_arguments() -> None:
    data = {"images": [Image.new("RGB", (6, 4))] * 9, "audio": [np.zeros(5)], "mask": torch.zeros(2)}
    with pytest.raises(InputError) as caught:
        call_processor(failing, data, {"size": {"height": 3}})
    assert str(caught.value) == (
        "failing(images=[image 6 x 4, image 6 x 4, image 6 x 4, ...], audio=[float64 [5]], mask=float32 [2], "
        "size={'height': 3}) refuses it: by 0"
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_keyword_that_is_the_name_of_data_is_told() -> None:
    with pytest.raises(InputError, match=r"multiple values for keyword argument 'images'"):
        call_processor(given_back, {"images": []}, {"images": 3})


def test_floats_are_cast_wherever_they_stand_and_nothing_else_is() -> None:
    found: dict[str, Any] = call_processor(
        given_back,
        {
            "pixels": torch.ones(2),
            "ragged": [torch.ones(1), [torch.ones(3, dtype=torch.float64)]],
            "array": np.ones(2),
            "ids": torch.ones(2, dtype=torch.int64),
            "mask": torch.ones(2, dtype=torch.bool),
            "names": ["a"],
        },
        {},
        dtype=torch.bfloat16,
    )
    floating = [found["pixels"], found["ragged"][0], found["ragged"][1][0], found["array"]]
    assert [tensor.dtype for tensor in floating] == [torch.bfloat16] * 4
    assert (found["ids"].dtype, found["mask"].dtype, found["names"]) == (torch.int64, torch.bool, ["a"])


def test_without_a_dtype_tensors_stay_as_they_are() -> None:
    tensor = torch.ones(2)
    assert call_processor(given_back, {"pixels": tensor}, {})["pixels"] is tensor


@pytest.mark.parametrize("found", [None, [1], 3])
def test_what_is_no_mapping_is_refused(found: object) -> None:
    with pytest.raises(InputTypeError, match=r"gives .*, and a mapping of tensors by name is wanted"):
        call_processor(lambda: found, {}, {})  # type: ignore[arg-type,return-value]


def test_arrays_that_torch_has_no_view_of_are_copied_and_those_that_it_has_no_dtype_for_are_named() -> None:
    backwards, swapped = np.arange(3.0)[::-1], np.arange(3.0, dtype=">f8")
    found = call_processor(lambda: {"a": backwards, "b": [backwards]}, {}, {}, dtype=torch.float32)
    assert torch.equal(found["a"], torch.tensor([2.0, 1.0, 0.0]))  # type: ignore[arg-type]
    assert torch.equal(found["b"][0], torch.tensor([2.0, 1.0, 0.0]))  # type: ignore[index]
    with pytest.raises(InputTypeError, match=r"^a: is an array of >f8, which is no dtype of tensors$"):
        call_processor(lambda: {"a": swapped}, {}, {})
