"""An experiment and overrides -> one tree whose every value knows where it comes from. Hydra merges; we ask it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import hydra
from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from triptych.errors import OptionError, Place, RegistrationError, SpecError, TriptychError, suggest
from triptych.experiments.folders import conf_folders
from triptych.experiments.overrides import Overrides, sort_overrides
from triptych.experiments.places import Layer, Layers
from triptych.experiments.refused import at_override, refused
from triptych.experiments.session import groups, options, own_sources, session
from triptych.spec.document import Items, Tree


@dataclass(frozen=True)
class Composed:
    """A composed experiment. `file` is its own; `model_overrides` are those of the spec under `model`, as typed."""

    name: str
    tree: Tree
    file: Place | None
    model_overrides: tuple[str, ...]


def compose(name: str, words: Sequence[str] = ()) -> Composed:
    """Compose the experiment `name` (or the path of its file) with overrides.

    Raises OptionError for overrides and for a name that nothing offers, SpecError for what is wrong in files,
    RegistrationError for a file that two packages offer.
    """
    with session(name) as (config, loader):
        overrides = sort_overrides(words, loader)
        try:
            layers = Layers(list(_files(config, overrides, loader)), overrides.values)
            merged = hydra.compose(config, overrides=overrides.for_hydra)
        except MissingConfigException as error:
            raise _missing(error, _tree(config, loader), loader) from None
        except RecursionError:
            raise SpecError("leads back to itself", path="defaults", place=_whole(config, loader)) from None
        except (HydraException, OmegaConfBaseException) as error:
            raise _unmerged(_first_line(error), words, _whole(config, loader)) from None
        return Composed(name, _resolved(merged, layers), _whole(config, loader), overrides.model)


def _resolved(merged: DictConfig, layers: Layers) -> Tree:
    """The values, those of other keys filled in; what Hydra's quoting may have hidden from us is looked at first."""
    if wrong := list(refused(layers.tree(OmegaConf.to_container(merged, resolve=False)))):
        raise SpecError(wrong)
    try:
        return layers.tree(OmegaConf.to_container(merged, resolve=True, throw_on_missing=True))
    except OmegaConfBaseException as error:
        path = str(error.full_key or "")
        raise SpecError(_first_line(error), path=path, place=layers.place(path)) from None


def _files(config: str, overrides: Overrides, loader: ConfigLoader) -> Iterator[Layer]:
    """Every file and option that Hydra merges, in its order."""
    for default in loader.compute_defaults_list(config, overrides.for_hydra, RunMode.RUN).defaults:
        path = default.config_path
        if path is not None and any(source.is_config(path) for source in own_sources(loader)):
            package = () if default.package in (None, "", "_global_") else tuple(str(default.package).split("."))
            yield Layer(package, _tree(path, loader))


def _tree(path: str, loader: ConfigLoader) -> Tree:
    """What a config says. Raises RegistrationError when two packages offer it; one beside the experiment is first."""
    first, *others = (source for source in own_sources(loader) if source.is_config(path))
    packages = {distribution for distribution, _ in conf_folders()}
    offers = [source.provider for source in (first, *others) if source.provider in packages]
    if first.provider in packages and len(offers) > 1:
        raise RegistrationError(f"{path} is offered by {' and by '.join(offers)}; uninstall one")
    return first.tree(path)


def _unmerged(message: str, words: Sequence[str], whole: Place) -> TriptychError:
    """What Hydra cannot merge; where it names a word, that is the place."""
    for word in words:
        key, _, option = word.lstrip("+").partition("=")
        if message.startswith(f"Could not override '{key}'"):
            wanted = f"the experiment chooses no {key} that another could replace; `- /{key}: {option}` in its defaults"
            return OptionError(f"{wanted} would", place=at_override(word))
        if message.endswith(word.lstrip("+")):
            return OptionError("does not go with what the files say there", path=key, place=at_override(word))
    return SpecError(message, place=whole)


def _missing(error: MissingConfigException, tree: Tree, loader: ConfigLoader) -> SpecError:
    """An entry of a defaults list that leads to nothing."""
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    known, last = groups(loader), group.rpartition("/")[2]
    if group in known:
        message = f"unknown {group} {name!r}{suggest(name, options(group, loader))}"
    elif last in known:
        message = f"no group {group!r}; a group is named from the top: `/{last}: {name}`"
    else:
        message = f"no group {group!r}{suggest(last, known)}"
    return SpecError(message, path="defaults", place=_entry(tree, name))


def _entry(tree: Tree, name: str) -> Place | None:
    """Where a defaults list asks for an option; the list's own place when another file of it does."""
    given = tree.get("defaults")
    if isinstance(given, Items):
        for entry, place in zip(given, given.places, strict=True):
            if isinstance(entry, Tree) and name in entry.values():
                return next(entry.values_at[key] for key, value in entry.items() if value == name)
            if str(entry).rpartition("/")[2] == name:
                return place
    return tree.values_at.get("defaults")


def _whole(config: str, loader: ConfigLoader) -> Place:
    tree = _tree(config, loader)
    first = next(iter(tree.keys_at.values()), None)
    return Place(first.file, 1, 1) if first else Place(config, 0, 0)


def _first_line(error: Exception) -> str:
    """What is wrong; a line that ends in a colon says only that something is."""
    return next((line for line in str(error).splitlines() if not line.endswith(":")), str(error))
