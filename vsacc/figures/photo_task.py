"""Pictures of a task on photographs: its classes, its images with their proxies, and how models did on it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .saccades import frame, show
from .style import GREY, METHODS

NAMES = {"saccader": "saccader", "resnet18_144": "ResNet-18, 144 crops", "proxy_only": "proxy only"}


def balance(classes: Sequence[str], counts: dict[str, Sequence[int]], title: str) -> Figure:
    """Share of each class in every split: counts holds one number per class, by name of the split."""
    figure = Figure(figsize=(7.5, 2.8), layout="constrained")
    axes, width = figure.subplots(), 0.8 / len(counts)
    for index, (split, numbers) in enumerate(counts.items()):
        place = np.arange(len(classes)) + (index - (len(counts) - 1) / 2) * width
        share = np.asarray(numbers) / sum(numbers)
        bars = axes.bar(place, share, width, label=f"{split}, {sum(numbers)}", color=f"C{index + 1}")
        axes.bar_label(bars, [str(number) for number in numbers], fontsize=7.5, padding=1)
    axes.set_xticks(range(len(classes)), classes)
    axes.set(ylabel="share of the split", title=title)
    axes.legend()
    return figure


def images_and_proxies(
    images: np.ndarray, proxies: np.ndarray, closer: np.ndarray, boxes: np.ndarray | None, titles: Sequence[str]
) -> Figure:
    """Images (N, h, w, 3), their proxies (N, J, J, 3) and a closer look (N, L, L, 3); boxes (N, 4) are dotted."""
    figure = Figure(figsize=(1.65 * len(images), 5.3), layout="constrained")
    rows = figure.subplots(3, len(images))
    for column, title in enumerate(titles):
        show(rows[0, column], images[column], title)
        show(rows[1, column], proxies[column])
        show(rows[2, column], closer[column])
        if boxes is not None:
            frame(rows[0, column], boxes[column], "white", ":")
    for axes, name in zip(rows[:, 0], ("image x", f"proxy c, {proxies.shape[1]} x {proxies.shape[2]}", "its subject"),
                          strict=True):  # fmt: skip
        axes.set_ylabel(name, fontsize=9)
    return figure


def compared(rows: dict[str, Sequence[tuple[float, float, float]]], majority: float, title: str) -> Figure:
    """Test accuracy of every model and seed: rows holds (accuracy, low, high) of each seed, by name of the model."""
    figure = Figure(figsize=(7.5, 0.55 * len(rows) + 1.2), layout="constrained")
    axes = figure.subplots()
    for line, (model, seeds) in enumerate(rows.items()):
        for place, (accuracy, low, high) in zip(np.linspace(-0.22, 0.22, len(seeds)), seeds, strict=True):
            axes.errorbar(accuracy, line + place, xerr=[[accuracy - low], [high - accuracy]], fmt="o",
                          color=METHODS[model], capsize=2.5)  # fmt: skip
    axes.axvline(majority, color=GREY, linestyle="--", linewidth=1)
    axes.text(majority, -0.55, " always the commonest class", color="0.35", fontsize=8.5, va="center")
    axes.set_yticks(range(len(rows)), [NAMES.get(model, model) for model in rows])
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.75), xlabel="test accuracy, 95 % interval", title=title)
    return figure


def per_class(classes: Sequence[str], right: Sequence[int], total: Sequence[int], title: str) -> Figure:
    """Share of each class that was called right, with the numbers."""
    figure = Figure(figsize=(7.5, 2.6), layout="constrained")
    axes = figure.subplots()
    share = np.asarray(right) / np.maximum(total, 1)
    bars = axes.bar(classes, share, 0.6, color=METHODS["saccader"])
    axes.bar_label(bars, [f"{a} of {b}" for a, b in zip(right, total, strict=True)], fontsize=8.5, padding=1)
    axes.set(ylim=(0, 1.12), ylabel="called right", title=title)
    return figure
