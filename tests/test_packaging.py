"""What is installed is what pyproject.toml says, and a built wheel holds all of it under one name."""

from __future__ import annotations

import ast
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
FOLDERS: dict[str, str] = PYPROJECT["tool"]["setuptools"]["package-dir"]
ENTRY_POINTS: dict[str, dict[str, str]] = {"console_scripts": PROJECT["scripts"], **PROJECT["entry-points"]}
TARGETS = [(f"{group}: {name}", target) for group, named in ENTRY_POINTS.items() for name, target in named.items()]
PINS = re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
PINNED = {canonicalize_name(name): version for name, version in PINS}


def file_of(module: str) -> Path:
    """Where a module or a folder of the package stands in this tree, by the mapping of pyproject.toml."""
    package = max((p for p in FOLDERS if f"{module}.".startswith(f"{p}.")), key=len)
    path = ROOT / FOLDERS[package] / Path(*module.removeprefix(package).split("."))
    return path if path.is_dir() else path.with_suffix(".py")


def test_installed_entry_points_are_those_of_pyproject() -> None:
    installed: dict[str, dict[str, str]] = {}
    for point in distribution("triptych").entry_points:
        installed.setdefault(point.group, {})[point.name] = point.value
    assert installed == ENTRY_POINTS, "pyproject.toml changed since triptych was installed; reinstall: pip install -e ."


@pytest.mark.parametrize(("entry", "target"), TARGETS, ids=[entry for entry, _ in TARGETS])
def test_the_target_of_an_entry_point_exists(entry: str, target: str) -> None:
    module, _, name = target.partition(":")
    file = file_of(module)
    assert file.exists(), f"{entry} names {target}, and there is no {file.relative_to(ROOT)}"
    if not name:
        assert list(file.glob("*.yaml")), f"{entry} names {target}, which holds no spec"
        return
    source = file / "__init__.py" if file.is_dir() else file
    exported = runpy.run_path(str(ROOT / "tools" / "typings.py"))["exported"]
    assert name in exported(ast.parse(source.read_text(encoding="utf-8"))), f"{source.name} defines no {name}"


@pytest.mark.parametrize("package", [package for package in FOLDERS if package != "triptych.kernels"])
def test_a_mapped_folder_refuses_to_be_imported_under_its_own_name(package: str) -> None:
    done = import_from_root(FOLDERS[package])
    assert f"ImportError: import {package}, not {FOLDERS[package]}" in done.stderr


def test_the_folder_kernels_steps_aside_for_the_package_of_that_name() -> None:
    done = import_from_root("kernels", then="assert not hasattr(kernels, '__version__')")
    assert done.returncode == 0, done.stderr


def import_from_root(name: str, *, then: str = "") -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {name}; {then}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("extra", ["", "audio", "constrain", "train", "video", "handwriting", "test", "docs", "dev"])
def test_every_dependency_has_a_tested_version_that_its_range_allows(extra: str) -> None:
    listed = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    for requirement in map(Requirement, listed):
        if requirement.name != PROJECT["name"]:
            version = PINNED.get(canonicalize_name(requirement.name))
            assert version, f"constraints.txt lacks {requirement.name}"
            assert version in requirement.specifier, f"{requirement}, but {version} was tested"


@pytest.mark.slow
def test_sdist_and_wheel_hold_every_module_and_spec_under_one_package(tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path / "tree")  # a build would take up what an older one left in it
    command = [sys.executable, "-m", "build", "--outdir", str(tmp_path), str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected_files(tree)


def copy_of_the_tree(target: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in [*FOLDERS.values(), "tests", "tools"]:
        shutil.copytree(ROOT / folder, target / folder, ignore=ignore)
    for file in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, target)
    return target


def expected_files(tree: Path) -> set[str]:
    """Each file of each mapped folder, where it belongs in the one package `triptych`."""
    return {
        "/".join([*package.split("."), *file.relative_to(tree / folder).parts])
        for package, folder in FOLDERS.items()
        for file in (tree / folder).rglob("*")
        if file.is_file()
    }
