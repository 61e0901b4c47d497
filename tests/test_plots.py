"""Pictures show what they were given: frames where the glimpses are, a line per run, a cell per confusion."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vsacc.figures import saccades, training
from vsacc.figures.style import step_colour, to_png

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 20, 20), dtype=np.uint8)


def frames(axes):
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_frames_are_where_the_glimpses_are():
    where = np.array([[[0.5, 0.1, -0.2], [0.25, -0.5, 0.5]]])
    seen = RNG.random((1, 2, 8, 8))
    figure = saccades.saccades(IMAGES[:1], where, seen, ["a title"], [True])
    image, *glimpses = figure.get_axes()
    first, second = frames(image)
    assert (*first.get_xy(), first.get_width()) == pytest.approx((-0.4, -0.7, 1.0))
    assert (*second.get_xy(), second.get_width()) == pytest.approx((-0.75, 0.25, 0.5))
    assert image.get_ylim() == (1, -1)  # y runs down, as in where
    assert len(glimpses) == 2
    for step, axes in enumerate(glimpses):
        np.testing.assert_array_equal(axes.images[0].get_array(), seen[0, step])
        assert axes.spines["left"].get_edgecolor()[:3] == pytest.approx(
            first.get_edgecolor()[:3] if step == 0 else second.get_edgecolor()[:3]
        )
    assert step_colour(0, 2) != step_colour(1, 2)


def test_right_and_wrong_have_different_colours():
    where, seen = np.full((2, 1, 3), 0.3), RNG.random((2, 1, 8, 8))
    figure = saccades.saccades(IMAGES[:2], where, seen, ["right", "wrong"], [True, False])
    titles = {axes.get_title(): axes.title.get_color() for axes in figure.get_axes() if axes.get_title()}
    assert titles["right"] != titles["wrong"]


@pytest.mark.parametrize(
    "figure",
    [
        saccades.boxed_images({"one": (IMAGES, RNG.random((3, 2, 4)), ["a", "b", "c"])}),
        saccades.image_and_proxy(IMAGES, RNG.random((3, 4, 4)), ["a", "b", "c"]),
        saccades.sampler_tour(IMAGES[0], np.full((2, 3), 0.4), RNG.random((2, 8, 8))),
        saccades.side_by_side({"left": RNG.random((8, 8)), "right": RNG.random((8, 8))}),
        training.against_glimpses([1, 2, 3], [0.1, 0.9, 0.8], [0.5, 0.9, 0.9], 2),
    ],
)
def test_every_picture_can_be_drawn(figure):
    assert isinstance(figure, Figure)
    assert to_png(figure).startswith(b"\x89PNG")


def test_curves():
    rows = [{"step": k, "log_c": -k * np.log(2), **dict.fromkeys(training.QUANTITIES, k)} for k in (1, 2)]
    figure = training.curves({"a run": rows}, pixels=4)
    by_title = {axes.get_title(): axes.lines[0].get_ydata() for axes in figure.axes}
    assert len(by_title) == 6
    np.testing.assert_allclose(by_title[training.QUANTITIES["bits"]], [0.25, 0.5])
    np.testing.assert_allclose(by_title[training.QUANTITIES["kl"]], [1, 2])


def test_confusion_is_by_true_class():
    figure = training.confusion(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1]), ["a", "b", "c"])
    shown = figure.axes[0].images[0].get_array() ** 2
    np.testing.assert_allclose(shown, [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]])


def test_ablation_shows_what_stopped():
    rows = {
        "ours": {"test_accuracy": 0.9, "localised": 0.95},
        "bad": {"stopped": "training stopped at step 3: no bound"},
    }
    figure = training.ablation(rows)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "0.90" in texts and "stopped: no bound" in texts
    assert len(frames(figure.axes[0])) == 2
