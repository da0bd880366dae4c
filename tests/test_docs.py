"""The pages under docs/ say what is so: tables are those of the code, snippets run."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path
from pkgutil import iter_modules

import pytest

from tests.fences import fences
from triptych.public import WHERE

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
SNIPPETS = [
    pytest.param(fence.text, id=f"{page.name} {number}")
    for page in PAGES
    for number, fence in enumerate(fences(page))
    if fence.language == "python" and not fence.file and not fence.mark
]


def test_the_table_of_capabilities_is_that_of_the_code() -> None:
    written = runpy.run_path(str(ROOT / "tools" / "capabilities.py"))["page"]()
    assert (ROOT / "docs" / "capabilities.md").read_text("utf-8") == written, "run tools/capabilities.py"


@pytest.mark.slow
@pytest.mark.parametrize("text", SNIPPETS)
def test_a_snippet_runs(text: str, tmp_path: Path, smollm2: Path) -> None:
    (tmp_path / "smollm2").symlink_to(smollm2)
    (tmp_path / "snippet.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-W", "error", "snippet.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path) -> None:
    """Files of the project, and public names."""
    import triptych

    text = page.read_text("utf-8")
    files = re.findall(r"`((?:docs|tests|tools|conf)/[\w./]+)`", text)
    assert all((ROOT / file).exists() for file in files)
    names = re.findall(r"\btriptych\.(\w+)", text)
    groups = ("models", "specs", "processors", "dummy_inputs", "transcriptions", "plugins")
    folders = {"conf", "kernels", "schemas", *(module.name for module in iter_modules(triptych.__path__))}
    known = {*WHERE, *groups, *folders}
    assert not {*names} - known


def test_links_of_the_readme_lead_somewhere() -> None:
    """Those of pages are held to it where the site is built."""
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text("utf-8"))
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]
