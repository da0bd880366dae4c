"""The data that an experiment trains and examines a model on: pictures, and JSON lines of what is asked about them."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triptych.errors import InputError
from triptych.handwriting.questions import Asked, draw_question
from triptych.handwriting.scans import Scans, load_scans
from triptych.handwriting.strips import Strip, draw_strip
from triptych.handwriting.tokens import learn_tokenizer, write_tokenizer

TRAIN, HELD_OUT, TOKENIZER = "train", "held_out", "tokenizer"
ENTROPY = {TRAIN: 0, HELD_OUT: 1}  # beside the seed: no picture of one is drawn as one of the other is


@dataclass(frozen=True)
class Amount:
    """How many strips there are, and how often each is asked about."""

    train: int = 60_000
    held_out: int = 600
    questions: int = 4


def write_data(folder: Path, *, amount: Amount, seed: int = 0) -> None:
    """Write `train.jsonl`, `held_out.jsonl`, their pictures and the tokenizer: a folder that is whole, or none.

    The same seed gives the same files. Raises InputError when something stands at `folder`, or scikit-learn is missing.
    """
    if folder.exists():
        raise InputError(f"{folder} is there already; another folder, or none there, is needed")
    kept, held = load_scans()
    folder.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.absolute().parent, prefix=f".{folder.name}-") as scratch:
        whole = Path(scratch) / "whole"  # a folder of its own: the temporary one is closed to other users
        _write_part(whole, TRAIN, strips(kept, TRAIN, seed), count=amount.train, questions=amount.questions)
        _write_part(whole, HELD_OUT, strips(held, HELD_OUT, seed), count=amount.held_out, questions=amount.questions)
        (whole / TOKENIZER).mkdir()
        write_tokenizer(learn_tokenizer(), whole / TOKENIZER)
        shutil.move(whole, folder)


def strips(scans: Scans, part: str, seed: int) -> Iterator[tuple[Strip, Iterator[Asked]]]:
    """Strips of a part without end, each with questions about it without end."""
    draws = np.random.SeedSequence((seed, ENTROPY[part]))
    while True:
        (of_one,) = draws.spawn(1)
        draw = np.random.default_rng(of_one)
        strip = draw_strip(scans, draw)
        yield strip, _questions(strip, draw)


def _questions(strip: Strip, draw: np.random.Generator) -> Iterator[Asked]:
    while True:
        yield draw_question(strip.digits, draw)


def _write_part(
    folder: Path, part: str, drawn: Iterator[tuple[Strip, Iterator[Asked]]], *, count: int, questions: int
) -> None:
    """The pictures and the lines of a part."""
    (folder / part).mkdir(parents=True)
    lines = list[str]()
    for number, (strip, about) in zip(range(count), drawn, strict=False):
        name = f"{part}/{number:05}.png"
        strip.picture.save(folder / name)
        for _, asked in zip(range(questions), about, strict=False):
            said = {"prompt": asked.question, "answer": asked.answer, "images": [name], "kind": asked.kind}
            lines.append(json.dumps(said) + "\n")
    (folder / f"{part}.jsonl").write_text("".join(lines), encoding="utf-8")
