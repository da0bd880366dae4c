"""Measurements as a picture: a panel for each, a bar for each row, a dot where rows are very many, or a curve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from math import isnan
from statistics import mean
from warnings import catch_warnings, simplefilter

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, MaxNLocator

BARS = 200  # rows beyond it are dots, without their names
COLOURS = 10  # that are told apart
GAP = 0.5  # between groups of bars
PANELS = 3  # beside each other
LARGE = 10_000
LABEL = 40  # letters of a row's name
MAX = 1e300  # what axes can be made for


def plot(
    rows: Sequence[Mapping[str, object]],
    names: Sequence[str],
    *,
    title: str,
    over: Sequence[float] | None = None,
    colours: Sequence[str] | None = None,
) -> bytes | None:
    """A PNG of the columns that have numbers, over the rows, called by their `names`; or as curves `over` numbers.

    With `colours`, at most COLOURS different texts, rows of one text have its colour, and neighbours of one name stand
    together. A column that is the same all over is left out, unless all are. None for fewer than two rows, or for no
    number.
    """
    columns = _columns(rows)
    if not columns or len(rows) < 2:
        return None
    across, down = min(PANELS, len(columns)), -(-len(columns) // PANELS)
    height = 1.2 + (0.2 * max(len(rows), 4) if over is None and len(rows) <= BARS else 2)
    figure = Figure(figsize=(2 + 4 * across, 0.4 + down * height), layout="constrained")
    bars = Bars.of(names, colours)
    with _as_anywhere():
        figure.suptitle(_short(title, 3 * LABEL))
        if over is None and len(rows) <= BARS and bars.legend:
            handles = [Patch(color=colour, label=_short(text, LABEL)) for text, colour in bars.legend.items()]
            figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        panels = figure.subplots(down, across, squeeze=False).flatten()
        for number, (panel, column) in enumerate(zip(panels, columns, strict=False)):
            values = [_value(row.get(column)) for row in rows]
            panel.set_title(column, fontsize="medium")
            if over is not None:
                _curve(panel, over, values)
            else:
                _draw(panel, values, bars, named=number % across == 0)
        for panel in panels[len(columns) :]:
            panel.remove()
        found = BytesIO()
        figure.savefig(found, format="png", dpi=100)
    return found.getvalue()


@dataclass(frozen=True)
class Bars:
    """Where each bar stands and its colour, which name stands where, and what the colours say."""

    places: list[float]
    colours: list[str]
    ticks: dict[float, str]
    legend: dict[str, str]

    @staticmethod
    def of(names: Sequence[str], colours: Sequence[str] | None) -> Bars:
        if colours is None:
            places = [float(number) for number in range(len(names))]
            return Bars(places, ["C0"] * len(names), dict(zip(places, names, strict=True)), {})
        legend = {text: f"C{number}" for number, text in enumerate(dict.fromkeys(colours))}
        places, ticks = list[float](), dict[float, str]()
        for name, group in groupby(names):
            first = places[-1] + 1 + GAP if places else 0.0
            places += (there := [first + number for number, _ in enumerate(group)])
            ticks[mean(there)] = name
        return Bars(places, [legend[text] for text in colours], ticks, legend)


@contextmanager
def _as_anywhere() -> Iterator[None]:
    """The user's own settings of plots are not those of these; that a font lacks a letter is nobody's mistake."""
    with style.context(["default", {"text.parse_math": False}]), catch_warnings():
        simplefilter("ignore", UserWarning)
        yield


def _columns(rows: Sequence[Mapping[str, object]]) -> list[str]:
    values: dict[str, set[float]] = {}
    for row in rows:
        for key, value in row.items():
            if not isnan(found := _value(value)):
                values.setdefault(key, set()).add(found)
    return [key for key, found in values.items() if len(found) > 1] or list(values)


def _curve(panel: Axes, over: Sequence[float], values: Sequence[float]) -> None:
    """Through the rows that have a value; a dot for each of a few."""
    there = [(at, value) for at, value in zip(over, values, strict=True) if not isnan(value)]
    panel.plot(*zip(*there, strict=True), marker="." if len(there) <= BARS else "")


def _draw(panel: Axes, values: Sequence[float], bars: Bars, *, named: bool) -> None:
    if len(values) > BARS:
        panel.plot(values, ".")
        return
    panel.barh(bars.places, values, color=bars.colours)
    panel.set_yticks([*bars.ticks], [_short(name, LABEL) if named else "" for name in bars.ticks.values()])
    panel.set_ylim(bars.places[-1] + 0.6, -0.6)
    if any(abs(value) >= LARGE for value in values):
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))  # 8G, not 8000000000
    panel.xaxis.set_major_locator(MaxNLocator(6))


def _short(text: str, length: int) -> str:
    """The text in one line, no longer than `length`."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 3]}..."


def _value(value: object) -> float:
    """A number that can be drawn, else NaN."""
    return float(value) if isinstance(value, int | float) and abs(value) < MAX else float("nan")
