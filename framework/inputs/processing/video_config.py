"""What a checkpoint's processor of videos is set to. Its class is not built: those of transformers need torchvision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from triptych.inputs.folder import read_json_if_any
from triptych.spec.item_facts import ProcessorConfig

WHOLE, OWN, OF_IMAGES = "processor_config.json", "video_preprocessor_config.json", "preprocessor_config.json"
ONE_OF = (("num_frames", "fps"), ("size", "min_pixels", "max_pixels"))  # of which each takes the place of the others


def load_video_config(folder: Path) -> ProcessorConfig:
    """As its files say: the first of the three that speaks of videos, or of images where none does.

    Raises CheckpointError for a file that cannot be read.
    """
    within = read_json_if_any(folder / WHOLE).get("video_processor")
    return (
        within
        if isinstance(within, Mapping)
        else read_json_if_any(folder / OWN) or read_json_if_any(folder / OF_IMAGES)
    )


def said_last(*configs: ProcessorConfig) -> dict[str, object]:
    """What the configs say, the last word counting: what it says of frames, or of sizes, it says all of."""
    found: dict[str, object] = {}
    for config in configs:
        said = {name: value for name, value in config.items() if value is not None}
        for group in ONE_OF:
            if said.keys() & set(group):
                found = {name: value for name, value in found.items() if name not in group}
        found |= said
    return found
