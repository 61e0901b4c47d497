"""Pictures show what they were given: frames where the glimpses are, a line per run, a dot per seed, in its marks."""

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from vsacc.figures import cost, results, saccades, training
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


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_steps_are_told_apart_and_bright_enough_for_frames_on_black(steps):
    colours = [step_colour(step, steps) for step in range(steps)]
    assert len(set(colours)) == steps
    linear = [np.power((np.add(to_rgb(name), 0.055)) / 1.055, 2.4) for name in colours]
    light = list(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    assert min(light) > 0.1 and light == sorted(light)  # contrast to black above 3


def test_figures_have_the_style_and_keep_their_size():
    assert matplotlib.rcParams["figure.dpi"] == STYLE["figure.dpi"]
    png = to_png(Figure(figsize=(2, 1), dpi=50))
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
    corners = [(*frame.get_xy(), frame.get_width()) for frame in image.patches]
    np.testing.assert_allclose(corners, [(-0.4, -0.7, 1.0), (-0.75, 0.25, 0.5)])
    assert image.get_ylim() == (1, -1)  # y runs down, as in where
    assert len({frame.get_edgecolor() for frame in image.patches}) == 2
    for axes, frame, glimpse in zip(glimpses, image.patches, seen[0], strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), glimpse)
        assert axes.spines["left"].get_edgecolor()[:3] == pytest.approx(frame.get_edgecolor()[:3])
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
    assert [frame.get_linestyle() for frame in last[0].patches] == ["-"] and not last[0].texts[0].get_text()
    assert [axes.axison for axes in last] == [True, True, False]
    np.testing.assert_array_equal(last[1].images[0].get_array(), IMAGES[1])


def test_lines_in_panels():
    tables = {"accuracy": {"one": [[0.1, 0.5], [0.5, 0.9]], "other": [1.0, 0.4]}, "found": {"other": [0, 1]}}
    figure = drawn(training.line_panels([1, 2], tables, LOOKS, xlabel="frame"))
    assert [axes.get_ylabel() for axes in figure.axes] == list(tables)
    one, other = (line for line in figure.axes[0].lines if line.get_label() in LOOKS)
    np.testing.assert_allclose(one.get_xydata(), [[1, 0.3], [2, 0.7]])  # the mean of the seeds
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0.1, 0.9)
    assert (other.get_color(), other.get_linestyle(), other.get_marker()) == LOOKS["other"]
    assert names_of(figure.legends[0]) == ["one", "other"]


def test_others_can_be_drawn():
    drawn(training.against_glimpses([1, 2, 30], {"accuracy": [0.1, 0.9, 0.8], "found": [0.5, 0.9, 0.9]}, 2))
    arrays = (RNG.random(shape) for shape in ((2, 6, 6), (2, 3, 3), (2, 3, 8, 8), (2, 3)))
    drawn(saccades.attended(IMAGES[:2], *arrays, ["a", "b"], "black"))


def test_curves():
    rows = [{"step": k, "log_c": -k * np.log(2), **dict.fromkeys(training.QUANTITIES, k)} for k in (1, 2)]
    figure = training.curves({"a run": rows}, pixels=4)
    by_title = {axes.get_title(): axes.lines[0].get_ydata() for axes in figure.axes}
    np.testing.assert_allclose(by_title[training.QUANTITIES["bits"]], [0.25, 0.5])
    np.testing.assert_allclose(by_title[training.QUANTITIES["kl"]], [1, 2])


def test_confusion_is_by_true_class():
    figure = training.confusion(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1]), ["a", "b", "c"])
    shown = figure.axes[0].images[0].get_array() ** 2
    np.testing.assert_allclose(shown, [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]])


def test_ablation_shows_what_stopped():
    bad = {"stopped": "training stopped at step 3: no bound"}
    (axes,) = training.ablation({"ours": {"test_accuracy": 0.9, "localised": 0.95}, "bad": bad}).axes
    assert len(axes.patches) == 2 and {text.get_text() for text in axes.texts} == {"0.90", "0.95", "stopped: no bound"}


def test_compared_has_the_models_marks():
    rows = {name: [(0.6, 0.5, 0.7)] * 2 for name in ("resnet18_144", "new")}
    (axes,) = results.compared(rows, 0.3, "a title", MARKS).axes
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
    few = [row("whole", "resnet18", "", side=s, store=False, seconds=taken) for s, taken in ((10, 0.5), (100, None))]
    slopes = {"saccader": {"seconds": -0.001, "bytes": 1.0}, "whole": {"seconds": None, "bytes": None}}
    left, right = drawn(cost.against_side([*many, *few], slopes, MARKS)).axes
    assert right.lines[0].get_ydata().tolist() == [10, 100, 1000]
    assert right.lines[1].get_xdata().tolist() == [1000]  # from the store
    assert names_of(left.get_legend()) == ["saccader, side$^{0.00}$", "whole"]


def test_roofline():
    """A marker stands where its operations a second and a byte are; the roof bends where bandwidth meets the peak."""
    rows = [row("saccader", "saccader", "inference", flops=2e9, intensity=50.0)]
    rows.append(row("saccader", "saccader", "training", flops=6e9, intensity=20.0))
    for name in ("naive", "checkpointed"):
        rows.append(row(name, "resnet18_144", "inference", flops=5e11, intensity=300.0))
    figure = drawn(cost.roofline(rows, 1e11, 1e10, MARKS))
    roof, *points = figure.axes[0].lines[:5]
    np.testing.assert_allclose(roof.get_xydata(), [(10 / 3, 1e11 / 3), (10, 1e11), (900, 1e11)])
    assert [(*line.get_xydata()[0],) for line in points] == [(50, 4e9), (20, 12e9), (300, 1e12), (300, 1e12)]
    assert [to_hex(line.get_markerfacecolor()) for line in points[:2]] == [MARKS["saccader"][0], "#ffffff"]
    assert [line.get_marker() for line in points] == ["o", "o", "s", "D"]
    assert names_of(figure.legends[0])[1:] == ["saccader", "naive", "checkpointed", "inference", "training"]


def test_time_shares():
    parts = [("sampler", 0.75, 0.5), ("proxy", 0.25, 0.25), ("optimiser", 0, 0.25), ("whole", None, None)]
    rows = [{"name": n, "mode": m, "share": s} for n, *both in parts for m, s in zip(cost.MODES, both, strict=True)]
    bars = [(bar.get_x(), bar.get_width()) for bar in drawn(cost.time_shares(rows)).axes[0].patches]
    assert bars == [(0, 0.75), (0, 0.5), (0.75, 0.25), (0.5, 0.25), (1, 0), (0.75, 0.25)]


def budget(model, key, values, accuracies, **more):
    shared = {"task": "one_digit", "model": model, "glimpses": 2, "trained": 2, **more}
    ends = [{"accuracy": a, "low": a - 0.1, "high": a + 0.1} for a in accuracies]
    return [shared | {key: value, **end} for value, end in zip(values, ends, strict=True)]


def test_stopping_beside_looking_equally_often():
    def row(glimpses, stop, looks, accuracy):
        return {
            "glimpses": glimpses,
            "trained": 3,
            "stop": stop,
            "looks": looks,
            "accuracy": accuracy,
            "seconds": looks / 1e3,
        }

    rows = [
        row(1, None, 1, 0.3),
        row(2, None, 2, 0.95),
        row(3, None, 3, 0.96),
        row(3, 0.9, 2.1, 0.955),
        row(3, 0.95, 2.2, 0.956),
    ]
    figure = cost.stopping(rows, "identification")
    looks, seconds = figure.axes
    assert [text.get_text() for text in looks.texts] == ["2", "3", ".95"]  # once is not shown
    for axes, unit in ((looks, 1), (seconds, 1)):
        fixed, chosen, stopped = axes.lines
        assert fixed.get_xdata() == pytest.approx([2 * unit, 3 * unit]) and chosen.get_xdata() == pytest.approx(
            [3 * unit]
        )
        assert stopped.get_ydata() == pytest.approx([95.5, 95.6])


def test_every_seed_is_a_dot_and_the_control_a_line():
    seen = {"saccader": {"laptop": [0.9, 0.8], "paper": [0.95]}, "random": {"laptop": [0.2, 0.4]}}
    tasks = {"one_digit": seen, "sum (stand-in)": {"ram": {"paper": [0.5]}}, "third": {}, "fourth": {}}
    figure = drawn(results.systems(tasks, ["saccader", "random", "ram"], "random", MARKS))
    first, second = figure.axes[:2]
    looks = {look: line for line in reversed(first.lines) for look in (line.get_marker(), line.get_linestyle())}
    laptop, paper, control = (looks[look] for look in "oD:")
    np.testing.assert_allclose([*laptop.get_xdata(), *paper.get_xdata()], [90, 80, 95])
    assert to_hex(laptop.get_color()) == MARKS["saccader"][0]
    assert len({*laptop.get_ydata(), *paper.get_ydata()}) == 2  # the profiles do not hide each other
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
    np.testing.assert_allclose(ring.get_xydata(), [(2, 90)])
    np.testing.assert_allclose(level.get_ydata(), [70, 70])
    assert names_of(figure.legends[0]) == ["whole", "the saccader"]
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((40, 100))


def test_results_by_side():
    sides = budget("saccader", "side", (100, 800), (0.9, 0.8)) + budget("a new one", "side", (100, 800), (0.4, 0.3))
    times = [("saccader", 100, 0.002), ("saccader", 800, 0.003), ("a new one", 100, 0.5)]
    seconds = [{"task": "one_digit", "model": model, "side": side, "seconds": taken} for model, side, taken in times]
    figure = drawn(results.against_side(sides, seconds, MARKS))
    accuracy, taken = figure.axes
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [90, 80])
    np.testing.assert_allclose([*taken.lines[0].get_ydata(), *taken.lines[1].get_xdata()], [2, 3, 100])
    assert taken.get_yscale() == "log" and names_of(figure.legends[0]) == ["the saccader", "a new one"]
