"""The gallery of the site: every registered family with what its spec makes, drawn, and what it says that it can do.

    python -m tools.gallery FOLDER

writes its pages there; where the site is built they stand in no file.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from textwrap import wrap

from tools.coverage import lines_of
from triptych.assembly import assemble
from triptych.capabilities import capability_report
from triptych.check.outline import Node, outline
from triptych.cli.node_words import options, title
from triptych.cli.pictures.content import COLOURS, PLAIN
from triptych.cli.pictures.layout import LINE, PAD, SIZE, Box, Drawing, lay_out
from triptych.spec.catalog import Listed, catalog, load_named, sample_config

ROOT = Path(__file__).resolve().parent.parent
TITLES = {
    "language": "Models of language",
    "vision": "Models that see",
    "sound": "Models that hear",
    "embedders": "Models that embed",
    "towers": "Towers",
}
"""The pages by name, in order."""
WIDE = 44  # letters of a line in a box
KINDS = {fill: kind for kind, fill in COLOURS.items()} | {PLAIN: "plain"}


@dataclass(frozen=True)
class Family:
    """A registered spec, and what it makes of its sample."""

    listed: Listed
    root: Node
    capabilities: tuple[str, ...]

    @property
    def page(self) -> str:
        """By what it takes: of several modalities a sound counts where there are no images."""
        towers = {child.name for child in self.root.children if child.kind == "tower"}
        if self.listed.kind == "multimodal":
            return "vision" if towers & {"towers.image", "towers.video"} else "sound"
        return {"tower": "towers", "embedding_model": "embedders"}.get(self.listed.kind, "language")


def families() -> Iterator[Family]:
    """Every spec that makes a model, in order of their names; fragments, on which others are based, make none."""
    for name, listed in sorted(catalog().items()):
        if listed.kind != "fragment":
            tree = load_named(name)[1]
            made = assemble(tree, sample_config(tree), name=name)
            states = capability_report(made.module).states
            yield Family(listed, outline(made), tuple(each for each, state in states.items() if state != "absent"))


def pages() -> dict[str, str]:
    """The text of each page by its name; `index` leads to all others."""
    found = defaultdict[str, list[Family]](list)
    for family in families():
        found[family.page].append(family)
    told = {name: "\n".join([f"# {TITLES[name]}\n", *map(_section, found[name])]) for name in TITLES if found[name]}
    return {"index": _index(found), **told}


def _index(found: Mapping[str, list[Family]]) -> str:
    rows = "".join(
        f"| [{TITLES[name]}]({name}.md) | {len(found[name])} | "
        f"{', '.join(f'[{each.listed.name}]({name}.md#{each.listed.name})' for each in found[name])} |\n"
        for name in TITLES
        if found[name]
    )
    return INDEX + rows


INDEX = """# Families

Each of these is a YAML document, and all are made of the same [parts](../api/parts.md). Pictures are drawn from the
specs whenever this site is built, with the small config that each spec has as its `sample`. This draws one, of a
checkpoint's config with `--config FILE`:
```sh
triptych show llama --tree
triptych show llava --tree --picture llava.svg
```
How near their logits come to those of references: [Coverage](../coverage.md).

| | families | |
|---|---|---|
"""


def _section(family: Family) -> str:
    listed = family.listed
    rows = {
        "architectures": _words(listed.architectures),
        "model types": _words(listed.model_types),
        "can": _words(family.capabilities),
        "spec": f"`{listed.path.name}`, {lines_of(listed.path)} lines",
    }
    told = "\n".join(f"- {name}: {value}" for name, value in rows.items() if value)
    spec = listed.path.read_text(encoding="utf-8").strip()
    return f"""## {listed.name}

{told}

{svg(family.root)}

<details markdown><summary>{escape(listed.path.name)}</summary>

```yaml
{spec}
```

</details>
"""


def _words(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def svg(root: Node) -> str:
    """The tree as a drawing in the colours of the page that it stands in, which are in docs/style.css."""
    drawing = lay_out(root, said)
    width, height = drawing.size
    name = escape(title(root))
    return (
        f'<svg class="family" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{name}">{"".join(_shapes(drawing))}</svg>'
    )


def said(node: Node) -> list[str]:
    """What stands in a box: what the spec says of a part, and nothing that follows from sizes."""
    return [title(node), *wrap(options(node), WIDE)]


def _shapes(drawing: Drawing) -> Iterator[str]:
    for kind, found in (("inside", drawing.lines), ("flow", drawing.flows)):
        for points in found:
            yield f'<polyline class="{kind}" points="{" ".join(f"{x:g},{y:g}" for x, y in points)}"/>'
    for points in drawing.flows:
        x, y = points[-1]
        yield f'<path class="head" d="M{x:g} {y:g}l9 -5v10z"/>'
    for box in drawing.boxes:
        yield from _box(box)


def _box(box: Box) -> Iterator[str]:
    place = f'x="{box.x:g}" y="{box.y:g}" width="{box.width:.0f}" height="{box.height:g}"'
    yield f'<rect class="{KINDS[box.fill]}" {place} rx="3"/>'
    for number, line in enumerate(box.lines):
        at = f'x="{box.x + PAD:g}" y="{box.y + PAD + number * LINE + SIZE:g}"'
        yield f'<text class="line{number}" {at}>{escape(line)}</text>'


def main(arguments: list[str]) -> int:
    """Write the pages into a folder."""
    if len(arguments) != 1:
        print("python -m tools.gallery FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
