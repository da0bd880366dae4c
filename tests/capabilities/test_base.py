"""Base interfaces: what a model is, what it pools, and the names of tasks."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn

from tests.capabilities.models import Picture, Staged, TextModel, Writer
from triptych.capabilities import (
    PoolingModel,
    SupportsCrossEncoding,
    SupportsLateInteraction,
    SupportsV0Only,
    TextGenerationModel,
    attn_type,
    capability_report,
    check_capabilities,
    check_task,
    check_triptych_model,
    default_pooling_type,
    get_attn_type,
    get_default_seq_pooling_type,
    get_default_tok_pooling_type,
    get_score_type,
    is_language_model,
    is_pooling_model,
    is_text_generation_model,
    is_triptych_model,
    supports_cross_encoding,
    supports_late_interaction,
    why_not_run,
)
from triptych.capabilities.tasks import GENERATION_TASKS, POOLING_TASKS, SCORE_TYPE_OF_TASK
from triptych.errors import CapabilityError, OptionError


class Empty:
    """Nothing of a model."""


class OfOtherArguments(TextModel):
    """Its constructor takes no settings, its forward no positions."""

    def __init__(self, sizes: object) -> None:
        super().__init__(sizes)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return self.embed_input_ids(input_ids)


class OfAnyArguments(TextModel):
    """It takes what it is given."""

    def __init__(self, **keywords: object) -> None:
        super().__init__(**keywords)

    def forward(self, **keywords: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return self.embed_input_ids(keywords["input_ids"])


class Inheriting(TextGenerationModel):
    """It inherits the interface and writes none of it."""


def test_a_model_is_recognised_by_its_structure() -> None:
    for model in (TextModel, TextModel(), Staged, Picture, OfAnyArguments):
        assert is_triptych_model(model)
    assert not is_triptych_model(Empty)


def test_what_only_inherits_the_interface_is_no_model() -> None:
    assert not is_triptych_model(Inheriting)
    assert not is_text_generation_model(Inheriting)


def test_an_instance_is_constructed_already_so_that_its_constructor_is_not_asked() -> None:
    class OfSize(TextModel):
        def __init__(self, size: int) -> None:
            super().__init__(size)

    assert not is_triptych_model(OfSize)
    assert is_triptych_model(OfSize(3))


def test_missing_pieces_are_logged_for_torch_modules_only(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not is_triptych_model(Empty)
        assert not caplog.records
        assert not is_triptych_model(nn.Linear)
    (record,) = caplog.records
    assert record.getMessage().startswith("Linear is no model: its constructor does not take settings; ")


def test_registration_names_each_missing_piece() -> None:
    check_triptych_model(TextModel)
    with pytest.raises(CapabilityError) as raised:
        check_triptych_model(OfOtherArguments)
    assert str(raised.value).splitlines() == [
        "OfOtherArguments: this class is no model: its constructor does not take settings",
        "OfOtherArguments: this class is no model: its forward does not take positions",
    ]
    with pytest.raises(CapabilityError, match=r"(?s)has no embed_input_ids.*has no forward"):
        check_triptych_model(Empty)


def test_text_generation_is_recognised_by_compute_logits() -> None:
    assert is_text_generation_model(Writer)
    assert is_text_generation_model(Writer())
    assert not is_text_generation_model(TextModel)


def test_no_tensor_of_a_checkpoint_is_unused_if_a_class_does_not_say_so() -> None:
    assert Inheriting.is_unused_checkpoint_weight("rotary.inv_freq") is False


def test_a_language_model_needs_only_embed_input_ids_and_forward() -> None:
    assert is_language_model(OfOtherArguments({}))
    assert not is_language_model(nn.Linear(1, 1))
    assert not is_language_model(Empty())


class Pools(TextModel, PoolingModel):
    """A model with a pooler."""

    def __init__(self, settings: object = None, prefix: str = "") -> None:
        super().__init__(settings, prefix)
        self.pooler = nn.Identity()


def test_pooling_needs_flag_and_base() -> None:
    assert is_pooling_model(Pools)
    assert is_pooling_model(Pools())
    assert not is_pooling_model(TextModel)
    assert not is_pooling_model(type("Flagged", (), {"is_pooling_model": True}))


@pytest.mark.parametrize("model", [Pools, TextModel, Empty()])
def test_pooling_attributes_have_defaults(model: object) -> None:
    assert get_default_seq_pooling_type(model) == "LAST"
    assert get_default_tok_pooling_type(model) == "ALL"
    assert get_attn_type(model) == "decoder"
    assert get_score_type(model) == "bi-encoder"


def test_decorators_set_the_pooling_attributes() -> None:
    @default_pooling_type(seq="CLS")
    @default_pooling_type(tok="STEP")
    @attn_type("encoder_only")
    class Encoder(Pools):
        pass

    assert get_default_seq_pooling_type(Encoder) == "CLS"
    assert get_default_tok_pooling_type(Encoder()) == "STEP"
    assert get_attn_type(Encoder) == "encoder_only"
    assert get_attn_type(Pools) == "decoder", "the class that it inherits from is left alone"


def test_values_that_there_are_not_are_refused_together() -> None:
    with pytest.raises(CapabilityError) as raised:
        default_pooling_type(seq="LATS", tok="NONE")(Pools)  # type: ignore[arg-type]
    assert str(raised.value).splitlines() == [
        "Pools: there is no default_seq_pooling_type 'LATS'; did you mean 'LAST'?",
        "Pools: there is no default_tok_pooling_type 'NONE'; known: ALL, STEP",
    ]
    assert "default_seq_pooling_type" not in vars(Pools)
    with pytest.raises(CapabilityError, match="there is no attn_type 'encoder-only'; did you mean 'encoder_only'"):
        attn_type("encoder-only")(Pools)  # type: ignore[arg-type]


class Crossed(Pools, SupportsCrossEncoding):
    """It would read PoolingModel's score type first."""


def test_the_score_type_is_looked_for_in_the_whole_class_hierarchy() -> None:
    assert Crossed.score_type == "bi-encoder", "the nearest one is the default"
    assert get_score_type(Crossed) == get_score_type(Crossed()) == "cross-encoder"
    assert supports_cross_encoding(Crossed)
    assert not supports_late_interaction(Crossed)


def test_what_an_instance_says_of_its_score_counts_too() -> None:
    model = Writer()
    model.score_type = "late-interaction"  # type: ignore[attr-defined]
    assert get_score_type(model) == "late-interaction"
    assert capability_report(model)["supports_late_interaction"] == "declared only"
    assert capability_report(Writer)["supports_late_interaction"] == "absent"
    crossed = Crossed()
    crossed.score_type = "late-interaction"
    told = r"Crossed has the score types 'cross-encoder' \(from .*\) and 'late-interaction' \(from this Crossed\)"
    with pytest.raises(CapabilityError, match=told):
        get_score_type(crossed)


def test_two_distinct_score_types_fail() -> None:
    class Both(Crossed, SupportsLateInteraction):
        pass

    message = r"Both has the score types 'late-interaction' \(from .*\) and 'cross-encoder' \(from .*\); .* has one"
    with pytest.raises(CapabilityError, match=message):
        get_score_type(Both)
    with pytest.raises(CapabilityError, match=message):
        check_capabilities(Both)


def test_a_task_that_gives_a_score_has_one_kind() -> None:
    assert SCORE_TYPE_OF_TASK == {
        "embed": "bi-encoder",
        "classify": "cross-encoder",
        "token_embed": "late-interaction",
    }
    assert set(SCORE_TYPE_OF_TASK) < set(POOLING_TASKS)
    for name in (*GENERATION_TASKS, *POOLING_TASKS):
        check_task(name)


def test_retired_and_unknown_tasks_fail_with_a_hint() -> None:
    with pytest.raises(OptionError, match="task 'score' is retired; 'classify' stands in its place"):
        check_task("score")
    with pytest.raises(OptionError, match="task 'encode' is retired; 'token_embed' or 'token_classify'"):
        check_task("encode")
    with pytest.raises(OptionError, match=r"unknown task 'genrate'; did you mean 'generate'\?"):
        check_task("genrate")


def test_the_runner_says_why_it_refuses_and_what_to_port() -> None:
    class Old(TextModel, SupportsV0Only):
        pass

    assert why_not_run(TextModel) == why_not_run(TextModel()) == ""
    assert "Old declares supports_v0_only" in why_not_run(Old)
    assert "the forward of OfOtherArguments has no parameter `step`" in why_not_run(OfOtherArguments)
    assert is_triptych_model(Old), "it is listed and inspected like any other"
