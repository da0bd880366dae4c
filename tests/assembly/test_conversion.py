"""A class that is written by hand and writes text, as one that embeds or classifies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import triptych
from tests.assembly.hand_written import PlainForCausalLM, TinyForCausalLM
from tests.parity.oracle import TOLERANCE, Oracle, build_oracle, rms_ratio, tiny_config
from triptych.assembly.conversion import converted_class
from triptych.capabilities import (
    capability_report,
    check_capabilities,
    default_pooling_type,
    get_score_type,
    is_pooling_model,
    is_text_generation_model,
)
from triptych.errors import CapabilityError, SpecError, StageError, WeightMapError
from triptych.inputs.prompt import Prompt
from triptych.parts.pooler import SequencePooler
from triptych.parts.pooler_spec import SequencePoolerSpec
from triptych.parts.step import Step
from triptych.registry.suffixes import SUFFIXES
from triptych.runner.pool import pool
from triptych.runner.request import RunOptions
from triptych.settings import Settings
from triptych.weights import StageMissingLayer
from triptych.weights.hand_written import materialise

GENERATES = [suffix for suffix, (runner, _) in SUFFIXES.items() if runner == "generate"]
WAYS = {"ForEmbedding": triptych.as_embedding_model, "ForSequenceClassification": triptych.as_seq_cls_model}
LENGTHS = (23, 5, 11, 1)
CLASSES = [TinyForCausalLM, PlainForCausalLM]


def llama(architecture: str, folder: Path, **changes: Any) -> Oracle:
    config = tiny_config("LlamaForCausalLM")
    assert config is not None
    changes = {
        "architectures": [architecture],
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        **changes,
    }
    return build_oracle({**config, "pad_token_id": None, **changes}, folder, seed=7)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    return llama("LlamaModel", tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    return llama("LlamaForCausalLM", tmp_path_factory.mktemp("writer"), tie_word_embeddings=False)


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    return llama("LlamaForCausalLM", tmp_path_factory.mktemp("tied"), tie_word_embeddings=True)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    changes = {"id2label": {"0": "good", "1": "fair", "2": "bad"}}
    return llama("LlamaForSequenceClassification", tmp_path_factory.mktemp("classifier"), **changes)


def built(cls: type, config: dict[str, Any], weights: Iterable[tuple[str, Tensor]], **settings: Any) -> Any:
    module = cls(settings=Settings(config=config, **settings))
    materialise(module, device=torch.device("cpu"))
    module.load_weights(weights)
    return module.eval()


def saved(oracle: Oracle, *, strip: str = "", add: str = "") -> Iterator[tuple[str, Tensor]]:
    for name, tensor in oracle.model.state_dict().items():
        yield add + name.removeprefix(strip), tensor.clone()


def texts(oracle: Oracle) -> list[list[int]]:
    return [oracle.random_ids(length, seed=number) for number, length in enumerate(LENGTHS)]


def pooled(module: Any, oracle: Oracle, *, most: int = 2) -> Tensor:
    """As `Model.embed` and `Model.classify` read prompts."""
    prompts = [Prompt(tuple(ids)) for ids in texts(oracle)]
    return pool(module, prompts, run=RunOptions(device=torch.device("cpu"), dtype=torch.float32, max_batch=most))


@torch.inference_mode()
def rows(oracle: Oracle) -> list[Tensor]:
    """The hidden rows [T, D] of each text, by the reference."""
    base = getattr(oracle.model, "model", oracle.model)
    return [base(torch.tensor([ids])).last_hidden_state[0] for ids in texts(oracle)]


def last(oracle: Oracle) -> Tensor:
    return torch.stack([F.normalize(rows_TD[-1], dim=-1) for rows_TD in rows(oracle)])


# ---- names and capabilities


@pytest.mark.parametrize("ending", WAYS)
@pytest.mark.parametrize("suffix", GENERATES)
def test_the_name_ends_in_what_the_class_does_now(suffix: str, ending: str) -> None:
    found = WAYS[ending](type(f"Tiny{suffix}", (TinyForCausalLM,), {}))
    assert found.__name__ == f"Tiny{ending}"
    assert issubclass(found, TinyForCausalLM)


@pytest.mark.parametrize("ending", WAYS)
@given(stem=st.from_regex(r"[A-Z][a-z]{1,5}", fullmatch=True), suffix=st.sampled_from(["", *SUFFIXES]))
def test_only_a_suffix_of_generation_is_replaced(ending: str, stem: str, suffix: str) -> None:
    found = WAYS[ending](type(stem + suffix, (TinyForCausalLM,), {}))
    assert found.__name__ == (stem if suffix in GENERATES else stem + suffix) + ending


@pytest.mark.parametrize("way", WAYS.values())
def test_a_class_that_pools_is_left_as_it_is(way: Any) -> None:
    once = way(TinyForCausalLM)
    assert all(other(once) is once for other in WAYS.values())


@pytest.mark.parametrize("way", WAYS.values())
def test_what_is_no_model_or_no_module_is_refused(way: Any) -> None:
    with pytest.raises(CapabilityError, match="Linear: this class is no model: it has no embed_input_ids"):
        way(nn.Linear)
    for no_class in (3, nn.Linear(1, 1)):
        with pytest.raises(CapabilityError, match=r"^a model class is converted, not"):
            way(no_class)
    body = {name: vars(TinyForCausalLM)[name] for name in ("__init__", "embed_input_ids", "forward")}
    with pytest.raises(CapabilityError, match=r"Loose: this class is no torch\.nn\.Module"):
        way(type("Loose", (), body))


@pytest.mark.parametrize("way", WAYS.values())
def test_the_report_finds_a_pooling_model_that_writes_no_text(way: Any, bare: Oracle) -> None:
    cls = way(TinyForCausalLM)
    module = cls(settings=Settings(config=bare.config))
    assert (capability_report(cls)["is_pooling_model"], capability_report(module)["is_pooling_model"]) == (
        "declared",
        "verified",
    )
    for model in (cls, module):
        check_capabilities(model)
        assert is_pooling_model(model)
        assert not is_text_generation_model(model)
        assert not hasattr(model, "compute_logits")
    assert is_text_generation_model(TinyForCausalLM)


def test_a_classifier_reads_two_texts_as_one_sequence() -> None:
    assert get_score_type(triptych.as_seq_cls_model(TinyForCausalLM)) == "cross-encoder"
    assert get_score_type(triptych.as_embedding_model(TinyForCausalLM)) == "bi-encoder"


def test_rows_of_tokens_are_compared_and_their_labels_are_not() -> None:
    assert get_score_type(converted_class(TinyForCausalLM, conversion="token_embed")) == "late-interaction"
    assert get_score_type(converted_class(TinyForCausalLM, conversion="token_classify")) == "bi-encoder"


ENDINGS = {
    "embed": "ForEmbedding",
    "classify": "ForSequenceClassification",
    "token_embed": "ForTokenEmbedding",
    "token_classify": "ForTokenClassification",
}


@pytest.mark.parametrize(("how", "ending"), ENDINGS.items())
def test_the_resolver_converts_a_class_so(how: str, ending: str) -> None:
    assert converted_class(TinyForCausalLM, conversion=how).__name__ == f"Tiny{ending}"


# ---- embeddings


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("add", ["", "model."])
def test_embeddings_are_those_of_the_reference_named_with_model_in_front_or_without(
    add: str, cls: type, bare: Oracle
) -> None:
    module = built(triptych.as_embedding_model(cls), bare.config, saved(bare, add=add))
    for most in (1, 4):
        assert rms_ratio(pooled(module, bare, most=most), last(bare)) <= TOLERANCE


class Headless(nn.Module):
    """Its layers stand in it, and not in a `model`."""

    context, vocab_size = 128, 256

    def __init__(self, settings: Settings, prefix: str = "") -> None:
        super().__init__()
        inner = TinyForCausalLM(settings, prefix).model
        self.embed_tokens, self.layers, self.norm = inner.embed_tokens, inner.layers, inner.norm

    embed_input_ids, mapper = TinyForCausalLM.embed_input_ids, TinyForCausalLM.mapper
    load_weights = TinyForCausalLM.load_weights

    def forward(
        self, input_ids: Tensor, positions: Tensor, *, step: Step, inputs_embeds: Tensor | None = None
    ) -> Tensor:
        del positions, inputs_embeds
        x_TD = self.embed_tokens(input_ids)
        for layer in self.layers:
            x_TD = layer(x_TD, step)
        return self.norm(x_TD)


@pytest.mark.parametrize("add", ["", "model."])
def test_a_class_whose_layers_have_nothing_in_front_takes_both_too(add: str, bare: Oracle) -> None:
    config = {**bare.config, "vocab_size": bare.vocab}
    module = built(triptych.as_embedding_model(Headless), config, saved(bare, add=add))
    assert rms_ratio(pooled(module, bare), last(bare)) <= TOLERANCE


@pytest.mark.parametrize("cls", CLASSES)
def test_the_head_is_left_out_and_its_weights_are_passed_over(cls: type, writer: Oracle) -> None:
    module = built(triptych.as_embedding_model(cls), writer.config, saved(writer))
    assert isinstance(module.lm_head, StageMissingLayer)
    assert not any(name.startswith("lm_head") for name, _ in module.named_parameters())
    with pytest.raises(StageError, match="the head is left out of this model"):
        module.lm_head(torch.zeros(1, 64))
    assert rms_ratio(pooled(module, writer), last(writer)) <= TOLERANCE


def test_the_embedding_stays_where_a_head_was_tied_to_it(tied: Oracle) -> None:
    module = built(triptych.as_embedding_model(TinyForCausalLM), tied.config, saved(tied))
    assert module.lm_head.absent.weight.is_meta
    assert rms_ratio(pooled(module, tied), last(tied)) <= TOLERANCE


@pytest.mark.parametrize(
    ("kind", "take"),
    [("CLS", lambda x: x[0]), ("LAST", lambda x: x[-1]), ("MEAN", lambda x: x.mean(0))],
)
def test_the_row_is_the_one_that_the_class_names(kind: Any, take: Any, bare: Oracle) -> None:
    cls = default_pooling_type(seq=kind)(type("OtherForCausalLM", (TinyForCausalLM,), {}))
    module = built(triptych.as_embedding_model(cls), bare.config, saved(bare))
    wanted = torch.stack([F.normalize(take(rows_TD), dim=-1) for rows_TD in rows(bare)])
    assert rms_ratio(pooled(module, bare), wanted) <= TOLERANCE


def test_settings_say_another_pooler(bare: Oracle) -> None:
    said = {"take": "max", "projector": [{"out": 8, "bias": False}]}
    weights = {"pooler.projector.0.weight": torch.randn(8, 64, generator=torch.Generator().manual_seed(1))}
    cls = triptych.as_embedding_model(TinyForCausalLM)
    module = built(cls, bare.config, [*saved(bare), *weights.items()], pooler=said)
    wanted = torch.stack([rows_TD.amax(0) for rows_TD in rows(bare)]) @ weights["pooler.projector.0.weight"].T
    assert rms_ratio(pooled(module, bare), wanted) <= TOLERANCE
    with pytest.raises(SpecError, match=r"pooler.tke: unknown key 'tke'; did you mean 'take'\?"):
        cls(settings=Settings(config=bare.config, pooler={"tke": "mean"}))


class Older(TinyForCausalLM):
    def __init__(self, config: dict[str, Any], prefix: str = "") -> None:
        super().__init__(Settings(config=config), prefix)


def test_a_constructor_of_older_releases_is_converted_too(bare: Oracle) -> None:
    with pytest.warns(DeprecationWarning, match="Older: a constructor of config, prefix is of an older release"):
        module = built(triptych.as_embedding_model(Older), bare.config, saved(bare))
    assert rms_ratio(pooled(module, bare), last(bare)) <= TOLERANCE


class WithPooler(TinyForCausalLM):
    def __init__(self, settings: Settings, prefix: str = "") -> None:
        super().__init__(settings, prefix)
        self.pooler = SequencePooler(SequencePoolerSpec(take="first"), width=64)


class Outer(nn.Module):
    """Its language model stands in it."""

    def __init__(self, settings: Settings, prefix: str = "") -> None:
        super().__init__()
        self.inside: nn.Module = self.kind(settings, prefix)

    kind: type[nn.Module] = WithPooler

    def get_language_model(self) -> nn.Module:
        return self.inside

    def embed_input_ids(self, input_ids: Tensor) -> Any:
        return self.inside.embed_input_ids(input_ids)  # type: ignore[operator]

    def forward(self, input_ids: Tensor, positions: Tensor, *, step: Step) -> Any:
        return self.inside(input_ids, positions, step=step)


@pytest.mark.parametrize("way", WAYS.values())
def test_a_pooler_of_its_own_stays(way: Any, bare: Oracle) -> None:
    module = way(WithPooler)(settings=Settings(config=bare.config))
    assert module.pooler.spec.take == "first"
    assert "score" not in module._modules
    with pytest.raises(CapabilityError, match="has a pooler of its own, which nothing can be said of"):
        way(WithPooler)(settings=Settings(config=bare.config, pooler={"take": "mean"}))


def test_the_pooler_of_the_language_model_comes_before_one_from_the_config(bare: Oracle) -> None:
    module = triptych.as_embedding_model(Outer)(settings=Settings(config=bare.config))
    assert module.pooler is module.inside.pooler
    assert isinstance(module.inside.lm_head, StageMissingLayer)
    plain = type("OtherOuter", (Outer,), {"kind": TinyForCausalLM})
    assert triptych.as_embedding_model(plain)(settings=Settings(config=bare.config)).pooler.spec.take == "last"


# ---- classifiers


@pytest.mark.parametrize("cls", CLASSES)
def test_chances_are_those_of_the_reference(cls: type, classifier: Oracle) -> None:
    module = built(triptych.as_seq_cls_model(cls), classifier.config, saved(classifier))
    assert module.score.bias is None
    with torch.inference_mode():
        wanted = torch.cat([classifier.model(torch.tensor([ids])).logits for ids in texts(classifier)])
    torch.testing.assert_close(pooled(module, classifier), wanted.softmax(-1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("cls", CLASSES)
def test_score_has_a_bias_if_the_checkpoint_has_one(cls: type, classifier: Oracle) -> None:
    bias = torch.tensor([0.5, -1.0, 2.0])
    converted = triptych.as_seq_cls_model(cls)
    module = converted(settings=Settings(config=classifier.config))
    materialise(module, device=torch.device("cpu"))
    for _ in range(2):  # again too, when it is there already
        loaded = module.load_weights([("score.bias", bias), *saved(classifier)])
        assert {"score.weight", "score.bias"} <= loaded
    with torch.inference_mode():
        logits = torch.cat([classifier.model(torch.tensor([ids])).logits for ids in texts(classifier)])
    torch.testing.assert_close(pooled(module, classifier), (logits + bias).softmax(-1), rtol=1e-4, atol=1e-6)
    fresh = converted(settings=Settings(config=classifier.config))
    materialise(fresh, device=torch.device("cpu"))
    with pytest.raises(WeightMapError, match=r"score.bias: \[3\] in the model; on disk \[2\]"):
        fresh.load_weights([("score.bias", bias[:2])])


def test_a_checkpoint_without_a_classifier_is_refused_when_none_is_named(writer: Oracle) -> None:
    with pytest.raises(WeightMapError, match=r"score.weight"):
        built(triptych.as_seq_cls_model(TinyForCausalLM), writer.config, saved(writer))


@pytest.mark.parametrize(
    ("config", "labels"),
    [({}, 2), ({"num_labels": 7}, 7), ({"num_labels": 2, "text_config": {"num_labels": 5, "hidden_size": 64}}, 5)],
)
def test_labels_are_counted_as_specs_count_them(config: dict[str, Any], labels: int, bare: Oracle) -> None:
    plain = {key: value for key, value in bare.config.items() if key not in ("id2label", "num_labels")}
    module = triptych.as_seq_cls_model(TinyForCausalLM)(settings=Settings(config={**plain, **config}))
    assert module.score.weight.shape == (labels, 64)


def test_the_width_is_that_of_the_nested_text_config(bare: Oracle) -> None:
    class Wide(Outer):
        def __init__(self, settings: Settings, prefix: str = "") -> None:
            super().__init__(Settings(config=settings.config["text_config"]), prefix)

        kind = TinyForCausalLM

    module = triptych.as_seq_cls_model(Wide)(settings=Settings(config={"hidden_size": 3, "text_config": bare.config}))
    assert module.score.weight.shape == (2, 64)
    with pytest.raises(SpecError, match="the config has no hidden_size / n_embd / d_model"):
        triptych.as_seq_cls_model(type("Small", (Wide,), {"__init__": _empty}))(settings=Settings(config={}))


def _empty(self: Any, settings: Settings, prefix: str = "") -> None:
    del settings, prefix
    nn.Module.__init__(self)
    self.inside = nn.Identity()


# ---- labels that are tokens

FALSE, TRUE = 17, 5


def chances(oracle: Oracle, tokens: list[int]) -> Tensor:
    return torch.stack([oracle.logits(ids)[-1] for ids in texts(oracle)])[:, tokens].softmax(-1)


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("name", ["writer", "tied"])
def test_rows_of_the_head_are_the_score(name: str, cls: type, request: pytest.FixtureRequest) -> None:
    oracle: Oracle = request.getfixturevalue(name)
    weights = [item for item in saved(oracle) if name == "writer" or item[0] != "lm_head.weight"]
    head = oracle.model.lm_head.weight
    asked = {"classifier_from_token": [FALSE, TRUE], "method": "from_2_way_softmax"}
    module = built(triptych.as_seq_cls_model(cls), {**oracle.config, **asked}, weights)
    torch.testing.assert_close(module.score.weight, (head[TRUE] - head[FALSE])[None])
    torch.testing.assert_close(pooled(module, oracle), chances(oracle, [FALSE, TRUE])[:, 1:], rtol=1e-4, atol=1e-6)
    assert isinstance(module.lm_head, StageMissingLayer)
    asked = {"classifier_from_token": [9, FALSE, TRUE], "method": "no_post_processing"}
    module = built(triptych.as_seq_cls_model(cls), {**oracle.config, **asked}, weights)
    torch.testing.assert_close(pooled(module, oracle), chances(oracle, [9, FALSE, TRUE]), rtol=1e-4, atol=1e-6)


class Capped(TinyForCausalLM):
    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        return 5 * torch.tanh(self.lm_head(hidden_states) / 5)


class TwoHeaded(TinyForCausalLM):
    def __init__(self, settings: Settings, prefix: str = "") -> None:
        super().__init__(settings, prefix)
        self.head = nn.Linear(64, 4)


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Capped, "compute_logits gives other numbers than the rows of its head"),
        (TwoHeaded, "labels are rows of one head, lm_head or head or embed_out; it has 2"),
    ],
)
def test_a_class_that_makes_more_of_its_logits_is_refused(cls: type, message: str, writer: Oracle) -> None:
    asked = {"classifier_from_token": [FALSE, TRUE], "method": "from_2_way_softmax"}
    weights = [*saved(writer), ("head.weight", torch.zeros(4, 64)), ("head.bias", torch.zeros(4))]
    with pytest.raises(CapabilityError, match=message):
        built(triptych.as_seq_cls_model(cls), {**writer.config, **asked}, weights[: None if cls is TwoHeaded else -2])


def test_mistakes_of_tokens_are_told_when_the_model_is_built(writer: Oracle) -> None:
    asked = {"classifier_from_token": ["no", "yes"], "method": "from_two"}
    with pytest.raises(SpecError, match=r"ids of tokens are wanted(.|\n)*no method 'from_two'"):
        triptych.as_seq_cls_model(TinyForCausalLM)(settings=Settings(config={**writer.config, **asked}))
    asked = {"classifier_from_token": [FALSE, 10**6], "method": "from_2_way_softmax"}
    with pytest.raises(SpecError, match=r"no row 1000000 in a head over"):
        built(triptych.as_seq_cls_model(TinyForCausalLM), {**writer.config, **asked}, saved(writer))
