"""Pictures of images, proxies, videos, and where a model looks. Arrays in, Figure out.

Images are (N, H, W) or (N, H, W, 3) with values in [0, 255] or [0, 1]; boxes are (x0, y0, x1, y1) and where is
(s, x, y), both in coordinates in which an image is [-1, 1] on each axis.
"""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .style import RIGHT, TRUTH, WRONG, Looks, lines, step_colour, subplots, used

EXTENT = (-1, 1, 1, -1)  # left, right, bottom, top: y runs down
SMALL = 0.15  # frames whose number stands above them
NUMBER = np.array([0.11, 0.14])  # room of a number, width and height
COLUMNS = 4  # images beside each other


class ImageRow(NamedTuple):
    """N images beside each other, their titles, dotted boxes (N, D, 4) and frames of glimpses (N, T, 3)."""

    images: np.ndarray
    titles: Sequence[str] = ()
    boxes: Sequence[np.ndarray] = ()
    where: Sequence[np.ndarray] = ()


def show(axes: Axes, image: np.ndarray, title: str = "", colour: str | None = None) -> None:
    """One grey image in [-1, 1] coordinates, framed in ``colour`` if one is given."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1, extent=EXTENT)
    axes.set(xticks=[], yticks=[], xlim=(-1, 1), ylim=(1, -1))
    axes.set_title(title, fontsize=9, pad=3)
    for spine in axes.spines.values():
        spine.set(visible=colour is not None, color=colour, linewidth=2.5)


def frame(axes: Axes, box: np.ndarray, colour: str = TRUTH, style: str = ":") -> None:
    """The outline of a box, clipped to the image."""
    x0, y0, x1, y1 = box
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.8, linestyle=style))


def frame_glimpse(axes: Axes, place: np.ndarray, colour: str) -> None:
    """The outline of the glimpse at (s, x, y)."""
    s, x, y = place
    frame(axes, (x - s, y - s, x + s, y + s), colour, "-")


def frame_glimpses(axes: Axes, where: np.ndarray) -> None:
    """The frames of the glimpses (T, 3), coloured and numbered by step."""
    inside = where[:, :1] > SMALL  # in a small frame the number would hide what is seen
    corners = where[:, 1:] - where[:, :1] + 0.04 * inside
    corners = np.clip(corners, np.where(inside, -0.97, (-0.97, -0.85)), 0.9)
    to_centre = np.where(inside, 0.5, -0.5) * (0, NUMBER[1])
    corners = apart(corners + to_centre) - to_centre
    for step, place in enumerate(where):
        colour = step_colour(step, len(where))
        frame_glimpse(axes, place, colour)
        upright = "top" if inside[step] else "bottom"
        axes.text(*corners[step], str(step + 1), color=colour, fontsize=9, va=upright, weight="bold")


def apart(places: np.ndarray) -> np.ndarray:
    """Places of numbers (T, 2), moved towards the middle where they would lie on an earlier number."""
    found: list[np.ndarray] = []
    for place in places:
        step = (NUMBER[0] if place[0] < 0 else -NUMBER[0], 0)
        while any((np.abs(place - other) < NUMBER).all() for other in found):
            place = place + step
        found.append(place)
    return np.reshape(found, (-1, 2))


def image_rows(rows: Mapping[str, ImageRow], width: float = 1.5, height: float = 1.75) -> Figure:
    """A row of images per name, each image of width x height inches."""
    columns = max(len(row.images) for row in rows.values())
    figure, grid = subplots(width * columns, height * len(rows), len(rows), columns, squeeze=False)
    for line, (name, row) in zip(grid, rows.items(), strict=True):
        for axes, (image, title, boxes, where) in zip(used(line, len(row.images)), zip_longest(*row), strict=True):
            show(axes, image, title or "")
            for box in () if boxes is None else boxes:
                frame(axes, box)
            if where is not None:
                frame_glimpses(axes, where)
        line[0].set_ylabel(name, fontsize=9)
    return figure


def sampler_tour(image: np.ndarray, where: np.ndarray, glimpses: np.ndarray) -> Figure:
    """An image with the frames of T glimpses, and the glimpses (T, L, L) beside it."""
    steps = len(where)
    figure, axes = subplots(2.6 + 1.6 * steps, 2.6, 1, steps + 1, width_ratios=[1.6] + [1] * steps)
    show(axes[0], image, f"x, {image.shape[0]} x {image.shape[1]}")
    frame_glimpses(axes[0], where)
    for step, (glimpse, (s, x, y)) in enumerate(zip(glimpses, where, strict=True)):
        show(axes[step + 1], glimpse, f"(s, x, y) =\n({s:.2f}, {x:.2f}, {y:.2f})", step_colour(step, steps))
    return figure


def saccades(
    images: np.ndarray, where: np.ndarray, glimpses: np.ndarray, titles: list[str], right: list[bool]
) -> Figure:
    """N images with their glimpses' frames, and below each its T glimpses in the colours of the frames.

    where (N, T, 3); glimpses (N, T, L, L); a title is green where ``right``, red where not.
    """
    steps, lines = where.shape[1], -(-len(images) // COLUMNS)
    figure = Figure(figsize=(2.1 * COLUMNS, (2.35 + 2.0 / steps) * lines), layout="constrained")
    cells = figure.subfigures(lines, COLUMNS, squeeze=False).flat
    for cell, image, places, seen, title, good in zip(cells, images, where, glimpses, titles, right, strict=False):
        axes = cell.subplot_mosaic([["image"] * steps, list(range(steps))], height_ratios=[steps, 1.0])
        show(axes["image"], image, title)
        axes["image"].title.set_color(RIGHT if good else WRONG)
        frame_glimpses(axes["image"], places)
        for step, glimpse in enumerate(seen):
            show(axes[step], glimpse, colour=step_colour(step, steps))
    return figure


def film(
    frames: np.ndarray, boxes: np.ndarray, where: np.ndarray, glimpses: np.ndarray, titles: list[str], right: list[bool]
) -> Figure:
    """Videos, time runs to the right: each frame with its glimpse's outline, and under it what the glimpse shows.

    frames (N, F, H, W); boxes (N, F, D, 4) of what moves, dotted; where (N, F, 3); glimpses (N, F, L, L); a title is
    green where ``right``, red where not.
    """
    count, steps = frames.shape[:2]
    figure, grid = subplots(1.5 * steps, 2.3 * count, 2 * count, steps, squeeze=False, height_ratios=[1.0, 0.5] * count)
    for n, (upper, lower) in enumerate(zip(grid[::2], grid[1::2], strict=True)):
        upper[0].set_ylabel(titles[n], fontsize=10, color=RIGHT if right[n] else WRONG)
        for i, place in enumerate(where[n]):
            colour = step_colour(i, steps)
            show(upper[i], frames[n, i], "" if n else f"frame {i + 1}")
            for box in boxes[n, i]:
                frame(upper[i], box)
            frame_glimpse(upper[i], place, colour)
            show(lower[i], glimpses[n, i], colour=colour)
    return figure


def following(tracked: dict[str, list[float]], accuracy: dict[str, list[float]], looks: Looks) -> Figure:
    """By way to look: share of digits that are in the glimpse of their frame, against the frame (left); accuracy
    against the number of frames seen (right)."""
    figure, (left, right) = subplots(8.4, 3.4, 1, 2)
    named = {"digit's centre in its glimpse": tracked, "accuracy": accuracy}
    for axes, (label, curves) in zip((left, right), named.items(), strict=True):
        steps = range(1, len(next(iter(curves.values()))) + 1)
        lines(axes, steps, curves, looks)
        axes.set(xticks=steps, ylabel=label, ylim=(0, 1.02))
    left.set_xlabel("frame")
    right.set_xlabel("frames seen")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(tracked))
    return figure
