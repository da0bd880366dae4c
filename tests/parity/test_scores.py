"""Scores of pairs are those of sentence-transformers, on folders that it writes, and of the formulas themselves."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import triptych
from tests.inputs.small_tokenizers import byte_level, save
from tests.parity.oracle import build_oracle, rms_ratio, tiny_config

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import sentence_transformers as st
    from sentence_transformers.sentence_transformer import modules

pytestmark = pytest.mark.filterwarnings("ignore")
QUERIES = ["the quick brown fox", "one", "naïve café, one by one", "def main()"]
DOCUMENTS = ["jumps over the lazy dog", "the lighthouse keeper counts the waves", "crème brûlée; über straße", "x"]
CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}
WORDS = {
    "cls_token": "<s>",
    "sep_token": "</s>",
    "model_max_length": 64,
    "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
}


@pytest.fixture(scope="module", autouse=True)
def _restored() -> Iterator[None]:
    """The library turns determinism and threads as it likes; nothing here is to outlast these tests."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def made(folder: Path, architecture: str, **changes: Any) -> Path:
    config = tiny_config("BertModel")
    assert config is not None
    sizes = {"architectures": [architecture], "vocab_size": 400, "max_position_embeddings": 64}
    build_oracle({**config, **sizes, **changes}, folder, seed=3)
    return save(byte_level(), folder, **WORDS)


def cross_encoder(folder: Path, **changes: Any) -> Path:
    one = {"id2label": {"0": "relevant"}, "label2id": {"relevant": 0}}
    return made(folder, "BertForSequenceClassification", **{**one, **changes})


def predicted(folder: Path, **options: Any) -> torch.Tensor:
    oracle = st.CrossEncoder(str(folder), device="cpu", **options)
    found: torch.Tensor = oracle.predict([*zip(QUERIES, DOCUMENTS, strict=True)], convert_to_tensor=True)
    return found


@pytest.mark.parametrize("name", ["Identity", "Sigmoid"])
@pytest.mark.parametrize("where", ["the library's file", "the config", "the older config"])
def test_a_cross_encoder_scores_as_its_checkpoint_says(name: str, where: str, tmp_path: Path) -> None:
    folder = cross_encoder(tmp_path / "made")
    activation: nn.Module = getattr(nn, name)()
    path = f"{type(activation).__module__}.{name}"
    if where == "the library's file":
        oracle = st.CrossEncoder(str(folder), device="cpu", activation_fn=activation)
        folder = tmp_path / "saved"
        oracle.save_pretrained(str(folder), create_model_card=False)
    else:
        old = {"sbert_ce_default_activation_function": path}
        said = {"sentence_transformers": {"activation_fn": path, "version": "4"}} if where == "the config" else old
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **said}), encoding="utf-8")
    wanted = predicted(folder)
    found = triptych.load(folder, dtype="float32").score(QUERIES, DOCUMENTS)
    torch.testing.assert_close(found, wanted, **CLOSE)
    assert (found.min() < 0) == (name == "Identity")


def test_a_cross_encoder_whose_checkpoint_says_nothing_gives_chances(tmp_path: Path) -> None:
    folder = cross_encoder(tmp_path)
    found = triptych.load(folder, dtype="float32").score(QUERIES, DOCUMENTS)
    torch.testing.assert_close(found, predicted(folder), **CLOSE)
    assert 0 < found.min() < found.max() < 1


def test_an_activation_that_is_not_served_is_refused(tmp_path: Path) -> None:
    from triptych.errors import SpecError

    folder = cross_encoder(tmp_path, sbert_ce_default_activation_function="torch.nn.modules.activation.Tanh")
    with pytest.raises(SpecError, match=r"pooler\.chances: .*found 'torch\.nn\.modules\.activation\.Tanh'"):
        triptych.load(folder, dtype="float32")


@pytest.mark.parametrize(
    "prompts", [{}, {"query": "one by one ", "document": "the "}, {"query": "def ", "passage": "x "}]
)
def test_a_model_for_embeddings_scores_by_the_cosine(prompts: dict[str, str], tmp_path: Path) -> None:
    steps: list[Any] = [modules.Transformer(str(made(tmp_path / "bert", "BertModel"))), modules.Pooling(64, "mean")]
    oracle = st.SentenceTransformer(modules=steps, device="cpu", prompts=prompts)
    oracle.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    model = triptych.load(tmp_path / "saved", dtype="float32")
    asked, found = oracle.encode_query(QUERIES), oracle.encode_document(DOCUMENTS)
    wanted = st.util.cos_sim(asked, found)
    torch.testing.assert_close(model.score(QUERIES, DOCUMENTS), wanted.diagonal(), **CLOSE)
    torch.testing.assert_close(model.score(QUERIES[2], DOCUMENTS), wanted[2], **CLOSE)
    torch.testing.assert_close(model.score([QUERIES[2]], DOCUMENTS), wanted[2], **CLOSE)


def test_late_interaction_is_the_sum_of_the_best_matches(tmp_path: Path) -> None:
    folder = made(tmp_path, "BertModel")
    steps: list[Any] = [modules.Transformer(str(folder)), modules.Normalize(module_input_name="token_embeddings")]
    oracle = st.MultiVectorEncoder(modules=steps, device="cpu")
    asked, answered = oracle.encode_query(QUERIES), oracle.encode_document(DOCUMENTS)
    model = triptych.load(folder, dtype="float32", convert="token_embed")
    for found, wanted in zip(model.token_embed(QUERIES), asked, strict=True):
        assert rms_ratio(found, torch.as_tensor(wanted)) <= 1e-5
    wanted = oracle.similarity(asked, answered)
    torch.testing.assert_close(model.score(QUERIES, DOCUMENTS), wanted.diagonal().cpu(), **CLOSE)
    torch.testing.assert_close(model.score(QUERIES[1], DOCUMENTS), wanted[1].cpu(), **CLOSE)
    by_hand = [
        sum(max(float(q @ d) for d in document) for q in query)
        for query, document in zip(model.token_embed(QUERIES), model.token_embed(DOCUMENTS), strict=True)
    ]
    torch.testing.assert_close(model.score(QUERIES, DOCUMENTS), torch.tensor(by_hand), **CLOSE)


def test_pairs_that_are_too_long_are_cut_as_by_the_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from triptych.cli import main

    folder = cross_encoder(tmp_path)
    pairs = [("the fox " * 30, "one"), ("one", "the dog " * 30), ("the fox " * 30, "the dog " * 30), ("a", "b")]
    rows = [json.dumps({"query": query, "document": document}) for query, document in pairs]
    (tmp_path / "in").write_text("\n".join(rows), encoding="utf-8")
    wanted = st.CrossEncoder(str(folder), device="cpu").predict(pairs, convert_to_tensor=True)
    capsys.readouterr()
    assert main(["score", str(folder), "--truncate", "--file", str(tmp_path / "in"), "--dtype", "float32"]) == 0
    found = [json.loads(line)["score"] for line in capsys.readouterr().out.splitlines()]
    torch.testing.assert_close(torch.tensor(found), wanted, **CLOSE)


def multi_vector(folder: Path, *more: nn.Module, width: int = 8, **options: Any) -> Any:
    """As the library makes one of a model: a linear layer for rows of tokens, which are brought to length 1."""
    tokens = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    torch.manual_seed(0)
    dense = modules.Dense(64, width, bias=False, activation_function=nn.Identity(), **tokens)
    steps: list[Any] = [modules.Transformer(str(made(folder / "bert", "BertModel"))), dense, *more]
    oracle = st.MultiVectorEncoder(modules=[*steps, modules.Normalize(**tokens)], device="cpu", **options)
    oracle.save_pretrained(str(folder / "saved"), create_model_card=False)
    return oracle


@pytest.mark.parametrize("prompts", [{}, {"query": "one ", "document": "the "}])
@pytest.mark.parametrize("masked", [False, True])
def test_a_folder_for_late_interaction_is_used_as_it_says(
    masked: bool, prompts: dict[str, str], tmp_path: Path
) -> None:
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    oracle = multi_vector(tmp_path, *([MultiVectorMask()] if masked else []), prompts=prompts)
    model = triptych.load(tmp_path / "saved", dtype="float32")
    asked, answered = oracle.encode_query(QUERIES), oracle.encode_document(DOCUMENTS)
    for found, wanted in zip(model.token_embed(QUERIES, prompt="query"), asked, strict=True):
        assert found.shape[1] == 8
        assert rms_ratio(found, torch.as_tensor(wanted)) <= 1e-5
    wanted = oracle.similarity(asked, answered).cpu()
    torch.testing.assert_close(model.score(QUERIES, DOCUMENTS), wanted.diagonal(), **CLOSE)


def test_what_would_change_scores_of_late_interaction_is_refused_all_at_once(tmp_path: Path) -> None:
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    from triptych.errors import CheckpointError

    multi_vector(tmp_path, MultiVectorMask(skiplist_words=["!"]), similarity_fn_name="meanmaxsim")
    folder = tmp_path / "saved"
    said = json.loads((folder / "sentence_bert_config.json").read_text("utf-8"))
    (folder / "sentence_bert_config.json").write_text(json.dumps({**said, "query_length": 32}), encoding="utf-8")
    (folder / "3_Normalize" / "config.json").unlink()
    with pytest.raises(CheckpointError) as caught:
        triptych.load(folder, dtype="float32")
    assert [line.removeprefix(f"{folder}/") for line in str(caught.value).splitlines()] == [
        "sentence_bert_config.json: query_length: 32 is not served",
        "2_MultiVectorMask/config.json: skiplist_words: ['!'] is not served",
        "config_sentence_transformers.json: similarity_fn_name: 'meanmaxsim' is not served; 'maxsim' is",
        "3_Normalize/config.json: module_input_name: 'token_embeddings' is wanted; found None",
    ]


def test_a_folder_for_late_interaction_may_be_loaded_for_one_row_of_a_text(tmp_path: Path) -> None:
    multi_vector(tmp_path)
    assert triptych.load(tmp_path / "saved", dtype="float32", convert="embed").embed(QUERIES).shape == (4, 64)
