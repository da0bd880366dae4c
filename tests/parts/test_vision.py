"""Patches, projector steps, sizes and transforms."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn
from transformers import CLIPVisionConfig, ViTConfig
from transformers.models.clip.modeling_clip import CLIPVisionEmbeddings
from transformers.models.idefics3.configuration_idefics3 import Idefics3VisionConfig
from transformers.models.idefics3.modeling_idefics3 import Idefics3VisionEmbeddings
from transformers.models.vit.modeling_vit import ViTEmbeddings

from tests.parts.drawing import filled
from triptych.errors import InputError
from triptych.parts.grid import Grid
from triptych.parts.norms_spec import GainSpec, LayerNormSpec
from triptych.parts.patches import Patches
from triptych.parts.patches_spec import PatchesSpec
from triptych.parts.projectors_spec import LinearStepSpec, MlpStepSpec
from triptych.parts.sizes import Fixed
from triptych.parts.tables import Learned
from triptych.parts.tables_spec import BucketsSpec, LearnedSpec
from triptych.parts.transforms import Flatten, Squeeze, Transpose
from triptych.spec.item_facts import ImageFacts


def image(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_patches_equal_clips_embeddings() -> None:
    config = CLIPVisionConfig(hidden_size=8, image_size=12, patch_size=4, num_attention_heads=2)
    oracle = CLIPVisionEmbeddings(config).requires_grad_(False)
    table = LearnedSpec(side=3, prefix=1)
    part: Patches = filled(PatchesSpec(size=4, class_token=True, table=table), width=8)
    assert part.class_token is not None
    assert isinstance(part.table, nn.Module)
    oracle.patch_embedding.weight.copy_(part.patch.weight.view(8, 3, 4, 4))
    oracle.class_embedding.copy_(part.class_token)
    oracle.position_embedding.weight.copy_(part.table.get_parameter("weight"))
    images = [image(3, 12, 12), image(3, 12, 12, seed=1)]
    rows, grids, lengths = part(images)
    assert (grids, lengths) == ([Grid(1, 3, 3)] * 2, [10, 10])
    torch.testing.assert_close(rows, oracle(torch.stack(images)).flatten(0, 1), rtol=1e-5, atol=1e-5)


def test_oblong_patches_of_oblong_images_equal_vits_embeddings() -> None:
    config = ViTConfig(hidden_size=8, image_size=[6, 12], patch_size=[6, 4], num_attention_heads=2)
    oracle = ViTEmbeddings(config).requires_grad_(False).eval()
    table = LearnedSpec.model_validate({"side": [1, 3], "prefix": 1})
    spec = PatchesSpec.model_validate({"size": [6, 4], "class_token": True, "bias": True, "table": table})
    part: Patches = filled(spec, width=8)
    assert part.class_token is not None
    assert isinstance(part.table, nn.Module)
    projection = oracle.patch_embeddings.projection
    projection.weight.copy_(part.patch.weight.view(8, 3, 6, 4))
    projection.bias.copy_(part.patch.get_parameter("bias"))
    oracle.cls_token.copy_(part.class_token)
    oracle.position_embeddings.copy_(part.table.get_parameter("weight"))
    images = [image(3, 6, 12), image(3, 6, 12, seed=1)]
    rows, grids, lengths = part(images)
    assert (grids, lengths) == ([Grid(1, 1, 3)] * 2, [4, 4])
    torch.testing.assert_close(rows, oracle(torch.stack(images)).flatten(0, 1), rtol=1e-5, atol=1e-5)
    with pytest.raises(InputError, match="at least 6 x 4"):
        part([image(3, 5, 12)])


def test_images_of_several_sizes_lose_what_is_left_over() -> None:
    part: Patches = filled(PatchesSpec(size=4, channels=1, bias=True, norm=LayerNormSpec(eps=1e-2)), width=8)
    images = [image(1, 9, 14), image(1, 4, 8)]
    rows, grids, lengths = part(images)
    assert (grids, lengths) == ([Grid(1, 2, 3), Grid(1, 1, 2)], [6, 2])
    weight = part.patch.weight.view(8, 1, 4, 4)
    conv = [F.conv2d(x[None], weight, part.patch.bias, stride=4)[0].flatten(1).T for x in images]
    assert part.norm is not None
    torch.testing.assert_close(rows, part.norm(torch.cat(conv)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 3, 12), (12, 12)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    part = filled(PatchesSpec(size=4), width=8)
    with pytest.raises(InputError, match=r"this tower takes \[3, height, width\] of at least 4 x 4"):
        part([image(*shape)])


def test_an_image_of_another_size_than_the_table_is_refused() -> None:
    part = filled(PatchesSpec(size=4, table=LearnedSpec(side=3)), width=8)
    with pytest.raises(InputError, match="an image of 3 x 4 patches for a tower whose positions are 3 x 3"):
        part([image(3, 12, 16)])


def test_positions_of_another_grid_are_resampled_and_those_before_it_stay() -> None:
    part: Learned = filled(LearnedSpec(side=4, prefix=2, resample="bicubic"), width=8)
    assert part(Grid(1, 4, 4)) is part.weight
    found = part(Grid(1, 3, 7))
    assert torch.equal(found[:2], part.weight[:2])
    square = part.weight[2:].T.reshape(1, 8, 4, 4)
    wanted = F.interpolate(square, (3, 7), mode="bicubic")[0].flatten(1).T
    torch.testing.assert_close(found[2:], wanted)
    assert part.bfloat16()(Grid(1, 3, 7)).dtype == torch.bfloat16
    with pytest.raises(InputError, match="positions are 4 x 4"):
        part(Grid(2, 4, 4))


def test_antialias_takes_in_all_that_shrinking_would_pass_over() -> None:
    plain = filled(LearnedSpec(side=8, resample="bilinear"), width=4)
    smooth = filled(LearnedSpec(side=8, resample="bilinear", antialias=True), width=4)
    grown, shrunk = Grid(1, 16, 8), Grid(1, 2, 3)
    torch.testing.assert_close(plain(grown), smooth(grown))
    assert not torch.allclose(plain(shrunk), smooth(shrunk), atol=0.1)


@settings(max_examples=40, deadline=None)
@given(side=st.integers(1, 30), height=st.integers(1, 40), width=st.integers(1, 40))
def test_places_fall_on_those_of_the_square_as_in_idefics3(side: int, height: int, width: int) -> None:
    config = Idefics3VisionConfig(hidden_size=4, image_size=side, patch_size=1, num_channels=1, num_attention_heads=1)
    oracle = Idefics3VisionEmbeddings(config).requires_grad_(False)
    part = filled(BucketsSpec(side=side), width=4)
    oracle.position_embedding.weight.copy_(part.weight)
    seen = torch.ones(1, height, width, dtype=torch.bool)
    bias = oracle.patch_embedding.bias
    assert bias is not None
    wanted = oracle(torch.zeros(1, 1, height, width), seen)[0] - bias
    torch.testing.assert_close(part(Grid(1, height, width)), wanted)
    torch.testing.assert_close(part(Grid(3, height, width)), wanted.repeat(3, 1))


def test_a_gain_weighs_each_number_of_a_row() -> None:
    part = filled(GainSpec(), width=6)
    rows = image(5, 6)
    torch.testing.assert_close(part(rows), torch.stack([row * part.weight for row in rows]))


def test_a_linear_step_has_the_width_asked_for_or_its_own() -> None:
    rows, grids = image(5, 6), [Grid(1, 1, 5)]
    step = filled(LinearStepSpec(activation="relu"), width=6, out=4)
    assert step.width == 4
    assert step(rows, grids)[1] is grids
    torch.testing.assert_close(step(rows, grids)[0], (rows @ step.weight.T + step.bias).relu())
    assert filled(LinearStepSpec(out=7, bias=False), width=6, out=4).weight.shape == (7, 6)


@pytest.mark.parametrize(("hidden", "width"), [("in", 6), ("out", 4), (9, 9)])
def test_an_mlp_step_is_as_wide_inside_as_it_says(hidden: int | str, width: int) -> None:
    step = filled(MlpStepSpec.model_validate({"hidden": hidden, "activation": "tanh"}), width=6, out=4)
    assert (step.up.weight.shape, step.down.weight.shape, step.width) == ((width, 6), (4, width), 4)
    rows = image(5, 6)
    torch.testing.assert_close(step(rows, [])[0], step.down(step.up(rows).tanh()))


def test_every_image_has_the_grid_of_a_fixed_size() -> None:
    grid = Fixed.model_validate({"image": 30, "patch": 14})(ImageFacts(480, 640), {"size": 1})
    assert grid == Grid(1, 2, 2)
    assert grid.rows == 4
    with pytest.raises(ValidationError, match="a patch of 14 pixels does not fit in an image of 13"):
        Fixed.model_validate({"image": 13, "patch": 14})
    oblong = Fixed.model_validate({"image": [16, 64], "patch": [16, 4]})
    assert oblong(ImageFacts(480, 640), {}) == Grid(1, 1, 16)
    assert oblong.stand_in.settings == {"size": {"height": 16, "width": 64}}
    with pytest.raises(ValidationError, match="a patch of 8 x 2 pixels does not fit in an image of 7 x 9"):
        Fixed.model_validate({"image": [7, 9], "patch": [8, 2]})


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_transforms_work_on_meta_tensors_too(device: str) -> None:
    x = torch.zeros(4, 3, 2, 2, device=device)
    assert Flatten()(x).shape == (4, 12)
    assert Transpose()(Flatten()(x)).shape == (12, 4)
    assert Transpose()(Flatten()(x)).device.type == device
    assert Squeeze()(x[:1]).shape == (3, 2, 2)
