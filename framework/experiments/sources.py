"""The sources that Hydra composes from: folders of YAML, one file by its path, and what the registry offers.

Hydra sees a file only after it was read as a spec is (the same YAML, bounds and places) and nothing in it is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

from triptych.errors import SpecError
from triptych.experiments.offered import GROUPS, offered, offered_names
from triptych.experiments.refused import refused
from triptych.spec.document import Tree, read_document

EXPERIMENT = "experiment"
SPECS = frozenset({"model", "conversion"})  # folders beside the groups that hold specs, which Hydra does not compose
PACKAGES = {EXPERIMENT: "_global_", **dict.fromkeys(GROUPS, "model")}  # where a group's values go, if not to its name


class Source(ConfigSource):
    """A source whose configs are trees with places."""

    def tree(self, config_path: str) -> Tree:
        """What a config says. Raises SpecError for its form, and for everything in it that is refused."""
        raise NotImplementedError

    def names(self, group: str) -> list[str]:
        """The configs of a group, those in folders of it as `folder/name`; or the groups for ''."""
        raise NotImplementedError

    def load_config(self, config_path: str) -> ConfigResult:
        group = config_path.partition("/")[0]
        config = OmegaConf.create(plain(self.tree(config_path)))
        header: dict[str, str | None] = {"package": PACKAGES.get(group)}
        return ConfigResult(provider=self.provider, path=self.full_path(), config=config, header=header)

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        return config_path.strip("/") in ("", *self.names(""))

    def is_config(self, config_path: str) -> bool:
        group, _, name = config_path.strip("/").removesuffix(".yaml").partition("/")
        return bool(name) and group in self.names("") and name in self.names(group)

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        group = config_path.strip("/")
        other = ObjectType.GROUP if group else ObjectType.CONFIG  # a group holds configs, the top holds groups
        if not self.is_group(group) or results_filter is other:
            return []
        return sorted(name for name in self.names(group) if "/" not in name)  # which `glob(*)` is to match


class FolderSource(Source):
    """A folder of groups, each a folder of YAML files."""

    @staticmethod
    def scheme() -> str:
        return "triptych-folder"

    def tree(self, config_path: str) -> Tree:
        return read_config(Path(self.path, f"{config_path.removesuffix('.yaml')}.yaml"))

    def names(self, group: str) -> list[str]:
        folder = Path(self.path, group)
        if group:
            found = (file.relative_to(folder) for depth in ("*", "*/*") for file in folder.glob(f"{depth}.yaml"))
            return [file.with_suffix("").as_posix() for file in found]
        return [entry.name for entry in folder.iterdir() if entry.is_dir() and _is_group(entry.name)]


def _is_group(folder: str) -> bool:
    return folder not in SPECS and not folder.startswith(("_", "."))


class FileSource(Source):
    """One experiment by the path of its file."""

    @staticmethod
    def scheme() -> str:
        return "triptych-file"

    def tree(self, config_path: str) -> Tree:
        del config_path  # there is only one
        return read_config(Path(self.path))

    def names(self, group: str) -> list[str]:
        return [Path(self.path).stem] if group else [EXPERIMENT]


class RegistrySource(Source):
    """The groups whose options the registry gives."""

    @staticmethod
    def scheme() -> str:
        return "triptych-registry"

    def tree(self, config_path: str) -> Tree:
        group, _, name = config_path.removesuffix(".yaml").partition("/")
        return offered(group, name)

    def names(self, group: str) -> list[str]:
        return offered_names(group) if group else [*GROUPS]


def read_config(path: Path) -> Tree:
    """The mapping in a file of an experiment or of a group. Raises SpecError, each mistake with its place."""
    tree = read_document(path)
    if wrong := list(refused(tree)):
        raise SpecError(wrong)
    return tree


def plain(value: Tree) -> dict[str, Any]:
    """The same as dicts and lists, without places."""
    return {key: _plain(child) for key, child in value.items()}


def _plain(value: object) -> object:
    if isinstance(value, Tree):
        return plain(value)
    return [_plain(child) for child in value] if isinstance(value, list) else value
