"""The plots of a report: inline SVG that takes its colours and its font from the page around it."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from bicross.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, GRID, ONE, TWO = "#010101", "#020202", "#030303", "#040404", "#050505"
"""Colours that stand for the page's own, which differ between light and dark."""
_COLOURS = {INK: "var(--ink)", MUTED: "var(--muted)", GRID: "var(--grid)", ONE: "var(--one)", TWO: "var(--two)"}
_SIZE = (5.2, 3.4)
"""Inches of 72 units: the text keeps its size on a telephone 390 pixels wide."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "bicross",
    "text.parse_math": False,
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
}


class Plot:
    """One plot: drawn inside a ``with``, after which `svg` is its markup.

    Args:
        name: Unique on the page; letters and digits.
        title: What it shows, for readers who can't see it.

    Raises:
        MissingExtraError: matplotlib isn't installed.
    """

    def __init__(self, name: str, title: str) -> None:
        self._name, self._title = name, title
        self.svg = ""

    def __enter__(self) -> Self:
        try:
            import matplotlib as mpl
            from matplotlib.figure import Figure
        except ImportError as error:
            raise MissingExtraError('A page with plots needs matplotlib: pip install "bicross[evaluation]"') from error
        self._style = mpl.rc_context(_STYLE)
        self._style.__enter__()
        self._figure = Figure(figsize=_SIZE, layout="constrained")
        self.axes: Axes = self._figure.subplots()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                out = io.StringIO()
                self._figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
                self.svg = _themed(out.getvalue(), self._name, self._title)
        finally:
            self._style.__exit__(None, None, None)

    def labels(self, x: str, y: str) -> None:
        """Name both axes."""
        self.axes.set_xlabel(x)
        self.axes.set_ylabel(y)

    def counted_axis(self, ticks: Sequence[int], *, from_zero: bool = False) -> None:
        """A logarithmic axis of whole numbers, linear below 10 where it begins at 0."""
        count_axis(self.axes, ticks, [f"{tick:,}" for tick in ticks], from_zero=from_zero)

    def top_axis(self, ticks: Sequence[int], names: Sequence[str], label: str) -> None:
        """A second axis above, whose ticks say something else of the same places."""
        above = self.axes.twiny()
        above.grid(False)
        above.spines["top"].set_visible(True)
        count_axis(above, ticks, names, from_zero=True)
        above.set_xlabel(label)


def count_axis(axes: Axes, ticks: Sequence[int], names: Sequence[str], *, from_zero: bool) -> None:
    """Make the horizontal axis logarithmic, with these ticks and no others."""
    options: dict[str, Any] = {"linthresh": 10} if from_zero else {}
    axes.set_xscale("symlog" if from_zero else "log", **options)
    axes.set_xticks(list(ticks), list(names))
    axes.minorticks_off()
    axes.set_xlim(ticks[0], ticks[-1])


def _themed(markup: str, name: str, title: str) -> str:
    """Markup as it goes into a page: the page's colours and font, a title, ids of its own."""
    from html import escape

    svg = markup[markup.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: inherit", svg)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    for colour, variable in _COLOURS.items():
        svg = svg.replace(colour, variable)
    head = f'<svg role="img" aria-labelledby="{name}-title" '
    svg = svg.replace("<svg ", head, 1)
    return re.sub(r"(<svg[^>]*>)", rf'\1<title id="{name}-title">{escape(title)}</title>', svg, count=1).strip()
