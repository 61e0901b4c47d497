"""One style, one colour a method, one colour a saccade."""

import matplotlib
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from vsacc.figures.style import METHODS, STYLE, step_colour, to_png


def test_importing_plots_sets_the_style():
    import vsacc.figures  # noqa: F401

    assert matplotlib.rcParams["figure.dpi"] == STYLE["figure.dpi"]


def test_every_method_has_its_own_colour():
    assert len(set(METHODS.values())) == len(METHODS)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_steps_are_told_apart_and_bright_enough_for_frames_on_black(steps):
    colours = [step_colour(step, steps) for step in range(steps)]
    assert len(set(colours)) == steps
    linear = [[c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(name)] for name in colours]
    light = [0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in linear]
    assert min(light) > 0.1 and light == sorted(light)  # contrast to black above 3
    for step in (-1, steps):
        with pytest.raises(ValueError, match="step must be in"):
            step_colour(step, steps)


def test_to_png_keeps_the_figures_size():
    png = to_png(Figure(figsize=(2, 1), dpi=50))
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert [int.from_bytes(png[at : at + 4], "big") for at in (16, 20)] == [100, 50]
