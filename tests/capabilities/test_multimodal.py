"""Multimodal models: rows of items in the text embedding, and the language model among the children."""

from __future__ import annotations

import gc
from weakref import ref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.capabilities.models import Picture, TextModel
from triptych.assembly.merge import merge_embeddings
from triptych.capabilities import (
    SupportsMultiModal,
    capability_report,
    check_capabilities,
    requires_raw_input_tokens,
    supports_mm_device_do_normalize,
    supports_multimodal_encoder_tp_data,
    supports_multimodal_raw_input_only,
    supports_tower_connector_lora,
)
from triptych.errors import InputError, InputTypeError, MissingMemberError

OPTIONS = {
    "supports_multimodal_raw_input_only": supports_multimodal_raw_input_only,
    "supports_encoder_tp_data": supports_multimodal_encoder_tp_data,
    "supports_mm_device_do_normalize": supports_mm_device_do_normalize,
    "supports_tower_connector_lora": supports_tower_connector_lora,
    "requires_raw_input_tokens": requires_raw_input_tokens,
}


@pytest.fixture
def model() -> Picture:
    torch.manual_seed(0)
    return Picture()


@pytest.mark.parametrize("flag", OPTIONS)
def test_all_flags_but_the_first_are_false_until_a_class_sets_them(flag: str) -> None:
    assert not OPTIONS[flag](Picture)
    set_ = type("Set", (Picture,), {flag: True})
    assert OPTIONS[flag](set_)
    assert OPTIONS[flag](set_())
    assert not OPTIONS[flag](Picture())


def test_a_model_of_raw_items_needs_no_embeddings_of_them() -> None:
    class Raw(nn.Module):
        supports_multimodal = supports_multimodal_embeddings = supports_multimodal_raw_input_only = True

        embed_input_ids = Picture.embed_input_ids

    assert capability_report(Raw)["supports_multimodal"] == "declared only"
    check_capabilities(Raw)
    Raw.supports_multimodal_raw_input_only = False
    assert capability_report(Raw)["supports_multimodal"] == "contradicted"


def test_text_alone_is_embedded_by_the_language_model(model: Picture) -> None:
    ids = torch.tensor([0, 1, 3])
    wanted = model.text.embed_input_ids(ids)
    assert torch.equal(model.embed_input_ids(ids), wanted)
    assert torch.equal(model.embed_input_ids(ids, [], is_multimodal=ids > 2), wanted)
    assert torch.equal(model.embed_input_ids(ids, None, is_multimodal=ids > 2), wanted)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.booleans())
def test_rows_of_items_stand_in_their_places_in_order(lengths: list[int], at_the_end: bool) -> None:
    model, total = Picture(), sum(lengths)
    mask = torch.tensor([True] * total + [False] * 2).roll(2 if at_the_end else 0)
    rows = torch.arange(total * 3.0).view(total, 3)
    ids = torch.ones(total + 2, dtype=torch.long)
    found = model.embed_input_ids(ids, list(rows.split(lengths)), is_multimodal=mask)
    assert torch.equal(found[mask], rows)
    assert torch.equal(found[~mask], model.text.embed_input_ids(ids)[~mask])


def test_one_tensor_of_three_dimensions_is_an_item_each(model: Picture) -> None:
    rows, mask = torch.arange(12.0).view(2, 2, 3), torch.tensor([True, False, True, True, True])
    found = model.embed_input_ids(torch.zeros(5, dtype=torch.long), rows, is_multimodal=mask)
    assert torch.equal(found[mask], rows.flatten(0, 1))


def test_embeddings_without_the_mask_fail(model: Picture) -> None:
    with pytest.raises(InputError, match="without the mask of their places"):
        model.embed_input_ids(torch.tensor([0]), [torch.ones(1, 3)])


def test_embeddings_that_do_not_fit_the_mask_fail(model: Picture) -> None:
    with pytest.raises(ValueError, match="2 rows of items"):
        model.embed_input_ids(torch.tensor([0]), [torch.ones(2, 3)], is_multimodal=torch.tensor([True]))


def test_without_embeddings_nothing_is_merged(model: Picture) -> None:
    ids, mask = torch.tensor([1, 2]), torch.tensor([False, True])
    plain = model.text.embed_input_ids(ids)
    assert torch.equal(merge_embeddings(plain.clone(), [], mask), plain)
    assert torch.equal(merge_embeddings(plain.clone(), [torch.ones(0, 3)], mask & False), plain)


def test_what_is_no_tensor_is_named(model: Picture) -> None:
    plain = model.text.embed_input_ids(torch.tensor([1]))
    with pytest.raises(InputTypeError, match=r"^is_multimodal: a tensor is wanted, not \[True\]$"):
        merge_embeddings(plain, [torch.ones(1, 3)], [True])  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match=r"^multimodal_embeddings: expected a list of tensors .* found NoneType"):
        merge_embeddings(plain, None, torch.tensor([True]))  # type: ignore[arg-type]


def test_a_placeholder_past_the_vocabulary_is_embedded_as_id_0_and_never_removed(model: Picture) -> None:
    ids, mask = torch.tensor([1, 99, 2]), torch.tensor([False, True, False])
    model.configure_mm_token_handling(4, [3])
    with pytest.raises(IndexError):
        model.embed_input_ids(ids, is_multimodal=mask)
    model.configure_mm_token_handling(4, [3, 4])
    assert torch.equal(
        model.embed_input_ids(ids, is_multimodal=mask), model.text.embed_input_ids(torch.tensor([1, 0, 2]))
    )
    assert ids.tolist() == [1, 99, 2], "what is given stays as it was"


def test_placeholders_of_the_vocabulary_keep_their_ids(model: Picture) -> None:
    ids, mask = torch.tensor([1, 3]), torch.tensor([False, True])
    model.configure_mm_token_handling(4, [3])
    assert torch.equal(model.embed_input_ids(ids, is_multimodal=mask), model.text.embed_input_ids(ids))


class Nested(nn.Module, SupportsMultiModal):
    """Two children that could be the language model, one of them with parts."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Linear(1, 1)
        self.aside = TextModel()
        self.inner = TextModel()
        self.inner.model = nn.Linear(1, 1)
        self.inner.lm_head = nn.Linear(1, 1)


def test_the_language_model_is_what_the_marked_names_have_in_common() -> None:
    model = Nested()
    model._language_model_names = ["inner.model", "inner.lm_head"]
    assert model.get_language_model() is model.inner


@pytest.mark.parametrize("marked", [[], ["tower"], ["inner.model"], ["inner", "tower"], ["inner", "inner_of_none"]])
def test_without_a_marked_child_that_qualifies_it_is_the_first_that_does(marked: list[str]) -> None:
    model = Nested()
    model._language_model_names = marked
    assert model.get_language_model() is model.aside


def test_without_any_child_that_qualifies_there_is_none() -> None:
    class Tower(nn.Module, SupportsMultiModal):
        def __init__(self) -> None:
            super().__init__()
            self.tower = nn.Linear(1, 1)

    with pytest.raises(MissingMemberError, match="Tower has no child that can be its language model"):
        Tower().get_language_model()
    assert issubclass(MissingMemberError, NotImplementedError)


def test_the_language_model_is_looked_for_once(model: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    first = model.get_language_model()
    monkeypatch.setattr(model, "named_children", lambda: pytest.fail("it is looked for again"))
    assert model.get_language_model() is first is model.text


def test_neither_model_nor_language_model_is_kept_alive() -> None:
    outer = Picture()
    inner = outer.get_language_model()
    inner.outer = [outer]  # a way back, as adapters have
    watched = ref(outer), ref(inner)
    del outer, inner
    gc.collect()
    assert [watch() for watch in watched] == [None, None]


def test_get_placeholder_str_names_item_i_of_a_modality() -> None:
    assert Picture.get_placeholder_str("image", 1) == "<image 1>"
    assert Picture.get_placeholder_str("smell", 1) is None


def test_token_counts_for_adapters_fail_unless_implemented(model: Picture) -> None:
    with pytest.raises(MissingMemberError, match="Picture declares SupportsMultiModal; it has no get_mm_lora_token_"):
        model.get_mm_lora_token_counts(modality="image", mm_kwargs={}, num_mm_embeds=1)
