"""Pictures of a task on photographs: its classes, how models did on it, and where one looked in one photograph."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from .saccades import COLUMNS, frame_glimpses, show
from .style import ACCENT, GREY, Marks, mark, step_colour, subplots, used


def balance(classes: Sequence[str], counts: dict[str, Sequence[int]], title: str) -> Figure:
    """Share of each class in every split: counts holds one number per class, by name of the split."""
    figure, axes = subplots(7.5, 2.8)
    width = 0.8 / len(counts)
    for index, (split, numbers) in enumerate(counts.items()):
        place = np.arange(len(classes)) + (index - (len(counts) - 1) / 2) * width
        look = {"label": f"{split}, {sum(numbers)}", "color": f"C{index + 1}"}
        bars = axes.bar(place, np.divide(numbers, sum(numbers)), width, **look)
        axes.bar_label(bars, numbers, fontsize=7.5, padding=1)
    axes.set_xticks(range(len(classes)), classes)
    axes.set(ylabel="share of the split", title=title)
    axes.legend()
    return figure


def compared(rows: dict[str, list[tuple[float, ...]]], majority: float, title: str, marks: Marks) -> Figure:
    """Test accuracy of every model and seed: rows holds (accuracy, low, high) of each seed, by name of the model."""
    figure, axes = subplots(7.5, 0.55 * len(rows) + 1.2)
    for line, (model, each) in enumerate(rows.items()):
        accuracy, low, high = np.transpose(each)
        y, ends = line + np.linspace(-0.22, 0.22, len(each)), (accuracy - low, high - accuracy)
        axes.errorbar(accuracy, y, xerr=ends, fmt="o", color=mark(marks, model)[0], capsize=2.5)
    axes.axvline(majority, color=GREY, linestyle="--", linewidth=1)
    axes.text(majority, -0.55, " always the commonest class", color="0.35", va="center")
    axes.set_yticks(range(len(rows)), [mark(marks, model)[2] for model in rows])
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.75), xlabel="test accuracy, 95 % interval", title=title)
    return figure


def per_class(classes: Sequence[str], right: Sequence[int], total: Sequence[int], title: str) -> Figure:
    """Share of each class that was called right, with the numbers."""
    figure, axes = subplots(7.5, 2.6)
    bars = axes.bar(classes, np.asarray(right) / np.maximum(total, 1), 0.6, color=ACCENT)
    axes.bar_label(bars, [f"{a} of {b}" for a, b in zip(right, total, strict=True)], padding=1)
    axes.set(ylim=(0, 1.12), ylabel="called right", title=title)
    return figure


def looked_at(
    image: np.ndarray, aspect: float, where: np.ndarray, glimpses: np.ndarray, classes: Mapping[str, float], title: str
) -> Figure:
    """A photograph with the frames of its glimpses, the glimpses at their own resolution, and its likeliest classes.

    image (H, W) or (H, W, 3); where (T, 3), T may be 0; glimpses (T, L, L) or (T, L, L, 3). aspect: height over width
    of the photograph, and so of the glimpses in it. classes: probabilities by name, the likeliest first.
    """
    figure = Figure(figsize=(9.5, 4.4))
    left, right = figure.subfigures(1, 2, width_ratios=[1.15, 1])
    steps, lines = len(where), max(1, -(-len(where) // COLUMNS))
    top, bottom = right.subfigures(2, 1, height_ratios=[1.1 * lines, 1 + 0.5 * lines])
    scene, grid = left.subplots(), top.subplots(lines, min(steps, COLUMNS) or 1, squeeze=False)
    bars = bottom.subplots()
    show(scene, image, title, aspect=aspect)
    frame_glimpses(scene, where)
    for step, cell in enumerate(used(grid, steps)):
        show(cell, glimpses[step], colour=step_colour(step, steps), aspect=aspect)
    drawn = bars.barh(list(classes), list(classes.values()), color=[ACCENT, *[GREY] * (len(classes) - 1)])
    bars.bar_label(drawn, [f" {100 * probability:.1f} %" for probability in classes.values()])
    bars.set(xlim=(0, 1.15), ylim=(len(classes) - 0.5, -0.5), xticks=(0, 0.5, 1), xlabel="probability")
    return figure
