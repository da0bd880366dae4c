"""Text and ids: the same as by transformers, from the files alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distributions
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.inputs.small_tokenizers import CORPUS, TEXTS, byte_fallback, byte_level, save
from triptych.errors import CheckpointError, InputError
from triptych.inputs.tokenizer import ByteTokenizer, end_ids, load_tokenizer

PROTOBUF = any(found.name == "protobuf" for found in distributions())
KINDS = pytest.mark.parametrize("make", [byte_level, byte_fallback])


@KINDS
def test_ids_and_text_are_those_of_transformers(make: Callable[[], Tokenizer], tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = save(make(), tmp_path)
    wanted, found = AutoTokenizer.from_pretrained(folder), load_tokenizer(folder)
    assert found is not None
    assert dict(found.named) == wanted.special_tokens_map
    for text in TEXTS:
        ids = wanted(text)["input_ids"]
        assert found.encode(text) == ids
        assert found.encode_bare(text) == wanted(text, add_special_tokens=False)["input_ids"]
        assert found.decode(ids) == wanted.decode(ids, skip_special_tokens=True)
        assert found.decode_whole(ids) == wanted.decode(ids, skip_special_tokens=False)


@KINDS
@pytest.mark.parametrize("longest", [4, 5, 7, 16, None])
def test_texts_and_pairs_that_are_cut_are_those_of_transformers(
    make: Callable[[], Tokenizer], longest: int | None, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    folder = save(make(), tmp_path)
    wanted, found = AutoTokenizer.from_pretrained(folder), load_tokenizer(folder)
    assert found is not None
    cut = {} if longest is None else {"truncation": True, "max_length": longest}
    for text in TEXTS:
        assert found.encode_cut(text, None, longest)[0] == wanted(text, **cut)["input_ids"]
        for pair in filter(None, TEXTS):  # for transformers an empty one is none
            both = wanted(text, pair, return_token_type_ids=True, **cut)
            assert found.encode_cut(text, pair, longest) == (both["input_ids"], both["token_type_ids"]), (text, pair)


def test_tokens_that_only_the_config_names_are_tokens(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = save(byte_level(), tmp_path)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text("utf-8"))
    config["extra_special_tokens"] = ["<|turn|>"]
    config["eos_token"] = "<|end|>"
    file.write_text(json.dumps(config), encoding="utf-8")
    wanted, found = AutoTokenizer.from_pretrained(folder), load_tokenizer(folder)
    text = "the fox<|turn|> the dog<|end|>"
    assert found is not None
    assert found.encode(text) == wanted(text)["input_ids"]
    assert found.decode(found.encode(text)) == "the fox the dog"
    assert end_ids(folder, {}, found) == {wanted.eos_token_id}


def test_a_truncation_that_was_saved_does_not_cut_prompts(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=8)
    found = load_tokenizer(save(tokenizer, tmp_path))
    assert found is not None
    assert found.decode(found.encode(CORPUS[0])) == CORPUS[0]


def test_a_json_tokenizer_needs_no_transformers(tmp_path: Path) -> None:
    folder = save(byte_level(), tmp_path)
    code = f"""
import sys
from pathlib import Path
from triptych.inputs.tokenizer import load_tokenizer
print(load_tokenizer(Path({str(folder)!r})).encode("the fox"))
assert "transformers" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_vocab_and_merges_go_through_transformers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    state = json.loads(byte_level().to_str())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(state["vocab"]), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("\n".join(" ".join(pair) for pair in state["merges"]), encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}', encoding="utf-8")
    found, wanted = load_tokenizer(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    assert found is not None
    for text in TEXTS:
        assert found.encode(text) == wanted(text)["input_ids"]
    assert found.token_id("<image>") == 4


@pytest.fixture
def sentencepiece_folder(tmp_path: Path) -> Path:
    sentencepiece = pytest.importorskip("sentencepiece", reason="the package sentencepiece makes tokenizer.model")
    (tmp_path / "corpus.txt").write_text("\n".join(CORPUS), encoding="utf-8")
    files = {"input": str(tmp_path / "corpus.txt"), "model_prefix": str(tmp_path / "tokenizer")}
    sizes = {"vocab_size": 360, "model_type": "bpe", "byte_fallback": True, "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(**files, **sizes)
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    return tmp_path


def test_a_sentencepiece_model_goes_through_transformers(sentencepiece_folder: Path) -> None:
    from transformers import AutoTokenizer

    pytest.importorskip("google.protobuf", reason="transformers reads tokenizer.model with the package protobuf")
    found, wanted = load_tokenizer(sentencepiece_folder), AutoTokenizer.from_pretrained(sentencepiece_folder)
    assert found is not None
    for text in TEXTS:
        assert found.encode(text) == wanted(text)["input_ids"]
        assert found.decode(found.encode(text)) == wanted.decode(wanted(text)["input_ids"], skip_special_tokens=True)


@pytest.mark.skipif(PROTOBUF, reason="what is missing is named, and nothing is")
def test_packages_that_a_format_needs_are_named(sentencepiece_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="that transformers cannot read; pip install protobuf: "):
        load_tokenizer(sentencepiece_folder)


def test_a_folder_without_any_has_no_tokenizer(tmp_path: Path) -> None:
    assert load_tokenizer(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"model": {"type": "BPE"}}'])
def test_a_broken_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: is not a tokenizer: "):
        load_tokenizer(tmp_path)


def test_half_of_a_character_is_refused(tmp_path: Path) -> None:
    found = load_tokenizer(save(byte_level(), tmp_path))
    assert found is not None
    for encode in (found.encode, found.encode_bare, ByteTokenizer(256).encode):
        with pytest.raises(InputError, match=r"'\\ud83e' at character 4 is half of a character"):
            encode("fox \ud83e")


def test_bytes_are_tokens_where_there_is_no_tokenizer() -> None:
    tokenizer = ByteTokenizer(300)
    assert tokenizer.encode("aé") == [0x61, 0xC3, 0xA9]
    assert tokenizer.decode([0x61, 0xC3, 0xA9, 299, 0xC3]) == "aé\ufffd\ufffd"
    with pytest.raises(InputError, match="needs 256 tokens, and this model has 255"):
        ByteTokenizer(255)


def test_the_end_is_what_the_first_file_says(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(save(byte_level(), tmp_path))
    assert end_ids(tmp_path, {}, tokenizer) == {2}
    assert end_ids(tmp_path, {"text_config": {"eos_token_id": 7}}, tokenizer) == {7}
    assert end_ids(tmp_path, {"eos_token_id": 8, "text_config": {"eos_token_id": 7}}, tokenizer) == {8}
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [5, 6]}', encoding="utf-8")
    assert end_ids(tmp_path, {"eos_token_id": 8}, tokenizer) == {5, 6}
    assert end_ids(tmp_path, {"eos_token_id": 8}, None) == {5, 6}
    assert end_ids(None, {}, ByteTokenizer(256)) == frozenset()
    with pytest.raises(CheckpointError, match="eos_token_id is '</s>'; an id or a list of ids is needed"):
        end_ids(None, {"eos_token_id": "</s>"}, None)
