"""Pictures of images, proxies, videos, and where a model looks.

Images are (N, H, W) or (N, H, W, 3), glimpses (N, T, L, L) or (N, T, L, L, 3), with values in [0, 255] or [0, 1]; boxes
are (x0, y0, x1, y1) and where is (s, x, y), both in coordinates in which an image is [-1, 1] on each axis, y down.
What a title says is green where it is ``right``, else red."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy import ndarray

from .style import RIGHT, TRUTH, WRONG, step_colour, subplots, used

EXTENT = (-1, 1, 1, -1)  # left, right, bottom, top: y runs down
SMALL = 0.15  # frames whose number stands above them, since it would hide what is seen
NUMBER = np.array([0.11, 0.14])  # room of a number, width and height
COLUMNS = 4  # images beside each other


class ImageRow(NamedTuple):
    """N images beside each other, their titles, dotted boxes (N, D, 4) and frames of glimpses (N, T, 3)."""

    images: ndarray
    titles: Sequence[str] = ()
    boxes: Sequence[ndarray] = ()
    where: Sequence[ndarray] = ()


def show(axes: Axes, image: ndarray, title: str = "", colour: str | None = None, aspect: float = 1) -> None:
    """One image in [-1, 1] coordinates, ``aspect`` times as high as wide, framed in ``colour`` if one is given."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1, extent=EXTENT)
    axes.set(xticks=[], yticks=[], xlim=(-1, 1), ylim=(1, -1), aspect=aspect)
    axes.set_title(title, fontsize=9, pad=3)
    axes.spines[:].set(visible=colour is not None, color=colour, linewidth=2.5)


def frame(axes: Axes, box: ndarray, colour: str = TRUTH, style: str = ":") -> None:
    """The outline of a box, clipped to the image."""
    x0, y0, x1, y1 = box
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.8, linestyle=style))


def frame_glimpse(axes: Axes, place: ndarray, colour: str) -> None:
    """The outline of the glimpse at (s, x, y)."""
    s, x, y = place
    frame(axes, (x - s, y - s, x + s, y + s), colour, "-")


def frame_glimpses(axes: Axes, where: ndarray) -> None:
    """The frames of the glimpses (T, 3), coloured and, where there are several, numbered by step."""
    for step, (place, corner) in enumerate(zip(where, corners(where), strict=True)):
        colour = step_colour(step, len(where))
        frame_glimpse(axes, place, colour)
        axes.text(*corner, str(step + 1) if len(where) > 1 else "", color=colour, va="top", weight="bold")


def corners(where: ndarray) -> ndarray:
    """Upper left corners (T, 2) of the numbers of frames (T, 3): moved towards the middle where one is taken."""
    shift = np.where(where[:, :1] > SMALL, 0.04, (0, -NUMBER[1]))
    found: list[ndarray] = []
    for place in np.clip(where[:, 1:] - where[:, :1] + shift, -0.97, 0.88):
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
        line[0].set_ylabel(name)
    return figure


def saccades(images: ndarray, where: ndarray, glimpses: ndarray, titles: list[str], right: list[bool]) -> Figure:
    """N images with the frames of their glimpses, and below each its T glimpses in the colours of the frames."""
    steps, rows = where.shape[1], -(-len(images) // COLUMNS)
    figure = Figure(figsize=(2.1 * COLUMNS, (2.35 + 2.0 / steps) * rows))
    for cell, n in zip(figure.subfigures(rows, COLUMNS, squeeze=False).flat, range(len(images)), strict=False):
        axes = cell.subplot_mosaic([["image"] * steps, list(range(steps))], height_ratios=[steps, 1.0])
        show(axes["image"], images[n], titles[n])
        axes["image"].title.set_color(RIGHT if right[n] else WRONG)
        frame_glimpses(axes["image"], where[n])
        for step, glimpse in enumerate(glimpses[n]):
            show(axes[step], glimpse, colour=step_colour(step, steps))
    return figure


def attended(
    images: ndarray, attention: ndarray, where: ndarray, patches: ndarray, shares: ndarray, titles: list, colour: str
) -> Figure:
    """A row an image: the image, its attention (N, A, A) on a scale of its own, and the patches (N, P, L, L) drawn from
    it, whose frames (N, P, 3) are in ``colour``, with their shares (N, P) in the estimate."""
    columns = -(-patches.shape[1] // 2)
    figure = Figure(figsize=(10.5, 2.75 * len(images)))
    for n, part in enumerate(figure.subfigures(len(images), 1, squeeze=False).flat):
        left, right = part.subfigures(1, 2, width_ratios=(2.1, columns / 2 + 0.2))
        scene, heat = left.subplots(1, 2)
        show(scene, images[n], titles[n])
        for place in where[n]:
            frame_glimpse(scene, place, colour)
        heat.imshow(attention[n])
        heat.set(xticks=[], yticks=[], title=f"attention, {attention.shape[1]} x {attention.shape[2]}")
        cells = used(right.subplots(2, columns, squeeze=False), patches.shape[1])
        for axes, patch, share in zip(cells, patches[n], shares[n], strict=True):
            show(axes, patch, f"{share:.2f}")
    return figure
