"""Answers of a form through SmolLM2's real tokenizer: they parse and fit, from random weights and from its own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import triptych
from tests.parity.oracle import build_oracle, tiny_config

pytestmark = pytest.mark.slow
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 15},
        "people": {"type": "integer", "minimum": 0, "maximum": 10**8},
        "near": {"type": "array", "items": {"type": ["string", "null"], "maxLength": 5}, "maxItems": 2},
        "kind": {"enum": ["town", "Großstadt", 7]},
    },
    "required": ["city", "people", "near", "kind"],
    "additionalProperties": False,
}
FILES = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")


@pytest.fixture(scope="module")
def tiny(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> triptych.Model:
    """Random weights over the real vocabulary."""
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    folder = tmp_path_factory.mktemp("tiny")
    build_oracle({**config, "vocab_size": 49152, "max_position_embeddings": 600}, folder, seed=5)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(smollm2 / name)
    return triptych.load(folder, dtype="float32")


def test_json_of_random_weights_parses_and_fits(tiny: triptych.Model) -> None:
    done = 0
    for seed in range(25):
        (answer,) = tiny.generate("x", raw=True, temperature=1.5, seed=seed, max_tokens=250, json_schema=SCHEMA)
        if answer.finish_reason == "stop":
            jsonschema.validate(json.loads(answer.text), SCHEMA)
            done += 1
    assert done > 15


@pytest.mark.parametrize("regex", [r"[a-zé]{3,9} (один|deux|3)!", r"([01]{8} ){2}", r"x+y?"])
def test_text_of_random_weights_matches(tiny: triptych.Model, regex: str) -> None:
    done = set()
    for seed in range(25):
        (answer,) = tiny.generate("x", raw=True, temperature=1.5, seed=seed, max_tokens=60, regex=regex)
        if answer.finish_reason == "stop":
            assert re.fullmatch(regex, answer.text)
            done.add(answer.text)
    assert len(done) > 5


@pytest.mark.parametrize("asked", [{}, {"temperature": 1.5, "seed": 1}])
def test_its_own_weights_answer_in_the_form(smollm2: Path, asked: dict[str, Any]) -> None:
    model = triptych.load(smollm2, dtype="float32")
    question = "Where is the Eiffel Tower? Answer with city, people (inhabitants), near (cities) and kind, as JSON."
    (answer,) = model.generate(question, max_tokens=120, json_schema=SCHEMA, **asked)
    assert answer.finish_reason == "stop"
    jsonschema.validate(json.loads(answer.text), SCHEMA)
    (answer,) = model.generate("Is the sky blue?", max_tokens=9, regex="(yes|no)[.]", **asked)
    assert answer.text in ("yes.", "no.")
