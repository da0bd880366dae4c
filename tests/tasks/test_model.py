"""A loaded model through its public door: the tokens of transformers, streams, batches, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import triptych
from tests.inputs.small_tokenizers import byte_level, save
from tests.parity.oracle import Oracle, build_oracle, tiny_config
from triptych.errors import CheckpointError, InputError, OptionError

PROMPTS = [[5, 9, 33, 200, 17], [3], [7, 8] * 20, [250, 1, 1]]
CHAT = "{% for m in messages %}<s>{{ m.role }}: {{ m.content }}{% endfor %}</s>assistant:"
TEXTS = ["the quick brown fox", "one", "naïve café, one by one, over the lazy dog"]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    """A tiny llama of transformers, saved with a tokenizer and a chat template."""
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    folder = tmp_path_factory.mktemp("llama")
    found = build_oracle({**config, "vocab_size": 400, "max_position_embeddings": 64}, folder, seed=3)
    save(byte_level(), folder, chat_template=CHAT)
    (folder / "generation_config.json").write_text("{}", encoding="utf-8")
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), "eos_token_id": None}), encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def model(oracle: Oracle) -> triptych.Model:
    return triptych.load(oracle.folder, dtype="float32")


def tokens(completions: Sequence[triptych.Completion]) -> list[tuple[int, ...]]:
    return [completion.token_ids for completion in completions]


@pytest.mark.parametrize("max_batch", [32, 2, 1])
def test_greedy_tokens_are_those_of_transformers(oracle: Oracle, model: triptych.Model, max_batch: int) -> None:
    wanted = [tuple(oracle.generate(prompt, 12)) for prompt in PROMPTS]
    found = model.generate(PROMPTS, max_tokens=12, ignore_eos=True, max_batch=max_batch)
    assert tokens(found) == wanted
    assert [completion.prompt_token_ids for completion in found] == [tuple(prompt) for prompt in PROMPTS]
    assert {completion.finish_reason for completion in found} == {"length"}


def test_a_text_is_a_turn_of_a_chat_unless_raw(oracle: Oracle, model: triptych.Model) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(oracle.folder)
    for text, found in zip(TEXTS, model.generate(TEXTS, max_tokens=6, ignore_eos=True), strict=True):
        turn = [{"role": "user", "content": text}]
        ids = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_dict=True)["input_ids"]
        assert list(found.prompt_token_ids) == ids
        assert found.token_ids == tuple(oracle.generate(ids, 6))
        assert found.text == tokenizer.decode(found.token_ids, skip_special_tokens=True)
        (raw,) = model.generate(text, max_tokens=1, raw=True)
        assert list(raw.prompt_token_ids) == tokenizer(text)["input_ids"]


@pytest.mark.parametrize("options", [{}, {"temperature": 1.5, "seed": 4}, {"stop": ["e", "zz"]}])
def test_a_stream_is_the_text_of_the_whole(model: triptych.Model, options: dict[str, Any]) -> None:
    for text in TEXTS:
        (whole,) = model.generate(text, max_tokens=24, **options)
        pieces = [*model.stream(text, max_tokens=24, **options)]
        assert "".join(pieces) == whole.text
        assert all(pieces)
        assert "e" not in whole.text or "stop" not in options


def test_a_seed_gives_a_request_its_tokens_in_any_company(model: triptych.Model) -> None:
    drawn = {"temperature": 2.0, "top_p": 0.95, "seed": 11, "max_tokens": 10}
    together = tokens(model.generate(PROMPTS, **drawn))
    assert together == [tokens(model.generate(prompt, **drawn))[0] for prompt in PROMPTS]
    assert together != tokens(model.generate(PROMPTS, **{**drawn, "seed": 12}))


def test_an_end_token_of_the_checkpoint_ends_an_answer(oracle: Oracle, model: triptych.Model, tmp_path: Path) -> None:
    ids = oracle.generate(PROMPTS[0], 12)
    for file in oracle.folder.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "generation_config.json").unlink()
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [ids[7], 399]}), encoding="utf-8")
    (found,) = triptych.load(tmp_path, dtype="float32").generate(PROMPTS[0], max_tokens=12)
    end = ids.index(ids[7]) + 1
    assert (found.token_ids, found.finish_reason) == (tuple(ids[:end]), "stop")
    assert model.tokenizer is not None
    assert found.text == model.tokenizer.decode(ids[: end - 1])


def test_logits_of_every_position_are_those_of_transformers(oracle: Oracle, model: triptych.Model) -> None:
    found = model.logits(PROMPTS[0])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, oracle.logits(PROMPTS[0]), rtol=1e-4, atol=1e-4)
    half = triptych.load(oracle.folder, dtype=torch.bfloat16)
    assert (half.dtype, half.logits(PROMPTS[0]).dtype) == (torch.bfloat16, torch.float32)


def test_an_answer_ends_where_the_positions_do(model: triptych.Model) -> None:
    (found,) = model.generate([5] * 60, max_tokens=100)
    assert (len(found.token_ids), found.finish_reason) == (5, "length")
    with pytest.raises(InputError, match="prompt: has 65 tokens, and the model takes at most 64; shorten it"):
        model.generate([5] * 65)
    with pytest.raises(InputError, match="has 65 tokens"):
        model.logits([5] * 65)


@pytest.mark.parametrize(
    ("prompts", "images", "message"),
    [
        ([[]], None, "prompt: is empty; at least one token is needed"),
        ([[5], [400]], None, r"prompts\[1\]: has the token id 400, and the model has 0 to 399"),
        ("a\ud800", None, "prompt: the prompt is no valid text"),
        (["a", "b\ud800"], None, r"prompts\[1\]: the prompt is no valid text"),
        ("what?", Image.new("RGB", (4, 4)), "prompt: 1 image given, and this model takes none"),
        (["a", "b"], [[], ["cat.png"]], r"prompts\[1\]: 1 image given, and this model takes none"),
        (["a", "b"], ["cat.png"], "images: 2 prompts take as many lists of images, one for each"),
        (["a", "b"], "cat.png", "images: 2 prompts take as many lists of images"),
        ([1.5], None, "prompts: a text or a list of token ids is needed, or a list of such"),
        (["a", 5], None, "prompts: a text or a list of token ids"),
        (7, None, "prompts: a text or a list of token ids"),
        (b"abc", None, "prompts: a text or a list of token ids"),
        ([b"abc"], None, "prompts: a text or a list of token ids"),
        ({"a": 1}, None, "prompts: a text or a list of token ids"),
        ("what?", 3, "images: an image or a list of images is needed, not 3"),
        (["a"], [3], "images: an image or a list of images is needed, not 3"),
        ("what?", {"image": "cat.png"}, "images: an image or a list of images is needed, not {'image'"),
        ("what?", b"png", "images: an image or a list of images is needed, not b'png'"),
    ],
)
def test_what_is_no_prompt_is_named(model: triptych.Model, prompts: Any, images: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.generate(prompts, images)


@pytest.mark.parametrize("given", ["abc", None, [1.5], [[1]], 3, [], b"abc"])
def test_logits_are_of_token_ids(model: triptych.Model, given: Any) -> None:
    with pytest.raises(InputError, match=r"^prompt: .*token ids"):
        model.logits(given)


def test_token_ids_may_stand_in_a_tensor_or_an_array(model: triptych.Model) -> None:
    wanted = model.logits([5, 6])
    for given in (torch.tensor([5, 6]), np.array([5, 6])):
        assert torch.equal(model.logits(given), wanted)  # type: ignore[arg-type]


def test_all_wrong_options_are_named_before_anything_runs(model: triptych.Model) -> None:
    with pytest.raises(OptionError, match=r"max_tokens: is 0[\s\S]*top_p: is 2"):
        model.generate("hello", max_tokens=0, top_p=2)
    with pytest.raises(OptionError, match="max_token: no such option; did you mean 'max_tokens'"):
        model.stream("hello", max_token=3)  # type: ignore[call-arg]
    with pytest.raises(InputError, match="stream takes one prompt"):
        model.stream(["a", "b"])  # type: ignore[arg-type]


def test_no_prompts_have_no_answers(model: triptych.Model) -> None:
    assert model.generate([]) == []


def test_a_checkpoint_without_a_tokenizer_takes_token_ids(oracle: Oracle, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(oracle.folder / name)
    model = triptych.load(tmp_path, dtype="float32")
    (found,) = model.generate(PROMPTS[0], max_tokens=3)
    assert (found.token_ids, found.text) == (tuple(oracle.generate(PROMPTS[0], 3)), "")
    with pytest.raises(InputError, match="prompt: is text, and this model has no tokenizer; give token ids"):
        model.generate("hello")
    with pytest.raises(OptionError, match="stop: stop strings need a tokenizer"):
        model.generate([5], stop="end")


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"device": "tpu9"}, "device: 'tpu9' is no device"),
        ({"dtype": "float31"}, "dtype: 'float31' is none that models run in; did you mean 'float32'"),
        ({"dtype": torch.int8}, "dtype: 'int8' is none that models run in"),
        ({"dtype": 16}, "dtype: '16' is none that models run in"),
        ({"multimodal": {"limits": {}}}, "multimodal: MultiModalSettings are wanted, not {'limits': {}}"),
    ],
)
def test_where_and_how_it_cannot_run_is_named(oracle: Oracle, told: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        triptych.load(oracle.folder, **told)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        triptych.load(tmp_path / "missing")
    with pytest.raises(TypeError, match=r"^folder: a checkpoint folder or a hub id is needed, not None$"):
        triptych.load(None)  # type: ignore[arg-type]


def test_a_spec_alone_runs_with_random_weights() -> None:
    model = triptych.random_init("llama", seed=1)
    (found,) = model.generate("hello", max_tokens=20, temperature=1.0, seed=2)
    assert found.prompt_token_ids == tuple(b"hello")
    assert "".join(model.stream("hello", max_tokens=20, temperature=1.0, seed=2)) == found.text
    (again,) = triptych.random_init("llama", seed=1).generate("hello", max_tokens=20, temperature=1.0, seed=2)
    assert again == found
