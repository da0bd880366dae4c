"""Answers of a form: every one that is done parses and fits, and its neighbours are as they were."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import jsonschema
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend

import triptych
from tests.inputs.small_tokenizers import byte_fallback, byte_level, save
from triptych.errors import OptionError
from triptych.inputs.tokenizer import ByteTokenizer, Tokenizer, load_tokenizer
from triptych.runner.grammar import Form, Grammars
from triptych.runner.options import SamplingOptions
from triptych.tasks.completion import Completion

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "tags": {"type": "array", "items": {"enum": ["a", "bé", None]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
HOT: dict[str, Any] = {"temperature": 1.5, "max_tokens": 400}
REGEXES = [
    r"[a-c]{2,5}(-[0-9])?",
    r"yes|no|maybe",
    r"(\+|-)?[0-9]{3}",
    r"«[^«»\n]{1,4}»",
    r"([^a-z ] ){2}(:[é-û]{2})?",
]


@pytest.fixture(scope="module")
def model() -> triptych.Model:
    """A tiny random model on bytes, without an end token."""
    found = triptych.random_init("llama", seed=1)
    assert not found.end_ids & set(range(256))
    return found


def completed(model: triptych.Model, **options: Any) -> list[Completion]:
    """The answers to many seeds that were done before their tokens were."""
    found = []
    for seed in range(25):
        (answer,) = model.generate("x", raw=True, seed=seed, **{**HOT, **options})
        assert answer.finish_reason == "stop" or len(answer.token_ids) == options.get("max_tokens", 400)
        found += [answer] if answer.finish_reason == "stop" else []
    return found


def test_json_answers_parse_and_fit_the_schema(model: triptych.Model) -> None:
    found = completed(model, json_schema=SCHEMA)
    assert len(found) > 12
    assert len({answer.text for answer in found}) == len(found)
    for answer in found:
        jsonschema.validate(json.loads(answer.text), SCHEMA)


@pytest.mark.parametrize("regex", REGEXES)
def test_answers_match_the_whole_expression(model: triptych.Model, regex: str) -> None:
    found = completed(model, regex=regex, max_tokens=30)
    assert len(found) > 12
    assert all(re.fullmatch(regex, answer.text) for answer in found)


def test_greedy_answers_have_the_form_too(model: triptych.Model) -> None:
    (found,) = model.generate("x", raw=True, max_tokens=9, regex="[0-9]{4}")
    assert re.fullmatch("[0-9]{4}", found.text)
    assert (found.finish_reason, len(found.token_ids)) == ("stop", 4)
    assert "".join(model.stream("x", raw=True, max_tokens=9, regex="[0-9]{4}")) == found.text


def test_too_few_tokens_end_it_early(model: triptych.Model) -> None:
    (found,) = model.generate("x", raw=True, max_tokens=3, regex="[0-9]{4}")
    assert found.finish_reason == "length"
    assert re.fullmatch("[0-9]{3}", found.text)


def test_requests_of_a_form_and_free_ones_do_not_disturb_each_other(model: triptych.Model) -> None:
    """Through the runner itself, where the requests of a batch have options of their own."""
    from triptych.inputs.prompt import Prompt
    from triptych.runner.generate import generate
    from triptych.runner.request import Request, RunOptions

    grammars = Grammars(model.tokenizer, vocab_size=model.module.vocab_size)
    asked = [
        SamplingOptions(temperature=1.5, seed=n, max_tokens=80, **form)
        for n, form in enumerate([{"json_schema": SCHEMA}, {}, {"regex": REGEXES[0]}])
    ]
    requests = [Request(Prompt((65, 66 + n)), each, grammars.of(each)) for n, each in enumerate(asked)]
    run = RunOptions(device=torch.device("cpu"), dtype=torch.float32)

    def answers(some: list[Request]) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in some]
        for event in generate(model.module, some, run=run, tokenizer=model.tokenizer):
            found[event.request].append(event.token_id)
        return found

    together = answers(requests)
    assert together == [answers([request])[0] for request in requests]
    assert re.fullmatch(REGEXES[0], bytes(together[2]).decode())
    assert len(together[1]) == 80


def form_of(tokenizer: Tokenizer, vocab: int, *, ends: tuple[int, ...] = (), **options: Any) -> Form:
    grammar = Grammars(tokenizer, vocab_size=vocab).of(SamplingOptions(**options))
    assert grammar is not None
    return grammar.start(ends)


def test_ends_come_where_the_answer_is_whole_and_nowhere_else() -> None:
    form = form_of(ByteTokenizer(300), 300, ends=(98, 280, 299), regex="ab|ac?d?")
    assert form.allowed().nonzero()[:, 0].tolist() == [97]
    assert not form.push(97)
    assert form.allowed().nonzero()[:, 0].tolist() == [98, 99, 100, 280, 299]  # b here as an end alone
    assert not form.push(99)
    assert form.allowed().nonzero()[:, 0].tolist() == [98, 100, 280, 299]
    assert form.push(100)


class Late:
    """A matcher that has taken all there is and has not stopped yet, as the library says it may."""

    def consume_token(self, token: int) -> bool:
        return token == 97

    def compute_logit_bias(self) -> bytes:
        return bytes([0] * 256 + [200])

    def is_accepting(self) -> bool:
        return True

    def is_stopped(self) -> bool:
        return False

    def is_error(self) -> bool:
        return False


def test_an_answer_that_nothing_but_an_end_can_follow_is_whole() -> None:
    matcher: Any = Late()
    assert Form(matcher, vocab_size=256, end=256, end_ids=()).push(97)


@pytest.mark.parametrize("vocab", [256, 257, 300])
def test_tokens_that_are_no_bytes_are_never_allowed(vocab: int) -> None:
    allowed = form_of(ByteTokenizer(vocab), vocab, regex="(.|\n)+").allowed()
    assert allowed.shape == (vocab,)
    assert allowed[:128].all()
    assert not allowed[256:].any()


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> list[Tokenizer]:
    """One of each kind that spells every byte."""
    fallback = json.loads(byte_fallback().to_str())
    fallback["added_tokens"] = [token for token in fallback["added_tokens"] if not token["content"].startswith("<0x")]
    made = [byte_level(), Backend.from_str(json.dumps(fallback))]
    found = [load_tokenizer(save(each, tmp_path_factory.mktemp("tokenizer"))) for each in made]
    return [each for each in found if each is not None]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from(REGEXES), st.sampled_from([0, 1]), st.sampled_from([(), (2,)]))
def test_whatever_is_allowed_spells_a_match(
    tokenizers: list[Tokenizer], data: st.DataObject, regex: str, number: int, ends: tuple[int, ...]
) -> None:
    """Any walk along allowed tokens, of a model that has more of them than its tokenizer, with an end and without."""
    form, tokens, ended = form_of(tokenizers[number], 600, ends=ends, regex=regex), list[int](), False
    size = tokenizers[number].backend.get_vocab_size()  # type: ignore[attr-defined]
    while not ended:
        allowed = form.allowed().nonzero()[:, 0].tolist()
        assert max(allowed) < size
        token = data.draw(st.sampled_from(allowed))
        tokens.append(token)
        ended = token == 2 or form.push(token)
    assert re.fullmatch(regex, tokenizers[number].decode(tokens))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regex": "(?=a)b"}, "regex: cannot be followed: look-around, including look-ahead and look-behind, is not"),
        ({"regex": "a(("}, "regex: cannot be followed: unclosed group"),
        ({"regex": ""}, "regex: cannot be followed: no token can begin it"),
        ({"json_schema": {"type": "objekt"}}, "json_schema: cannot be followed: Invalid type: objekt"),
        ({"json_schema": {"not": {}}}, "json_schema: cannot be followed: Unimplemented keys: ['not']"),
        ({"json_schema": {"const": {1, 2}}}, "json_schema: cannot be followed: Object of type set is not JSON"),
    ],
)
def test_a_form_that_cannot_be_followed_is_refused_with_the_reason(
    model: triptych.Model, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        model.generate("x", **options)
    assert str(caught.value).replace('"', "'").startswith(message)


def test_a_schema_that_is_nested_without_end_is_refused(model: triptych.Model) -> None:
    schema: dict[str, Any] = {}
    for _ in range(100_000):
        schema = {"items": schema}
    with pytest.raises(OptionError, match=r"^json_schema: cannot be followed: "):
        model.generate("x", json_schema=schema)


def test_without_a_tokenizer_there_is_no_form() -> None:
    with pytest.raises(OptionError, match=r"^regex: cannot be followed: the model has no tokenizer"):
        Grammars(None, vocab_size=300).of(SamplingOptions(regex="a"))


def test_without_the_library_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["llguidance"] = None
import triptych
try:
    triptych.random_init("llama").generate("x", regex="a")
except triptych.OptionError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "regex: needs the package llguidance; pip install 'triptych[constrain]'\n"


def test_the_library_is_imported_when_a_form_is_asked_for() -> None:
    code = """
import sys, triptych
model = triptych.random_init("llama")
model.generate("x", max_tokens=1)
assert "llguidance" not in sys.modules
model.generate("x", max_tokens=1, regex="a")
assert "llguidance" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
