"""Sliders over an explorer's pictures. Every answer goes into the ``value`` of an Image or an HTML widget.

There is no Output widget: papermill hangs on those now and then. The explorer, which knows models, is passed in.
"""

import random
from collections.abc import Sequence
from html import escape
from typing import Any, Protocol

import ipywidgets as W
import numpy as np

from ..figures.explorer import Panel, terms
from ..figures.style import RIGHT, WRONG
from ..local.paths import UserError

Place = tuple[float, float, float]  # (s, x, y)


class Explorer(Protocol):
    """What the sliders need: see ``vsacc.look.explorer.Explorer``."""

    pictures: Sequence[Any]
    classes: Sequence[str]
    steps: int
    trained: int

    def look(self, picture: Any, places: dict[int, Place], seed: int | None) -> Any: ...

    def open(self, path: str) -> Any: ...


class GlimpseExplorer(W.VBox):
    """Choose an image, step through its glimpses, move them by hand, sample them anew.

    Args:
        explorer: the model and its pictures.
        index: of the first picture shown.

    The state is in the widgets: ``index``, ``path``, ``step``, ``s``, ``x``, ``y``, ``sample``, ``reset``, ``image``
    (the PNG), ``words`` (what it says and the bound, as HTML).
    """

    def __init__(self, explorer: Explorer, index: int = 0):
        self.explorer, self.panel = explorer, Panel(explorer.steps, explorer.classes)
        self.places: dict[int, Place] = {}  # chosen by hand, by step
        self.seed: int | None = None
        self.following = False  # while the place's sliders are moved to where the model looks

        last = len(explorer.pictures) - 1
        self.index = W.BoundedIntText(index, min=0, max=last, description="image", layout={"width": "170px"})
        self.path = W.Text(
            placeholder="path of your own image, then Enter", continuous_update=False, layout={"width": "320px"}
        )
        self.step = W.IntSlider(1, min=1, max=explorer.steps, description="step t")
        self.s = W.FloatSlider(0.3, min=0.05, max=1, step=0.01, description="s")
        self.x = W.FloatSlider(0, min=-1, max=1, step=0.02, description="x")
        self.y = W.FloatSlider(0, min=-1, max=1, step=0.02, description="y")
        self.sample = W.Button(description="sample z", tooltip="draw every z from q instead of taking its mean")
        self.reset = W.Button(description="let it look", tooltip="undo samples and places chosen by hand")
        self.image = W.Image(format="png", layout={"width": "100%", "max_width": "1100px"})
        self.words = W.HTML()
        choose = [self._button("previous", -1), self._button("next", 1), self._button("random", None)]
        super().__init__([
            W.HBox([self.index, *choose, self.path], layout={"flex_flow": "row wrap"}),
            self.image,
            W.HBox([self.step, self.sample, self.reset], layout={"flex_flow": "row wrap"}),
            W.HBox([self.s, self.x, self.y], layout={"flex_flow": "row wrap"}),
            self.words,
        ])  # fmt: skip

        self.index.observe(lambda change: self._choose(), "value")
        self.path.observe(lambda change: self._open(), "value")
        self.step.observe(lambda change: self._draw(), "value")
        for axis, slider in enumerate((self.s, self.x, self.y)):
            slider.observe(lambda change, axis=axis: self._place(axis, change.new), "value")
        self.sample.on_click(lambda button: self._sample())
        self.reset.on_click(lambda button: self._show(self.picture))
        self._choose()

    def __repr__(self) -> str:
        return "Sliders, which need a running kernel; the figure above shows the same."

    def _button(self, name: str, offset: int | None) -> W.Button:
        button = W.Button(description=name, layout={"width": "80px"})

        def choose(_: W.Button) -> None:
            count = self.index.max + 1
            place = random.randrange(count) if offset is None else (self.index.value + offset) % count
            if place == self.index.value:
                self._choose()  # back from the reader's own file
            self.index.value = place

        button.on_click(choose)
        return button

    def _choose(self) -> None:
        self._show(self.explorer.pictures[self.index.value])

    def _open(self) -> None:
        if not self.path.value.strip():
            return
        try:
            self._show(self.explorer.open(self.path.value.strip()))
        except UserError as error:
            self.words.value = f"<p>{escape(str(error))}</p>"

    def _show(self, picture: Any) -> None:
        """Another picture, looked at as the model would."""
        self.picture, self.places, self.seed = picture, {}, None
        self._look()

    def _sample(self) -> None:
        self.seed = 0 if self.seed is None else self.seed + 1
        self._look()

    def _place(self, axis: int, value: float) -> None:
        """One of s, x and y has been moved, by hand or to follow the model."""
        # A browser may send a value back that differs in its last bits: that is no hand.
        if not self.following and abs(value - self.shown[axis]) > self.s.step / 2:
            place = self.seen.where[self.step.value - 1].tolist()
            place[axis] = value
            self.places[self.step.value - 1] = tuple(place)
            self._look()

    def _look(self) -> None:
        self.seen = self.explorer.look(self.picture, self.places, self.seed)
        self._draw()

    def _draw(self) -> None:
        step = self.step.value - 1
        self.following = True
        sliders = (self.s, self.x, self.y)
        self.shown = [on_grid(slider, value) for slider, value in zip(sliders, self.seen.where[step], strict=True)]
        for slider, value in zip(sliders, self.shown, strict=True):
            slider.value = value
        self.following = False
        self.image.value = self.panel.png(self.picture, self.seen, step)
        self.words.value = self._sentence(step)

    def _sentence(self, step: int) -> str:
        """What it says after a step and why, as HTML."""
        posterior, classes, truth = self.seen.posterior[step], self.explorer.classes, self.picture.truth
        called = posterior.argmax()
        verdict = "" if truth is None else f", {'right' if called == truth else 'wrong, true ' + classes[truth]}"
        colour = "inherit" if truth is None else RIGHT if called == truth else WRONG
        beyond = f", more than the {self.explorer.trained} it was trained with" if step >= self.explorer.trained else ""
        chosen = "the place is yours" if self.seen.placed[step] else "mean of q(z)" if self.seed is None else "z ~ q(z)"
        return (
            f"<b style='color:{colour}'>says {escape(classes[called])}</b> (p = {posterior[called]:.3f}){verdict} · "
            f"after {step + 1} glimpse{'s' if step else ''}{beyond} · {chosen}"
            f"<pre style='line-height:1.3'>{escape(terms(self.seen, step))}</pre>"
        )


def on_grid(slider: W.FloatSlider, value: float) -> float:
    """The nearest value that a slider can show; a browser would round another one and send it back as a change."""
    steps = round((float(np.clip(value, slider.min, slider.max)) - slider.min) / slider.step)
    return round(slider.min + steps * slider.step, 6)
