"""A registered model inside another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from triptych.arguments import check_arguments
from triptych.assembly.choose import choose
from triptych.capabilities.construct import construct
from triptych.errors import CapabilityError
from triptych.settings import MultiModalSettings, Settings


def init_registered_model(
    settings: Settings,
    *,
    config: Mapping[str, Any] | None = None,
    architectures: Sequence[str] | None = None,
    prefix: str = "",
) -> nn.Module:
    """The model that is registered for a sub-config, or for architectures, with the outer settings.

    Only which components there are is not handed on: the outer model leaves its own out. `config` is the outer one when
    it is none. `prefix` is the path of the inner model, which keeps its rows apart
    from others'. What a spec describes is built on meta: whoever loads the outer model gives it memory. Raises what
    finding and building the model raise.
    """
    check_arguments(
        settings=(settings, Settings),
        config=(config, Mapping | None),
        architectures=(architectures, Sequence | None),
        prefix=(prefix, str),
    )
    inner = dict(settings.config if config is None else config)
    if architectures is not None:
        inner["architectures"] = list(architectures)
    chosen = choose(inner, name=prefix)
    if chosen.convert is not None:
        raise CapabilityError(f"{prefix or 'an inner model'} is to {chosen.convert}; name the model that it is made of")
    own = replace(settings, config=inner, multimodal=MultiModalSettings())
    found = construct(chosen.model, own, prefix=prefix)
    if not isinstance(found, nn.Module):
        raise CapabilityError(
            f"{chosen.model.__qualname__} is no torch.nn.Module; it cannot stand inside another model"
        )
    return found
