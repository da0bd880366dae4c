"""Images: the tensors of the checkpoint's own processor, and a message for what is no image."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from transformers import CLIPImageProcessor, SiglipImageProcessor

from triptych.errors import CheckpointError, InputError
from triptych.inputs.images import KINDS, open_image
from triptych.inputs.media import ProcessorKeywordWarning
from triptych.inputs.media.videos import read_videos
from triptych.inputs.processing.image_processor import ImageProcessor, load_image_processor

CLIP: dict[str, Any] = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
SIGLIP: dict[str, Any] = {"size": {"height": 16, "width": 16}}


def pixels(height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.fixture(params=[(CLIPImageProcessor, CLIP), (SiglipImageProcessor, SIGLIP)], ids=["clip", "siglip"])
def processor(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ImageProcessor, Any]:
    """Ours from the folder, and the reference that was saved there."""
    made, settings = request.param
    reference = made(**settings)
    reference.save_pretrained(tmp_path)
    return load_image_processor(tmp_path), reference


@pytest.mark.parametrize("size", [(16, 16), (20, 31), (47, 18), (3, 5)])
def test_tensors_are_those_of_the_reference(processor: tuple[ImageProcessor, Any], size: tuple[int, int]) -> None:
    ours, reference = processor
    image = Image.fromarray(pixels(*size))
    found = ours(image, name="image")
    assert torch.equal(found, reference(images=[image], return_tensors="pt")["pixel_values"][0])
    assert ours.config["size"]


def test_the_forms_of_one_image_give_one_tensor(processor: tuple[ImageProcessor, Any], tmp_path: Path) -> None:
    ours, _ = processor
    array = pixels(20, 31)
    Image.fromarray(array).save(tmp_path / "a.png")
    forms: list[Any] = [tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(array), array]
    forms += [array.transpose(2, 0, 1), torch.from_numpy(array), torch.from_numpy(array).permute(2, 0, 1)]
    first, *others = (ours(open_image(form, name="image"), name="image") for form in forms)
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA", "CMYK"])
def test_other_modes_become_rgb(mode: str) -> None:
    assert open_image(Image.fromarray(pixels(4, 6)).convert(mode), name="image").mode == "RGB"


def test_one_and_four_channels_are_read() -> None:
    grey = pixels(4, 6, 1)
    assert np.array_equal(np.asarray(open_image(grey, name="image")), grey.repeat(3, -1))
    assert open_image(pixels(4, 6, 4), name="image").size == (6, 4)


def turned(orientation: int, folder: Path) -> Path:
    """A photograph whose camera notes how it was held."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels(4, 6)).save(folder / "turned.jpg", exif=exif)
    return folder / "turned.jpg"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_one_photograph_is_one_upright_image_however_it_is_handed_over(orientation: int, tmp_path: Path) -> None:
    file = turned(orientation, tmp_path)
    found = open_image(file, name="image")
    assert found.size == ((6, 4) if orientation < 5 else (4, 6))
    with Image.open(file) as opened:
        wanted = np.asarray(ImageOps.exif_transpose(opened))
    with Image.open(file) as opened:
        forms: list[Any] = [opened, opened.copy(), opened.convert("RGB"), opened.convert("RGBA"), found, wanted]
        for form in forms:
            assert np.array_equal(np.asarray(open_image(form, name="image")), wanted)
        assert opened.size == (6, 4), "what is given stays as it was"


def test_the_frames_of_a_video_are_upright_too(tmp_path: Path) -> None:
    file = turned(6, tmp_path)
    with Image.open(file) as opened:
        video = read_videos([opened, file]).given(0)
    assert video.frames.shape == (2, 6, 4, 3)
    assert np.array_equal(video.frames[0], video.frames[1])


def test_an_opened_image_without_orientation_is_not_changed_by_what_is_read_of_it() -> None:
    image = Image.fromarray(pixels(4, 6))
    found = open_image(image, name="image")
    found.putpixel((0, 0), (1, 2, 3))
    assert np.array_equal(np.asarray(image), pixels(4, 6))


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is large and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def truncated() -> bytes:
    whole = io.BytesIO()
    Image.fromarray(pixels(64, 64)).save(whole, "PNG")
    return whole.getvalue()[:2000]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as an image"),
        (b"hello", "cannot be read as an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "cannot be read as an image"),
        (truncated(), "cannot be read as an image"),
        (png_header(10_000, 10_000), "is 10000 x 10000, that is 100,000,000 pixels; at most 67,108,864 are read"),
        (png_header(60_000, 60_000), "is too large"),
        (png_header(1, 500), "is 1 x 500; one side may be at most 200 times the other"),
    ],
)
def test_a_file_that_is_no_fit_image_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "cat.png"
    file.write_bytes(content)
    with pytest.raises(InputError, match=rf"images\[0\].*: .*{message}"):
        open_image(file, name=f"images[0] ({file})")


def test_each_format_is_read_by_its_own_module_and_no_other_is_imported(tmp_path: Path) -> None:
    kinds = ["JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"]
    for kind in kinds:
        Image.new("RGB", (3, 4)).save(tmp_path / f"{kind}.{kind.lower()}", kind)
    (tmp_path / "EPS").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    code = f"""
import sys
from pathlib import Path
from triptych.errors import InputError
from triptych.inputs.images import is_image_file, open_image
for kind in {kinds!r}:
    file = Path({str(tmp_path)!r}, f"{{kind}}.{{kind.lower()}}")
    assert is_image_file(file) and open_image(file, name=kind).size == (3, 4), kind
    assert open_image(file.read_bytes(), name=kind).size == (3, 4), kind
try:
    open_image(Path({str(tmp_path)!r}, "EPS"), name="EPS")
except InputError as error:
    print(error)
print("PIL.EpsImagePlugin" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"EPS: cannot be read as an image: it begins like no {KINDS}", "False"]


def test_a_picture_20_000_pixels_wide_takes_little_more_memory_than_its_pixels(tmp_path: Path) -> None:
    file = tmp_path / "wide.png"
    Image.new("P", (20_000, 3_000)).save(file)
    code = f"""
import resource
from triptych.inputs.media import MultiModalDataParser
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
items = MultiModalDataParser().parse_mm_data({{"image": [{str(file)!r}] * 3}})
assert items.get_count("image") == 3
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    in_memory = 4 * 20_000 * 3_000  # Pillow keeps four bytes for a pixel in RGB
    assert int(done.stdout) * 1024 < 3 * in_memory


def test_an_opened_image_that_cannot_be_decoded_is_named() -> None:
    with (
        Image.open(io.BytesIO(truncated())) as opened,
        pytest.raises(InputError, match=r"^images\[0\]: cannot be read as an image: ") as caught,
    ):
        open_image(opened, name="images[0]")
    assert caught.value.path == "images[0]"


def test_what_is_of_another_type_is_a_type_error_too() -> None:
    with pytest.raises(TypeError, match=r"^image: is dict; a file, a Pillow image or an array of bytes is needed$"):
        open_image({"image": 1}, name="image")


@pytest.mark.parametrize("where", ["nothing", "."])
def test_a_missing_file_is_named(where: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^images\[1\]: there is no such file"):
        open_image(tmp_path / where, name="images[1]")


def test_what_the_processor_refuses_is_named(processor: tuple[ImageProcessor, Any]) -> None:
    with pytest.raises(
        InputError, match=r"^image\[1\]: the image processor \(.*; size={'shortest_edge': -1}\) refuses it: "
    ):
        processor[0](Image.new("RGB", (4, 4)), name="image[1]", size={"shortest_edge": -1})


def test_keywords_that_it_does_not_take_are_dropped_with_a_warning(processor: tuple[ImageProcessor, Any]) -> None:
    with pytest.warns(ProcessorKeywordWarning, match="do_resise: .* did you mean 'do_resize'"):
        assert processor[0].accepted({"do_resize": False, "do_resise": True}) == {"do_resize": False}


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), r"is float32 \[4, 4, 3\]; bytes \(uint8, 0 to 255\)"),
        (np.zeros((4, 4), np.uint8), r"is uint8 \[4, 4\]; bytes"),
        (np.zeros((2, 4, 5), np.uint8), r"is \[2, 4, 5\]; 1, 3 or 4 channels"),
        (np.zeros((0, 4, 3), np.uint8), "is 4 x 0 and has no pixels"),
        (torch.zeros(3, 4, 4), r"is float32 \[3, 4, 4\]"),
        (Image.new("RGB", (1, 201)), "is 1 x 201; one side"),
        ({"image": 1}, "is dict; a file, a Pillow image or an array of bytes is needed"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_image(image, name="image")


def test_a_folder_without_a_processor_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="has no image processor that can be used"):
        load_image_processor(tmp_path)


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
def test_a_processor_that_insists_on_torchvision_is_told_with_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text('{"image_processor_type": "Llama4ImageProcessor"}')
    told = r"image processor is of a class that insists on torchvision, which is not installed: pip install torchvision"
    with pytest.raises(CheckpointError, match=rf"{told}, or give rows that were encoded elsewhere"):
        load_image_processor(tmp_path)


def test_a_folder_of_such_a_name_is_not_taken_for_that(tmp_path: Path) -> None:
    (folder := tmp_path / "torchvision").mkdir()
    with pytest.raises(CheckpointError, match="has no image processor that can be used"):
        load_image_processor(folder)


def test_a_folder_cannot_bring_code(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(
        '{"auto_map": {"AutoImageProcessor": "theirs.Processor"}, "image_processor_type": "Theirs"}', encoding="utf-8"
    )
    (tmp_path / "theirs.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Processor: ...", encoding="utf-8")
    with pytest.raises(CheckpointError, match="has no image processor that can be used"):
        load_image_processor(tmp_path)
    assert not (tmp_path / "ran").exists()
