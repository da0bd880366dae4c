"""Hydra, set up to compose one experiment from our sources alone, and put back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from triptych.errors import OptionError, suggest
from triptych.experiments.folders import conf_folders
from triptych.experiments.sources import EXPERIMENT, FileSource, FolderSource, RegistrySource, Source

NO_CONFIGS = str(Path(__file__).parent)  # Hydra wants a folder to start with; this one holds none of its files
_search: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("_search", default=())  # of the session that is open


class _Sources(SearchPathPlugin):
    """Puts the sources of the open session before the folder that Hydra was started with; without one, does nothing."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for provider, path in reversed(_search.get()):
            search_path.prepend(provider, path)


@cache
def _register() -> None:
    for plugin in (FileSource, FolderSource, RegistrySource, _Sources):
        Plugins.instance().register(plugin)


@contextmanager
def session(name: str) -> Iterator[tuple[str, ConfigLoader]]:
    """The config's name in Hydra and the loader, for an experiment by its name or by the path of its YAML file."""
    _register()
    token = _search.set(tuple(_paths(name)))
    try:
        with initialize_config_dir(NO_CONFIGS, version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            yield f"{EXPERIMENT}/{_known(name, loader)}", loader
    finally:
        _search.reset(token)


def is_file(name: str) -> bool:
    """Whether an experiment is given by the path of its file."""
    return Path(name).suffix in (".yaml", ".yml")  # which `.yaml` alone has not


def own_sources(loader: ConfigLoader) -> list[Source]:
    """Our sources, in the order in which they are asked."""
    return [source for source in loader.get_sources() if isinstance(source, Source)]


def options(group: str, loader: ConfigLoader) -> list[str]:
    """The options of a group, of whichever source; none for what is no group."""
    return sorted({name for source in own_sources(loader) if source.is_group(group) for name in source.names(group)})


def groups(loader: ConfigLoader) -> list[str]:
    """Every group there is."""
    return sorted({name for source in own_sources(loader) for name in source.names("")})


def _paths(name: str) -> Iterator[tuple[str, str]]:
    if is_file(name):
        file = Path(name).absolute()
        yield name, f"{FileSource.scheme()}://{file}"
        if file.parent.name == EXPERIMENT:  # a folder laid out as `conf/` is: its groups are of use too
            yield name, f"{FolderSource.scheme()}://{file.parent.parent}"
    for distribution, folder in conf_folders():
        yield distribution, f"{FolderSource.scheme()}://{folder}"
    yield "registry", f"{RegistrySource.scheme()}://"


def _known(name: str, loader: ConfigLoader) -> str:
    if is_file(name):
        return Path(name).stem
    if name not in (known := options(EXPERIMENT, loader)):
        near = suggest(name, known)
        raise OptionError(f"unknown experiment {name!r}{near} (a file is given by a path that ends in .yaml)")
    return name
