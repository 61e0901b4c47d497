"""The pictures of the README: one look from pixels to class, and looks as a film. Arrays in, Figure or GIF out.

``picture`` and ``look`` are those of :mod:`.explorer`.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from .explorer import Bars, Scene, grey_image
from .style import step_colour

COLOURS = 128  # of a film's palette


def hero(picture: Any, look: Any, classes: Sequence[str]) -> Figure:
    """Image, proxy, every glimpse of the look, and what was read from them."""
    count, (height, width) = len(look.where), picture.shape
    figure = Figure(figsize=(7.6 + 1.5 * count, 3.1), layout="constrained")
    image, proxy, *seen, bars = figure.subplots(1, count + 3, width_ratios=[1.5, 0.9, *[0.9] * count, 0.9])
    Scene(image, count).update(picture, look, count - 1)
    image.set_title(f"image x, {width} x {height} pixels", fontsize=11)
    grey_image(proxy, 1).set_data(look.proxy)
    proxy.set_title(
        f"proxy c, {look.proxy.shape[0]} x {look.proxy.shape[1]},\nwhere to look is decided here", fontsize=10
    )
    for step, axes in enumerate(seen):
        grey_image(axes, 1).set_data(look.glimpses[step])
        axes.set_title(f"glimpse {step + 1},\n{' x '.join(map(str, look.glimpses.shape[1:3]))}", fontsize=10)
        axes.spines[:].set(visible=True, linewidth=3, color=step_colour(step, count))
    Bars(bars, classes).update(look.posterior[-1], picture.truth)
    bars.set_title(verdict(picture, look, len(look.where) - 1, classes), fontsize=11)
    return figure


class Film:
    """Looks as frames: the gaze moves over the image, what it sees stands beside, and the class comes with arrival."""

    def __init__(self, steps: int, classes: Sequence[str]):
        figure = Figure(figsize=(7.6, 3.1), dpi=90, layout="none")
        grid = figure.add_gridspec(1, 3, width_ratios=(1, 1, 0.62), left=0.01, right=0.99, top=0.9, bottom=0.02)
        image, self.seen, bars = (figure.add_subplot(cell) for cell in grid)
        self.scene, self.glimpse, self.bars = Scene(image, steps), grey_image(self.seen, 1), Bars(bars, classes)
        self.gaze = image.add_patch(Rectangle((0, 0), 1, 1, fill=False, edgecolor="white", linewidth=2.4))
        self.canvas, self.classes = FigureCanvasAgg(figure), classes

    def frame(self, picture: Any, look: Any, place: np.ndarray, glimpse: np.ndarray, done: int) -> np.ndarray:
        """One frame, uint8 (height, width, 3).

        Args:
            place: (s, x, y) of the gaze.
            glimpse: what it sees, (L, L) or (L, L, 3).
            done: glimpses that have been taken, 0 at first.
        """
        s, x, y = place
        arrived = done > 0 and np.allclose(place, look.where[done - 1])
        self.scene.update(picture, look, done - 1)
        self.gaze.set_visible(not arrived)
        self.gaze.set_bounds(x - s, y - s, 2 * s, 2 * s)
        self.glimpse.set_data(glimpse)
        self.seen.title.set_text(f"what it sees, {' x '.join(map(str, glimpse.shape[:2]))} pixels")
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
    palette = Image.fromarray(np.concatenate([*some, *resting])).quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
    first, *rest = (Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    buffer = BytesIO()
    milliseconds = [round(1000 * value) for value in seconds]
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=milliseconds, loop=0, optimize=True)
    return buffer.getvalue()


def verdict(picture: Any, look: Any, step: int, classes: Sequence[str]) -> str:
    """What is said after ``step`` (0 is the first)."""
    called = look.posterior[step].argmax()
    known = (
        "" if picture.truth is None else ", right" if called == picture.truth else f", true {classes[picture.truth]}"
    )
    return f"says {classes[called]}{known}"
