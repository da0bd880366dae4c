"""The options of an answer on the command line: each reaches the model, and a wrong one is told."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import triptych
from tests.cli.command import Capture, ran
from triptych.cli.generation import add_options, options_of

WORDS = ["run", "llama", "hi", "--random-init", "--raw"]
GIVEN: dict[str, tuple[list[str], Any]] = {
    "max_tokens": (["5"], 5),
    "min_tokens": (["2"], 2),
    "temperature": (["0.5"], 0.5),
    "top_k": (["3"], 3),
    "top_p": (["0.5"], 0.5),
    "min_p": (["0.1"], 0.1),
    "repetition_penalty": (["1.5"], 1.5),
    "presence_penalty": (["-1"], -1.0),
    "frequency_penalty": (["0.2"], 0.2),
    "logit_bias": (["5=1.5", "7=-2"], {5: 1.5, 7: -2.0}),
    "seed": (["4"], 4),
    "stop": (["a", "b"], ["a", "b"]),
    "stop_token_ids": (["4", "5"], [4, 5]),
    "ignore_eos": ([], True),
    "logprobs": (["0"], 0),
    "prompt_logprobs": (["1"], 1),
    "json_schema": (["schema.json"], {"type": "integer"}),
    "regex": (["a|b"], "a|b"),
}


def flag(name: str) -> str:
    return "--stop-token-id" if name == "stop_token_ids" else "--" + name.replace("_", "-")


def test_there_is_a_flag_for_every_option() -> None:
    assert set(GIVEN) == {field.name for field in fields(triptych.SamplingOptions)}


@pytest.mark.parametrize("name", GIVEN)
def test_a_flag_is_the_option_of_its_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("schema.json").write_text('{"type": "integer"}', encoding="utf-8")
    parser = ArgumentParser()
    add_options(parser)
    values, wanted = GIVEN[name]
    words = [word for value in values for word in (f"{flag(name)}={value}",)] or [flag(name)]
    args = parser.parse_args(words)
    args.json = True
    assert options_of(args) == {"max_tokens": 256, name: wanted}
    triptych.SamplingOptions(**options_of(args))


def test_logprobs_are_in_the_json(capsys: Capture) -> None:
    words = [*WORDS, "--max-tokens", "2", "--json"]
    status, out, err = ran(capsys, *words, "--logprobs", "2", "--prompt-logprobs", "0")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert [each["token_id"] for each in found["logprobs"]] == found["token_ids"]
    assert [len(each["likeliest"]) for each in found["logprobs"]] == [2, 2]
    assert found["logprobs"][0]["likeliest"][0]["token_id"] == found["token_ids"][0]
    assert [(each["token_id"], each["likeliest"]) for each in found["prompt_logprobs"]] == [(ord("i"), [])]
    assert all(each["logprob"] < 0 for each in found["logprobs"] + found["prompt_logprobs"])
    assert set(json.loads(ran(capsys, *words)[1])) == {"text", "token_ids", "finish_reason"}


def test_an_answer_has_the_form_that_is_asked_for(capsys: Capture, tmp_path: Path) -> None:
    status, out, _ = ran(capsys, *WORDS, "--regex", "[ab]{3}c", "--temperature", "1.5")
    assert status == 0
    assert re.fullmatch("[ab]{3}c\n", out)
    schema = {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3}
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema), encoding="utf-8")
    status, out, _ = ran(capsys, *WORDS, "--json-schema", str(file), "--temperature", "1.5", "--seed", "3")
    assert status == 0
    jsonschema.validate(json.loads(out), schema)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--logit-bias", "65"], 2, "argument --logit-bias: invalid ID=N value: '65'"),
        (["--logit-bias", "a=1"], 2, "argument --logit-bias: invalid ID=N value: 'a=1'"),
        (["--min-p", "x"], 2, "argument --min-p: invalid float value: 'x'"),
        (["--min-p", "2", "--top-p", "0"], 1, "top_p: is 0.0; a number above 0 and up to 1"),
        (["--min-p", "2", "--top-p", "0"], 1, "min_p: is 2.0; a number from 0 to 1"),
        (["--logit-bias", "9999=1"], 1, "logit_bias: has the token id 9999, and the model has 0 to 255"),
        (["--logprobs", "1", "--prompt-logprobs", "1"], 1, "prompt_logprobs: is shown with --json alone"),
        (["--json-schema", "nofile"], 1, "nofile: No such file or directory"),
        (["--regex", "a(("], 1, "regex: cannot be followed: unclosed group"),
    ],
)
def test_what_is_wrong_is_told(words: list[str], status: int, message: str, capsys: Capture) -> None:
    found, out, err = ran(capsys, *WORDS, *words)
    assert (found, out) == (status, "")
    assert message in err
