"""Classes of the reference that import torchvision, without it: for what they do that needs none of it."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from transformers.models.pixtral import image_processing_pil_pixtral


def pixtral_processor() -> Any:
    """The class for Pixtral: one function of its variant for torchvision is that of its Pillow variant."""
    name = "transformers.models.pixtral.image_processing_pixtral"
    sys.modules[name] = image_processing_pil_pixtral
    try:
        return importlib.import_module("transformers.models.pixtral.processing_pixtral").PixtralProcessor
    finally:
        del sys.modules[name]


def qwen_videos(family: str = "qwen2_vl") -> Any:
    """The module of a family's processor of videos: its class samples frames and makes vectors of patches."""
    names = (
        "torchvision",
        "torchvision.transforms",
        "torchvision.transforms.v2",
        "torchvision.transforms.v2.functional",
    )
    absent = [name for name in names if name not in sys.modules]
    sys.modules |= {name: ModuleType(name) for name in absent}
    try:
        return importlib.import_module(f"transformers.models.{family}.video_processing_{family}")
    finally:
        for name in absent:
            del sys.modules[name]
