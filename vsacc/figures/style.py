"""How every picture of the workbook looks: sizes, and a colour for each method and each saccade."""

from io import BytesIO

import matplotlib
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with any colour vision. Grey, indigo and violet extend it.
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE, GREY, INDIGO, VIOLET = (
    *("#000000", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#d55e00", "#cc79a7"),
    *("#8a8a8a", "#332288", "#8878d0"),
)

RIGHT, WRONG = "#1a7f37", "#c1121f"  # what a model says
TRUTH = "#ffd166"  # the dotted boxes of objects

METHODS = {
    "saccader": VERMILION,
    "saccader (paper)": ORANGE,
    "resnet18": BLUE,
    "resnet18_144": SKY,
    "proxy_only": GREY,
    "random": BLACK,
    "ram": GREEN,
    "dram": PURPLE,
    "attention_sampling": INDIGO,
    "attention_sampling (reference gradient)": VIOLET,
}

STYLE = {
    "figure.figsize": (7.0, 3.2),
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": matplotlib.cycler(color=[VERMILION, BLUE, GREEN, ORANGE, PURPLE, SKY, INDIGO, GREY]),
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "image.cmap": "cividis",
    "image.interpolation": "nearest",
}


def use_style() -> None:
    """Make STYLE matplotlib's default. Not a context: ticks are made, and read it, only when a figure is drawn."""
    matplotlib.rcParams.update(STYLE)


def step_colour(step: int, steps: int) -> str:
    """Colour of saccade ``step`` in 0 .. steps - 1: purple first, yellow last; bright enough for frames on an image."""
    if not 0 <= step < steps:
        raise ValueError(f"step must be in 0 .. {steps - 1}, not {step}")
    return to_hex(matplotlib.colormaps["plasma"](0.45 + 0.47 * step / max(steps - 1, 1)))


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG file, at its own resolution."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    return buffer.getvalue()
