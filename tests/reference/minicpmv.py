"""MiniCPM-V as its description has it: transformers' tower and language model, and our own resampler between them.

Its released code is no part of transformers and is never run here. Tensors have the names that released files have.
Images are cut and resized by the processor of a later MiniCPM-V, which transformers has: as it joins four by four
patches of a quarter, it makes the sizes that this one makes of whole patches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from PIL import Image
from torch import Tensor, nn
from transformers.models.idefics2.modeling_idefics2 import Idefics2VisionConfig, Idefics2VisionTransformer
from transformers.models.minicpmv4_6.image_processing_pil_minicpmv4_6 import MiniCPMV4_6ImageProcessorPil
from transformers.models.minicpmv4_6.processing_minicpmv4_6 import MiniCPMV4_6Processor

from tests.reference.resampler import Resampler

TARGET = "(<image>./</image>)"
QUARTER = 4
MARKS = {
    "image_start_token": "<image>",
    "image_token": "<unk>",
    "image_end_token": "</image>",
    "slice_start_token": "<slice>",
    "slice_end_token": "</slice>",
}


class MiniCPMV(nn.Module):
    """`vpm`, `resampler` and `llm`, the last of the class `text`."""

    def __init__(self, config: Mapping[str, Any], text: str) -> None:
        super().__init__()
        self.config, vision = config, Idefics2VisionConfig(**config["vision_config"])
        vision._attn_implementation = "eager"
        self.vpm = Idefics2VisionTransformer(vision)
        if config.get("drop_vision_last_layer", True):
            self.vpm.encoder.layers = self.vpm.encoder.layers[:-1]
        width = config["hidden_size"]
        sizes = {"width": width, "heads": width // 128, "kv_width": vision.hidden_size}
        self.resampler = Resampler(queries=config.get("query_num", 64), **sizes)
        of_text = {key: value for key, value in config.items() if key not in ("architectures", "model_type")}
        named = getattr(transformers, text)
        read = named.config_class(**of_text)
        read._attn_implementation = "eager"
        self.llm = named(read)

    @torch.inference_mode()
    def rows(self, image: Image.Image, *, whole: bool = False) -> Tensor:
        """[pictures * queries, width] of an image; of the `whole` alone, as of a frame."""
        pictures, patch = self.pictures(image)[: 1 if whole else None], self.config["vision_config"]["patch_size"]
        found = [self.vpm(picture[None]).last_hidden_state[0] for picture in pictures]
        sizes = [(picture.shape[1] // patch, picture.shape[2] // patch) for picture in pictures]
        rows: Tensor = self.resampler(found, sizes).flatten(0, 1)
        return rows

    @torch.inference_mode()
    def logits(
        self, ids: Sequence[int], images: Sequence[Image.Image | Sequence[Image.Image]], *, placeholder: int
    ) -> Tensor:
        """[T, V] of a prompt that has a placeholder for every row of its images, and of its videos, lists of frames."""
        tokens = torch.tensor([list(ids)])
        embeds = self.llm.get_input_embeddings()(tokens)
        if images:
            rows = [
                self.rows(each, whole=isinstance(item, Sequence))
                for item in images
                for each in (item if isinstance(item, Sequence) else [item])
            ]
            embeds[tokens == placeholder] = torch.cat(rows)
        logits: Tensor = self.llm(inputs_embeds=embeds, use_cache=False).logits[0]
        return logits

    def pictures(self, image: Image.Image) -> list[Tensor]:
        """The whole and the slices [3, y, x]."""
        found, size = self.cut(image), self.config["vision_config"]["patch_size"] // QUARTER
        sizes = [(int(h), int(w)) for h, w in found["target_sizes"]]
        strips = found["pixel_values"][0].split([h * w * size for h, w in sizes], -1)
        return [
            strip.unflatten(-1, (h, w, size)).permute(0, 2, 1, 3, 4).reshape(3, h * size, w * size)
            for strip, (h, w) in zip(strips, sizes, strict=True)
        ]

    def cut(self, image: Image.Image) -> Mapping[str, Any]:
        """What the processor makes of an image."""
        config = self.config
        processor = MiniCPMV4_6ImageProcessorPil(
            max_slice_nums=config["slice_config"]["max_slice_nums"],
            scale_resolution=config["image_size"],
            patch_size=config["vision_config"]["patch_size"] // QUARTER,
        )
        found: Mapping[str, Any] = processor(images=[image], return_tensors="pt")
        return found

    def text_of(self, image: Image.Image) -> str:
        """What an image is in a prompt, as 2.6 and later have it."""
        found, queries = dict(self.cut(image)), self.config.get("query_num", 64)
        found["target_sizes"] = torch.full((len(found["target_sizes"]), 2), queries)
        writer = SimpleNamespace(**MARKS, slice_mode=True)
        text: str = MiniCPMV4_6Processor.replace_image_token(writer, found, 0, image_token_divisor=queries)  # type: ignore[arg-type]
        return text

    def older_text_of(self, image: Image.Image) -> str:
        """The same as 2.5 has it: slices are images in one pair of marks."""
        whole, mark, slices = self.text_of(image).partition("<slice>")
        inner = (mark + slices).replace("<slice>", "<image>").replace("</slice>", "</image>")
        return whole + (f"<slice>{inner}</slice>" if mark else "")

    def text_of_frames(self, frames: Sequence[Image.Image]) -> str:
        """What a video is in a prompt: its frames are images that are not cut, each in a line."""
        return "\n".join(self.text_of(frame).partition("<slice>")[0] for frame in frames)
