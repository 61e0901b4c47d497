"""The figures of what looking costs: bars as long as their numbers, what was not run says so."""

import pytest
from matplotlib.colors import to_hex

from vsacc.figures import cost
from vsacc.figures.style import METHODS, to_png


def row(name, method, mode, **more):
    figures = {"seconds": 0.5, "bytes": 300e6, "resident": 100e6, "batch": 2, "parameters": 7e6, "why": None}
    return {"name": name, "method": method, "mode": mode, **figures, **more}


def test_table():
    rows = [row("saccader", "saccader", mode) for mode in cost.MODES]
    rows += [row("whole", "resnet18", mode, seconds=None, bytes=None) for mode in cost.MODES]
    figure = cost.table(rows, {"saccader": (7.4e6, 4.8e9, 120.0)}, 60_000)
    count, memory, time = figure.axes
    drawn = [[bar.get_width() for bar in axes.patches if bar.get_width()] for axes in (count, memory, time)]
    assert drawn == [[7, 7], [100, 100], [0.5, 0.5]]  # 200 MB beyond the weights of two images
    assert [text.get_text() for text in memory.texts].count("not run") == 2
    diamonds = [axes.lines[0].get_xdata()[0] for axes in (count, memory, time)]
    assert diamonds == pytest.approx([7.4, 30, 0.002])
    assert to_hex(memory.patches[0].get_facecolor()) == METHODS["saccader"]
    assert to_png(figure).startswith(b"\x89PNG")


def test_against_side():
    rows = [
        row("saccader", "saccader", "inference", side=side, store=side > 100, bytes=(100 + side) * 1e6)
        for side in (10, 100, 1000)
    ]
    rows.append(row("whole", "resnet18", "inference", side=10, store=False))
    rows.append(row("whole", "resnet18", "inference", side=100, store=False, seconds=None, bytes=None))
    slopes = {"saccader": {"seconds": -0.001, "bytes": 1.0}, "whole": {"seconds": None, "bytes": None}}
    figure = cost.against_side(rows, slopes)
    left, right = figure.axes
    assert right.lines[0].get_ydata().tolist() == [10, 100, 1000]
    assert right.lines[1].get_xdata().tolist() == [1000]  # from the store
    names = [text.get_text() for text in left.get_legend().get_texts()]
    assert names == ["saccader, side$^{0.00}$", "whole"]
    assert to_png(figure).startswith(b"\x89PNG")


def test_roofline():
    """A marker stands where its operations a second and a byte are; the roof bends where bandwidth meets the peak."""
    rows = [
        row("saccader", "saccader", "inference", flops=2e9, intensity=50.0),
        row("saccader", "saccader", "training", flops=6e9, intensity=20.0),
        row("144 crops, checkpointed", "resnet18_144", "inference", flops=5e11, intensity=300.0),
    ]
    figure = cost.roofline(rows, 1e11, 1e10)
    (axes,) = figure.axes
    roof, inference, training, crops = axes.lines[:4]
    assert list(roof.get_xdata())[1] == 10
    assert list(roof.get_ydata()) == pytest.approx([10 / 3 * 1e10, 1e11, 1e11])  # from a third of the least intensity
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in (inference, training, crops)] == [
        (50, 4e9),
        (20, 12e9),
        (300, 1e12),
    ]
    assert to_hex(inference.get_markerfacecolor()) == METHODS["saccader"]
    assert to_hex(training.get_markerfacecolor()) == "#ffffff"
    assert crops.get_marker() == cost.MARKERS["144 crops, checkpointed"]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["the machine's roof", "saccader", "144 crops, checkpointed", "inference", "training"]
    assert to_png(figure).startswith(b"\x89PNG")


def test_parts():
    rows = [
        {"name": name, "mode": mode, "share": share}
        for mode, shares in (("inference", (0.75, 0.25)), ("training", (0.5, 0.25, 0.25)))
        for name, share in zip(("sampler", "proxy", "optimiser"), shares, strict=False)
    ]
    figure = cost.parts([*rows, {"name": "whole", "mode": "training", "share": None}])
    bars = [(bar.get_x(), bar.get_width()) for bar in figure.axes[0].patches]
    assert bars == [(0, 0.75), (0.75, 0.25), (1, 0), (0, 0.5), (0.5, 0.25), (0.75, 0.25)]
    assert to_png(figure).startswith(b"\x89PNG")
