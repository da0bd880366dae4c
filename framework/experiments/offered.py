"""The groups whose options the registry gives: each image tower, projector and language model, none written twice.

What an option says stands under `model` of an experiment. A tower or a language model brings the sizes of its spec's
`sample`, so that any of them goes with any other.
"""

from __future__ import annotations

from triptych.registry import get_part, part_names
from triptych.spec.base import PartSpec
from triptych.spec.catalog import catalog, load_named, sample_config
from triptych.spec.document import Tree
from triptych.spec.mapping import tree_of

GROUPS = ("tower", "projector", "language_model")
SUFFIX = "_vision"  # of a spec's name: `tower=clip` is the image tower of CLIP


def offered_names(group: str) -> list[str]:
    """The options of one of GROUPS."""
    if group == "projector":
        return [name for name in sorted(part_names("projector")) if _is_whole(name)]
    names = [listed.name for listed in catalog().values() if listed.kind == group]
    return sorted(_short(name) for name in names if group != "tower" or _sees(name))


def offered(group: str, name: str) -> Tree:
    """What an option says. Raises SpecError for a spec that cannot be read or has no sample."""
    found = {"tower": _tower, "projector": _projector, "language_model": _language_model}[group](name)
    return tree_of(found, origin=f"{group}={name}")


def _tower(name: str) -> dict[str, object]:
    spec = next(known.name for known in catalog().values() if known.kind == "tower" and _short(known.name) == name)
    tower = {"spec": spec, "config": "=config.vision_config"}
    return {"towers": {"image": tower}, "sample": {"vision_config": _sample(spec)}}


def _sees(tower: str) -> bool:
    """Whether it takes images; one that says nothing of its items does."""
    return "image" in ((load_named(tower)[1].get("items") or {}).get("schema") or {"image": None})


def _projector(name: str) -> dict[str, object]:
    return {"projectors": {"image": {name: {"use": name}}}}


def _is_whole(name: str) -> bool:
    """Whether the part is a projector by itself: it gives rows of any width, and nothing has to be said of it."""
    spec = get_part("projector", name).spec
    fields = spec.model_fields if issubclass(spec, PartSpec) else {}
    return "out" in fields and not any(field.is_required() for field in fields.values())


def _language_model(name: str) -> dict[str, object]:
    text = {"spec": name, "config": "=config.text_config"}
    return {"language_model": text, "sample": {"text_config": _sample(name)}}


def _sample(spec: str) -> dict[str, object]:
    return sample_config(load_named(spec)[1], needed_by=spec)


def _short(spec: str) -> str:
    return spec.removesuffix(SUFFIX)
