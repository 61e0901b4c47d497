"""Pictures of images, proxies, and where a model looks. Arrays in, Figure out.

Images are (N, H, W) with values in [0, 255] or [0, 1]; boxes are (x0, y0, x1, y1) and where is (s, x, y), both in
coordinates in which an image is [-1, 1] on each axis.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .style import RIGHT, TRUTH, WRONG, step_colour

EXTENT = (-1, 1, 1, -1)  # left, right, bottom, top: y runs down
SMALL = 0.15  # frames whose number stands above them


def show(axes: Axes, image: np.ndarray, title: str = "", colour: str | None = None) -> None:
    """One grey image in [-1, 1] coordinates, framed in ``colour`` if one is given."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1, extent=EXTENT)
    axes.set(xticks=[], yticks=[], xlim=(-1, 1), ylim=(1, -1))
    axes.set_title(title, fontsize=9, pad=3)
    for spine in axes.spines.values():
        spine.set(visible=colour is not None, color=colour, linewidth=2.5)


def frame(axes: Axes, box: np.ndarray, colour: str, style: str = "-") -> None:
    """The outline of a box, clipped to the image."""
    x0, y0, x1, y1 = box
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=1.8, linestyle=style))


def frame_glimpses(axes: Axes, where: np.ndarray) -> None:
    """The frames of the glimpses (T, 3), coloured and numbered by step."""
    for step, (s, x, y) in enumerate(where):
        colour = step_colour(step, len(where))
        frame(axes, (x - s, y - s, x + s, y + s), colour)
        inside = s > SMALL  # in a small frame the number would hide what is seen
        place = np.clip((x - s + 0.04 * inside, y - s + 0.04 * inside), (-0.97, -0.97 if inside else -0.85), 0.9)
        axes.text(*place, str(step + 1), color=colour, fontsize=9, va="top" if inside else "bottom", weight="bold")


def boxed_images(rows: dict[str, tuple[np.ndarray, np.ndarray, list[str]]]) -> Figure:
    """One row of images per task name: (images, boxes (N, D, 4), titles); the digits' boxes are dotted."""
    columns = max(len(images) for images, _, _ in rows.values())
    figure = Figure(figsize=(1.45 * columns, 1.75 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, (images, boxes, titles)) in zip(grid, rows.items(), strict=True):
        for axes, image, around, title in zip(line, images, boxes, titles, strict=True):
            show(axes, image, title)
            for box in around:
                frame(axes, box, TRUTH, ":")
        line[0].set_ylabel(name, fontsize=10)
    return figure


def image_and_proxy(images: np.ndarray, proxies: np.ndarray, titles: list[str]) -> Figure:
    """What there is to see (top) and all that the place of a glimpse is decided from (bottom)."""
    figure = Figure(figsize=(1.6 * len(images), 3.5), layout="constrained")
    top, bottom = figure.subplots(2, len(images))
    for axes, image, title in zip(top, images, titles, strict=True):
        show(axes, image, title)
    for axes, small in zip(bottom, proxies, strict=True):
        show(axes, small)
    top[0].set_ylabel(f"image x\n{images.shape[1]} x {images.shape[2]}", fontsize=9)
    bottom[0].set_ylabel(f"proxy c\n{proxies.shape[1]} x {proxies.shape[2]}", fontsize=9)
    return figure


def sampler_tour(image: np.ndarray, where: np.ndarray, glimpses: np.ndarray) -> Figure:
    """An image with the frames of T glimpses, and the glimpses (T, L, L) beside it."""
    steps = len(where)
    figure = Figure(figsize=(2.6 + 1.6 * steps, 2.6), layout="constrained")
    axes = figure.subplots(1, steps + 1, width_ratios=[1.6] + [1] * steps)
    show(axes[0], image, f"x, {image.shape[0]} x {image.shape[1]}")
    frame_glimpses(axes[0], where)
    for step, (glimpse, (s, x, y)) in enumerate(zip(glimpses, where, strict=True)):
        show(axes[step + 1], glimpse, f"(s, x, y) =\n({s:.2f}, {x:.2f}, {y:.2f})", step_colour(step, steps))
    return figure


def side_by_side(pictures: dict[str, np.ndarray]) -> Figure:
    """Pictures under their titles."""
    figure = Figure(figsize=(2.5 * len(pictures), 2.8), layout="constrained")
    for axes, (title, picture) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        show(axes, picture, title)
    return figure


def saccades(
    images: np.ndarray, where: np.ndarray, glimpses: np.ndarray, titles: list[str], right: list[bool], columns: int = 4
) -> Figure:
    """N images with their glimpses' frames, and below each its T glimpses in the colours of the frames.

    images (N, H, W); where (N, T, 3); glimpses (N, T, L, L); a title is green where ``right``, red where not.
    """
    steps, lines = where.shape[1], -(-len(images) // columns)
    figure = Figure(figsize=(2.1 * columns, (2.35 + 2.0 / steps) * lines), layout="constrained")
    cells = figure.subfigures(lines, columns, squeeze=False).flat
    for cell, image, places, seen, title, good in zip(cells, images, where, glimpses, titles, right, strict=False):
        axes = cell.subplot_mosaic([["image"] * steps, list(range(steps))], height_ratios=[steps, 1.0])
        show(axes["image"], image, title)
        axes["image"].title.set_color(RIGHT if good else WRONG)
        frame_glimpses(axes["image"], places)
        for step, glimpse in enumerate(seen):
            show(axes[step], glimpse, colour=step_colour(step, steps))
    return figure
