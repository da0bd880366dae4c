"""What it costs to prepare a picture for a prompt the first time, and when it is there again: see docs/benchmarks.md.

python benchmarks/processing.py prints milliseconds, the least of many by turns, and the share of the second.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

import triptych
from triptych.inputs.tokenizer import ByteTokenizer
from triptych.spec.catalog import load_named, sample_config

TILE = {"height": 448, "width": 448}
PROCESSORS: dict[str, Callable[[], Any]] = {
    "llava": CLIPImageProcessorPil,
    "qwen2_vl": Qwen2VLImageProcessorPil,
    "internvl": lambda: GotOcr2ImageProcessorPil(size=TILE, crop_to_patches=True),
}


def picture(width: int, height: int) -> Image.Image:
    """A smooth one, as photographs are: a JPEG of noise is larger than any."""
    few = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(few).resize((width, height), Image.Resampling.BICUBIC)


def prepare(spec: str, folder: Path, *, cache: int) -> Callable[[object], object]:
    """From a picture to what a prompt of it alone becomes, with so many bytes of cache."""
    assembled = triptych.assemble(spec, sample_config(load_named(spec)[1]))
    context = triptych.InputProcessingContext(
        {},
        folder=folder,
        tokenizer=ByteTokenizer(sys.maxsize),
        tokens=assembled.tokens,
        name=spec,
        dtype=torch.float32,
        settings=triptych.MultiModalSettings(processor_cache=cache),
    )
    processor = triptych.build_processor(assembled.module, context, plan=assembled.plan)
    prompt = [assembled.tokens["image"].placeholder]
    return lambda item: processor(prompt, {"image": item})


def least(calls: Mapping[str, Callable[[], object]], *, turns: int) -> dict[str, float]:
    """Milliseconds of each call, the least of its turns, after one that is not counted."""
    found = dict.fromkeys(calls, float("inf"))
    for turn in range(turns + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken = (time.perf_counter() - start) * 1e3
            found[name] = min(found[name], taken) if turn else found[name]
    return found


def rows(folder: Path, *, width: int, height: int, turns: int) -> list[dict[str, Any]]:
    image = picture(width, height)
    image.save(folder / "picture.jpg", quality=90)
    items = {"image": image, "array": np.asarray(image), "JPEG file": folder / "picture.jpg"}
    found = []
    for spec, processor in PROCESSORS.items():
        processor().save_pretrained(folder)
        first, again = prepare(spec, folder, cache=0), prepare(spec, folder, cache=2**28)
        for what, item in items.items():
            taken = least({"first": partial(first, item), "again": partial(again, item)}, turns=turns)
            found.append({"spec": spec, "item": what, **taken, "share": taken["again"] / taken["first"]})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 720), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = rows(Path(folder), width=options.size[0], height=options.size[1], turns=options.turns)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for row in found:
        times = f"{row['first']:8.2f} ms first {row['again']:8.2f} ms again"
        print(f"{row['spec']:10} {row['item']:10} {times} {row['share']:7.1%}")


if __name__ == "__main__":
    main()
