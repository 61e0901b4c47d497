"""Sliders over an explorer's pictures. Every answer goes into the ``value`` of an Image or an HTML widget, none into an
Output widget: papermill hangs on those now and then."""

import random
from html import escape

import ipywidgets as W
import numpy as np

from ..figures.explorer import Panel, terms, verdict
from ..figures.style import RIGHT, WRONG
from ..local.paths import UserError
from .explorer import Explorer, Picture, open_picture


class GlimpseExplorer(W.VBox):
    """Choose an image, step through its glimpses, move them by hand, sample them anew; ``index`` is shown first.

    The state is in the widgets: ``index``, ``path``, ``step``, ``stop`` (the probability at which it would stop by
    itself), ``s``, ``x``, ``y``, ``sample``, ``reset``, ``image`` (the PNG), ``words`` (what it says and the bound, as
    HTML). Places and samples are disabled for a model that chooses its places by itself."""

    def __init__(self, explorer: Explorer, index: int = 0):
        self.explorer, self.panel = explorer, Panel(explorer.question.classes)
        last, fixed = len(explorer.pictures) - 1, {"disabled": not explorer.movable}
        self.index = W.BoundedIntText(index, min=0, max=last, description="image", layout={"width": "170px"})
        self.path = W.Text(placeholder="path of your own image, then Enter", continuous_update=False)
        self.path.layout.width = "320px"
        self.step = W.IntSlider(1, min=1, max=explorer.steps, description="step t")
        self.s = W.FloatSlider(0.3, min=0.05, max=1, step=0.01, description="s", **fixed)
        self.x = W.FloatSlider(0, min=-1, max=1, step=0.02, description="x", **fixed)
        self.y = W.FloatSlider(0, min=-1, max=1, step=0.02, description="y", **fixed)
        self.sliders = self.s, self.x, self.y
        one_of = explorer.movable and not explorer.question.many
        self.stop = W.FloatSlider(0.95, min=0.5, max=0.99, step=0.01, description="stop at p", disabled=not one_of)
        self.sample = W.Button(description="sample z", tooltip="draw every z from q, not its mean", **fixed)
        self.reset = W.Button(description="let it look", tooltip="undo samples and places chosen by hand")
        self.image = W.Image(format="png", layout={"width": "100%", "max_width": "1100px"})
        self.words = W.HTML()
        choose = [W.Button(description=name, layout={"width": "80px"}) for name in ("previous", "next", "random")]
        groups = [self.index, *choose, self.path], [self.step, self.stop, self.sample, self.reset], self.sliders
        top, middle, bottom = (W.HBox(group, layout={"flex_flow": "row wrap"}) for group in groups)
        super().__init__([top, self.image, middle, bottom, self.words])

        answers = (self.index, self._choose), (self.path, self._open), (self.step, self._draw), (self.stop, self._draw)
        for widget, answer in answers:
            widget.observe(lambda change, answer=answer: answer(), "value")
        for button, offset in zip(choose, (-1, 1, None), strict=True):
            button.on_click(lambda _, offset=offset: self._turn(offset))
        for axis, slider in enumerate(self.sliders):
            slider.observe(lambda change, axis=axis: self._place(axis, change.new), "value")
        self.sample.on_click(lambda button: self._sample())
        self.reset.on_click(lambda button: self._show(self.picture))
        self._choose()

    def __repr__(self) -> str:
        return "Sliders, which need a running kernel; the figure above shows the same."

    def _turn(self, offset: int | None) -> None:
        """To the picture that is ``offset`` away, or to any."""
        count = self.index.max + 1
        index = random.randrange(count) if offset is None else (self.index.value + offset) % count
        if index == self.index.value:
            self._choose()  # back from the reader's own file
        self.index.value = index

    def _choose(self) -> None:
        self._show(self.explorer.pictures[self.index.value])

    def _open(self) -> None:
        if not self.path.value.strip():
            return
        try:
            self._show(open_picture(self.path.value.strip(), self.explorer.model.config.channels))
        except UserError as error:
            self.words.value = f"<p>{escape(str(error))}</p>"

    def _show(self, picture: Picture) -> None:
        """Another picture, looked at as the model would: no places (s, x, y) by step, no seed of samples."""
        self.picture, self.places, self.seed = picture, {}, None
        self._look()

    def _sample(self) -> None:
        self.seed = 0 if self.seed is None else self.seed + 1
        self._look()

    def _place(self, axis: int, value: float) -> None:
        """One of s, x and y has been moved, by hand or to follow the model."""
        # A browser may send a value back that differs in its last bits: that is no hand.
        if self.explorer.movable and abs(value - self.shown[axis]) > self.s.step / 2:
            place = self.seen.where[self.step.value - 1].tolist()
            place[axis] = value
            self.places[self.step.value - 1] = tuple(place)
            self._look()

    def _look(self) -> None:
        self.seen = self.explorer.look(self.picture, self.places, self.seed)
        self.step.max = len(self.seen.said)
        self._draw()

    def _draw(self) -> None:
        step = self.step.value - 1
        if self.seen.where is not None:
            self.shown = [*map(on_grid, self.sliders, self.seen.where[step])]
            for slider, value in zip(self.sliders, self.shown, strict=True):
                slider.value = value
        self.image.value = self.panel.png(self.picture, self.seen, step)
        self.words.value = self._sentence(step)

    def _sentence(self, step: int) -> str:
        """What it says after a step and why, as HTML."""
        seen, truth, classes = self.seen, self.picture.truth, self.explorer.question.classes
        said, trained = seen.said[step], self.explorer.trained
        colour = "inherit" if truth is None else RIGHT if np.array_equal(said, truth) else WRONG
        p = f" (p = {seen.posterior[step, said]:.3f})" if said.ndim == 0 else ""
        parts = [f"<b style='color:{colour}'>{escape(verdict(self.picture, seen, step, classes))}</b>{p}"]
        if seen.where is not None:
            beyond = f", more than the {trained} it was trained with" if step >= trained else ""
            parts.append(f"after {step + 1} glimpse{'s' if step else ''}{beyond}")
        if self.explorer.movable:
            drawn = "mean of q(z)" if self.seed is None else "z ~ q(z)"
            parts.append("the place is yours" if seen.placed[step] else drawn)
        if not self.stop.disabled:
            end = seen.stops(self.stop.value)
            told = "never so sure" if end is None else "it stops here" if end == step else f"it stops after {end + 1}"
            parts.append(f"at p = {self.stop.value:.2f} {told}")
        return f"{' · '.join(parts)}<pre style='line-height:1.3'>{escape(terms(seen, step))}</pre>"


def on_grid(slider: W.FloatSlider, value: float) -> float:
    """The nearest value that a slider can show; a browser would round another one and send it back as a change."""
    steps = round((float(np.clip(value, slider.min, slider.max)) - slider.min) / slider.step)
    return round(slider.min + steps * slider.step, 6)
