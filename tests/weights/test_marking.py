"""Towers and language model marked in a constructor: what settings leave out has no memory; nothing else changes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from torch import nn

from tests.capabilities.models import TextModel
from triptych.capabilities import ComponentMap, SupportsMultiModal
from triptych.errors import CapabilityError, StageError
from triptych.settings import MultiModalSettings, Settings, Stage
from triptych.weights import AutoWeightsLoader, StageMissingLayer, check_components, component_report


class Noted(nn.Module):
    """It notes, when it is built, on which device its own weight is and those of the ones before it are."""

    built: list[Noted] = []  # noqa: RUF012

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.width = width
        self.proj = nn.Linear(width, width)
        self.earlier = [other.proj.weight.device.type for other in self.built]
        self.first_device = self.proj.weight.device.type
        self.built.append(self)


class Encoder(Noted):
    """Of images."""


class Sound(Noted):
    """Of sound."""


@pytest.fixture(autouse=True)
def _none_built() -> Iterator[None]:
    yield
    Noted.built.clear()


class Marked(nn.Module, SupportsMultiModal):
    """Its constructor does what a test says."""

    def __init__(self, settings: Settings, build: Callable[[Any, Settings], None]) -> None:
        super().__init__()
        build(self, settings)


def made(build: Callable[[Any, Settings], None], *, stage: Stage | None = None, **media: Any) -> Any:
    settings = Settings(config={}, multimodal=MultiModalSettings(**media), stage=stage or Stage())
    return Marked(settings, build)


def plain(model: Any, settings: Settings) -> None:
    """Children assigned in contexts."""
    with model._mark_tower_model(settings, {"image", "video"}):
        model.vision = Encoder()
        model.projector = nn.Linear(model.vision.width, 3)
    with model._mark_tower_model(settings, "audio"):
        model.sound = Sound()
    with model._mark_language_model(settings):
        model.text = TextModel(settings)


class Inner(nn.Module):
    """Towers and text in one, as models that were written without contexts are."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for _ in range(3):
            self.blocks.append(Encoder())
        self.sound = nn.Sequential(Sound())
        self.text = TextModel(settings)


def composite(model: Any, settings: Settings) -> None:
    """The same by type."""
    towers = {"image": Encoder, "audio": Sound}
    with model._mark_composite_model(settings, language_targets=TextModel, tower_targets=towers):
        model.inner = Inner(settings)


def by_type(model: Any, settings: Settings) -> None:
    with model._mark_language_model(settings, targets=(TextModel, nn.Embedding)):
        model.inner = Inner(settings)


def absent(model: nn.Module) -> dict[str, str]:
    """The stage name of each placeholder by its path."""
    found = ((path, m) for path, m in model.named_modules() if isinstance(m, StageMissingLayer))
    return {path: layer.stage_name for path, layer in found}


def test_children_assigned_in_a_context_are_marked_and_names_of_two_contexts_add_up() -> None:
    model = made(plain)
    assert model._tower_model_names == ["vision", "projector", "sound"]
    assert model._language_model_names == ["text"]
    assert model.get_language_model() is model.text
    assert absent(model) == {}
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    check_components(model)


@pytest.mark.parametrize(
    ("media", "names"),
    [
        ({"limits": {"image": 0}}, {}),
        ({"limits": {"image": 0, "video": 0}}, {"vision": "vision_tower", "projector": "vision_tower"}),
        ({"limits": {"audio": 0}}, {"sound": "audio_tower"}),
        ({"encoder_only": True}, {"text": "language_model"}),
        (
            {"language_only": True},
            {"vision": "vision_tower", "projector": "vision_tower", "sound": "audio_tower"},
        ),
    ],
)
def test_what_settings_leave_out_is_replaced_and_the_rest_is_built(media: Any, names: dict[str, str]) -> None:
    model = made(plain, **media)
    assert absent(model) == names
    for name, child in model.named_children():
        assert bool(list(child.parameters())) == (name not in names)
    assert (model._tower_model_names, model._language_model_names) == (["vision", "projector", "sound"], ["text"])
    assert {p.device.type for p in model.parameters()} == {"cpu"}
    check_components(model)


def test_a_tower_that_is_left_out_is_never_given_memory() -> None:
    model = made(plain, limits={"audio": 0})
    assert [one.first_device for one in Noted.built] == ["cpu", "meta"]
    assert model.sound.width == 3
    assert model.sound.proj.weight.is_meta
    with pytest.raises(StageError, match="the audio_tower is left out of this model"):
        model.sound(torch.ones(1, 3))


def test_memory_asked_for_on_a_device_of_its_own_is_given_back() -> None:
    def build(model: Any, settings: Settings) -> None:
        with model._mark_tower_model(settings, "image"):
            model.tower = nn.Linear(2, 2, device="cpu")

    assert made(build, limits={"image": 0}).tower.weight.is_meta


@pytest.mark.parametrize(
    ("modalities", "name"),
    [
        ("image", "image_tower"),
        (["video", "image"], "vision_tower"),
        ({"video", "audio", "image"}, "audio_image_video_tower"),
        (("video",), "video_tower"),
    ],
)
def test_the_stage_name_is_that_of_the_modalities_in_order(modalities: Any, name: str) -> None:
    def build(model: Any, settings: Settings) -> None:
        with model._mark_tower_model(settings, modalities):
            model.tower = nn.Linear(1, 1)

    assert absent(made(build, language_only=True)) == {"tower": name}


def test_a_tower_of_no_modality_is_refused() -> None:
    with pytest.raises(CapabilityError, match="one modality or of several; none is named"):
        made(lambda model, settings: model._mark_tower_model(settings, ()).__enter__())


@given(st.dictionaries(st.sampled_from(["image", "video", "audio"]), st.integers(0, 2)), st.data())
def test_a_tower_is_left_out_exactly_if_all_its_modalities_have_the_limit_0(limits: Any, data: Any) -> None:
    modalities = data.draw(st.sets(st.sampled_from(["image", "video", "audio"]), min_size=1))

    def build(model: Any, settings: Settings) -> None:
        with model._mark_tower_model(settings, modalities):
            model.tower = nn.Linear(1, 1)

    assert bool(absent(made(build, limits=limits))) == all(limits.get(name, 1) == 0 for name in modalities)


@pytest.mark.parametrize(("rank", "names"), [(0, set()), (1, {"vision", "projector", "sound"})])
def test_later_stages_have_no_towers_when_these_run_on_the_first_alone(rank: int, names: set[str]) -> None:
    assert set(absent(made(plain, stage=Stage(rank, 2), towers_on_first_stage=True))) == names
    assert absent(made(plain, stage=Stage(rank, 2))) == {}


def test_targets_are_marked_wherever_they_are() -> None:
    model = made(composite)
    assert model._tower_model_names == [
        *("inner.sound.0",),  # contexts end in the reverse of their order
        *("inner.blocks.0", "inner.blocks.1", "inner.blocks.2"),
    ]
    assert model._language_model_names == ["inner.text"]
    assert model.get_language_model() is model.inner.text
    assert absent(model) == {}
    check_components(model)


def test_modules_of_targets_are_replaced_and_nothing_else_is() -> None:
    def build(model: Any, settings: Settings) -> None:
        with model._mark_composite_model(settings, language_targets=TextModel, tower_targets={"audio": Sound}):
            model.inner = Inner(settings)

    model = made(build, encoder_only=True)
    assert absent(model) == {"inner.text": "language_model"}
    assert [one.first_device for one in Noted.built] == ["cpu"] * 4
    assert absent(made(build, limits={"audio": 0})) == {"inner.sound.0": "audio_tower"}
    assert {p.device.type for p in model.parameters()} == {"cpu"}


def test_a_target_gives_its_memory_back_before_the_next_is_built() -> None:
    def build(model: Any, settings: Settings) -> None:
        with model._mark_tower_model(settings, "image", targets=Noted):
            model.inner = Inner(settings)

    model = made(build, limits={"image": 0})
    assert [one.earlier for one in Noted.built] == [["meta"] * n for n in range(4)]
    assert absent(model) == {
        **{f"inner.blocks.{n}": "image_tower" for n in range(3)},
        "inner.sound.0": "image_tower",
    }
    assert model._tower_model_names == list(absent(model))


def test_a_target_inside_another_goes_with_it() -> None:
    whole, encoders_only = made(by_type), made(by_type, encoder_only=True)
    assert whole._language_model_names == encoders_only._language_model_names == ["inner.text", "inner.text.embed"]
    assert absent(encoders_only) == {"inner.text": "language_model"}
    check_components(encoders_only)


def test_a_target_that_was_there_before_the_context_is_marked_and_left_out_too() -> None:
    def build(model: Any, settings: Settings) -> None:
        model.inner = nn.Sequential(Encoder())
        with model._mark_tower_model(settings, "image", targets=Encoder):
            pass

    assert made(build)._tower_model_names == ["inner.0"]
    model = made(build, limits={"image": 0})
    assert absent(model) == {"inner.0": "image_tower"}
    assert model.inner[0].proj.weight.is_meta


class Boom(Exception):
    """What a constructor may raise."""


@pytest.mark.parametrize("targets", [None, Encoder])
def test_a_constructor_that_raises_leaves_nothing_behind(targets: Any) -> None:
    def build(model: Any, settings: Settings) -> None:
        with model._mark_tower_model(settings, "image", targets=targets):
            model.tower = Encoder()
            raise Boom

    with pytest.raises(Boom):
        made(build, limits={"image": 0})
    after = nn.Sequential(Encoder())
    assert isinstance(after[0], Encoder)
    assert after[0].proj.weight.device.type == "cpu"


@pytest.mark.parametrize("targets", [None, Encoder])
def test_what_another_thread_builds_meanwhile_is_untouched(targets: Any) -> None:
    found: list[nn.Sequential] = []

    def build(model: Any, settings: Settings) -> None:
        with model._mark_tower_model(settings, "image", targets=targets):
            other = threading.Thread(target=lambda: found.append(nn.Sequential(Encoder())))
            other.start()
            other.join()
            model.tower = Encoder()

    assert isinstance(made(build, limits={"image": 0}).tower, StageMissingLayer)
    assert isinstance(found[0][0], Encoder)
    assert found[0][0].proj.weight.device.type == "cpu"


def test_threads_that_leave_out_different_types_do_not_meet() -> None:
    barrier, found = threading.Barrier(2), {}

    def run(name: str, targets: type[nn.Module]) -> None:
        def build(model: Any, settings: Settings) -> None:
            with model._mark_tower_model(settings, "image", targets=targets):
                barrier.wait(10)
                for _ in range(20):
                    model.inner = Inner(settings)
                barrier.wait(10)

        found[name] = set(absent(made(build, limits={"image": 0})))

    threads = [threading.Thread(target=run, args=pair) for pair in (("text", TextModel), ("sound", Sound))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"text": {"inner.text"}, "sound": {"inner.sound.0"}}


def test_without_targets_other_modules_of_the_model_are_assigned_as_ever() -> None:
    def build(model: Any, settings: Settings) -> None:
        model.body = nn.Sequential()
        with model._mark_tower_model(settings, "image"):
            model.tower = Encoder()
            model.body.append(nn.Identity())
        model.after = Encoder()

    model = made(build, limits={"image": 0})
    assert absent(model) == {"tower": "image_tower"}
    assert model.after.first_device == "cpu"


def twice_by_name(model: Any, settings: Settings) -> None:
    with model._mark_tower_model(settings, "image"):
        model.tower = Encoder()
    with model._mark_tower_model(settings, "video"):
        model.tower = Encoder()


def one_inside_the_other(model: Any, settings: Settings) -> None:
    with model._mark_language_model(settings), model._mark_tower_model(settings, "image"):
        model.tower = Encoder()


def overlapping_targets(model: Any, settings: Settings) -> None:
    towers = {"image": (Encoder, Sound)}
    with model._mark_composite_model(settings, language_targets=(TextModel, Sound), tower_targets=towers):
        model.tower = Sound()
        model.text = TextModel(settings)


@pytest.mark.parametrize(
    ("build", "again"),
    [
        (twice_by_name, "tower: is marked as a tower already, and as video_tower again"),
        (one_inside_the_other, "tower: is marked as a tower already, and as language_model again"),
        (overlapping_targets, "tower: is marked as a tower already, and as language_model again"),
    ],
)
@pytest.mark.parametrize("media", [{}, {"limits": {"image": 0}}, {"encoder_only": True}, {"language_only": True}])
def test_a_component_marked_twice_is_refused(build: Any, again: str, media: Any) -> None:
    with pytest.raises(CapabilityError, match=again):
        made(build, **media)


def test_marking_before_the_module_is_set_up_is_refused() -> None:
    class Early(nn.Module, SupportsMultiModal):
        def __init__(self, settings: Settings) -> None:
            with self._mark_language_model(settings):
                super().__init__()

    with pytest.raises(CapabilityError, match=r"Early: super\(\).__init__\(\) comes before"):
        Early(Settings(config={}))


def careless(model: Any, settings: Settings) -> None:
    model.towers = nn.ModuleDict()
    with model._mark_tower_model(settings, ["image", "video"]):
        model.towers["image"] = Encoder()  # no child of the model itself
    with model._mark_tower_model(settings, "audio"):
        model.sound = Sound()
    with model._mark_language_model(settings):
        model.text = TextModel(settings)
    model.activation = nn.GELU()
    del model.sound


def test_marks_that_nothing_uses_and_children_without_a_mark_are_reported_together() -> None:
    assert list(map(str, component_report(made(careless)))) == [
        "Marked: a context marks a vision_tower, and nothing is assigned in it that could be one",
        "sound: Marked: is marked, and the model no longer has it",
        "towers: Marked: has parameters and is marked neither as a tower nor as the language model; assign it in a "
        "context, or name it in get_mm_mapping",
    ]
    with pytest.raises(CapabilityError, match=r"(?s)vision_tower.*sound.*towers: Marked"):
        check_components(made(careless))


@pytest.mark.parametrize("media", [{"encoder_only": True}, {}])
def test_a_tower_inside_the_language_model_that_is_left_out_is_reported(media: Any) -> None:
    def build(model: Any, settings: Settings) -> None:
        with ExitStack() as stack:
            stack.enter_context(model._mark_language_model(settings, targets=Inner))
            stack.enter_context(model._mark_tower_model(settings, "image", targets=Noted))
            model.body = nn.Sequential(Inner(settings))

    found = [problem.path for problem in component_report(made(build, **media))]
    towers = ["body.0.blocks.0", "body.0.blocks.1", "body.0.blocks.2", "body.0.sound.0"]
    assert found == (towers if media else [])


def test_a_child_that_the_class_names_in_its_own_map_needs_no_mark() -> None:
    def build(model: Any, settings: Settings) -> None:
        with model._mark_tower_model(settings, "image"):
            model.tower = Encoder()
        model.align, model.text = nn.Linear(1, 1), TextModel(settings)

    class Named(Marked):
        def get_mm_mapping(self) -> ComponentMap:
            return ComponentMap(language_model="text", projectors=("align",), towers=("tower",))

    settings = Settings(config={})
    assert [problem.path for problem in component_report(Marked(settings, build))] == ["align", "text"]
    assert component_report(Named(settings, build)) == []


class Named(Marked):
    """Its map is what a test says."""

    named: dict[str, Any]

    def get_mm_mapping(self) -> ComponentMap:
        return ComponentMap(language_model="text", **self.named)


@pytest.mark.parametrize(
    ("named", "messages"),
    [
        ({"towers": ("tower.proj", "tower.proj.weight")}, []),
        ({"towers": ("tower.",), "projectors": ("newline", "audio")}, []),
        (
            {"towers": ("towr",), "projectors": ("tower.prj",)},
            [
                "tower.prj: Named: get_mm_mapping names it as a projector, and tower has no module 'prj'; did you mean "
                "'proj'?",
                "towr: Named: get_mm_mapping names it as a tower, and the model has no module 'towr'; did you mean "
                "'tower'?",
            ],
        ),
        (
            {"towers": ("tower.width", "tower.forward"), "projectors": ("audio.proj", "newline.x")},
            [
                "audio.proj: Named: get_mm_mapping names it as a projector, and audio has no module 'proj'",
                "newline.x: Named: get_mm_mapping names it as a projector, and newline has no module 'x'",
                "tower.width: Named: get_mm_mapping names it as a tower, and tower has no module 'width'; known: proj",
                "tower.forward: Named: get_mm_mapping names it as a tower, and tower has no module 'forward'; known: "
                "proj",
            ],
        ),
    ],
)
@pytest.mark.parametrize("limit", [1, 0])
def test_a_prefix_of_its_own_map_that_leads_nowhere_is_reported_with_the_nearest(
    named: Any, messages: list[str], limit: int
) -> None:
    def build(model: Any, settings: Settings) -> None:
        with model._mark_tower_model(settings, "image"):
            model.tower = Encoder()
        with model._mark_language_model(settings):
            model.text = TextModel(settings)
        model.newline, model.audio = nn.Parameter(torch.zeros(3)), None

    settings = Settings(config={}, multimodal=MultiModalSettings(limits={"image": limit}))
    model = Named(settings, build)
    model.named = named
    assert isinstance(model.tower, StageMissingLayer) == (limit == 0)
    assert list(map(str, component_report(model))) == messages


def test_a_text_model_has_no_components_to_report() -> None:
    assert component_report(TextModel()) == []


def test_the_components_of_a_marked_model_are_those_of_its_marks() -> None:
    for media in ({}, {"encoder_only": True}, {"language_only": True}):
        found = made(plain, **media).get_mm_mapping()
        assert (found.language_model, found.towers) == ("text", ("vision", "projector", "sound"))


def test_the_weights_of_what_is_left_out_are_passed_over() -> None:
    whole = made(composite)
    weights = [(name, tensor.detach().clone()) for name, tensor in whole.named_parameters()]
    model = made(composite, encoder_only=True)
    loaded = AutoWeightsLoader(model).load_weights(weights)
    assert loaded == {name for name, _ in weights if not name.startswith("inner.text.")}


@examples(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["Encoder", "Sound", "Linear"]), max_size=6), st.booleans())
def test_only_modules_of_the_targets_are_left_out_whatever_stands_beside_them(kinds: list[str], left_out: bool) -> None:
    make = {"Encoder": Encoder, "Sound": Sound, "Linear": lambda: nn.Linear(1, 1)}

    def build(model: Any, settings: Settings) -> None:
        with model._mark_tower_model(settings, "image", targets=Sound):
            model.body = nn.Sequential(*(make[kind]() for kind in kinds))

    model = made(build, limits={"image": 0} if left_out else {})
    wanted = [f"body.{number}" for number, kind in enumerate(kinds) if kind == "Sound"]
    assert list(absent(model)) == (wanted if left_out else [])
    assert model._tower_model_names == wanted
