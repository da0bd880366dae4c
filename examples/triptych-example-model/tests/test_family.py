"""The family, its part and its processor, through the doors that users have."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import torch
from PIL import Image
from triptych_example_model.norms import MeanAbs
from triptych_example_model.norms_spec import MeanAbsSpec
from triptych_example_model.processing import SquareProcessor, as_pixels

import triptych
from triptych.check import check_spec
from triptych.spec.validate import validate

SPEC = "example_llava"


def test_the_spec_has_no_mistake() -> None:
    assert validate(Path(str(files("triptych_example_model") / "models" / f"{SPEC}.yaml"))) == []


def test_the_spec_climbs_the_ladder() -> None:
    report = check_spec(SPEC)
    assert report.passed, [str(problem) for rung in report.rungs for problem in rung.problems]


def test_rows_have_a_mean_of_one_and_zeros_stay_zeros() -> None:
    norm = MeanAbs(MeanAbsSpec(), width=6).to_empty(device="cpu")
    torch.nn.init.ones_(norm.weight)
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(norm(x).abs().mean(-1), torch.ones(5), rtol=1e-4, atol=0)
    assert not norm(torch.zeros(2, 6)).any()
    assert norm.to(torch.bfloat16)(x.bfloat16()).dtype == torch.bfloat16


def test_an_image_is_a_square_between_minus_one_and_one() -> None:
    pixels = as_pixels(Image.new("L", (30, 10), 255), side=14)
    assert pixels.shape == (3, 14, 14)
    assert pixels.unique().tolist() == [1.0]
    assert as_pixels(Image.new("RGB", (3, 3)), side=2).unique().tolist() == [-1.0]


def test_a_tiny_model_writes_and_sees(tmp_path: Path) -> None:
    model = triptych.random_init(SPEC, seed=1)
    assert isinstance(model.processor, SquareProcessor)
    Image.new("RGB", (20, 40), (200, 30, 30)).save(tmp_path / "red.png")
    (text,) = model.generate(["hello"], max_tokens=4, raw=True)
    (image,) = model.generate(["<image> hello"], images=[[str(tmp_path / "red.png")]], max_tokens=4, raw=True)
    assert len(text.token_ids) == len(image.token_ids) == 4
