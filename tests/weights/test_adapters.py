"""Which components may have adapters, and which module each tensor of an adapter is for."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.capabilities.models import TextModel
from triptych.capabilities import ComponentMap, SupportsMultiModal
from triptych.errors import AdapterError
from triptych.settings import AdapterSettings, MultiModalSettings, Settings
from triptych.weights import AdapterWarning, WeightsMapper, adapter_components, match_adapters

TOWER = "model.vision.blocks.0.qkv"
PROJECTOR = "model.merger"
TEXT = "model.text.embed"
TALKER = "talker"


class Whole(nn.Module, SupportsMultiModal):
    """A component of each kind, its constructor told what to leave out."""

    supports_tower_connector_lora = True
    packed_modules_mapping = {"qkv": ["q", "k", "v"]}  # noqa: RUF012
    lora_skip_prefixes = ["mtp."]  # noqa: RUF012

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.model = nn.Module()
        with self._mark_composite_model(settings, language_targets=TextModel, tower_targets={"image": Vision}):
            self.model.vision = Vision()
            self.model.text = TextModel(settings)
        self.model.merger = nn.Linear(1, 1)
        self.talker = nn.Linear(1, 1)

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        return f"<{i}>" if modality == "image" else None

    def get_mm_mapping(self) -> ComponentMap:
        return ComponentMap(
            language_model="model.text", projectors=("model.merger",), towers=("model.vision",), generators=("talker",)
        )

    def get_mm_lora_token_counts(
        self, *, modality: str, mm_kwargs: Mapping[str, object], num_mm_embeds: int
    ) -> tuple[int, int | None]:
        assert (modality, mm_kwargs) == ("image", {})
        return num_mm_embeds * 4, num_mm_embeds


class Vision(nn.Module):
    """One fused matrix in one block."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Module()])
        self.blocks[0].qkv = nn.Linear(1, 3)


class Uncounted(Whole):
    def get_mm_lora_token_counts(self, **_: Any) -> tuple[int, int | None]:
        return 1, None


class AsksForItems(Whole):
    def get_mm_lora_token_counts(self, *, mm_kwargs: Mapping[str, Any], **_: Any) -> tuple[int, int | None]:
        return len(mm_kwargs["pixel_values"]), 1


class Unflagged(Whole):
    supports_tower_connector_lora = False


def settings(*, tower_connector: bool = True, strict: bool = False, **media: Any) -> Settings:
    adapters = AdapterSettings(tower_connector=tower_connector, strict=strict)
    return Settings(config={}, multimodal=MultiModalSettings(**media), adapters=adapters)


def components(cls: type[Whole], chosen: Settings) -> tuple[tuple[str, ...], list[str]]:
    """The components, and the warnings that came with them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = adapter_components(cls(chosen), chosen)
    return found, [str(warning.message) for warning in caught]


def factors(*modules: str) -> list[str]:
    return [f"base_model.model.{module}.lora_{factor}.weight" for module in modules for factor in "AB"]


@pytest.mark.parametrize("cls", [Whole, AsksForItems])
def test_towers_and_projectors_have_adapters_when_model_and_settings_say_so(cls: type[Whole]) -> None:
    assert components(cls, settings()) == (("model.text", "model.merger", "model.vision"), [])


def test_without_the_switch_the_language_model_alone_has_adapters() -> None:
    assert components(Whole, settings(tower_connector=False)) == (("model.text",), [])
    assert adapter_components(TextModel(), settings(tower_connector=False)) == ("",)
    assert adapter_components(TextModel(), settings()) == ("",)


def test_a_model_without_the_flag_is_warned_of() -> None:
    found, told = components(Unflagged, settings())
    assert found == ("model.text",)
    reason = "are ignored: Unflagged does not set supports_tower_connector_lora"
    assert told == [f"adapters of towers {reason}", f"adapters of projectors {reason}"]


def test_language_only_has_no_adapters_of_towers_and_projectors() -> None:
    found, told = components(Whole, settings(language_only=True))
    assert found == ("model.text",)
    assert told == [f"adapters of {kind} are ignored: language_only is set" for kind in ("towers", "projectors")]


def test_a_projector_without_a_token_count_is_skipped_with_a_warning() -> None:
    found, told = components(Uncounted, settings())
    assert found == ("model.text", "model.vision")
    assert told == ["adapters of projectors are ignored: get_mm_lora_token_counts counts no tokens of the projector"]


def test_a_model_that_counts_nothing_has_no_adapters_of_projectors() -> None:
    class Silent(Whole):
        get_mm_lora_token_counts = SupportsMultiModal.get_mm_lora_token_counts

    assert components(Silent, settings())[0] == ("model.text", "model.vision")


def test_what_is_left_out_has_no_adapters() -> None:
    assert components(Whole, settings(limits={"image": 0}))[0] == ("model.text", "model.merger")
    assert components(Whole, settings(encoder_only=True))[0] == ("model.merger", "model.vision")


def test_each_tensor_is_matched_with_its_module() -> None:
    chosen = settings(strict=True)
    found = match_adapters(factors(TEXT, TOWER, PROJECTOR), Whole(chosen), settings=chosen)
    assert found.matched == {name: name[17:].rpartition(".lora_")[0] for name in factors(TEXT, TOWER, PROJECTOR)}
    assert str(found) == "6 of 6 tensors matched, 0 ignored"


@pytest.mark.parametrize(
    "name",
    [
        "model.text.embed.lora_A.weight",
        "base_model.model.model.text.embed.lora_B.default.weight",
        "model.text.embed.lora_embedding_A",
        "model.text.embed.lora_magnitude_vector",
    ],
)
def test_the_name_of_a_factor_says_its_module_however_it_was_saved(name: str) -> None:
    assert match_adapters([name], Whole(settings()), settings=settings(strict=True)).matched == {name: TEXT}


def test_parts_of_a_fused_matrix_are_for_that_matrix() -> None:
    names = factors("model.vision.blocks.0.q", "model.vision.blocks.0.v")
    found = match_adapters(names, Whole(settings()), settings=settings(strict=True))
    assert set(found.matched.values()) == {TOWER}


def test_names_are_renamed_as_those_of_the_checkpoint_are() -> None:
    mapper = WeightsMapper(prefix={"visual.": "model.vision.", "thinker.": None}).get_rename_mapper()
    names = factors("visual.blocks.0.qkv")
    assert set(match_adapters(names, Whole(settings()), settings=settings(), mapper=mapper).matched.values()) == {TOWER}
    dropping = WeightsMapper(prefix={"thinker.": None})
    with pytest.warns(
        AdapterWarning, match="2 tensors of an adapter are left out: the names of the checkpoint drop it"
    ):
        match_adapters([*factors(TEXT), *factors("thinker.x")], Whole(settings()), settings=settings(), mapper=dropping)


@pytest.mark.parametrize(
    ("module", "chosen", "reason"),
    [
        (TOWER, settings(tower_connector=False), "adapters.tower_connector is not set"),
        (PROJECTOR, settings(tower_connector=False), "adapters.tower_connector is not set"),
        (TOWER, settings(limits={"image": 0}), "the image_tower is left out of this model"),
        (TALKER, settings(), "generators have no adapters"),
        ("mtp.layers.0", settings(), "lora_skip_prefixes of the model"),
        ("model", settings(), "in no component that may have adapters"),
    ],
)
def test_tensors_of_components_without_adapters_are_ignored_with_a_warning(
    module: str, chosen: Settings, reason: str
) -> None:
    names = [*factors(TEXT), *factors(module)]
    with pytest.warns(AdapterWarning, match=f"^2 tensors of an adapter are left out: {reason}$"):
        found = match_adapters(names, Whole(chosen), settings=chosen)
    assert found.ignored == dict.fromkeys(factors(module), reason)
    assert list(found.matched) == factors(TEXT)


def test_tensors_that_nothing_in_the_model_takes_are_named_with_what_is_near() -> None:
    with pytest.warns(AdapterWarning, match="3 tensors of an adapter are left out: nothing in the model"):
        found = match_adapters(
            [*factors(TEXT), *factors("model.txt.embed"), "model.text.embed.weight"],
            Whole(settings()),
            settings=settings(),
        )
    assert str(found) == "2 of 5 tensors matched, 0 ignored, 3 for nothing in the model"
    assert found.unmatched[factors("model.txt.embed")[0]] == (
        "no module 'model.txt.embed' is in the model; did you mean 'model.text.embed'?"
    )
    assert "its name has no lora_A or lora_B" in found.unmatched["model.text.embed.weight"]


@pytest.mark.parametrize("strict", [False, True])
def test_an_adapter_that_matches_nothing_fails(strict: bool) -> None:
    chosen = settings(strict=strict)
    with pytest.raises(AdapterError) as caught:
        match_adapters(factors("x.y"), Whole(chosen), settings=chosen)
    assert str(caught.value).splitlines() == [
        "0 of 2 tensors matched, 0 ignored, 2 for nothing in the model",
        *(f"{name}: no module 'x.y' is in the model" for name in factors("x.y")),
    ]
    with pytest.raises(ValueError, match="an adapter without tensors"):
        match_adapters([], Whole(chosen), settings=chosen)


def test_an_adapter_of_nothing_but_a_tower_that_limits_leave_out_fails() -> None:
    chosen = settings(limits={"image": 0})
    with pytest.raises(AdapterError, match=r"(?s)0 of 2 tensors matched, 2 ignored.*image_tower is left out of this"):
        match_adapters(factors(TOWER), Whole(chosen), settings=chosen)


@given(st.lists(st.sampled_from([TEXT, TOWER, TALKER, "no.such"]), unique=True), st.booleans())
def test_strict_lets_in_no_adapter_with_a_tensor_left(modules: list[str], strict: bool) -> None:
    chosen = settings(strict=strict)
    left, some = {TALKER, "no.such"} & set(modules), {TEXT, TOWER} & set(modules)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = match_adapters(factors(*modules), Whole(chosen), settings=chosen)
        except AdapterError:
            assert not some or (strict and left)
        else:
            assert some
            assert not (strict and left)
            assert len(found.matched) == 2 * len(some)


def test_many_mistakes_are_cut_to_those_that_can_be_read() -> None:
    with pytest.raises(AdapterError, match=r"\.\.\. and 80 more") as caught:
        match_adapters(factors(*(f"x.{n}" for n in range(50))), Whole(settings()), settings=settings())
    assert len(caught.value.problems) == 22
