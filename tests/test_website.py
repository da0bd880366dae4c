"""What is generated as the site is built; that it builds without a warning is a part of `.ci/run`."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest

from tests.beside import imported
from triptych.kernels.choice import ops_with_kernels
from triptych.public import WHERE
from triptych.registry import KINDS, part_names

pytest.importorskip("mkdocs", reason="pip install triptych[docs]")
website = imported("tools", "website")


def told() -> dict[str, list[str]]:
    """The headings of each page of the API."""
    return {name: re.findall(r"heading: ([\w.]+),", text) for name, text in website.api().items()}


def test_every_public_name_stands_once_in_the_api() -> None:
    names = [name for page, found in told().items() if page not in ("parts", "kernels") for name in found]
    assert sorted(names) == sorted(f"triptych.{name}" for name in WHERE)


def test_every_part_and_every_op_with_a_kernel_has_its_place() -> None:
    pages = told()
    assert pages["parts"] == [f"{kind}.{name}" for kind in KINDS for name in part_names(kind)]
    assert {*ops_with_kernels()} <= {*pages["kernels"]}
    assert len(pages["kernels"]) == len({*pages["kernels"]})


def test_a_part_is_told_with_its_fields_types_and_defaults() -> None:
    _, _, rest = website.api()["parts"].partition("heading: norm.rms_norm,")
    rows = re.findall(r"^\| (.*) \|$", rest.partition(":::")[0], re.MULTILINE)
    assert "`eps` | `FiniteFloat` | needed" in rows
    assert "`cast` | `Literal['before', 'after']` | `'before'`" in rows


def test_the_home_page_begins_as_the_readme_with_links_that_hold_there() -> None:
    found = website.beginning()
    assert "triptych run" in found
    assert "](docs/" not in found
    assert not re.search(r"^#+ ", re.sub(r"```.*?```", "", found, flags=re.DOTALL), re.MULTILINE)


@pytest.mark.parametrize(
    ("markup", "fetched"),
    [
        ('<script src="https://cdn.example/x.js"></script>', ["https://cdn.example/x.js"]),
        ("<img alt='' src=//cdn.example/x.png>", ["//cdn.example/x.png"]),
        ('<link rel="stylesheet" href="https://fonts.example/css">', ["https://fonts.example/css"]),
        ('<a href="https://example.org">there</a> <img src="assets/x.png"> <script src="../x.js">', []),
    ],
)
def test_what_a_reader_would_fetch_from_elsewhere_is_warned_of(
    markup: str, fetched: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    website.on_post_page(markup, SimpleNamespace(file=SimpleNamespace(src_uri="a.md")))
    assert caplog.messages == [f"Doc file 'a.md' has its reader fetch {place}" for place in fetched]
