"""Predicates narrow types, for classes and for instances."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT

# torch is not read, which would take a minute.
CONFIG = """[mypy]
strict = true
mypy_path = {folder}
cache_dir = {folder}/cache
[mypy-torch.*,numpy.*]
follow_imports = skip
[mypy-triptych.*]
follow_imports = silent
"""


def test_predicates_narrow_classes_and_instances(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    right = (Path(__file__).parent / "narrowing.py").read_text(encoding="utf-8")
    wrong = right.replace("type[IsHybrid])", "type[SupportsPP])").replace("(model, int)", "(model, str)")
    (tmp_path / "triptych").symlink_to(ROOT / "framework")
    for name, text in {"mypy.ini": CONFIG.format(folder=tmp_path), "right.py": right, "wrong.py": wrong}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    files = ("right.py", "wrong.py")
    said, trouble, _ = api.run(["--config-file", str(tmp_path / "mypy.ini"), *(str(tmp_path / name) for name in files)])
    assert not trouble
    assert [line.partition("error: ")[2] for line in said.splitlines() if "wrong.py" in line] == [
        'Expression is of type "type[IsHybrid]", not "type[SupportsPP]"  [assert-type]',
        'Expression is of type "int", not "str"  [assert-type]',
    ]
    assert "right.py" not in said
