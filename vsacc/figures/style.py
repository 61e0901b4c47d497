"""How every picture of the workbook looks: sizes, colours, and what several pictures draw in the same way."""

import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

# Okabe and Ito's palette: told apart with any colour vision. Grey and indigo extend it.
BLACK, ORANGE, SKY, GREEN, BLUE = "#000000", "#e69f00", "#56b4e9", "#009e73", "#0072b2"
VERMILION, PURPLE, GREY, INDIGO = "#d55e00", "#cc79a7", "#8a8a8a", "#332288"

MAKER = "vsacc"  # what a PNG file says it was made with
ACCENT = VERMILION  # where one thing is drawn
RIGHT, WRONG = "#1a7f37", "#c1121f"  # what a model says
TRUTH = "#ffd166"  # the dotted boxes of objects

Marks = Mapping[str, tuple[str, str, str]]  # of systems by name: colour, marker, label
Looks = Mapping[str, tuple[str, str, str]]  # of lines by name: colour, dashes, marker
Curves = Mapping[str, Sequence[float]]  # values by name

STYLE = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(color=[VERMILION, BLUE, GREEN, ORANGE, PURPLE, SKY, INDIGO, GREY]),
    "grid.color": "#e6e6e6",
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "image.cmap": "cividis",
    "image.interpolation": "nearest",
}


def use_style() -> None:
    """Make STYLE matplotlib's default, since ticks are made, and read it, only when a figure is drawn."""
    matplotlib.rcParams.update(STYLE)


def step_colour(step: int, steps: int) -> str:
    """Colour of saccade ``step`` in 0 .. steps - 1: purple first, yellow last; bright enough for frames on an image."""
    return to_hex(matplotlib.colormaps["plasma"](0.45 + 0.47 * step / max(steps - 1, 1)))


def mark(marks: Marks, name: str) -> tuple[str, str, str]:
    """Colour, marker and label of a system; grey where it has no mark."""
    return marks.get(name, (GREY, "o", name))


def subplots(width: float, height: float, rows: int = 1, columns: int = 1, **more: Any) -> tuple[Figure, Any]:
    """A figure of width x height inches and its axes: one, or an array of them."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(rows, columns, **more)


def used(grid: np.ndarray, count: int) -> list[Axes]:
    """The first ``count`` of a grid of axes; the others are left empty."""
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    return list(grid.flat[:count])


def band(axes: Axes, x: Sequence, y: Sequence, low: Sequence, high: Sequence, **look: Any) -> None:
    """A line and around it, from low to high, a pale band."""
    (line,) = axes.plot(x, y, **look)
    axes.fill_between(x, low, high, color=line.get_color(), alpha=0.15, linewidth=0)


def lines(axes: Axes, x: Sequence, curves: Mapping[str, Sequence], looks: Looks, **more: Any) -> None:
    """A line per name: values (n,), or the mean of (seeds, n) in a band from the worst seed to the best."""
    for name, values in curves.items():
        table, look = np.atleast_2d(values), dict(zip(("color", "linestyle", "marker"), looks[name], strict=True))
        band(axes, x, table.mean(0), table.min(0), table.max(0), **{"label": name, **look, **more})


def label_log(axis: Axis) -> None:
    """At least three labels on a logarithmic axis, however little it spans. Call it when all is drawn."""
    low, high = sorted(axis.get_view_interval())
    for locator in (LogLocator(), LogLocator(subs=(1, 2, 5)), MaxNLocator(6, steps=(1, 2, 5, 10))):
        ticks = [tick for tick in locator.tick_values(low, high) if low <= tick <= high]
        if len(ticks) >= 3:
            break
    axis.set_ticks(ticks, [f"{tick:,.6g}" for tick in ticks])
    axis.set_minor_formatter(NullFormatter())


def legend_below(figure: Figure, columns: int) -> None:
    """One legend for all panels, with every label once."""
    drawn = [zip(*axes.get_legend_handles_labels(), strict=True) for axes in figure.axes]
    handles = {label: handle for pairs in drawn for handle, label in pairs}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=columns)


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG file, at its own resolution, that names its maker."""
    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in a script that the font lacks: boxes
        figure.savefig(buffer, format="png", dpi=figure.dpi, metadata={"Software": MAKER})
    return buffer.getvalue()
