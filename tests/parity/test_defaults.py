"""What a spec takes for granted when a config is silent is what the writer's own class takes for granted."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml

from tests.parity.oracle import saved
from triptych.assembly import assemble
from triptych.spec.catalog import catalog, find_family
from triptych.spec.config import Config, bindings
from triptych.spec.merge import load_tree
from triptych.spec.scope import Names

SPECS = [listed for listed in catalog().values() if any(hasattr(transformers, a) for a in listed.architectures)]
LANGUAGE_MODELS = [listed for listed in SPECS if listed.kind == "language_model"]
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
UNMADE = {
    **{"dbrx": "no base of rotation", "dots1": "no number of experts", "glm4_moe": "heads that do not turn in pairs"},
    **{"deepseek_v2": "no number of experts of a row", "nemotron_h": "a list of more layers than two"},
    "zamba2": "a list of more layers than two",
    **{"lfm2_moe": "no kinds of layers", "longcat_flash": "room for experts that give back what they are given"},
}


RELEASED = yaml.safe_load((Path(__file__).resolve().parent / "released.yaml").read_text("utf-8"))
EVERYWHERE = {
    **{"torch_dtype": "bfloat16", "transformers_version": "4.40.0", "initializer_range": 0.02, "use_cache": True},
    **{"bos_token_id": 1, "eos_token_id": [1, 2], "pad_token_id": 0},
}


def config_class(architecture: str) -> Any:
    return getattr(transformers, architecture).config_class


def longest(config: Any) -> int | None:
    """The longest sequence that a config of the class tells, by the name that it has for it."""
    keys = ("model_max_length", "max_position_embeddings", "seq_length")
    return next((getattr(config, key) for key in keys if hasattr(config, key)), None)


@pytest.mark.parametrize("listed", SPECS, ids=lambda listed: listed.name)
def test_each_default_is_that_of_the_class(listed: Any) -> None:
    tree = load_tree(listed.path)
    places = Config({}, bindings(tree), Names({}, None)).places
    for architecture in filter(partial(hasattr, transformers), listed.architectures):
        defaults = {field.name: field.default for field in fields(config_class(architecture))}
        theirs = {key: list(value) if isinstance(value, tuple) else value for key, value in defaults.items()}
        inside = {
            name: below for name, below in config_class(architecture)().to_dict().items() if isinstance(below, dict)
        }
        theirs |= {f"{name}.{key}": value for name, below in inside.items() for key, value in below.items()}
        for name, value in (tree.get("defaults") or {}).items():
            if value is None or isinstance(value, dict):  # the class makes sub-configs later
                continue
            keys = [p for p in places(name) if isinstance(p, str) and p in theirs]
            if any(theirs[key] is None for key in keys):  # the class fills it in when one is made
                theirs |= config_class(architecture)().to_dict()
            assert [theirs[key] for key in keys] == [value] * max(1, len(keys)), f"{name}: {keys}"


@pytest.mark.parametrize("listed", LANGUAGE_MODELS, ids=lambda listed: listed.name)
def test_an_empty_config_is_the_model_that_the_class_makes_of_nothing(listed: Any) -> None:
    if why := UNMADE.get(listed.name):
        pytest.skip(f"the class says nothing that a model can be made of: {why}")
    for architecture in filter(partial(hasattr, transformers), listed.architectures):
        layers = next(k for k in LAYERS if k in config_class(architecture)().to_dict())
        config = config_class(architecture)(**{layers: 2})
        heads = getattr(config, "num_attention_heads", 1)
        for key, value in {"head_dim": config.hidden_size // heads, "num_key_value_heads": heads}.items():
            if "per_layer_config" not in config.to_dict() and getattr(config, key, None) is None:
                setattr(config, key, value)  # without which some classes cannot make a model
        beside = {"num_kv_shared_layers": 0} if hasattr(config, "num_kv_shared_layers") else {}
        for key, value in beside.items():  # of more layers than two
            setattr(config, key, value)
        with torch.device("meta"):
            theirs = getattr(transformers, architecture)(config)
        ours = assemble(None, {"architectures": [architecture], layers: 2, **beside}).module
        assert sum(p.numel() for p in ours.parameters()) == sum(tensor.numel() for _, tensor in saved(theirs))
        assert ours.context == longest(config)


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_config_is_the_model_that_the_class_makes_of_it(name: str) -> None:
    given = {**EVERYWHERE, **RELEASED[name]}
    layers = next(k for k in LAYERS if k in given)
    given[layers] = 2
    ours = assemble(None, given).module
    (architecture,) = given.get("architectures") or catalog()[find_family(given)].architectures
    known = hasattr(transformers, architecture) and given["model_type"] == config_class(architecture).model_type
    if not known:  # that the config is understood is all there is to see
        assert ours.context
        return
    config = config_class(architecture)(**given)
    with torch.device("meta"):
        theirs = getattr(transformers, architecture)(config)
    assert sum(p.numel() for p in ours.parameters()) == sum(t.numel() for _, t in saved(theirs))
    assert ours.context == longest(config)
