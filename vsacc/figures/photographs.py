"""Pictures of where a model looked in a photograph. Arrays in, Figure out; coordinates as in :mod:`.saccades`."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .saccades import frame_glimpses, show
from .style import GREY, METHODS, step_colour

COLUMNS = 4  # glimpses beside each other


def looked_at(
    image: np.ndarray,
    aspect: float,
    where: np.ndarray,
    glimpses: np.ndarray,
    classes: Sequence[str],
    probabilities: Sequence[float],
    title: str = "",
) -> Figure:
    """A photograph with the frames of its glimpses, the glimpses at their own resolution, and its likeliest classes.

    Args:
        image: (H, W) or (H, W, 3), uint8 or in [0, 1].
        aspect: height over width of the photograph; glimpses are drawn with it too, as they lie in the photograph.
        where: (T, 3), T may be 0.
        glimpses: (T, L, L) or (T, L, L, 3) in [0, 1].
        classes: names, the likeliest first, with their ``probabilities``.
    """
    figure = Figure(figsize=(9.5, 4.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.15, 1])
    axes = left.subplots()
    show(axes, image, title)
    axes.set_aspect(aspect)
    frame_glimpses(axes, where)
    bars = right
    if len(where):
        lines = -(-len(where) // COLUMNS)
        top, bars = right.subfigures(2, 1, height_ratios=[1.1 * lines, 1 + 0.5 * lines])
        grid = top.subplots(lines, min(len(where), COLUMNS), squeeze=False).flatten()
        for cell in grid:
            cell.set_axis_off()
        for step, (cell, glimpse) in enumerate(zip(grid, glimpses, strict=False)):
            cell.set_axis_on()
            show(cell, glimpse, colour=step_colour(step, len(where)))
            cell.set_aspect(aspect)
    axes = bars.subplots()
    axes.barh(classes, probabilities, color=[METHODS["saccader"], *[GREY] * (len(classes) - 1)])
    for line, probability in enumerate(probabilities):
        axes.text(probability + 0.01, line, f"{100 * probability:.1f} %", va="center", fontsize=9)
    axes.set(xlim=(0, 1.15), xticks=(0, 0.5, 1), xlabel="probability")
    axes.invert_yaxis()
    return figure
