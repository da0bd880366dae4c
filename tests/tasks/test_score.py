"""What scores, what does not, and how pairs are written where a model or its folder says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import triptych
from tests.assembly.hand_written import TinyForCausalLM
from tests.inputs.small_tokenizers import byte_level, save
from tests.parity.oracle import TOLERANCE, build_oracle, rms_ratio, tiny_config
from triptych.errors import CapabilityError, InputError
from triptych.registry import models as models_module
from triptych.runner.pool import CURE

ROPE = {"rope_type": "default", "rope_theta": 10000.0}
QUERIES = ["the fox", "one", "naïve café"]
DOCUMENTS = ["jumps over the dog", "the lighthouse", "one by one, the waves"]
ONE = {"id2label": {"0": "relevant"}}


@pytest.fixture(autouse=True)
def _registered_for_one_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models_module, "_registered", {})


def made(folder: Path, suffix: str, **changes: Any) -> Path:
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    sizes = {"vocab_size": 400, "max_position_embeddings": 64, "rope_parameters": ROPE, "pad_token_id": None}
    build_oracle({**config, **sizes, "architectures": [f"Llama{suffix}"], **changes}, folder, seed=5)
    return save(byte_level(), folder)


def rename(folder: Path, architecture: str) -> None:
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "architectures": [architecture]}), encoding="utf-8")


@pytest.mark.parametrize("convert", ["embed", "token_embed", None])
def test_pairs_together_are_pairs_alone_and_one_query_stands_beside_all(convert: Any, tmp_path: Path) -> None:
    model = triptych.load(
        made(tmp_path, "ForSequenceClassification" if convert is None else "ForCausalLM", **ONE),
        dtype="float32",
        convert=convert,
    )
    found = model.score(QUERIES, DOCUMENTS)
    alone = torch.cat([model.score(q, d) for q, d in zip(QUERIES, DOCUMENTS, strict=True)])
    assert found.shape == (3,)
    assert rms_ratio(found, alone) <= TOLERANCE
    beside = torch.cat([model.score(QUERIES[0], d) for d in DOCUMENTS])
    assert rms_ratio(model.score(QUERIES[0], DOCUMENTS), beside) <= TOLERANCE
    assert rms_ratio(model.score(QUERIES, DOCUMENTS, max_batch=1), found) <= TOLERANCE
    assert model.score([], []).shape == (0,)
    assert model.score("one", []).shape == (0,)


def test_a_classifier_of_one_label_scores_what_it_says_of_the_pair(tmp_path: Path) -> None:
    model = triptych.load(made(tmp_path, "ForSequenceClassification", **ONE), dtype="float32")
    torch.testing.assert_close(model.score(QUERIES, DOCUMENTS), model.classify(QUERIES, pairs=DOCUMENTS)[:, 0])


def test_lists_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    model = triptych.load(made(tmp_path, "ForCausalLM"), dtype="float32", convert="embed")
    with pytest.raises(InputError, match="2 queries take as many documents, or one query does; found 3"):
        model.score(QUERIES[:2], DOCUMENTS)


def test_every_pair_with_a_mistake_is_named_with_the_text_that_has_it(tmp_path: Path) -> None:
    model = triptych.load(made(tmp_path, "ForCausalLM"), dtype="float32", convert="embed")
    with pytest.raises(InputError) as caught:
        model.score(["one", "x" * 100, "two"], [[1], "two", [999]])
    assert str(caught.value).splitlines() == [
        f"prompts[1].query: has 101 tokens, and the model takes at most 64; {CURE}",
        "prompts[2].document: has the token id 999, and the model has 0 to 399",
    ]


@pytest.mark.parametrize("convert", ["embed", "token_embed", None])
def test_texts_that_are_too_long_are_scored_by_their_beginnings_where_truncate_asks_for_it(
    convert: Any, tmp_path: Path
) -> None:
    kind = "ForCausalLM" if convert else "ForSequenceClassification"
    model = triptych.load(made(tmp_path, kind, **({} if convert else ONE)), dtype="float32", convert=convert)
    long, short = ["one by one " * 40, "the fox"], ["two", "the dog " * 60]
    found = model.score(long, short, truncate=True)
    assert model.tokenizer is not None
    if convert:
        ids = [[model.tokenizer.encode_cut(text, None, 64)[0] for text in texts] for texts in (long, short)]
        torch.testing.assert_close(found, model.score(*ids))
    else:
        torch.testing.assert_close(found, model.classify(long, pairs=short, truncate=True)[:, 0])
        read = replace(model.pooling, truncate=True).read(long, short)
        wanted = [model.tokenizer.encode_cut(query, document, 64) for query, document in zip(long, short, strict=True)]
        assert [(list(each.token_ids), list(each.types)) for each in read] == wanted
    with pytest.raises(InputError, match=r"leave out its end"):
        model.score(long, short)


def test_a_cross_encoder_takes_texts_alone(tmp_path: Path) -> None:
    model = triptych.load(made(tmp_path, "ForSequenceClassification", **ONE), dtype="float32")
    with pytest.raises(InputError, match="a cross-encoder takes texts"):
        model.score([[1, 2]], ["one"])


def test_a_model_that_scores_nothing_says_what_would_do(tmp_path: Path) -> None:
    writing = triptych.load(made(tmp_path / "a", "ForCausalLM"), dtype="float32")
    labelling = triptych.load(made(tmp_path / "b", "ForTokenClassification"), dtype="float32")
    for model in (writing, labelling):
        with pytest.raises(CapabilityError, match=r"llama as it was loaded scores no pairs; load\(..., convert=...\)"):
            model.score("one", "two")
    three = {"id2label": {"0": "a", "1": "b", "2": "c"}}
    several = triptych.load(made(tmp_path / "c", "ForSequenceClassification", **three), dtype="float32")
    with pytest.raises(CapabilityError, match=r"llama has 3 labels, and a score is the number of one; classify\("):
        several.score("one", "two")


class AsksForCausalLM(TinyForCausalLM):
    supports_score_template: ClassVar = True

    @classmethod
    def get_score_template(cls, query: str, document: str) -> str | None:
        return None if query == "one" else f"{document} one by one {query}"

    @classmethod
    def post_process_tokens(cls, prompt: Any) -> None:
        prompt["prompt_token_ids"].append(7)


def test_the_template_of_a_class_writes_the_pair_and_may_change_its_tokens(tmp_path: Path) -> None:
    folder = made(tmp_path, "ForSequenceClassification", **ONE)
    rename(folder, "AsksForSequenceClassification")
    triptych.register_model("AsksForCausalLM", AsksForCausalLM)
    model = triptych.load(folder, dtype="float32")
    assert model.tokenizer is not None
    ids = [model.tokenizer.encode(f"{d} one by one {q}") + [7] for q, d in zip(QUERIES, DOCUMENTS, strict=True)]
    ids[1] = model.tokenizer.encode_cut("one", DOCUMENTS[1], None)[0]  # no template for it: the plain pair
    assert rms_ratio(model.score(QUERIES, DOCUMENTS), model.classify(ids)[:, 0]) <= TOLERANCE


TEMPLATE = """{% for m in messages if m.role == 'document' %}{{ m.content }}{% endfor %} by one \
{{ (messages | selectattr("role", "eq", "query") | first).content }}"""


PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% endfor %}"
HALF = "{% for m in messages %}{{ 'query' if loop.first else '' }}{{ m.content }}{% endfor %}"


@pytest.mark.parametrize("template", [TEMPLATE, PLAIN, HALF])
def test_a_chat_template_that_speaks_of_a_query_and_a_document_writes_the_pair(template: str, tmp_path: Path) -> None:
    folder = made(tmp_path, "ForSequenceClassification", **ONE)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    model = triptych.load(folder, dtype="float32")
    assert model.tokenizer is not None
    written = [model.tokenizer.encode_bare(f"{d} by one {q}") for q, d in zip(QUERIES, DOCUMENTS, strict=True)]
    joined = [model.tokenizer.encode_cut(q, d, None)[0] for q, d in zip(QUERIES, DOCUMENTS, strict=True)]
    wanted = model.classify(written if template == TEMPLATE else joined)[:, 0]
    assert rms_ratio(model.score(QUERIES, DOCUMENTS), wanted) <= TOLERANCE


@pytest.mark.parametrize("convert", ["token_embed", "classify"])
def test_a_folder_of_sentences_may_be_loaded_for_another_use(convert: Any, tmp_path: Path) -> None:
    folder = made(tmp_path, "ForSequenceClassification" if convert == "classify" else "Model")
    (folder / "modules.json").write_text('[{"path": "", "type": "x.Transformer"}, {"path": "p", "type": "x.Pooling"}]')
    (folder / "p").mkdir()
    (folder / "p" / "config.json").write_text('{"pooling_mode": "mean"}')
    model = triptych.load(folder, dtype="float32", convert=convert)
    found = model.classify(QUERIES) if convert == "classify" else model.token_embed(QUERIES)
    assert len(found) == 3


@pytest.mark.parametrize("convert", ["embed", "token_embed"])
@pytest.mark.parametrize(
    ("names", "used"),
    [
        (["query", "document", "passage"], ("query", "document")),
        (["query", "passage", "corpus"], ("query", "passage")),
        (["corpus"], (None, "corpus")),
        (["other"], (None, None)),
    ],
)
def test_each_text_stands_after_the_prompt_that_the_folder_keeps_for_it(
    names: list[str], used: tuple[str | None, ...], convert: Any, tmp_path: Path
) -> None:
    folder = made(tmp_path, "Model")
    (folder / "modules.json").write_text('[{"path": "", "type": "x.Transformer"}, {"path": "p", "type": "x.Pooling"}]')
    (folder / "p").mkdir()
    (folder / "p" / "config.json").write_text('{"pooling_mode": "mean"}')
    said = {"prompts": {name: f"{name} one by one " for name in names}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(said))
    model = triptych.load(folder, dtype="float32", convert=convert)
    call = model.embed if convert == "embed" else model.token_embed
    (query,), (document,) = (call(text, prompt=name) for text, name in zip(("the fox", "waves"), used, strict=True))
    if convert == "embed":
        wanted = torch.nn.functional.cosine_similarity(query, document, dim=0)
    else:
        wanted = (query @ document.T).amax(1).sum()
    torch.testing.assert_close(model.score("the fox", "waves"), wanted[None], rtol=1e-4, atol=1e-5)
