"""Images -> tensors, by the checkpoint's own image processor: no code of the folder.

It is transformers' for Pillow, or for those of a few plain steps what gives the same without importing that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from triptych.errors import InputError
from triptych.inputs.media import accepted_kwargs
from triptych.inputs.media.calling import as_arguments
from triptych.inputs.processing.plain_images import load_plain, plain_images
from triptych.inputs.processing.unusable import unusable
from triptych.parts.stand_ins import StandIn

ONE_PICTURE, TILES = 3, 4  # dims; several have one more in front
CHANNELS = 3
VECTORS = 2  # dims of what a processor gives that cuts an image into patches: [patches, numbers]


class ImageProcessor:
    """The image processor of a checkpoint folder. `config` is what it was set to, for token counts."""

    def __init__(self, processor: Any, *, origin: str) -> None:
        self._processor = processor
        self.origin = origin
        self.config: Mapping[str, Any] = processor.to_dict()

    def __call__(self, image: Image.Image, *, name: str, **keywords: Any) -> Tensor:
        """One image, alone, as [C, Y, X], or as several pictures [t, C, Y, X] where the processor cuts it into tiles.

        It gives the same tensor whatever stands beside it. `name` is for errors.

        Raises InputError when the processor refuses it, or gives something else.
        """
        try:
            given = self._processor(images=[image], return_tensors="pt", **keywords)
            found = given["pixel_values"]
        except Exception as error:  # whatever a processor raises is about this image under these settings
            under = "; ".join(filter(None, (self.origin, as_arguments(keywords))))
            raise InputError(f"the image processor ({under}) refuses it: {error}", path=name) from error
        if (vectors := _vectors(found, given.get("pixel_attention_mask"))) is not None:
            return vectors
        if not isinstance(found, Tensor) or not _is_one_image(found):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            wanted = "[pictures, channels, y, x] or [1, pictures, channels, y, x]"
            told = f"the image processor ({self.origin}) gives {shape}, and {wanted} is needed"
            raise InputError(told, path=name)
        return found if found.ndim == TILES and len(found) > 1 else found[0]

    def frames(self, frames: Iterable[NDArray[np.uint8]], *, name: str, together: int = 0, **keywords: Any) -> Tensor:
        """Frames [height, width, 3] of a video, each an image by itself, as [t, C, Y, X].

        Of a processor that cuts images into tiles each gives the first, small picture of the whole. One that makes
        vectors of patches gives those of `together` frames in one: [t / together * n, numbers], the last frame repeated
        to fill them up. Raises InputError for such a one where that is 0: nothing says how frames go together.
        """
        found = (self(Image.fromarray(each), name=f"{name}: frame {i}", **keywords) for i, each in enumerate(frames))
        first = next(found)
        if first.ndim == VECTORS:
            if not together:
                told = (
                    f"{self.origin} makes vectors of patches, and nothing says how those of several frames go together"
                )
                raise InputError(f"is a video; {told}; give images", path=name)
            return torch.cat([*moments(chain([first], found), together)])
        return torch.stack([each if each.ndim == ONE_PICTURE else each[0] for each in (first, *found)])

    def save(self, folder: Path) -> None:
        """Write what it is set to into a folder, where `load_image_processor` finds it."""
        if (write := getattr(self._processor, "save_pretrained", None)) is not None:
            write(folder)

    def accepted(self, keywords: Mapping[str, object]) -> dict[str, object]:
        """The keywords that it takes; it warns of others."""
        return accepted_kwargs(self._processor, keywords)


def _vectors(found: object, mask: Tensor | None) -> Tensor | None:
    """Vectors [n, P] of the patches of one image, without those that a mask [1, N] leaves out; None for pictures."""
    if not isinstance(found, Tensor):
        return None
    if found.ndim == VECTORS + 1 and mask is not None and mask.shape == (1, found.shape[1]):
        return found[mask.bool()]
    return found if found.ndim == VECTORS else None


def _is_one_image(found: Tensor) -> bool:
    """Whether it is the pictures of one image, alone or in a batch of one."""
    return (found.ndim == TILES and len(found) > 0) or (found.ndim == TILES + 1 and len(found) == 1)


def moments(frames: Iterable[Tensor], together: int) -> Iterator[Tensor]:
    """Vectors of patches [n, C * together * numbers] of each frame, as if it were shown `together` times -> of moments.

    Each has its place in the vectors of its moment; the last frame takes all that are left over.
    """
    moment: Tensor | None = None
    for number, frame in enumerate(frames):
        apart = frame.view(len(frame), CHANNELS, together, -1)
        if number % together == 0:
            if moment is not None:
                yield moment.flatten(1)
            moment = apart.clone()
        assert moment is not None
        moment[:, :, number % together :] = apart[:, :, number % together :]
    if moment is not None:
        yield moment.flatten(1)


def stand_in_for_checkpoint(size: object) -> ImageProcessor:
    """What prepares images as a size counts them. Raises InputError for a size that does not say what does."""
    found: StandIn | None = getattr(size, "stand_in", None)
    if found is None:
        raise InputError("images need the image processor of a checkpoint folder, and this model came without one")
    module, _, name = found.target.partition(":")

    def others() -> Any:
        return getattr(import_module(module), name)(**found.settings)

    said = {"image_processor_type": name.removesuffix("Pil"), **found.settings}
    return ImageProcessor(plain_images(said, others=others) or others(), origin=f"{name}, as the spec's size asks")


def load_image_processor(folder: Path) -> ImageProcessor:
    """The image processor of a checkpoint folder. Raises CheckpointError when it has none that can be used."""
    others = partial(_of_transformers, folder)
    return ImageProcessor(load_plain(folder, others=others) or others(), origin=str(folder))


def _of_transformers(folder: Path) -> Any:
    from transformers import AutoImageProcessor

    load: Callable[..., Any] = AutoImageProcessor.from_pretrained
    try:
        return load(folder, backend="pil", trust_remote_code=False, local_files_only=True)
    except Exception as error:  # whatever a missing or broken file makes transformers raise
        raise unusable(folder, what="image processor", error=error) from error
