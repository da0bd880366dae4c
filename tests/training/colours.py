"""A tiny model of an image tower, and pictures of colours that it is asked about."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

TINY = """
defaults: [/run: small, /tower: clip, /projector: mlp, /language_model: llama, _self_]
task: train
model:
  schema: 1
  tokens: {image: {placeholder: =language_model.vocab_size - 1, count: =rows}}
  prompt_updates: [{modality: image, replace: <image>, with: placeholder}]
  sample:
    vision_config: {image_size: 28}
    text_config: {vocab_size: 260}
data: {file: data.jsonl}
"""
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


def write_pictures() -> None:
    """A picture of each colour, and a file that asks for each."""
    for name, colour in COLOURS.items():
        Image.new("RGB", (30, 30), colour).save(f"{name}.png")
    lines = [{"prompt": "What?", "answer": name, "images": [f"{name}.png"]} for name in COLOURS]
    Path("data.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def written(stages: str, more: str = "log_every: 1", name: str = "mine") -> str:
    """The path of an experiment with these stages."""
    path = Path(f"experiment/{name}.yaml")
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{TINY}\ntrain:\n  {more}\n  stages:\n{stages}\n")
    return str(path)
