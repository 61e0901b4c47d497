"""Pictures of videos and of a model that follows something in them. Arrays and numbers in, Figure out."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .saccades import frame, show
from .style import GREY, METHODS, RIGHT, TRUTH, WRONG, step_colour

LOOKS = {  # of a way to look: colour, dashes, marker
    "saccader": (METHODS["saccader"], "-", "o"),
    "saccader of still images": (METHODS["saccader (paper)"], "--", "D"),
    "its first place, kept": (GREY, "--", "s"),
    "random places": (METHODS["random"], ":", "^"),
}


def film(
    frames: np.ndarray, boxes: np.ndarray, where: np.ndarray, glimpses: np.ndarray, titles: list[str], right: list[bool]
) -> Figure:
    """Videos, time runs to the right: each frame with its glimpse's outline, and under it what the glimpse shows.

    frames (N, F, H, W); boxes (N, F, D, 4) of what moves, dotted; where (N, F, 3); glimpses (N, F, L, L); a title is
    green where ``right``, red where not.
    """
    count, steps = frames.shape[:2]
    figure = Figure(figsize=(1.5 * steps, 2.3 * count), layout="constrained")
    grid = figure.subplots(2 * count, steps, squeeze=False, height_ratios=[1.0, 0.5] * count)
    for n, (upper, lower) in enumerate(zip(grid[::2], grid[1::2], strict=True)):
        upper[0].set_ylabel(titles[n], fontsize=10, color=RIGHT if right[n] else WRONG)
        for i, (s, x, y) in enumerate(where[n]):
            colour = step_colour(i, steps)
            show(upper[i], frames[n, i], "" if n else f"frame {i + 1}")
            for box in boxes[n, i]:
                frame(upper[i], box, TRUTH, ":")
            frame(upper[i], (x - s, y - s, x + s, y + s), colour)
            show(lower[i], glimpses[n, i], colour=colour)
    return figure


def following(tracked: dict[str, list[float]], accuracy: dict[str, list[float]]) -> Figure:
    """By way to look: share of digits that are in the glimpse of their frame, against the frame (left); accuracy
    against the number of frames seen (right)."""
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw(left, tracked)
    draw(right, accuracy)
    left.set(xlabel="frame", ylabel="digit's centre in its glimpse", ylim=(0, 1.02))
    right.set(xlabel="frames seen", ylabel="accuracy", ylim=(0, 1.02))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(tracked))
    return figure


def draw(axes: Axes, values: dict[str, list[float]]) -> None:
    for name, row in values.items():
        colour, dashes, marker = LOOKS[name]
        axes.plot(range(1, len(row) + 1), row, dashes, color=colour, marker=marker, label=name)
        axes.set_xticks(range(1, len(row) + 1))
