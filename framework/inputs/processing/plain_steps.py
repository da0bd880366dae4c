"""What image processors that resize, crop, rescale and normalize are set to, and no more than that.

Of such classes of transformers this knows the defaults, and how a file's settings go before them. What it does not read
it says nothing of: transformers reads that, and tells what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Settings = Mapping[str, Any]
Sides = tuple[int, int]  # height, width
Three = tuple[float, float, float]

CHANNELS = 3
FILTERS = range(6)  # of Pillow, by number
BILINEAR, BICUBIC = 2, 3
HALF = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}
IMAGENET = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}
OPENAI = {"image_mean": (0.48145466, 0.4578275, 0.40821073), "image_std": (0.26862954, 0.26130258, 0.27577711)}
ALL = {"do_resize": True, "do_rescale": True, "do_normalize": True, "rescale_factor": 1 / 255}
SHORTEST = {"size": {"shortest_edge": 224}}
CROP = {"do_center_crop": True, "crop_size": {"height": 224, "width": 224}}
RGB = {"do_convert_rgb": True}


def _side(pixels: int) -> dict[str, Any]:
    return {"size": {"height": pixels, "width": pixels}}


CLIP = {**ALL, **OPENAI, **SHORTEST, **CROP, **RGB, "resample": BICUBIC}
DEFAULTS: Mapping[str, Settings] = {
    "BitImageProcessor": CLIP,
    "BlipImageProcessor": {**ALL, **OPENAI, **_side(384), **RGB, "resample": BICUBIC},
    "CLIPImageProcessor": CLIP,
    "ChineseCLIPImageProcessor": CLIP,
    "DeiTImageProcessor": {**ALL, **HALF, **_side(256), **CROP, "resample": BICUBIC},
    "PvtImageProcessor": {**ALL, **IMAGENET, **_side(224), "resample": BICUBIC},
    "SiglipImageProcessor": {**ALL, **HALF, **_side(224), **RGB, "resample": BICUBIC},
    "ViTImageProcessor": {**ALL, **HALF, **_side(224), "resample": BILINEAR},
}
SHORTER = {"BitImageProcessor", "CLIPImageProcessor", "ChineseCLIPImageProcessor", "SiglipImageProcessor"}
"""Those for which a size in one number is that of the shorter side; for others it is a square's."""
OTHERWISE = ("pad_size", "input_data_format", "use_square_size")  # asks for more than these steps
UNSAID = ("feature_extractor_type", "processor_class", "_valid_processor_keys")  # of a file: not kept as settings


@dataclass(frozen=True)
class Steps:
    """What is done to an image, in this order; None for what is left out."""

    resize: Sides | int | None  # an int: of the shorter side
    resample: int
    crop: Sides | None
    rescale: float | None
    normalize: tuple[Three, Three] | None  # mean and standard deviation of each channel


def settings_of(said: Settings) -> dict[str, Any] | None:
    """All settings of the processor that a file describes, as `to_dict` of transformers' class for Pillow gives them.

    None where that is not of a class known here, or asks for more.
    """
    name = _class_name(said)
    if name not in DEFAULTS or any(said.get(word) for word in OTHERWISE):
        return None
    kept = {word: value for word, value in said.items() if word not in UNSAID}
    told = {word: value for word, value in kept.items() if value is not None}
    if any(DEFAULTS[name].get(word) is not None for word in kept.keys() - told.keys()):
        return None  # taken back by a null
    square = kept.get("default_to_square", name not in SHORTER)
    found = {**DEFAULTS[name], **told, "image_processor_type": name}
    for word in found.keys() & {"size", "crop_size"}:
        found[word] = _sized(found[word], square=square or word == "crop_size")
    for word in ("image_mean", "image_std"):
        found[word] = tuple(found[word]) if isinstance(found[word], list) else found[word]
    return found if steps_of(found) is not None else None


def steps_of(settings: Settings) -> Steps | None:
    """The steps that settings ask for; None where they are not read here."""
    if any(settings.get(word) for word in OTHERWISE) or settings.get("data_format") not in (None, "channels_first"):
        return None
    try:
        asked = {word: _flag(settings.get(f"do_{word}")) for word in ("resize", "center_crop", "rescale", "normalize")}
        return Steps(
            resize=_size(settings["size"]) if asked["resize"] else None,
            resample=_filter(settings["resample"]) if asked["resize"] else BICUBIC,
            crop=_sides(settings["crop_size"]) if asked["center_crop"] else None,
            rescale=_number(settings["rescale_factor"]) if asked["rescale"] else None,
            normalize=(_three(settings["image_mean"]), _three(settings["image_std"])) if asked["normalize"] else None,
        )
    except (KeyError, TypeError, ValueError):
        return None


def _class_name(said: Settings) -> str:
    """As the file has it, also one that was written when these classes had other names."""
    code = said.get("auto_map")
    if said.get("image_processor_type") is None and not (isinstance(code, Mapping) and "AutoImageProcessor" in code):
        return str(said.get("feature_extractor_type")).replace("FeatureExtractor", "ImageProcessor")
    return str(said.get("image_processor_type")).removesuffix("Fast")


def _sized(size: object, *, square: bool) -> object:
    """A size in one number as released files had it once."""
    if type(size) is not int:
        return size
    return {"height": size, "width": size} if square else {"shortest_edge": size}


def _size(size: object) -> Sides | int:
    if isinstance(size, Mapping) and size.keys() == {"shortest_edge"}:
        return _side_of(size["shortest_edge"])
    return _sides(size)


def _sides(size: object) -> Sides:
    if not isinstance(size, Mapping) or size.keys() != {"height", "width"}:
        raise ValueError
    return _side_of(size["height"]), _side_of(size["width"])


def _side_of(value: object) -> int:
    if type(value) is not int or value < 1:
        raise ValueError
    return value


def _filter(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value not in FILTERS:
        raise ValueError
    return int(value)


def _flag(value: object) -> bool:
    if value is not None and not isinstance(value, bool):
        raise ValueError
    return bool(value)


def _number(value: object) -> float:
    if type(value) is not float:
        raise ValueError
    return value


def _three(value: object) -> Three:
    given = value if isinstance(value, list | tuple) else [value] * CHANNELS
    first, second, third = map(_number, given)
    return first, second, third
