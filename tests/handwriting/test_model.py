"""The model that comes with the package reads numbers that it has not seen, in hands that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice

import pytest
from PIL import Image, ImageDraw, ImageFont, ImageOps

import triptych
from triptych.cli.embedded import QUESTION, folder, picture
from triptych.experiments.compose import compose
from triptych.experiments.read import read
from triptych.handwriting.files import HELD_OUT, strips
from triptych.handwriting.paper import as_strip
from triptych.handwriting.questions import KINDS
from triptych.handwriting.scans import load_scans
from triptych.handwriting.strips import HIGH, WIDE, Strip
from triptych.spec.document import read_document

STRIPS, QUESTIONS = 200, 3
SEED = 1  # another than that of the experiment, whose pictures it was examined on already
ENOUGH = 0.95  # of all answers

Prepared = Callable[[Image.Image], Image.Image]


@cache
def model() -> triptych.Model:
    return triptych.load(folder())


def asked(count: int) -> Iterator[tuple[Strip, str, str, str]]:
    """Strips of scans that were held out, each with its questions: kind, text, answer."""
    _, held = load_scans()
    for strip, questions in islice(strips(held, HELD_OUT, SEED), count):
        for question in islice(questions, QUESTIONS):
            yield strip, question.kind, question.question, question.answer


def right(prepared: Prepared, *, count: int = STRIPS) -> dict[str, list[bool]]:
    """Whether each answer is the one that is looked for, by kind."""
    found = {kind: list[bool]() for kind in KINDS}
    about, kinds, questions, wanted = zip(*asked(count), strict=True)
    answers = model().generate([*questions], [[prepared(strip.picture)] for strip in about], max_tokens=8)
    for kind, answer, looked_for in zip(kinds, answers, wanted, strict=True):
        found[kind].append(answer.text == looked_for)
    return found


def share(found: dict[str, list[bool]]) -> float:
    return sum(map(sum, found.values())) / sum(map(len, found.values()))


def on_a_page(strip: Image.Image) -> Image.Image:
    """Somewhere on a page that is no strip."""
    page = Image.new("RGB", (500, 400), strip.getpixel((0, 0)))
    page.paste(strip.resize((2 * WIDE, 2 * HIGH)), (150, 200))
    return page


def test_it_answers_about_strips_that_were_held_out() -> None:
    found = right(lambda strip: strip)
    assert share(found) >= ENOUGH, found
    assert all(share({kind: hits}) >= 0.9 for kind, hits in found.items()), found


@pytest.mark.parametrize(
    "changed", [lambda strip: strip, on_a_page, ImageOps.invert], ids=["as_it_is", "page", "negative"]
)
def test_it_answers_about_pictures_that_are_no_such_strips(changed: Prepared) -> None:
    found = right(lambda strip: as_strip(changed(strip)), count=100)
    assert share(found) >= ENOUGH, found


def test_the_picture_that_comes_with_it_is_read() -> None:
    with Image.open(picture()) as shown:
        (answer,) = model().generate([QUESTION], [[as_strip(shown.convert("RGB"))]], max_tokens=8)
    assert answer.text == "8157"


def test_numbers_in_print_are_read_at_times() -> None:
    numbers = ["472", "35", "1230", "68"]
    font = ImageFont.load_default(60)
    pages = [Image.new("RGB", (320, 120), "white") for _ in numbers]
    for page, number in zip(pages, numbers, strict=True):
        ImageDraw.Draw(page).text((40, 20), number, fill="black", font=font)
    answers = model().generate([QUESTION] * len(pages), [[as_strip(page)] for page in pages], max_tokens=8)
    assert [len(answer.text) for answer in answers] == [*map(len, numbers)]


def test_it_is_what_the_experiment_makes() -> None:
    assert read_document(folder() / "spec.yaml") == read(compose("handwriting", ["task=check"])).spec


def test_it_is_a_few_megabytes() -> None:
    assert sum(file.stat().st_size for file in folder().iterdir()) < 4 * 2**20
