"""Names of older releases on model classes."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.capabilities.models import Picture, TextModel
from triptych.capabilities import (
    SupportsMultiModal,
    SupportsMultiModalEmbeddings,
    SupportsV0Only,
    accept_older_names,
    capability_report,
    supports_v0_only,
)
from triptych.registry.model_info import ModelInfo


def older(pattern: str) -> Any:
    return pytest.warns(DeprecationWarning, match=pattern)


def test_get_multimodal_embeddings_is_embed_multimodal() -> None:
    with older(r"Old: get_multimodal_embeddings is of an older release; today it is embed_multimodal"):

        class Old(nn.Module, SupportsMultiModal):
            def get_multimodal_embeddings(self, **kwargs: Any) -> list[Tensor] | None:
                return kwargs.get("image")

    rows = [torch.ones(2, 3)]
    assert Old().embed_multimodal(image=rows) is rows
    assert Old().embed_multimodal(video=rows) == [], "no rows are None no more"


def test_get_input_embeddings_is_embed_input_ids() -> None:
    with older(r"Old: get_input_embeddings is of an older release; today it is embed_input_ids"):

        class Old(nn.Module, SupportsMultiModalEmbeddings):
            def get_input_embeddings(self, input_ids: Tensor, multimodal_embeddings: Any = None) -> Tensor:
                return input_ids if multimodal_embeddings is None else multimodal_embeddings[0]

    ids, rows = torch.arange(3), torch.ones(3, 2)
    assert Old().embed_input_ids(ids) is ids
    assert Old().embed_input_ids(ids, [rows], is_multimodal=ids > 1) is rows
    assert capability_report(Old)["supports_multimodal_embeddings"] == "verified"


def test_get_input_embeddings_of_a_text_model_is_taken_as_it_is() -> None:
    class Old(nn.Module):
        def get_input_embeddings(self, input_ids: Tensor) -> Tensor:
            return input_ids

    with older("Old: get_input_embeddings"):
        accept_older_names(Old)
    assert Old.embed_input_ids is Old.get_input_embeddings  # type: ignore[attr-defined]


def test_get_input_embeddings_of_transformers_is_another_thing() -> None:
    class Theirs(nn.Module):
        def get_input_embeddings(self) -> nn.Module:
            return self

    accept_older_names(Theirs)
    assert not hasattr(Theirs, "embed_input_ids")


def test_the_two_token_counts_are_one_method() -> None:
    with older(r"Old: get_num_mm_encoder_tokens is of an older release; today it is get_mm_lora_token_counts"):

        class Old(Picture):
            supports_tower_connector_lora = True

            def get_num_mm_encoder_tokens(self, num_image_tokens: int) -> int:
                return num_image_tokens * 4

    class Both(Old):
        def get_num_mm_connector_tokens(self, num_vision_tokens: int) -> int:
            return num_vision_tokens + 1

    asked: dict[str, Any] = {"modality": "image", "mm_kwargs": {}, "num_mm_embeds": 3}
    assert Old().get_mm_lora_token_counts(**asked) == (12, None)
    assert Both().get_mm_lora_token_counts(**asked) == (12, 13)
    assert capability_report(Old)["supports_tower_connector_lora"] == "verified"


def test_supports_v0_only_is_accepted_and_told_what_takes_its_place() -> None:
    class Old(TextModel):
        supports_v0_only = True

    class Inheriting(TextModel, SupportsV0Only):
        pass

    for model in (Old, Inheriting):
        with older(rf"{model.__name__}: supports_v0_only is of an older release; today it is a forward that takes"):
            assert ModelInfo.of(model, architecture="A").supports_v0_only
        assert supports_v0_only(model)
        accept_older_names(model)  # warnings are errors: once is enough


def test_a_class_is_told_once_and_its_subclasses_get_todays_name_without_a_word() -> None:
    class Old(nn.Module):
        def get_multimodal_embeddings(self, **kwargs: Any) -> Any:
            return kwargs

    class Newer(Old):
        pass

    with older("Old: get_multimodal_embeddings") as told:
        accept_older_names(Newer)
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        accept_older_names(Newer)
        accept_older_names(Old)
    assert "embed_multimodal" in vars(Old)
    assert "embed_multimodal" not in vars(Newer)


def test_todays_name_beside_the_older_one_is_kept() -> None:
    class Both(nn.Module):
        def get_multimodal_embeddings(self) -> str:
            return "older"

        def embed_multimodal(self) -> str:
            return "today's"

    accept_older_names(Both)
    assert Both().embed_multimodal() == "today's"


def test_an_older_name_in_a_subclass_goes_before_todays_in_its_base() -> None:
    with older("Old: get_multimodal_embeddings"):

        class Old(Picture):
            def get_multimodal_embeddings(self, **kwargs: Any) -> list[Tensor]:
                return [kwargs["image"]]

    rows = torch.ones(1, 3)
    assert Old().embed_multimodal(image=rows) == [rows]


def test_supports_pipeline_parallel_is_supports_pp() -> None:
    class Old(TextModel):
        supports_pipeline_parallel = True

    with older(r"Old: supports_pipeline_parallel is of an older release; today it is supports_pp"):
        accept_older_names(Old)
    assert capability_report(Old)["supports_pp"] == "contradicted", "the flag alone"


def test_supports_quantization_is_the_mixin() -> None:
    class Old(TextModel):
        supports_quantization = True

    with older(r"Old: supports_quantization is of an older release; today it is the mixin SupportsQuant"):
        accept_older_names(Old)
