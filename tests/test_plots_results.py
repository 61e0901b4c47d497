"""The figures of results: a dot per seed, a line per model, gaps that say "not run"."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from vsacc.figures import results
from vsacc.figures.style import METHODS, to_png

NAMES = ["saccader", "random", "ram"]


def rows(model, key, values, accuracies, **more):
    shared = {"task": "one_digit", "model": model, "glimpses": 2, "trained": 2, **more}
    return [
        shared | {key: value, "accuracy": accuracy, "low": accuracy - 0.1, "high": accuracy + 0.1}
        for value, accuracy in zip(values, accuracies, strict=True)
    ]


def names_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_seed_is_a_dot_and_random_a_line():
    seen = {"saccader": {"laptop": [0.9, 0.8], "paper": [0.95]}, "random": {"laptop": [0.2, 0.4]}}
    figure = results.systems({"one_digit": seen, "sum (stand-in)": {"ram": {"paper": [0.5]}}}, NAMES)
    first, second = figure.axes[:2]
    dots = {line.get_marker(): line for line in first.lines if line.get_marker() in "oD"}
    np.testing.assert_allclose(dots["D"].get_xdata(), [95])
    laptop = [line for line in first.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(laptop[0].get_xdata(), [90, 80])
    assert to_hex(laptop[0].get_color()) == METHODS["saccader"]
    assert len({*laptop[0].get_ydata(), *dots["D"].get_ydata()}) == 2  # the profiles do not hide each other
    (control,) = [line for line in first.lines if line.get_linestyle() == ":"]
    np.testing.assert_allclose(control.get_xdata(), [30, 30])
    assert {text.get_text() for text in first.texts} == {"95.0", "85.0", "30.0", "not run"}
    assert [text.get_text() for text in second.texts].count("not run") == 2
    assert second.get_title() == "sum (stand-in)"
    assert to_png(figure).startswith(b"\x89PNG")


def test_against_glimpses():
    curve = rows("saccader", "glimpses", (1, 2, 4), (0.5, 0.9, 0.8))
    whole = rows("resnet18", "glimpses", (None,), (0.7,), trained=None)
    figure = results.against_glimpses([*curve, *whole])
    line, ring, level = figure.axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), [50, 90, 80])
    np.testing.assert_allclose((ring.get_xdata()[0], ring.get_ydata()[0]), (2, 90))
    np.testing.assert_allclose(level.get_ydata(), [70, 70])
    assert names_of(figure) == ["saccader", "resnet18"]
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((40, 100))
    assert to_png(figure).startswith(b"\x89PNG")


SIDES = rows("saccader", "side", (100, 800), (0.9, 0.8)) + rows("a new one", "side", (100, 800), (0.4, 0.3))
SECONDS = [
    {"task": "one_digit", "model": model, "side": side, "seconds": seconds}
    for model, side, seconds in [("saccader", 100, 0.002), ("saccader", 800, 0.003), ("a new one", 100, 0.5)]
]


def test_against_side():
    figure = results.against_side(SIDES, SECONDS)
    accuracy, taken = figure.axes
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [90, 80])
    np.testing.assert_allclose(taken.lines[0].get_ydata(), [2, 3])
    np.testing.assert_allclose(taken.lines[1].get_xdata(), [100])
    assert taken.get_yscale() == "log" and names_of(figure) == ["saccader", "a new one"]
    assert to_png(figure).startswith(b"\x89PNG")


def test_plane_leaves_out_what_has_no_time():
    figure = results.plane(SIDES, SECONDS)
    (axes,) = figure.axes
    known, new = axes.lines
    np.testing.assert_allclose(known.get_xydata(), [[2, 90], [3, 80]])
    np.testing.assert_allclose(new.get_xydata(), [[500, 40]])
    small, large = axes.collections[0].get_sizes()
    assert small < large
    assert to_png(figure).startswith(b"\x89PNG")


def test_panels_fill_rows():
    figure, grid = results.panels(4, 3, 2.0, 1.0)
    assert len(grid) == 4 and len(figure.axes) == 6
    assert [axes.axison for axes in figure.axes] == [True] * 4 + [False] * 2
