"""Imports run one way, down the list of layers, and what validates without torch imports none."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]
ENTRIES: dict[str, dict[str, str]] = PROJECT["project"]["entry-points"]

# From the top down. A module imports from its own layer and from those below it.
ORDER = [
    ["contrib_models"],
    ["cli"],
    ["experiments"],  # they run what check and tasks do, and Hydra is imported here alone
    ["bridges", "training", "serve"],
    ["handwriting"],
    ["check"],
    ["tasks"],
    ["runner"],
    ["inputs"],
    ["assembly"],
    ["weights"],
    ["parts"],
    ["kernels"],
    ["spec"],
    ["registry"],
    ["capabilities"],
    ["schemas"],
    ["settings"],
    ["arguments"],
    ["errors"],
    ["whole_file"],
    ["public"],
]
HEIGHT = {layer: len(ORDER) - number for number, layers in enumerate(ORDER) for layer in layers}
TORCH_FREE = HEIGHT["spec"]  # no torch is imported from here down
OUTSIDE = {"conf": "no code", "contrib_models": "a third party's place: public names only"}
HEAVY = {"torch", "transformers", "triton", "safetensors", "tokenizers", "huggingface_hub"}
# Names that anyone outside may import: the root package, and what a part or a family of one's own is made of.
PUBLIC = {
    "",
    "registry",
    "schemas",
    "capabilities",
    "settings",
    "errors",
    "parts",
    "kernels",
    "spec.base",
    "tasks.model",
}


def modules() -> dict[str, Path]:
    """Every module of the six folders, by its name below `triptych` ("" is the root package)."""
    found = {}
    for package, folder in FOLDERS.items():
        for file in (ROOT / folder).rglob("*.py"):
            parts = [*package.split("."), *file.relative_to(ROOT / folder).with_suffix("").parts]
            found[".".join(parts[1:]).removesuffix("__init__").removesuffix(".")] = file
    return found


MODULES = modules()


def imported(tree: ast.AST, *, types: bool = True, functions: bool = True) -> Iterator[str]:
    """Absolute names that a module imports: all, or without those for types only, or without those inside functions."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")) if not types:
                for other in node.orelse:
                    yield from imported(other, types=types, functions=functions)
            case ast.FunctionDef() | ast.AsyncFunctionDef() if not functions:
                pass
            case ast.Import(names=aliases):
                yield from (alias.name for alias in aliases)
            case ast.ImportFrom(module=module, names=aliases, level=level):
                assert not level, f"relative import, line {node.lineno}"
                yield from (f"{module}.{alias.name}" for alias in aliases)
            case _:
                yield from imported(node, types=types, functions=functions)


@cache
def parsed(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def module_of(target: str) -> str:
    """`triptych.parts.rope.Rope` -> `parts.rope`: the longest prefix that is a module."""
    parts = target.split(".")[1:]
    while ".".join(parts) not in MODULES:
        parts.pop()
    return ".".join(parts)


def own_imports(name: str, *, types: bool = True, functions: bool = True) -> set[str]:
    """The modules of triptych that module `name` imports."""
    targets = imported(parsed(name), types=types, functions=functions)
    return {module_of(target) for target in targets if target.partition(".")[0] == "triptych"}


def heavy_imports(name: str, *, functions: bool = True) -> set[str]:
    return HEAVY & {target.partition(".")[0] for target in imported(parsed(name), types=False, functions=functions)}


def layer(name: str) -> str:
    return name.partition(".")[0]


def torch_free() -> list[str]:
    """The modules that validation may import: the low layers, and of the parts what entry points name and Specs use."""
    low = {name for name in MODULES if HEIGHT.get(layer(name), 99) <= TORCH_FREE}
    specs = {name for name in MODULES if name.startswith("parts.") and name.endswith("_spec")}
    plain = {
        "parts",
        "parts.sizes",
        "parts.sides",
        "parts.grid",
        "parts.tile_grid",
        "parts.stand_ins",
        "parts.cache_needs",
    } & MODULES.keys()
    named = {
        module_of(target.replace(":", "."))
        for entry, target in ENTRIES["triptych.parts"].items()
        if not entry.startswith("activation.")  # found by name alone; a plain function on tensors
    }
    return sorted(low | specs | plain | named)


@pytest.mark.parametrize("name", [name for name in MODULES if layer(name) not in {"", *OUTSIDE}])
def test_imports_point_down(name: str) -> None:
    upward = {other for other in own_imports(name) if other and HEIGHT[layer(other)] > HEIGHT[layer(name)]}
    assert not upward, f"{name} imports {sorted(upward)}, which stand above it"
    assert "" not in own_imports(name) or layer(name) == "cli", f"{name} imports from the root package; name the module"


@pytest.mark.parametrize("name", [name for name in MODULES if layer(name) in OUTSIDE])
def test_folders_that_stand_outside_use_public_names_only(name: str) -> None:
    assert not {o for o in own_imports(name) if o not in PUBLIC and layer(o) not in {layer(name), "parts", "kernels"}}


@pytest.mark.parametrize("name", list(MODULES))
def test_every_module_belongs_to_a_layer(name: str) -> None:
    assert layer(name) in {"", *OUTSIDE, *HEIGHT}, f"{name} stands in a folder that ORDER does not have"


@pytest.mark.parametrize("name", ["", "cli"])
def test_the_root_package_and_the_command_line_start_without_torch(name: str) -> None:
    needed = own_imports(name, types=False, functions=False) - {"", name, *torch_free()}
    assert not needed, f"{name or 'the root package'} imports {sorted(needed)}, which bring torch"
    assert not heavy_imports(name, functions=False)


@pytest.mark.parametrize("name", torch_free())
def test_modules_that_validation_needs_import_nothing_heavy(name: str) -> None:
    assert not (heavy := heavy_imports(name)), f"{name} imports {sorted(heavy)}"
    beside = own_imports(name, types=False) - {"", *torch_free()}
    assert not beside, f"{name} must do without torch and imports {sorted(beside)}, which may not"


def test_modules_that_validation_needs_leave_torch_unloaded() -> None:
    names = ["triptych", *(f"triptych.{name}" for name in torch_free() if name)]
    code = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
    loaded = {HEAVY!r} & sys.modules.keys()
    assert not loaded, f"{{name}} loaded {{sorted(loaded)}}"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
