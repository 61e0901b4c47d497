"""Films show what they were given: each frame has its own glimpse's outline and the dotted box of that frame."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from vsacc.figures import video
from vsacc.figures.style import step_colour, to_png

RNG = np.random.default_rng(0)


def test_every_frame_has_its_own_glimpse():
    frames = RNG.integers(0, 256, (2, 3, 20, 20), dtype=np.uint8)
    where = RNG.random((2, 3, 3)) / 2
    boxes, seen = RNG.random((2, 3, 1, 4)), RNG.random((2, 3, 8, 8))
    figure = video.film(frames, boxes, where, seen, ["a 3", "a 7"], [True, False])
    grid = np.array(figure.axes).reshape(2, 2, 3)  # video, frame or glimpse, time
    for n in range(2):
        for i, (s, x, y) in enumerate(where[n]):
            image, glimpse = grid[n, :, i]
            np.testing.assert_array_equal(image.images[0].get_array(), frames[n, i])
            np.testing.assert_array_equal(glimpse.images[0].get_array(), seen[n, i])
            box, outline = (patch for patch in image.patches if isinstance(patch, Rectangle))
            assert (*outline.get_xy(), outline.get_width()) == pytest.approx((x - s, y - s, 2 * s))
            assert box.get_xy() == pytest.approx(boxes[n, i, 0, :2])
            assert box.get_linestyle() == ":" and outline.get_linestyle() == "-"
    assert outline.get_edgecolor() != grid[0, 0, 0].patches[1].get_edgecolor()
    assert step_colour(0, 3) != step_colour(1, 3)
    assert grid[0, 0, 0].get_ylabel() == "a 3"
    assert grid[0, 0, 0].yaxis.label.get_color() != grid[1, 0, 0].yaxis.label.get_color()


def test_following():
    rows = {name: list(RNG.random(4)) for name in video.LOOKS}
    figure = video.following(rows, {name: row[::-1] for name, row in rows.items()})
    left, right = figure.axes
    for axes, order in ((left, 1), (right, -1)):
        for line in axes.lines:
            np.testing.assert_allclose(line.get_ydata(), rows[line.get_label()][::order])
            np.testing.assert_allclose(line.get_xdata(), [1, 2, 3, 4])
    assert to_png(figure).startswith(b"\x89PNG")
