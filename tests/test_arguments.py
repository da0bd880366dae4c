"""Whatever a public function is called with, a mistake is told in triptych's words, by the name of the argument."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import triptych
from tests.capabilities.models import Picture
from triptych.arguments import check_arguments
from triptych.inputs.media import MultiModalDataItems
from triptych.inputs.processing import InputProcessingContext
from triptych.public import WHERE

WRONG: tuple[Any, ...] = (None, 3, "x", [], {}, object())

NOT_CALLED = {  # public names that nobody calls with arguments of his own, and why
    "Answering": "`Engine.submit` makes one",
    "ImageProcessor": "`load_slicer` makes one, or the folder of a checkpoint",
    "Model": "`load` and `random_init` make one",
    **dict.fromkeys(("Assembled", "AppliedUpdates", "Completion", "Likelihood", "TokenLogprob"), "a result"),
    **dict.fromkeys(("MultiModalBudget", "MultiModalInputs", "PlaceholderFeaturesInfo", "Plan"), "a result"),
    **dict.fromkeys(("AdapterMatch", "CapabilityReport", "ResolvedPromptUpdate", "DictEmbeddingItems"), "a result"),
    **dict.fromkeys(("Capability", "ModelInfo"), "a row of a table, or of a file that is checked as it is read"),
    **dict.fromkeys(("Place", "Problem"), "of an error, which is not to fail"),
    **dict.fromkeys(("ExplicitEncoderDecoderPrompt", "SpeechPrompt"), "a TypedDict, which is a dict"),
}

ITEM_CLASSES = ("EmbeddingItems", "ProcessorItems")
SETTINGS = triptych.Settings(config={})
PROCESSOR = triptych.random_init("llava").processor
ITEMS = triptych.MultiModalSettings()
SOUND: dict[str, Any] = {  # by argument, or by function and argument: what would do in its place
    "adapters": triptych.AdapterSettings(),
    "architecture": "ArgumentsForCausalLM",
    "architectures": ["LlamaForCausalLM"],
    "array": torch.zeros(1),
    "cls": Picture,
    "config": {},
    "context": InputProcessingContext({}),
    "counts": {},
    "ctx": InputProcessingContext({}),
    "data": {},
    "elems": {},
    "embeddings": [],
    "embeds": [],
    "feature_layer_index": 0,
    "fn": lambda prefix: nn.Linear(1, 1),  # noqa: ARG005
    "inputs_embeds": torch.zeros(1, 2),
    "is_multimodal": torch.zeros(1, dtype=torch.bool),
    "items": {},
    "keys": [],
    "kind": "norm",
    "kwargs": {},
    "layer_name": "layers.1",
    "length": 1,
    "limits": triptych.BatchLimits(max_model_len=8, max_num_batched_tokens=8, max_num_seqs=1),
    "mm_counts": {},
    "modality": "image",
    "model": nn.Linear(1, 1),
    "module": nn.Linear(1, 1),
    "n": 1,
    "name": "arguments",
    "names": [],
    "num_hidden_layers": 2,
    "offset": 0,
    "on_duplicate": "error",
    "prefix": "",
    "processor": lambda **_: {},
    "request": {},
    "seq_len": 1,
    "settings": SETTINGS,
    "spec": "llama",
    "supported": {},
    "target": nn.Linear,
    "tensors": {},
    "token_ids": [1],
    "tree": {"x": {"shape": [2]}},
    "updates": {},
    "width": 2,
    "bind_updates.updates": [],
    **{f"{kind}{items}.items": [] for kind in ("Audio", "Image", "Video", "") for items in ITEM_CLASSES},
    "Engine.model": triptych.random_init("llama"),
    "flatten_bn.x": [torch.zeros(2, 3)],
    **dict.fromkeys(
        ("get_budget.processor", "get_dummy_inputs.processor", "get_max_tokens_per_item.processor"), PROCESSOR
    ),
    "load.folder": "nowhere",
    "make_empty_intermediate_tensors_factory.hidden_size": 2,
    "check_limits.items": MultiModalDataItems({}),
    "check_limits.settings": ITEMS,
    "get_allowed_limits.settings": ITEMS,
}
TOLD_AS = {  # arguments that are told by another name
    "compile_schema.tree": "arguments",  # the schema's own name, as of each of its fields
    "merge_embeddings.embeddings": "multimodal_embeddings",  # as `embed_input_ids` has it
    "register_model.target": "ArgumentsForCausalLM",  # the architecture that it is to serve
}


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    found = inspect.signature(function).parameters
    return {name: one for name, one in found.items() if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)}


def raised(function: Any, **given: Any) -> triptych.TriptychError | None:
    """What a call raises; anything but an error of triptych's goes on."""
    try:
        function(**given)
    except triptych.TriptychError as error:
        return error
    return None


def called(name: str) -> bool:
    found = getattr(triptych, name)
    if not (inspect.isfunction(found) or inspect.isclass(found)) or name in NOT_CALLED:
        return False
    return not (inspect.isclass(found) and (issubclass(found, BaseException | Enum) or inspect.isabstract(found)))


def is_protocol(found: Any) -> bool:
    return bool(getattr(found, "_is_protocol", False))


CALLED = [name for name in WHERE if called(name) and not is_protocol(getattr(triptych, name))]
ARGUMENTS = [(name, argument) for name in CALLED for argument in parameters(getattr(triptych, name))]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_an_argument_of_a_wrong_type_is_told_by_its_name(
    name: str, argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    function = getattr(triptych, name)
    needed = [key for key, one in parameters(function).items() if one.default is one.empty and key != argument]
    others = {key: SOUND.get(f"{name}.{key}", SOUND.get(key)) for key in needed}
    word = TOLD_AS.get(f"{name}.{argument}", argument)
    for value in WRONG:
        error = raised(function, **others, **{argument: value})
        if isinstance(error, TypeError):
            assert re.search(rf"\b{word}\b", str(error)), f"{argument}={value!r}: {error}"


MAPPER = triptych.WeightsMapper(prefix={"a.": "b."})
METHODS: dict[str, Any] = {
    one.__name__: one
    for one in (
        *(MAPPER.map_name, MAPPER.apply_list, MAPPER.apply_dict),
        *(triptych.resolver().inspect, triptych.resolver().resolve),
        triptych.AutoWeightsLoader(nn.Module()).load_weights,
        triptych.MultiModalDataParser().parse_mm_data,
        triptych.PlaceholderRange(0, 2).get_embeds_indices_in_range,
        triptych.Stage().layers,
    )
}
IN_METHODS = {
    "architectures": ["LlamaForCausalLM"],
    "data": {},
    "end": 1,
    "settings": triptych.ResolutionSettings(),
    "start": 0,
    "weights": [],
}


@pytest.mark.parametrize(
    ("method", "argument"), [(name, argument) for name, method in METHODS.items() for argument in parameters(method)]
)
def test_an_argument_of_a_method_is_told_likewise(method: str, argument: str) -> None:
    needed = [key for key, one in parameters(METHODS[method]).items() if one.default is one.empty and key != argument]
    for value in WRONG:
        error = raised(METHODS[method], **{key: IN_METHODS[key] for key in needed}, **{argument: value})
        if isinstance(error, TypeError):
            assert re.search(rf"\b{argument}\b", str(error)), f"{argument}={value!r}: {error}"


def test_the_functions_that_are_called_are_most_of_those_there_are() -> None:
    assert len(CALLED) > 60
    assert {"assemble", "load", "PlaceholderRange", "register_model", "MultiModalDataParser"} <= set(CALLED)
    assert NOT_CALLED.keys() <= WHERE.keys() | {"TokenLogprob"}


def test_all_arguments_of_a_wrong_type_are_told_at_once() -> None:
    with pytest.raises(triptych.ArgumentError) as caught:
        triptych.get_layer_index("x", None)  # type: ignore[arg-type]
    assert str(caught.value).splitlines() == [
        "feature_layer_index: a whole number is wanted, not 'x'",
        "num_hidden_layers: a whole number is wanted, not None",
    ]
    assert isinstance(caught.value, TypeError)


KINDS: dict[Any, str] = {
    Mapping: "a mapping",
    Sequence: "a list",
    int: "a whole number",
    str | None: "a text or None",
    Sequence | Mapping: "a list or a mapping",
    nn.Module: "Module",
}
ANYTHING = st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.binary(), st.lists(st.none()), st.just({}))


@given(value=ANYTHING, kind=st.sampled_from([*KINDS]))
def test_a_text_is_no_list_and_true_is_no_number(value: Any, kind: Any) -> None:
    sound = isinstance(value, kind)
    if isinstance(value, str | bytes):
        sound = isinstance(value, str) and kind == str | None
    elif isinstance(value, bool):
        sound = False
    if sound:
        check_arguments(it=(value, kind))
        return
    with pytest.raises(triptych.ArgumentError, match=rf"^it: {KINDS[kind]} is wanted, not "):
        check_arguments(it=(value, kind))
