"""A look, step by step: the explorer's picture, the same on paper, all of it in one row, and as a film.

A ``look`` is anything with the arrays of ``vsacc.look.explorer.Look``, what is None in it is left out; a ``picture``
anything with ``small`` (uint8 (h, w) or (h, w, 3)), ``shape`` = (H, W) of the image it stands for, ``title`` and
``truth`` (a class, bool (K,), or None). Places are (s, x, y) in coordinates in which an image is [-1, 1] on each axis.
Steps count from 0. Axes are laid out once and drawn into again and again, so that a slider is answered at once."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Rectangle
from numpy import ndarray
from PIL import Image

from .saccades import EXTENT, corners, frame_glimpse, show
from .style import ACCENT, RIGHT, WRONG, step_colour, subplots

BARS = 10  # classes shown: all where there are no more, else the likeliest
WIDTHS = (1.0, 0.74, 0.74, 0.7)  # of a row's axes


def blank(axes: Axes, title: str = "") -> None:
    """Nothing of what was drawn, no ticks, and a small title that stays where it is: to find room for one beside ticks
    takes a fifth of the drawing."""
    for artist in (*axes.images, *axes.patches, *axes.texts):
        artist.remove()
    axes.xaxis.set_visible(False)
    axes.yaxis.set_visible(False)
    axes.set_title(title, fontsize=9, y=1.0)


def draw_image(axes: Axes, image: ndarray, title: str) -> None:
    """An image in the place of what was drawn, grey where it has no colours."""
    blank(axes, title)
    axes.spines[:].set_visible(False)
    axes.imshow(image, cmap="gray", vmin=0, vmax=255 if image.dtype == np.uint8 else 1, extent=EXTENT)


def draw_scene(axes: Axes, picture: Any, look: Any, step: int) -> None:
    """The whole image with the frames of the glimpses so far, and q(z) of each as an ellipse of two sigmas."""
    draw_image(axes, picture.small, plain(picture.title))
    height, width = picture.shape
    axes.set_aspect(np.clip(height / width, 1 / 3, 3))
    where = np.empty((0, 3)) if look.where is None else look.where
    for k, ((s, x, y), corner) in enumerate(zip(where[: step + 1], corners(where), strict=False)):
        drawn = {"fill": False, "edgecolor": step_colour(k, len(where))}
        line = {"linewidth": 2.4 if k == step else 1.3, "linestyle": "--" if look.placed[k] else "-"}
        axes.add_patch(Rectangle((x - s, y - s), 2 * s, 2 * s, **drawn, **line))
        axes.text(*corner, str(k + 1), color=drawn["edgecolor"], fontsize=10, weight="bold", va="top")
        if look.mean is not None:
            axes.add_patch(Ellipse(look.mean[k, 1:], *(4 * look.sigma[k]), **drawn, linewidth=1))


def draw_bars(axes: Axes, posterior: ndarray, truth: Any, classes: Sequence[str], title: str) -> None:
    """p(y | o_1..t), or of yes to each question, as horizontal bars: every class in order, or the likeliest ones."""
    blank(axes, title)
    count, room = min(BARS, len(classes)), 0.08 + 0.07 * max(map(len, classes))  # for the names, left of the bars
    axes.set(xlim=(-room, 1.24), ylim=(count - 0.4, -0.6))
    axes.spines["left"].set_position(("data", 0))
    axes.spines["bottom"].set_visible(False)
    true = [] if truth is None else np.flatnonzero(truth) if np.ndim(truth) else [truth]
    order = np.argsort(-posterior, kind="stable") if count < len(classes) else range(count)
    for k, index in zip(range(count), order, strict=False):
        p, look = posterior[index], {"color": RIGHT, "weight": "bold"} if index in true else {}
        axes.add_patch(Rectangle((0, k - 0.36), p, 0.72, facecolor=ACCENT))
        name = plain(classes[index]) if posterior.any() else ""
        axes.text(-0.04, k, name, ha="right", va="center", fontsize=9, **look)
        axes.text(p + 0.03, k, f"{p:.2f}" if p >= 0.005 else "", va="center", fontsize=8, color="0.35")


def draw_row(row: Sequence[Axes], picture: Any, look: Any, step: int, classes: Sequence[str]) -> None:
    """One step: image with frames, glimpse, the same place in the proxy, class posterior."""
    image, seen, blurred, bars = row
    draw_scene(image, picture, look, step)
    seen.set_visible(look.glimpses is not None)
    blurred.set_visible(look.proxy is not None)
    if look.glimpses is not None:
        draw_image(seen, look.glimpses[step], f"glimpse {step + 1}, {look.glimpses.shape[1]} pixels wide")
        seen.spines[:].set(visible=True, linewidth=3, color=step_colour(step, len(look.said)))
    if look.proxy is not None:
        s, x, y = look.where[step]
        draw_image(blurred, look.proxy[step], f"all the proxy has: {s * look.proxy.shape[1]:.0f} pixels")
        blurred.set(xlim=(x - s, x + s), ylim=(y + s, y - s))
    given = "x" if look.where is None else "o" if step == 0 else f"o1..{step + 1}"
    draw_bars(bars, look.posterior[step], picture.truth, classes, f"p(y | {given})")


class Panel:
    """One row that is drawn again and again."""

    def __init__(self, classes: Sequence[str]):
        figure, (self.row,) = _sheet(1, WIDTHS)
        figure.dpi = 96  # of a screen
        self.canvas, self.classes = FigureCanvasAgg(figure), classes

    def png(self, picture: Any, look: Any, step: int) -> bytes:
        """The row of a step as a PNG file."""
        draw_row(self.row, picture, look, step, self.classes)
        buffer = BytesIO()
        # light compression: it halves the time a slider takes to answer
        self.canvas.print_png(buffer, pil_kwargs={"compress_level": 1})
        return buffer.getvalue()


def steps(picture: Any, look: Any, classes: Sequence[str], count: int, stop: float | None = None) -> Figure:
    """The first ``count`` steps of a look, a row each: all that the slider shows, on paper; and where it would stop,
    once the likeliest class has the probability ``stop``."""
    figure, rows = _sheet(count, (*WIDTHS, 0.72))
    for step, (*row, said) in enumerate(rows):
        draw_row(row, picture, look, step, classes)
        row[0].title.set_visible(step == 0)
        said.axis("off")
        said.text(0, 0.97, terms(look, step), va="top", family="monospace", fontsize=8.5, linespacing=1.35)
        right = np.array_equal(look.said[step], picture.truth)
        colour = "black" if picture.truth is None else RIGHT if right else WRONG
        called = f"says {plain(named(look.said[step], classes))}"
        said.text(0, 0.05, called, color=colour, va="bottom", fontsize=11, weight="bold")
        if stop is not None and step == look.stops(stop):
            told = f"sure enough: {look.posterior[step].max():.2f} >= {stop:g}, it stops"
            said.text(0, 0.24, told, va="bottom", fontsize=9, bbox={"facecolor": "white", "edgecolor": ACCENT})
    return figure


def survey(picture: Any, where: ndarray, shares: ndarray, called: ndarray, classes: Sequence[str]) -> Figure:
    """What would be said if the last of the glimpses ``where`` (t, 3) looked elsewhere. shares (side, side), p(truth)
    by the centre of the moved glimpse, rows down y; called (side, side), the class."""
    figure, (image, chance, calls) = subplots(10, 3.5, 1, 3)
    show(image, picture.small, plain(picture.title))
    figure.colorbar(chance.imshow(shares, extent=EXTENT, vmin=0, vmax=1), ax=chance, shrink=0.85)
    chance.set_title(f"p({plain(classes[picture.truth])}) by the place of glimpse {len(where)}")
    kinds, ranks = np.unique(called, return_inverse=True)
    calls.imshow(ranks.reshape(called.shape), extent=EXTENT, cmap="Pastel2", vmin=0, vmax=max(len(kinds) - 1, 7))
    calls.set_title("what it says from there")
    for kind in kinds:
        cells = np.argwhere(called == kind)
        y, x = cells[np.hypot(*(cells - cells.mean(0)).T).argmin()]  # the nearest to their centre of mass
        calls.text(*(np.array([x, y]) + 0.5) * 2 / len(called) - 1, plain(classes[kind]), ha="center", va="center")
    for axes in (image, chance, calls):
        axes.set(xticks=[], yticks=[])
        for step, place in enumerate(where):
            frame_glimpse(axes, place, step_colour(step, len(where)))
    return figure


def hero(picture: Any, look: Any, classes: Sequence[str]) -> Figure:
    """All of a look in one row: image, proxy, every glimpse, and what was read from them."""
    height, width = picture.shape
    panels: list[tuple] = []  # image, title, colour of the frame
    if look.proxy is not None:
        coarse = len(look.proxy[0])
        panels.append((look.proxy[0], f"proxy c, {coarse} x {coarse},\nwhere to look is decided here", None))
    for step, glimpse in enumerate(() if look.glimpses is None else look.glimpses):
        title = f"glimpse {step + 1},\n{len(glimpse)} x {len(glimpse)}"
        panels.append((glimpse, title, step_colour(step, len(look.glimpses))))
    count, widths = len(panels), [1.5, *[0.9] * (len(panels) + 1)]
    figure, (image, *others, bars) = subplots(6.1 + 1.5 * count, 3.1, 1, count + 2, width_ratios=widths)
    draw_scene(image, picture, look, len(look.said) - 1)
    image.set_title(f"image x, {width} x {height} pixels")
    for place, panel in zip(others, panels, strict=True):
        show(place, *panel, aspect=image.get_aspect())
    draw_bars(bars, look.posterior[-1], picture.truth, classes, "")
    bars.set_title(plain(verdict(picture, look, len(look.said) - 1, classes)), fontsize=11)
    return figure


def gaze(picture: Any, look: Any, place: ndarray, glimpse: ndarray, done: int, classes: Sequence[str]) -> ndarray:
    """A frame of a film, uint8 (height, width, 3): the gaze, on its way over the image, is at ``place`` = (s, x, y) and
    sees ``glimpse``, (L, L) or (L, L, 3), after ``done`` glimpses, 0 at first; the class comes with arrival."""
    figure = Figure(figsize=(7.6, 3.1), dpi=90, layout="none")
    space = {"width_ratios": (1, 1, 0.62), "left": 0.01, "right": 0.99, "top": 0.9, "bottom": 0.02}
    image, seen, bars = figure.subplots(1, 3, gridspec_kw=space)
    draw_scene(image, picture, look, done - 1)
    if not (done and np.allclose(place, look.where[done - 1])):
        s, x, y = place
        image.add_patch(Rectangle((x - s, y - s), 2 * s, 2 * s, fill=False, edgecolor="white", linewidth=2.4))
    draw_image(seen, glimpse, f"what it sees, {len(glimpse)} x {len(glimpse)} pixels")
    known = look.posterior[done - 1] if done else np.zeros(len(classes))
    title = plain(verdict(picture, look, done - 1, classes)) if done else ""
    draw_bars(bars, known, picture.truth, classes, title)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def gif(frames: Sequence[ndarray], seconds: Sequence[float]) -> bytes:
    """Frames (height, width, 3) as an endless GIF; each is shown for its seconds."""
    # One palette for all frames, so that what stands still does not flicker and costs nothing.
    some = frames[:: max(len(frames) // 12, 1)]
    resting = [frame for frame, shown in zip(frames, seconds, strict=True) if shown == max(seconds)]
    palette = Image.fromarray(np.concatenate([*some, *resting])).quantize(128, Image.Quantize.MAXCOVERAGE)
    first, *rest = (Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    buffer, duration = BytesIO(), [round(1000 * value) for value in seconds]  # in milliseconds
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=duration, loop=0, optimize=True)
    return buffer.getvalue()


def terms(look: Any, step: int) -> str:
    """The terms of the bound after a step, in aligned lines, at the z that is shown: the bound is their mean over q."""
    known = "log p(y | o, z)" if look.kl is not None else "log p(y | o)" if look.where is not None else "log p(y | x)"
    curves = {known: look.log_y, "log p(c | z, h)": look.log_c, "KL(q || p)": look.kl}
    values = {name: curve[step] for name, curve in curves.items() if curve is not None}
    if len(values) == len(curves):
        log_y, log_c, kl = values.values()
        values["Eq. 6 at this z"] = log_y + log_c - kl
    place = [] if look.where is None else ["s {:.2f}  x {:+.2f}  y {:+.2f}".format(*look.where[step]), ""]
    nats = ["nats, so far", *(f"{name:15s}{value:10.2f}" for name, value in values.items())] if values else []
    return "\n".join([*place, *nats])


def verdict(picture: Any, look: Any, step: int, classes: Sequence[str]) -> str:
    """What is said after a step."""
    said, truth = look.said[step], picture.truth
    known = "" if truth is None else ", right" if np.array_equal(said, truth) else f", true {named(truth, classes)}"
    return f"says {named(said, classes)}{known}"


def named(answer: int | ndarray, classes: Sequence[str]) -> str:
    """A class by its name, or all those that a bool (K,) says yes to."""
    if np.ndim(answer) == 0:
        return classes[answer]
    return ", ".join(name for name, yes in zip(classes, answer, strict=True) if yes) or "none"


def plain(text: str) -> str:
    """A name as matplotlib draws it letter by letter: between two dollars it would read mathematics."""
    return text.replace("$", r"\$")


def _sheet(count: int, widths: Sequence[float]) -> tuple[Figure, ndarray]:
    """A figure of ``count`` rows of axes, laid out once."""
    figure = Figure(figsize=(3.25 * sum(widths), 2.95 * count), layout="none")
    room = {"left": 0.004, "right": 0.996, "top": 1 - 0.085 / count, "bottom": 0.017 / count}
    space = {"width_ratios": widths, "wspace": 0.12, "hspace": 0.12, **room}
    return figure, figure.subplots(count, len(widths), squeeze=False, gridspec_kw=space)
