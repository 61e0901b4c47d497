"""Pictures show what they were given: frames where the glimpses are, a line per run, a dot per seed, in its marks."""

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from vsacc.figures import attention, cost, photographs, results, saccades, training
from vsacc.figures.saccades import ImageRow
from vsacc.figures.style import GREY, STYLE, label_log, step_colour, subplots, to_png

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 20, 20), dtype=np.uint8)
MARKS = {"saccader": ("#d55e00", "o", "the saccader"), "resnet18_144": ("#56b4e9", "s", "144 crops")}
MARKS |= {"resnet18": ("#0072b2", "^", "whole"), "random": ("#000000", "x", "random glimpses")}
LOOKS = {"one": ("#d55e00", "-", "o"), "other": ("#e69f00", "--", "s")}


def drawn(figure):
    assert to_png(figure).startswith(b"\x89PNG")
    return figure


def names_of(legend):
    return [text.get_text() for text in legend.get_texts()]


def test_importing_figures_sets_the_style():
    assert matplotlib.rcParams["figure.dpi"] == STYLE["figure.dpi"]


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


@pytest.mark.parametrize("values", [(0.52, 2.7), (0.86, 1.14), (1.05, 4.9), (3, 80), (1e-3, 1e3), (7, 7.01), (5, 5)])
def test_a_logarithmic_axis_has_three_labels_or_more(values):
    figure, axes = subplots(3, 2)
    axes.semilogy(values)
    limits = axes.get_ylim()
    label_log(axes.yaxis)
    assert axes.get_ylim() == limits
    drawn(figure)
    ticks = [tick for tick in axes.yaxis.get_major_ticks() if limits[0] <= tick.get_loc() <= limits[1]]
    assert 3 <= len({tick.label1.get_text() for tick in ticks} - {""}) == len(ticks) <= 12


def test_frames_are_where_the_glimpses_are():
    where = np.array([[[0.5, 0.1, -0.2], [0.25, -0.5, 0.5]]]).repeat(2, 0)
    seen = RNG.random((2, 2, 8, 8))
    image, *glimpses, wrong, _, _ = saccades.saccades(IMAGES[:2], where, seen, ["a", "b"], [True, False]).get_axes()
    first, second = image.patches
    assert (*first.get_xy(), first.get_width()) == pytest.approx((-0.4, -0.7, 1.0))
    assert (*second.get_xy(), second.get_width()) == pytest.approx((-0.75, 0.25, 0.5))
    assert image.get_ylim() == (1, -1)  # y runs down, as in where
    assert first.get_edgecolor() != second.get_edgecolor()
    for axes, outline, glimpse in zip(glimpses, (first, second), seen[0], strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), glimpse)
        assert axes.spines["left"].get_edgecolor()[:3] == pytest.approx(outline.get_edgecolor()[:3])
    assert (image.get_title(), wrong.get_title()) == ("a", "b")
    assert image.title.get_color() != wrong.title.get_color()


@pytest.mark.parametrize("place", [(0.1, -0.5, 0.2), (0.1, 0.88, 0.2), (0.4, -0.9, -0.9), (0.4, 0.5, 0.5)])
def test_numbers_of_frames_in_one_place_do_not_collide(place):
    _, axes = subplots(2, 2)
    saccades.frame_glimpses(axes, np.array([place, (0.3, 0.3, -0.4), place, place]))
    first, _, *others = [text.get_position() for text in axes.texts]
    x = sorted([first[0], *(at[0] for at in others)])
    assert np.diff(x).min() >= 0.1 and -1 < x[0] and x[-1] < 1
    assert {at[1] for at in others} == {first[1]}


def test_rows_of_images():
    boxes, where = RNG.random((3, 2, 4)), np.full((2, 1, 3), 0.3)
    rows = {"one": ImageRow(IMAGES, ["a", "b", "c"], boxes), "two": ImageRow(IMAGES[:2], where=where)}
    figure = drawn(saccades.image_rows(rows))
    first, last = figure.axes[:3], figure.axes[3:]
    assert [axes.get_title() for axes in first] == ["a", "b", "c"] and first[0].get_ylabel() == "one"
    assert [len(axes.patches) for axes in figure.axes] == [2, 2, 2, 1, 1, 0]
    assert {box.get_linestyle() for box in first[0].patches} == {":"}
    assert [axes.axison for axes in last] == [True, True, False]
    np.testing.assert_array_equal(last[1].images[0].get_array(), IMAGES[1])


def test_every_frame_of_a_film_has_its_own_glimpse():
    videos = RNG.integers(0, 256, (2, 3, 20, 20), dtype=np.uint8)
    where, boxes, seen = RNG.random((2, 3, 3)) / 2, RNG.random((2, 3, 1, 4)), RNG.random((2, 3, 8, 8))
    figure = drawn(saccades.film(videos, boxes, where, seen, ["a 3", "a 7"], [True, False]))
    grid = np.array(figure.axes).reshape(2, 2, 3)  # video, frame or glimpse, time
    for n, i in np.ndindex(2, 3):
        (s, x, y), (image, glimpse) = where[n, i], grid[n, :, i]
        np.testing.assert_array_equal(image.images[0].get_array(), videos[n, i])
        np.testing.assert_array_equal(glimpse.images[0].get_array(), seen[n, i])
        box, outline = image.patches
        assert (*outline.get_xy(), outline.get_width()) == pytest.approx((x - s, y - s, 2 * s))
        assert box.get_xy() == pytest.approx(boxes[n, i, 0, :2])
        assert box.get_linestyle() == ":" and outline.get_linestyle() == "-"
    assert outline.get_edgecolor() != grid[0, 0, 0].patches[1].get_edgecolor()
    assert grid[0, 0, 0].get_ylabel() == "a 3"
    assert grid[0, 0, 0].yaxis.label.get_color() != grid[1, 0, 0].yaxis.label.get_color()


def test_following():
    rows = {name: list(RNG.random(4)) for name in LOOKS}
    figure = drawn(saccades.following(rows, {name: row[::-1] for name, row in rows.items()}, LOOKS))
    for axes, order in zip(figure.axes, (1, -1), strict=True):
        for line in axes.lines:
            np.testing.assert_allclose(line.get_ydata(), rows[line.get_label()][::order])
            np.testing.assert_allclose(line.get_xdata(), [1, 2, 3, 4])
            assert (line.get_color(), line.get_linestyle(), line.get_marker()) == LOOKS[line.get_label()]


def test_others_can_be_drawn():
    drawn(saccades.sampler_tour(IMAGES[0], np.full((2, 3), 0.4), RNG.random((2, 8, 8))))
    drawn(training.against_glimpses([1, 2, 30], {"accuracy": [0.1, 0.9, 0.8], "found": [0.5, 0.9, 0.9]}, 2))
    drawn(attention.bias([0.1, 0.9], *2 * [{"one": [1, 1], "other": [0.9, 0.3]}], LOOKS))
    histories = [[{"step": 1, "accuracy": a}, {"step": 2, "accuracy": a + 0.4}] for a in (0.1, 0.5)]
    (axes,) = drawn(attention.trainings({"one": histories}, LOOKS)).axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.3, 0.7])  # the mean of the seeds


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
    bad = {"stopped": "training stopped at step 3: no bound"}
    (axes,) = training.ablation({"ours": {"test_accuracy": 0.9, "localised": 0.95}, "bad": bad}).axes
    assert {"0.90", "stopped: no bound"} <= {text.get_text() for text in axes.texts}
    assert len(axes.patches) == 2


def test_compared_has_the_models_marks():
    rows = {name: [(0.6, 0.5, 0.7)] * 2 for name in ("resnet18_144", "new")}
    (axes,) = photographs.compared(rows, 0.3, "a title", MARKS).axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["144 crops", "new"]
    assert [to_hex(line.get_color()) for line in axes.lines if line.get_marker() == "o"] == ["#56b4e9", GREY]


def row(name, method, mode, **more):
    figures = {"seconds": 0.5, "bytes": 300e6, "resident": 100e6, "batch": 2, "parameters": 7e6, "why": None}
    return {"name": name, "method": method, "mode": mode, **figures, **more}


def test_cost_table():
    rows = [row("saccader", "saccader", mode) for mode in cost.MODES]
    rows += [row("whole", "resnet18", mode, seconds=None, bytes=None) for mode in cost.MODES]
    figure = drawn(cost.table(rows, {"saccader": (7.4e6, 4.8e9, 120.0)}, 60_000, MARKS))
    lengths = [[bar.get_width() for bar in axes.patches if bar.get_width()] for axes in figure.axes]
    assert lengths == [[7, 7], [100, 100], [0.5, 0.5]]  # 200 MB beyond the weights of two images
    assert [text.get_text() for text in figure.axes[1].texts].count("not run") == 2
    assert [axes.lines[0].get_xdata()[0] for axes in figure.axes] == pytest.approx([7.4, 30, 0.002])
    assert to_hex(figure.axes[1].patches[0].get_facecolor()) == MARKS["saccader"][0]


def test_cost_against_side():
    sides = [(10, False), (100, False), (1000, True)]
    many = [row("saccader", "saccader", "", side=s, store=stored, bytes=(100 + s) * 1e6) for s, stored in sides]
    few = [row("whole", "resnet18", "", side=10, store=False)]
    few.append(row("whole", "resnet18", "", side=100, store=False, seconds=None, bytes=None))
    slopes = {"saccader": {"seconds": -0.001, "bytes": 1.0}, "whole": {"seconds": None, "bytes": None}}
    left, right = drawn(cost.against_side([*many, *few], slopes, MARKS)).axes
    assert right.lines[0].get_ydata().tolist() == [10, 100, 1000]
    assert right.lines[1].get_xdata().tolist() == [1000]  # from the store
    assert names_of(left.get_legend()) == ["saccader, side$^{0.00}$", "whole"]


def test_roofline():
    """A marker stands where its operations a second and a byte are; the roof bends where bandwidth meets the peak."""
    rows = [
        row("saccader", "saccader", "inference", flops=2e9, intensity=50.0),
        row("saccader", "saccader", "training", flops=6e9, intensity=20.0),
        row("naive", "resnet18_144", "inference", flops=5e11, intensity=300.0),
        row("checkpointed", "resnet18_144", "inference", flops=5e11, intensity=300.0),
    ]
    figure = drawn(cost.roofline(rows, 1e11, 1e10, MARKS))
    roof, *points = figure.axes[0].lines[:5]
    assert list(roof.get_xdata())[1] == 10
    assert list(roof.get_ydata()) == pytest.approx([10 / 3 * 1e10, 1e11, 1e11])  # from a third of the least intensity
    places = [(line.get_xdata()[0], line.get_ydata()[0]) for line in points]
    assert places == [(50, 4e9), (20, 12e9), (300, 1e12), (300, 1e12)]
    assert [to_hex(line.get_markerfacecolor()) for line in points[:2]] == [MARKS["saccader"][0], "#ffffff"]
    assert [line.get_marker() for line in points] == ["o", "o", "s", "D"]
    names = ["the machine's roof", "saccader", "naive", "checkpointed", "inference", "training"]
    assert names_of(figure.legends[0]) == names


def test_time_shares():
    parts = [("sampler", 0.75, 0.5), ("proxy", 0.25, 0.25), ("optimiser", 0, 0.25), ("whole", None, None)]
    rows = [{"name": n, "mode": m, "share": s} for n, *both in parts for m, s in zip(cost.MODES, both, strict=True)]
    bars = [(bar.get_x(), bar.get_width()) for bar in drawn(cost.time_shares(rows)).axes[0].patches]
    assert bars == [(0, 0.75), (0.75, 0.25), (1, 0), (0, 0.5), (0.5, 0.25), (0.75, 0.25)]


def budget(model, key, values, accuracies, **more):
    shared = {"task": "one_digit", "model": model, "glimpses": 2, "trained": 2, **more}
    ends = [{"accuracy": a, "low": a - 0.1, "high": a + 0.1} for a in accuracies]
    return [shared | {key: value, **end} for value, end in zip(values, ends, strict=True)]


def test_every_seed_is_a_dot_and_the_control_a_line():
    seen = {"saccader": {"laptop": [0.9, 0.8], "paper": [0.95]}, "random": {"laptop": [0.2, 0.4]}}
    tasks = {"one_digit": seen, "sum (stand-in)": {"ram": {"paper": [0.5]}}, "third": {}, "fourth": {}}
    figure = drawn(results.systems(tasks, ["saccader", "random", "ram"], "random", MARKS))
    first, second = figure.axes[:2]
    laptop, paper = ([line for line in first.lines if line.get_marker() == marker] for marker in "oD")
    np.testing.assert_allclose(paper[0].get_xdata(), [95])
    np.testing.assert_allclose(laptop[0].get_xdata(), [90, 80])
    assert to_hex(laptop[0].get_color()) == MARKS["saccader"][0]
    assert len({*laptop[0].get_ydata(), *paper[0].get_ydata()}) == 2  # the profiles do not hide each other
    (control,) = [line for line in first.lines if line.get_linestyle() == ":"]
    np.testing.assert_allclose(control.get_xdata(), [30, 30])
    assert {text.get_text() for text in first.texts} == {"95.0", "85.0", "30.0", "not run"}
    assert [text.get_text() for text in second.texts].count("not run") == 2
    assert [tick.get_text() for tick in first.get_yticklabels()] == ["the saccader", "random glimpses", "ram"]
    assert names_of(figure.legends[0])[-1] == "random glimpses, mean"
    assert second.get_title() == "sum (stand-in)"
    assert [axes.axison for axes in figure.axes] == [True] * 4 + [False] * 2  # rows of three


def test_results_against_glimpses():
    rows = budget("resnet18", "glimpses", (None,), (0.7,), trained=None)
    rows += budget("saccader", "glimpses", (1, 2, 4), (0.5, 0.9, 0.8))
    figure = drawn(results.against_glimpses(rows, MARKS))
    level, line, ring = figure.axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), [50, 90, 80])
    np.testing.assert_allclose((ring.get_xdata()[0], ring.get_ydata()[0]), (2, 90))
    np.testing.assert_allclose(level.get_ydata(), [70, 70])
    assert names_of(figure.legends[0]) == ["the saccader", "whole"]
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((40, 100))


SIDES = budget("saccader", "side", (100, 800), (0.9, 0.8)) + budget("a new one", "side", (100, 800), (0.4, 0.3))
TIMES = [("saccader", 100, 0.002), ("saccader", 800, 0.003), ("a new one", 100, 0.5)]
SECONDS = [{"task": "one_digit", "model": model, "side": side, "seconds": seconds} for model, side, seconds in TIMES]


def test_results_by_side():
    figure = drawn(results.against_side(SIDES, SECONDS, MARKS))
    accuracy, taken = figure.axes
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [90, 80])
    np.testing.assert_allclose(taken.lines[0].get_ydata(), [2, 3])
    np.testing.assert_allclose(taken.lines[1].get_xdata(), [100])
    assert taken.get_yscale() == "log" and names_of(figure.legends[0]) == ["the saccader", "a new one"]
    figure = drawn(results.plane(SIDES, SECONDS, MARKS))
    known, new = figure.axes[0].lines
    np.testing.assert_allclose(known.get_xydata(), [[2, 90], [3, 80]])
    np.testing.assert_allclose(new.get_xydata(), [[500, 40]])  # no time, no place
    small, large = figure.axes[0].collections[0].get_sizes()
    assert small < large
