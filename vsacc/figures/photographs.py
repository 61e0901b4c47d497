"""Pictures of a task on photographs: its classes, and how models did on it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .style import ACCENT, GREY, Marks, mark, subplots


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
