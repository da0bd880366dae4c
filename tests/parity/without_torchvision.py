"""The reference's processor for Pixtral, which imports torchvision for one function that its Pillow variant has too."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from transformers.models.pixtral import image_processing_pil_pixtral


def pixtral_processor() -> Any:
    """The class."""
    name = "transformers.models.pixtral.image_processing_pixtral"
    sys.modules[name] = image_processing_pil_pixtral
    try:
        return importlib.import_module("transformers.models.pixtral.processing_pixtral").PixtralProcessor
    finally:
        del sys.modules[name]
