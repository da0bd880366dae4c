"""Write typings/triptych/**: stubs that tell type checkers what pyproject's package-dir tells setuptools.

`registry/parts.py` is imported as `triptych.registry.parts`. mypy and pyright cannot rename a folder, but they follow
`typings/triptych/registry/parts.pyi`, which re-exports the names of the real file: each class keeps one identity, and
go-to-definition lands in the folder's own file. Run it after adding a module or a top-level name:
`python tools/typings.py` (`--check` writes nothing and fails when something would change).
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "typings"
HIDDEN = {"__all__", "__getattr__", "__dir__"}


def exported(tree: ast.Module) -> list[str]:
    """The names that a module defines, and those it re-exports (`import x as x`, or listed in `__all__`)."""
    return [name for name in dict.fromkeys(_names(tree.body)) if name not in HIDDEN]


def stubs() -> dict[Path, str]:
    """Path of each stub -> its text, for every module of every mapped folder."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        folders: dict[str, str] = tomllib.load(file)["tool"]["setuptools"]["package-dir"]
    return {
        OUT.joinpath(*package.split("."), source.relative_to(ROOT / folder)).with_suffix(".pyi"): _stub(source)
        for package, folder in folders.items()
        for source in sorted((ROOT / folder).rglob("*.py"))
    }


def main(arguments: list[str]) -> int:
    """Write what differs and delete what is stale; files that stay the same keep their time, so mypy's cache holds."""
    wanted = stubs()
    found = {path: path.read_text(encoding="utf-8") for path in OUT.rglob("*.pyi")}
    changed = [path for path in wanted | found if wanted.get(path) != found.get(path)]
    if "--check" in arguments:
        for path in changed:
            print(f"{path.relative_to(ROOT)} is out of date: python tools/typings.py", file=sys.stderr)
        return int(bool(changed))
    for path in changed:
        _write(path, wanted.get(path))
    return 0


def _write(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _stub(source: Path) -> str:
    module = ".".join(source.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    tree = ast.parse(source.read_text(encoding="utf-8"), str(source))
    whole = (n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.names[0].name == "*")
    lines = [f"from {module} import {name} as {name}" for name in exported(tree)]
    return "".join(f"{line}\n" for line in [*lines, *(f"from {package} import *" for package in whole)])


def _names(body: Iterable[ast.stmt]) -> Iterator[str]:
    for node in body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from (alias.name for alias in aliases if alias.asname == alias.name)
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=items) | ast.Tuple(elts=items)):
                yield from (i.value for i in items if isinstance(i, ast.Constant) and isinstance(i.value, str))
            case ast.Assign(targets=targets):
                yield from _stored(targets)
            case ast.AnnAssign(target=target):
                yield from _stored([target])
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                pass  # a guard or a `__main__` block: nothing to import
            case ast.If() | ast.Try() | ast.With():
                yield from _names(_inner(node))


def _inner(node: ast.If | ast.Try | ast.With) -> Iterator[ast.stmt]:
    for field in ("body", "orelse", "finalbody"):
        yield from getattr(node, field, [])
    for handler in getattr(node, "handlers", []):
        yield from handler.body


def _stored(targets: Iterable[ast.expr]) -> Iterator[str]:
    for target in targets:
        names = (n for n in ast.walk(target) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
        yield from (name.id for name in names)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
