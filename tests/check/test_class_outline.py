"""A class written by hand as a tree: the components that it marks, with the numbers that its modules have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.assembly.hand_written import TinyForCausalLM
from tests.cli.command import Capture, ran
from tests.interface.hand_llava import HandLlava
from triptych.capabilities import ComponentMap
from triptych.check.class_outline import outline_class
from triptych.check.outline import Node, outline
from triptych.cli.pictures.content import flows
from triptych.errors import CapabilityError, SpecError
from triptych.registry import models
from triptych.settings import Settings
from triptych.spec.catalog import load_named, sample_config

LLAVA = sample_config(load_named("llava")[1])
TINY = {
    **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4},
    **{"num_key_value_heads": 2, "vocab_size": 96, "rms_norm_eps": 1e-5, "hidden_act": "silu"},
    "rope_parameters": {"rope_theta": 1e4},
}

TREE = """\
HandLlava  128 numbers of cache a token, 158,176 parameters
├── vision_tower: clip_vision  width 32, 45,088 parameters
│   ├── embed: Patches  19,456 parameters
│   └── layers  25,632 parameters
│       └── 3 x Block (0 to 2)  8,544 parameters each
├── multi_modal_projector: ModuleDict  6,272 parameters
│   ├── linear_1: Linear  2,112 parameters
│   └── linear_2: Linear  4,160 parameters
└── language_model: llama  width 64, vocabulary 256, context 512, 128 numbers of cache a token, 106,816 parameters
    ├── embed: Tokens  16,384 parameters
    ├── layers  73,984 parameters
    │   └── 2 x Block (0 to 1)  64 numbers of cache a token each, 36,992 parameters each
    ├── norm: RmsNorm  64 parameters
    └── head: Head  16,384 parameters
"""


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "_registered", {})
    models.register_model("HandLlava", HandLlava)
    Path("config.json").write_text(json.dumps(LLAVA))


@pytest.mark.usefixtures("registered")
def test_a_registered_class_is_shown_as_a_tree(capsys: Capture) -> None:
    assert ran(capsys, "show", "HandLlava", "--tree", "--config", "config.json") == (0, TREE, "")
    assert ran(capsys, "show", "HandLlava", "--config", ".", "--picture", "hand.svg")[0] == 0
    assert "vision_tower: clip_vision" in Path("hand.svg").read_text()


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["HandLlava", "--tree"],
            "HandLlava is a model class, and has no sample config to be built of; --config FILE ",
        ),
        (["HandLlava", "--config", "config.json", "a=1"], "is a model class, and has no spec for a=1 to change\n"),
        (["HandLlava"], "HandLlava is a model class, written by hand; there is no spec of it\n"),
        (["HandLlava", "--schemas"], "HandLlava is a model class, written by hand; there is no spec of it\n"),
        (["llama", "HandLlava"], "HandLlava is a model class, written by hand; there is no spec of it\n"),
        (["LlamaForCausalLM", "--tree"], "unknown spec 'LlamaForCausalLM'; llama answers for it\n"),
        (["HandLama", "--tree", "--config", "config.json"], "unknown spec 'HandLama'"),
    ],
)
def test_what_a_class_has_not_is_refused_with_what_it_has(words: list[str], message: str, capsys: Capture) -> None:
    status, out, err = ran(capsys, "show", *words)
    assert (status, out, message in err) == (1, "", True), err


def test_its_numbers_are_those_of_the_same_model_from_a_spec() -> None:
    mine, spec = outline_class(HandLlava, LLAVA, name="mine"), outline(_assembled("llava"))
    assert mine.facts == spec.facts
    text, other = _one(mine, "language_model"), _one(spec, "language_model")
    assert text.parameters == other.parameters
    assert {**text.facts, "layers": 2} == other.facts
    tower = _one(spec, "tower")
    one_layer = next(node.parameters for node in tower.children if node.kind == "layer")
    assert _one(mine, "tower").parameters == tower.parameters + one_layer, "the class builds the layer it does not use"
    assert mine.parameters == sum(child.parameters for child in mine.children)


def test_a_class_without_components_is_a_language_model_as_a_whole() -> None:
    tree = outline_class(TinyForCausalLM, TINY, name="Tiny")
    (text,) = tree.children
    assert (text.name, text.kind, text.facts) == (
        "language_model",
        "language_model",
        {"vocabulary": 96, "context": 128, "cache": 3 * 2 * 2 * 8},
    )
    decoder, head = text.children
    assert (decoder.name, decoder.part, head.part) == ("model", "Decoder", "Linear")
    embed, layers, norm = decoder.children
    assert (embed.parameters, norm.parameters) == (96 * 32, 32)
    (layer,) = layers.children
    assert (layer.which, layer.facts) == ((0, 1, 2), {"cache": 32})
    attention, mlp = 32 * (32 + 16 + 16) + 32 * 32, 3 * 32 * 64
    assert layer.parameters == attention + mlp + 2 * 32
    assert layers.parameters == 3 * layer.parameters


def test_layers_that_differ_are_told_apart() -> None:
    class Uneven(TinyForCausalLM):
        def __init__(self, settings: Settings, prefix: str = "") -> None:
            super().__init__(settings, prefix)
            self.model.layers[1].extra = nn.Linear(4, 4)

    (text,) = outline_class(Uneven, TINY, name="Uneven").children
    layers = next(node for node in text.children[0].children if node.kind == "layers")
    assert [(layer.which, layer.parameters - layers.children[0].parameters) for layer in layers.children] == [
        ((0, 2), 0),
        ((1,), 20),
    ]


def test_rows_go_through_the_one_projector_of_a_class() -> None:
    found = [(one.name, other.name) for one, other in flows(outline_class(HandLlava, LLAVA, name="mine"))]
    assert found == [("vision_tower", "multi_modal_projector"), ("multi_modal_projector", "language_model")]


class AsksForMore(TinyForCausalLM):
    def __init__(self, settings: Settings, prefix: str = "") -> None:
        super().__init__(settings, prefix)
        self.scale = float(torch.ones(2).sum())


class Gated(HandLlava):
    """With a number of its own between tower and language model, and without a sampler that others have."""

    def __init__(self, *, settings: Settings, prefix: str = "") -> None:
        super().__init__(settings=settings, prefix=prefix)
        self.gate, self.sampler = nn.Parameter(torch.ones(5)), None

    def get_mm_mapping(self) -> ComponentMap:
        named = ("multi_modal_projector", "gate", "sampler")
        return ComponentMap(language_model="language_model", towers=("vision_tower",), projectors=named)


def test_a_component_may_be_one_parameter_or_be_gone_without() -> None:
    found = outline_class(Gated, LLAVA, name="gated").children
    assert [(node.name, node.kind) for node in found] == [
        ("vision_tower", "tower"),
        ("multi_modal_projector", "projector"),
        ("gate", "projector"),
        ("language_model", "language_model"),
    ]
    assert found[2].parameters == 5


class LeavesOneOut(HandLlava):
    def __init__(self, *, settings: Settings, prefix: str = "") -> None:
        super().__init__(settings=settings, prefix=prefix)
        self.more = nn.Linear(2, 2)


class NoModule:
    def __init__(self, *, settings: Settings) -> None: ...


@pytest.mark.parametrize(
    ("model", "config", "error", "message"),
    [
        (TinyForCausalLM, {}, SpecError, r"TinyForCausalLM cannot be built without memory for this config: KeyError"),
        (AsksForMore, TINY, SpecError, r"AsksForMore cannot be built without memory for this config: RuntimeError: "),
        (
            HandLlava,
            {**LLAVA, "text_config": {**LLAVA["text_config"], "model_type": "lama"}},
            SpecError,
            "no spec answers for lama",
        ),
        (LeavesOneOut, LLAVA, CapabilityError, "more: .*is marked neither as a tower nor as the language model"),
        (NoModule, {}, CapabilityError, "NoModule is no torch.nn.Module"),
    ],
)
def test_a_class_that_cannot_be_told_apart_is_refused(
    model: type, config: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        outline_class(model, config, name="any")


def test_nothing_is_given_memory() -> None:
    made = list[nn.Module]()

    class Watched(TinyForCausalLM):
        def __init__(self, settings: Settings, prefix: str = "") -> None:
            super().__init__(settings, prefix)
            made.append(self)

    outline_class(Watched, TINY, name="Watched")
    assert {parameter.device.type for parameter in made[0].parameters()} == {"meta"}


def _assembled(name: str) -> Any:
    from triptych.assembly import assemble

    tree = load_named(name)[1]
    return assemble(tree, sample_config(tree), name=name)


def _one(node: Node, kind: str) -> Node:
    (found,) = [child for child in node.children if child.kind == kind]
    return found
