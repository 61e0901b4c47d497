"""A look, step by step: the explorer's picture, the same on paper, from pixels to class in one row, and as a film.

A ``look`` is anything with the arrays of ``vsacc.look.explorer.Look``, what is None in it is left out; a ``picture``
anything with ``small`` (uint8 (h, w) or (h, w, 3)), ``shape`` = (H, W) of the image it stands for, ``title`` and
``truth`` (a class, bool (K,), or None). Places are (s, x, y) in coordinates in which an image is [-1, 1] on each axis.
Artists are made once and moved, and nothing is laid out anew, so that a row is drawn in tens of milliseconds.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Rectangle
from PIL import Image

from .saccades import EXTENT, corners, frame_glimpse, show
from .style import ACCENT, RIGHT, WRONG, step_colour, subplots

BARS = 10  # classes shown: all where there are no more, else the likeliest
WIDTHS = (1.0, 0.74, 0.74, 0.7)  # of a row's axes
SAID = 0.72  # width of the words beside a row on paper


class Scene:
    """The whole image with the frames of the glimpses so far, and q(z) of each as an ellipse of two sigmas."""

    def __init__(self, axes: Axes, steps: int):
        self.axes = axes
        self.image = grey_image(axes, 255)
        self.frames, self.numbers, self.spreads = [], [], []
        for step in range(steps):
            colour = step_colour(step, steps)
            self.frames.append(axes.add_patch(Rectangle((0, 0), 1, 1, fill=False, edgecolor=colour)))
            self.numbers.append(axes.text(0, 0, str(step + 1), color=colour, fontsize=10, weight="bold", va="top"))
            self.spreads.append(axes.add_patch(Ellipse((0, 0), 1, 1, fill=False, edgecolor=colour, linewidth=1)))

    def update(self, picture: Any, look: Any, step: int) -> None:
        height, width = picture.shape
        self.image.set_data(picture.small)
        self.axes.set_aspect(np.clip(height / width, 1 / 3, 3))
        self.axes.title.set_text(plain(picture.title))
        for artist in (*self.frames, *self.numbers, *self.spreads):
            artist.set_visible(False)
        where = np.empty((0, 3)) if look.where is None else look.where
        for k, ((s, x, y), corner) in enumerate(zip(where[: step + 1], corners(where), strict=False)):
            self.frames[k].set(visible=True, bounds=(x - s, y - s, 2 * s, 2 * s))
            self.frames[k].set(linewidth=2.4 if k == step else 1.3, linestyle="--" if look.placed[k] else "-")
            self.numbers[k].set(visible=True, position=corner)
            if look.mean is not None:
                width, height = 4 * look.sigma[k]
                self.spreads[k].set(visible=True, center=look.mean[k, 1:], width=width, height=height)


class Bars:
    """p(y | o_1..t), or of yes to each question, as horizontal bars: every class in order, or the likeliest ones."""

    def __init__(self, axes: Axes, classes: Sequence[str]):
        self.axes, self.classes, self.count = axes, classes, min(BARS, len(classes))
        room = 0.08 + 0.07 * max(map(len, classes))  # for the names, left of the bars
        axes.set(xlim=(-room, 1.24), ylim=(self.count - 0.4, -0.6))
        bare(axes)
        axes.spines["left"].set_position(("data", 0))
        axes.spines["bottom"].set_visible(False)
        self.bars = axes.barh(range(self.count), 0, 0.72, color=ACCENT)
        self.names = [axes.text(-0.04, k, "", ha="right", va="center", fontsize=9) for k in range(self.count)]
        self.values = [axes.text(0, k, "", va="center", fontsize=8, color="0.35") for k in range(self.count)]

    def update(self, posterior: np.ndarray, truth: int | np.ndarray | None) -> None:
        true = [] if truth is None else np.flatnonzero(truth) if np.ndim(truth) else [truth]
        shown = np.argsort(-posterior, kind="stable") if self.count < len(posterior) else range(self.count)
        for index, bar, name, value in zip(shown, self.bars, self.names, self.values, strict=False):
            p = posterior[index]
            bar.set_width(p)
            name.set_text(plain(self.classes[index]) if posterior.any() else "")
            name.set(color=RIGHT if index in true else "black", weight="bold" if index in true else "normal")
            value.set(text=f"{p:.2f}" if p >= 0.005 else "", x=p + 0.03)


class Row:
    """One step, 0 the first: image with frames, glimpse, the same place in the proxy, class posterior."""

    def __init__(self, axes: Sequence[Axes], steps: int, classes: Sequence[str]):
        scene, self.seen, self.blurred, bars = axes
        self.steps = steps
        self.scene, self.bars = Scene(scene, steps), Bars(bars, classes)
        self.glimpse, self.proxy = grey_image(self.seen, 1), grey_image(self.blurred, 1)
        self.seen.spines[:].set(visible=True, linewidth=3)

    def update(self, picture: Any, look: Any, step: int) -> None:
        self.scene.update(picture, look, step)
        self.seen.set_visible(look.glimpses is not None)
        self.blurred.set_visible(look.proxy is not None)
        if look.glimpses is not None:
            self.glimpse.set_data(look.glimpses[step])
            self.seen.spines[:].set_color(step_colour(step, self.steps))
            self.seen.title.set_text(f"glimpse {step + 1}, {look.glimpses.shape[1]} pixels wide")
        if look.proxy is not None:
            s, x, y = look.where[step]
            self.proxy.set_data(look.proxy[step])
            self.blurred.set(xlim=(x - s, x + s), ylim=(y + s, y - s))
            self.blurred.title.set_text(f"all the proxy has: {s * look.proxy.shape[1]:.0f} pixels")
        self.bars.update(look.posterior[step], picture.truth)
        seen = "x" if look.where is None else "o" if step == 0 else f"o1..{step + 1}"
        self.bars.axes.title.set_text(f"p(y | {seen})")


class Panel:
    """One row that is drawn again and again."""

    def __init__(self, steps: int, classes: Sequence[str]):
        figure, (axes,) = _sheet(1, WIDTHS)
        figure.dpi = 96  # of a screen
        self.row, self.canvas = Row(axes, steps, classes), FigureCanvasAgg(figure)

    def png(self, picture: Any, look: Any, step: int) -> bytes:
        """The row of a step as a PNG file."""
        self.row.update(picture, look, step)
        buffer = BytesIO()
        # light compression: it halves the time a slider takes to answer
        self.canvas.print_png(buffer, pil_kwargs={"compress_level": 1})
        return buffer.getvalue()


def steps(picture: Any, look: Any, classes: Sequence[str], count: int) -> Figure:
    """The first ``count`` steps of a look, a row each: all that the slider shows, on paper."""
    figure, rows = _sheet(count, (*WIDTHS, SAID))
    for step, (*axes, said) in enumerate(rows):
        row = Row(axes, len(look.said), classes)
        row.update(picture, look, step)
        row.scene.axes.title.set_visible(step == 0)
        said.axis("off")
        said.text(0, 0.97, terms(look, step), va="top", family="monospace", fontsize=8.5, linespacing=1.35)
        right = np.array_equal(look.said[step], picture.truth)
        colour = "black" if picture.truth is None else RIGHT if right else WRONG
        called = f"says {plain(named(look.said[step], classes))}"
        said.text(0, 0.05, called, color=colour, va="bottom", fontsize=11, weight="bold")
    return figure


def survey(picture: Any, where: np.ndarray, shares: np.ndarray, called: np.ndarray, classes: Sequence[str]) -> Figure:
    """What would be said if the last of the glimpses ``where`` (t, 3) looked elsewhere.

    shares (side, side), p(truth) by the centre of the moved glimpse, rows down y; called (side, side), the class.
    """
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
    """Image, proxy, every glimpse of the look, and what was read from them."""
    count, side, (height, width) = *look.glimpses.shape[:2], picture.shape
    figure, axes = subplots(7.6 + 1.5 * count, 3.1, 1, count + 3, width_ratios=[1.5, *[0.9] * (count + 2)])
    image, proxy, *seen, bars = axes
    Scene(image, count).update(picture, look, count - 1)
    image.set_title(f"image x, {width} x {height} pixels")
    coarse = len(look.proxy[0])
    show(proxy, look.proxy[0], f"proxy c, {coarse} x {coarse},\nwhere to look is decided here")
    for step, axes in enumerate(seen):
        show(axes, look.glimpses[step], f"glimpse {step + 1},\n{side} x {side}", step_colour(step, count))
    Bars(bars, classes).update(look.posterior[-1], picture.truth)
    bars.set_title(verdict(picture, look, len(look.where) - 1, classes), fontsize=11)
    return figure


class Film:
    """Looks as frames: the gaze moves over the image, what it sees stands beside, and the class comes with arrival."""

    def __init__(self, steps: int, classes: Sequence[str]):
        figure = Figure(figsize=(7.6, 3.1), dpi=90, layout="none")
        space = {"width_ratios": (1, 1, 0.62), "left": 0.01, "right": 0.99, "top": 0.9, "bottom": 0.02}
        image, self.seen, bars = figure.subplots(1, 3, gridspec_kw=space)
        self.scene, self.glimpse, self.bars = Scene(image, steps), grey_image(self.seen, 1), Bars(bars, classes)
        self.gaze = image.add_patch(Rectangle((0, 0), 1, 1, fill=False, edgecolor="white", linewidth=2.4))
        self.canvas, self.classes = FigureCanvasAgg(figure), classes

    def frame(self, picture: Any, look: Any, place: np.ndarray, glimpse: np.ndarray, done: int) -> np.ndarray:
        """One frame, uint8 (height, width, 3): the gaze at ``place`` = (s, x, y) sees ``glimpse``, (L, L) or (L, L, 3),
        after ``done`` glimpses, 0 at first."""
        s, x, y = place
        arrived = done > 0 and np.allclose(place, look.where[done - 1])
        self.scene.update(picture, look, done - 1)
        self.gaze.set_visible(not arrived)
        self.gaze.set_bounds(x - s, y - s, 2 * s, 2 * s)
        self.glimpse.set_data(glimpse)
        self.seen.title.set_text(f"what it sees, {len(glimpse)} x {len(glimpse)} pixels")
        known = look.posterior[done - 1] if done else np.zeros(len(self.classes))
        self.bars.update(known, picture.truth if done else None)
        self.bars.axes.title.set_text(verdict(picture, look, done - 1, self.classes) if done else "")
        self.canvas.draw()
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()


def gif(frames: Sequence[np.ndarray], seconds: Sequence[float]) -> bytes:
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
    """The bound after a step, in aligned lines."""
    known = "log p(y | o, z)" if look.kl is not None else "log p(y | o)" if look.where is not None else "log p(y | x)"
    curves = {known: look.log_y, "log p(c | z, h)": look.log_c, "KL(q || p)": look.kl}
    values = {name: curve[step] for name, curve in curves.items() if curve is not None}
    if len(values) == len(curves):
        log_y, log_c, kl = values.values()
        values["bound (Eq. 6)"] = log_y + log_c - kl
    place = [] if look.where is None else ["s {:.2f}  x {:+.2f}  y {:+.2f}".format(*look.where[step]), ""]
    nats = ["nats, so far", *(f"{name:15s}{value:10.2f}" for name, value in values.items())] if values else []
    return "\n".join([*place, *nats])


def verdict(picture: Any, look: Any, step: int, classes: Sequence[str]) -> str:
    """What is said after a step."""
    said, truth = look.said[step], picture.truth
    known = "" if truth is None else ", right" if np.array_equal(said, truth) else f", true {named(truth, classes)}"
    return plain(f"says {named(said, classes)}{known}")


def named(answer: int | np.ndarray, classes: Sequence[str]) -> str:
    """A class by its name, or all those that a bool (K,) says yes to."""
    if np.ndim(answer) == 0:
        return classes[answer]
    return ", ".join(name for name, yes in zip(classes, answer, strict=True) if yes) or "none"


def plain(text: str) -> str:
    """A name as matplotlib draws it letter by letter: between two dollars it would read mathematics."""
    return text.replace("$", r"\$")


def grey_image(axes: Axes, white: float) -> Any:
    """An empty image in [-1, 1] coordinates without ticks; grey where its data have no colours."""
    bare(axes)
    axes.spines[:].set_visible(False)
    return axes.imshow(np.zeros((2, 2)), cmap="gray", vmin=0, vmax=white, extent=EXTENT)


def bare(axes: Axes) -> None:
    """No ticks, a small title that stays where it is: to find room beside ticks takes a fifth of the drawing."""
    axes.xaxis.set_visible(False)
    axes.yaxis.set_visible(False)
    axes.set_title("", fontsize=9, y=1.0)


def _sheet(count: int, widths: Sequence[float]) -> tuple[Figure, np.ndarray]:
    """A figure of ``count`` rows of axes, laid out once."""
    figure = Figure(figsize=(3.25 * sum(widths), 2.95 * count), layout="none")
    room = {"left": 0.004, "right": 0.996, "top": 1 - 0.085 / count, "bottom": 0.017 / count}
    space = {"width_ratios": widths, "wspace": 0.12, "hspace": 0.12, **room}
    return figure, figure.subplots(count, len(widths), squeeze=False, gridspec_kw=space)
