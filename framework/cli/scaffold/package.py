"""The files of a new package, from the templates beside this module; written whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from string import Template

from triptych.cli.scaffold.drafting import DraftSpec
from triptych.cli.scaffold.names import PackageNames, camel
from triptych.errors import OptionError

RUNS = {"language_model": "generate", "multimodal": "generate", "embedding_model": "embed", "tower": "tower"}


def package_files(names: PackageNames, spec: DraftSpec, *, part: str | None) -> dict[str, str]:
    """Path in the package's folder -> text."""
    kind, _, part_name = (part or "").partition(".")
    words = {
        **{"distribution": names.distribution, "package": names.package, "spec": names.spec},
        **{"class_name": names.class_name, "part": part_name, "part_class": camel(part_name)},
    }
    words["entries"] = "".join(_entries(names, spec, part))
    runs = [RUNS[spec.kind], *(["processor"] if spec.has_towers else [])]
    words["runs"] = "\n\n".join(_rendered(f"runs_{each}", words) for each in runs).rstrip()
    found = {path: _rendered(name, words) for path, name in _templates(names).items()}
    if spec.has_towers:
        found[f"{names.package}/processing.py"] = _rendered("processing.py", words)
    if part:
        found[f"{names.package}/{part_name}_spec.py"] = _rendered(f"{kind}_spec.py", words)
        found[f"{names.package}/{part_name}.py"] = _rendered(f"{kind}.py", words)
    return {**found, f"{names.package}/models/{names.spec}.yaml": spec.text(names)}


def write_package(found: Mapping[str, str], target: Path) -> None:
    """Write all files into `target`, a folder that is not there yet, or is empty.

    They are written beside it first, so that it is whole or not there. Raises OptionError where something stands.
    """
    if target.is_symlink() or (target.exists() and not (target.is_dir() and not any(target.iterdir()))):
        raise OptionError(f"{target} is there already, and nothing is overwritten; --out names another folder")
    beside = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        for path, text in found.items():
            (beside / path).parent.mkdir(parents=True, exist_ok=True)
            (beside / path).write_text(text, encoding="utf-8")
        beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _templates(names: PackageNames) -> dict[str, str]:
    return {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        ".gitignore": "gitignore",
        ".github/workflows/ci.yml": "ci.yml",
        f"{names.package}/__init__.py": "init.py",
        "tests/test_family.py": "test_family.py",
    }


def _entries(names: PackageNames, spec: DraftSpec, part: str | None) -> Iterator[str]:
    if part:
        name = part.partition(".")[2]
        target = f"{names.package}.{name}_spec:{camel(name)}Spec"
        yield f'\n[project.entry-points."triptych.parts"]\n"{part}" = "{target}"\n'
    if spec.has_towers:
        target = f"{names.package}.processing:{names.class_name}Processor"
        yield f'\n[project.entry-points."triptych.processors"]\n{names.spec} = "{target}"\n'


def _rendered(name: str, words: Mapping[str, str]) -> str:
    text = (files("triptych.cli.scaffold") / "templates" / f"{name}.txt").read_text("utf-8")
    return Template(text).substitute(words)
