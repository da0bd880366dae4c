"""`triptych embed`, `classify` and `score`: what comes out, what is refused before anything runs, what is taken up."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import triptych
from tests.cli.command import Capture, ran
from tests.inputs.small_tokenizers import byte_level, save
from tests.parity.oracle import build_oracle, tiny_config
from triptych.cli import main
from triptych.runner.pool import CURE
from triptych.tasks import file_run

TEXTS = ["the quick brown fox", "one", "naïve café, one by one", "jumps over", "x y z", "the waves", "dog"]
ONE = {"id2label": {"0": "relevant"}}
SEVERAL = {"id2label": {"0": "good", "1": "fair", "2": "bad"}}
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Makes a tiny checkpoint of a class, once."""
    made = dict[str, str]()

    def make(architecture: str, **changes: Any) -> str:
        key = f"{architecture} {changes}"
        if key not in made:
            folder, config = tmp_path_factory.mktemp("made"), tiny_config("BertModel")
            assert config is not None
            sizes = {"architectures": [architecture], "vocab_size": 400, "max_position_embeddings": 64}
            build_oracle({**config, **sizes, **changes}, folder, seed=3)
            made[key] = str(save(byte_level(), folder))
        return made[key]

    return make


@pytest.fixture
def bert(folders: Callable[..., str]) -> str:
    return folders("BertModel")


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(file_run, "WINDOW", 3)
    yield  # noqa: PT022


def read(text: str) -> Rows:
    return [json.loads(line) for line in text.splitlines()]


def write(path: Path, rows: Sequence[object]) -> str:
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    return str(path)


def test_texts_are_embedded_in_their_order(bert: str, capsys: Capture) -> None:
    status, out, _ = ran(capsys, "embed", bert, "--dtype", "float32", *TEXTS)
    assert status == 0
    assert [row["text"] for row in read(out)] == TEXTS
    wanted = triptych.load(bert, dtype="float32").embed(TEXTS)
    torch.testing.assert_close(torch.tensor([row["embedding"] for row in read(out)]), wanted)


def test_tokens_of_texts_are_embedded(bert: str, capsys: Capture) -> None:
    status, out, _ = ran(capsys, "embed", bert, "--tokens", *TEXTS)
    wanted = triptych.load(bert, convert="token_embed").token_embed(TEXTS)
    for row, rows in zip(read(out), wanted, strict=True):
        torch.testing.assert_close(torch.tensor(row["embeddings"]), rows)
    assert status == 0


def test_a_number_is_written_in_the_digits_that_tell_it_from_every_other(bert: str, capsys: Capture) -> None:
    _, out, _ = ran(capsys, "embed", bert, *TEXTS)
    assert torch.equal(torch.tensor([row["embedding"] for row in read(out)]), triptych.load(bert).embed(TEXTS))
    assert max(len(word) for word in out.split("[")[1].split("]")[0].split(", ")) <= 15


def test_texts_and_pairs_of_a_file_are_classified_and_keys_of_its_rows_carried_over(
    folders: Callable[..., str], tmp_path: Path, capsys: Capture
) -> None:
    folder = folders("BertForSequenceClassification", **SEVERAL)
    rows = [{"id": n, "text": text} for n, text in enumerate(TEXTS)]
    rows[2]["pair"] = "über straße"
    status, out, _ = ran(capsys, "classify", folder, "--file", write(tmp_path / "in.jsonl", rows))
    model = triptych.load(folder)
    wanted = torch.cat([model.classify(str(r["text"]), pairs=r.get("pair")) for r in rows])  # type: ignore[arg-type]
    found = read(out)
    assert status == 0
    assert [{key: value for key, value in row.items() if key != "labels"} for row in found] == rows
    assert [list(row["labels"]) for row in found] == [["good", "fair", "bad"]] * len(rows)
    torch.testing.assert_close(torch.tensor([[*row["labels"].values()] for row in found]), wanted, rtol=1e-4, atol=1e-6)


def test_tokens_are_classified(folders: Callable[..., str], capsys: Capture) -> None:
    folder = folders("BertForTokenClassification", **SEVERAL)
    _, out, _ = ran(capsys, "classify", folder, "--tokens", "one by one")
    (wanted,) = triptych.load(folder).token_classify("one by one")
    (row,) = read(out)
    torch.testing.assert_close(torch.tensor([[*labels.values()] for labels in row["token_labels"]]), wanted)
    assert list(row["token_labels"][0]) == ["good", "fair", "bad"]


@pytest.mark.parametrize("convert", [None, "embed", "token_embed"])
def test_documents_are_scored_for_a_query(
    convert: Any, folders: Callable[..., str], tmp_path: Path, capsys: Capture
) -> None:
    folder = folders("BertModel") if convert else folders("BertForSequenceClassification", **ONE)
    words = ["--convert", convert] if convert else []
    _, out, _ = ran(capsys, "score", folder, "the fox", *words, *TEXTS)
    wanted = triptych.load(folder, convert=convert).score("the fox", TEXTS)
    torch.testing.assert_close(torch.tensor([row["score"] for row in read(out)]), wanted, rtol=1e-4, atol=1e-5)
    rows = [{"query": "the fox", "document": text} for text in TEXTS]
    _, from_file, _ = ran(capsys, "score", folder, *words, "--file", write(tmp_path / "in.jsonl", rows))
    assert from_file == out


def test_lines_of_a_plain_file_are_texts(bert: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "in.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    _, wanted, _ = ran(capsys, "embed", bert, *TEXTS)
    assert ran(capsys, "embed", bert, "--lines", "--file", str(tmp_path / "in.txt")) == (0, wanted, "")


@pytest.mark.usefixtures("small_windows")
def test_a_file_in_windows_has_a_row_out_for_each_row_in_in_order(bert: str, tmp_path: Path, capsys: Capture) -> None:
    file = write(tmp_path / "in.jsonl", [{"text": text} for text in TEXTS * 3])
    status, stdout, stderr = ran(capsys, "embed", bert, "--file", file, "--out", str(tmp_path / "out.jsonl"))
    assert (status, stdout) == (0, "")
    assert stderr == f"21 rows are in {tmp_path / 'out.jsonl'}\n"
    found = read((tmp_path / "out.jsonl").read_text("utf-8"))
    assert [row["text"] for row in found] == TEXTS * 3
    wanted = triptych.load(bert).embed(TEXTS * 3)
    torch.testing.assert_close(torch.tensor([row["embedding"] for row in found]), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("command", ["embed", "classify", "score"])
def test_wherever_an_output_is_cut_the_same_command_ends_in_the_same_bytes(
    command: str, folders: Callable[..., str], tmp_path: Path, capsys: Capture
) -> None:
    folder = folders("BertModel") if command == "embed" else folders("BertForSequenceClassification", **ONE)
    rows = [{"text": text, "query": "one", "document": text} for text in TEXTS]
    words = [command, folder, "--file", write(tmp_path / "in.jsonl", rows), "--out", str(tmp_path / "out")]
    assert ran(capsys, *words)[0] == 0
    wanted = (tmp_path / "out").read_bytes()
    ends = [end for end in range(len(wanted)) if wanted[end : end + 1] == b"\n"]
    for cut in {0, 1, *ends[:4], *(end + 1 for end in ends[:6]), ends[3] - 5, len(wanted) - 1, len(wanted)}:
        (tmp_path / "out").write_bytes(wanted[:cut])
        assert ran(capsys, *words)[0] == 0
        assert (tmp_path / "out").read_bytes() == wanted, cut


def test_a_run_that_is_done_is_not_done_again(bert: str, tmp_path: Path, capsys: Capture, monkeypatch: Any) -> None:
    words = ["embed", bert, "--file", write(tmp_path / "in", [{"text": "a"}]), "--out", str(tmp_path / "out")]
    ran(capsys, *words)
    monkeypatch.setattr("triptych.tasks.load", lambda *_, **__: pytest.fail("the model was loaded"))
    assert ran(capsys, *words) == (0, "", f"1 rows are in {tmp_path / 'out'}, 1 of them from before\n")


def test_another_input_another_model_and_other_options_are_refused(
    bert: str, folders: Callable[..., str], tmp_path: Path, capsys: Capture
) -> None:
    file, out = write(tmp_path / "in", [{"text": "a"}]), ["--out", str(tmp_path / "out")]
    ran(capsys, "embed", bert, "--file", file, *out)
    before = (tmp_path / "out").read_bytes()
    other = folders("BertModel", hidden_act="relu")
    changes: dict[str, list[str]] = {
        "dtype: None when .*, 'bfloat16' now": ["embed", bert, "--file", file, "--dtype", "bfloat16"],
        r"max_batch: 32 when .*, 5 now": ["embed", bert, "--file", file, "--max-batch", "5"],
        "model: '.*' when .*, '.*' now": ["embed", other, "--file", file],
        r"set: \[\] when .*, \['pooler.take=mean'\] now": ["embed", bert, "--file", file, "--set", "pooler.take=mean"],
        "command: 'embed' when .*, 'classify' now": ["classify", bert, "--file", file],
        "input: '.*' when .*, '.*' now": ["embed", bert, "--file", write(tmp_path / "b", [{"text": "b"}])],
    }
    import re

    for message, words in changes.items():
        status, _, stderr = ran(capsys, *words, *out)
        assert (status, (tmp_path / "out").read_bytes()) == (1, before)
        assert re.search(f"^{message}$", stderr, re.MULTILINE), stderr
        assert "another --out begins it" in stderr


def test_a_model_of_the_same_content_in_another_folder_takes_it_up(bert: str, tmp_path: Path, capsys: Capture) -> None:
    import shutil

    words = ["--file", write(tmp_path / "in", [{"text": "a"}]), "--out", str(tmp_path / "out")]
    ran(capsys, "embed", bert, *words)
    shutil.copytree(bert, tmp_path / "copy")
    assert ran(capsys, "embed", str(tmp_path / "copy"), *words)[0] == 0


def test_mistakes_of_a_file_are_told_before_the_model_is_loaded(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text('{"text": "fine"}\n{"text": 1}\n{"txet": "a"}\n')
    status, stdout, stderr = ran(capsys, "embed", "no/such/model", "--file", str(file), "--out", str(tmp_path / "out"))
    assert (status, stdout) == (1, "")
    assert stderr.splitlines() == [
        f"{file}:2:1: text: a text is wanted, not 1",
        f"{file}:3:1: text: is not there; did you mean 'txet'?",
    ]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", [False, True])
def test_rows_that_the_model_does_not_take_are_named_before_it_runs(
    out: bool, bert: str, tmp_path: Path, capsys: Capture
) -> None:
    rows = [{"text": text} for text in ("a", "x" * 100, "b", "\u65e5" * 50)]
    file = write(tmp_path / "in.jsonl", rows)
    words = ["--out", str(tmp_path / "out")] if out else []
    status, stdout, stderr = ran(capsys, "embed", bert, "--file", file, *words)
    assert (status, stdout) == (1, "")
    assert stderr.splitlines() == [
        f"{file}:2:1: text: has 101 tokens, and the model takes at most 64; {CURE}",
        f"{file}:4:1: text: has 151 tokens, and the model takes at most 64; {CURE}",
    ]
    assert not out or (tmp_path / "out").read_bytes() == b""


@pytest.mark.parametrize("tokens", [[], ["--tokens"]])
def test_the_end_of_what_is_too_long_is_left_out_where_that_is_asked(
    tokens: list[str], bert: str, tmp_path: Path, capsys: Capture
) -> None:
    file = write(tmp_path / "in.jsonl", [{"text": "a"}, {"text": "x" * 100}])
    status, out, _ = ran(capsys, "embed", bert, "--truncate", *tokens, "--file", file)
    model = triptych.load(bert, convert="token_embed" if tokens else None)
    assert model.tokenizer is not None
    ids = model.tokenizer.encode("x" * 100)[:64]
    wanted = model.token_embed([ids])[0] if tokens else model.embed([ids])[0]
    assert status == 0
    (found,) = (value for key, value in read(out)[1].items() if key != "text")
    torch.testing.assert_close(torch.tensor(found), wanted, rtol=1e-4, atol=1e-5)


def test_what_a_folder_says_of_the_longest_text_holds_where_more_would_do(bert: str, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(bert, tmp_path / "copy")
    steps = [{"path": "", "type": "x.Transformer"}, {"path": "p", "type": "x.Pooling"}]
    (folder / "modules.json").write_text(json.dumps(steps), encoding="utf-8")
    (folder / "p").mkdir()
    (folder / "p" / "config.json").write_text('{"pooling_mode": "mean"}', encoding="utf-8")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 6}', encoding="utf-8")
    pooling = triptych.load(folder).pooling
    assert [len(p.token_ids) for p in replace(pooling, truncate=True).read(["x" * 100, "a"])] == [6, 2]
    wide = replace(triptych.load(bert).pooling, truncate=True)
    assert [len(p.token_ids) for p in wide.read(["x" * 100, "a"])] == [64, 2]


@pytest.mark.parametrize("command", ["embed", "classify", "score"])
def test_every_option_of_a_command_is_held_to_when_its_run_is_taken_up(command: str) -> None:
    from triptych.cli import _parser
    from triptych.cli.pooled_file import SAID

    beside = {"model", "texts", "file", "out", "run", "version"}
    assert {*vars(_parser().parse_args([command, "m"]))} - beside == {*SAID}


def test_the_input_is_no_output(bert: str, tmp_path: Path, capsys: Capture) -> None:
    file = write(tmp_path / "in.jsonl", [{"text": "a"}])
    status, _, stderr = ran(capsys, "embed", bert, "--file", file, "--out", file)
    assert (status, stderr) == (1, f"out: {file} is the file that is read; name another\n")


@pytest.mark.parametrize(
    "words",
    [
        ["embed", "m"],
        ["embed", "m", "text", "--file", "in"],
        ["embed", "m", "text", "--out", "out"],
        ["classify", "m", "text", "--lines"],
        ["score", "m", "query"],
        ["score", "m", "query", "document", "--lines"],
        ["score", "m", "q", "d", "--convert", "generate"],
        ["embed", "m", "text", "--max-batch", "x"],
    ],
)
def test_a_wrong_usage_ends_with_two(words: list[str], capsys: Capture) -> None:
    status, _, stderr = ran(capsys, *words)
    assert status == 2
    assert "usage: triptych" in stderr


def test_what_a_model_is_not_for_is_told(folders: Callable[..., str], capsys: Capture) -> None:
    several = folders("BertForSequenceClassification", **SEVERAL)
    status, _, stderr = ran(capsys, "score", several, "a", "b")
    assert (status, "bert has 3 labels, and a score is the number of one" in stderr) == (1, True)
    status, _, stderr = ran(capsys, "embed", several, "a", "--max-batch", "0")
    assert status == 1


def test_each_text_that_the_model_does_not_take_is_named(bert: str, capsys: Capture) -> None:
    status, stdout, stderr = ran(capsys, "embed", bert, "a", "x" * 100, "b", "y" * 80)
    assert (status, stdout) == (1, "")
    assert stderr.splitlines() == [
        f"rows[1].text: has 101 tokens, and the model takes at most 64; {CURE}",
        f"rows[3].text: has 81 tokens, and the model takes at most 64; {CURE}",
    ]
    assert ran(capsys, "embed", bert, "x" * 100)[2].startswith("text: has 101 tokens")


def test_an_output_in_a_folder_that_is_not_there_is_told(bert: str, tmp_path: Path, capsys: Capture) -> None:
    file = write(tmp_path / "in.jsonl", [{"text": "a"}])
    status, _, stderr = ran(capsys, "embed", bert, "--file", file, "--out", str(tmp_path / "no" / "out"))
    assert (status, "No such file or directory" in stderr) == (1, True)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_stdout_is_json_whatever_its_encoding(encoding: str, bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr("sys.stdout", out)
    assert main(["embed", bert, "--truncate", "naïve 東京 🦊"]) == 0
    out.flush()
    assert json.loads(out.buffer.getvalue())["text"] == "naïve 東京 🦊"  # type: ignore[attr-defined]
    assert (b"\\u6771" in out.buffer.getvalue()) == (encoding != "utf-8")  # type: ignore[attr-defined]


def test_numbers_that_are_none_are_refused(bert: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triptych.tasks.pooling.pool", lambda *_, **__: torch.full((1, 4), float("nan")))
    status, stdout, stderr = ran(capsys, "embed", bert, "a")
    assert (status, stdout) == (1, "")
    assert stderr == "the model gives what is no number (inf or nan); another dtype may do\n"
