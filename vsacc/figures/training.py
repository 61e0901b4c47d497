"""Pictures of a training, of what it reached, and of what noise in the proxy costs."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .style import ACCENT, GREY, ORANGE, WRONG, Curves, Looks, label_log, legend_below, lines, subplots

QUANTITIES = {  # of a row of the history: axis label
    "accuracy": "training accuracy",
    "log_y": "log p(y | o, z)  [nats]",
    "bits": "-log p(c | z, h)  [bits per pixel]",
    "kl": "KL(q || p)  [nats]",
    "scale": "mean scale s",
    "spread": "spread of places",
}


def line_panels(x: Sequence, panels: Mapping[str, Mapping[str, Sequence]], looks: Looks, **settings: Any) -> Figure:
    """A panel per quantity, in it a line per name: (n,), or the mean of (seeds, n) in a band; settings: of the axes."""
    figure, row = subplots(4.2 * len(panels), 3.3, 1, len(panels), squeeze=False)
    for axes, (label, curves) in zip(row[0], panels.items(), strict=True):
        lines(axes, x, curves, looks)
        axes.axhline(0, color="0.8", linewidth=1, zorder=0)
        axes.set(ylabel=label, **settings)
    legend_below(figure, len(looks))
    return figure


def curves(runs: dict[str, list[dict[str, float]]], pixels: int) -> Figure:
    """The quantities of the bound against the step, a line per run, of which ``runs`` has the rows of the history; by
    ``pixels``, T * C * J * J, log p(c) is divided to read as bits per proxy pixel."""
    figure, grid = subplots(10, 4.6, 2, 3, sharex=True)
    for axes, (key, label) in zip(grid.flat, QUANTITIES.items(), strict=True):
        for name, rows in runs.items():
            values = [-row["log_c"] / pixels / np.log(2) if key == "bits" else row[key] for row in rows]
            axes.plot([row["step"] for row in rows], values, label=name)
        axes.set(title=label, xmargin=0)
    for axes in grid[1]:
        axes.set_xlabel("step")
    grid[0, 0].set_ylim(0, 1)
    if len(runs) > 1:
        grid[0, 0].legend()
    return figure


def confusion(labels: np.ndarray, predictions: np.ndarray, names: list[str], every: int = 1) -> Figure:
    """Share of each true class (row) that is called each class (column); every ``every``-th class is named."""
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (labels, predictions), 1)
    share = counts / counts.sum(1, keepdims=True).clip(min=1)
    figure, axes = subplots(5.6, 4.8)
    # the square root keeps rare confusions visible beside a diagonal near one
    picture = axes.imshow(np.sqrt(share), vmin=0, vmax=1)
    ticks = range(0, len(names), every)
    axes.set_xticks(ticks, names[::every], rotation=90, fontsize=7)
    axes.set_yticks(ticks, names[::every], fontsize=7)
    axes.set(xlabel="called", ylabel="true")
    bar = figure.colorbar(picture, ax=axes, ticks=np.sqrt([0, 0.01, 0.1, 0.5, 1]), shrink=0.8)
    bar.ax.set_yticklabels(["0", "1 %", "10 %", "50 %", "100 %"])
    return figure


def against_glimpses(
    counts: Sequence[int], curves: Curves, trained: int, what: str = "glimpses T", colour: str = ACCENT
) -> Figure:
    """Two shares, such as accuracy and localisation, against a number of glimpses; that of the training is marked."""
    figure, axes = subplots(6, 3.4)
    lines(axes, counts, curves, dict(zip(curves, ((colour, "-", "o"), (colour, "--", "s")), strict=True)))
    axes.axvline(trained, color="0.6", linewidth=1, zorder=0, label=f"{what.split()[-1]} in training")
    axes.set(xlabel=what, xticks=counts, ylim=(0, 1.02))
    if counts[-1] > 10 * counts[0]:
        axes.set_xscale("log")
        label_log(axes.xaxis)
    axes.legend(loc="center right")
    return figure


def ablation(rows: dict[str, dict]) -> Figure:
    """Accuracy and share of digits found, a pair of bars per variant; a run that stopped early has none."""
    figure, axes = subplots(7.5, 0.42 * len(rows) + 0.9)
    for line, (name, row) in enumerate(rows.items()):
        if "stopped" in row:
            axes.text(0.01, line, "stopped: " + row["stopped"].split(": ", 1)[-1][:70], va="center", fontsize=8)
            continue
        for place, key, opacity in ((line - 0.18, "test_accuracy", 1), (line + 0.18, "localised", 0.45)):
            bar = axes.barh(place, row[key], 0.34, color=ACCENT if name == "ours" else ORANGE, alpha=opacity)
            axes.bar_label(bar, fmt="%.2f", padding=3, fontsize=8)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set(xlim=(0, 1.08), ylim=(len(rows) - 0.5, -0.5), xlabel="accuracy (full) and digits found (pale)")
    return figure


def error_causes(
    edges: tuple[int, ...], accuracy: Curves, images: list[float], causes: dict[str, float], before: dict[str, float]
) -> Figure:
    """Accuracy by the distance between two digits, and the share of all images that are errors of each cause. edges: of
    the bins of the distance, in pixels; accuracy: by reading, one value a bin, the last of three is of another model,
    whose causes are ``before``; images: share of all in a bin."""
    figure, (near, why) = subplots(10, 3.3, 1, 2, width_ratios=[1.5, 1])
    names = [*(f"{low} to {high}" for low, high in pairwise(edges[:-1])), f"over {edges[-2]}"]
    near.bar(names, images, 0.8, color="0.88", label="share of the images")
    looks = (ACCENT, "-", "o"), (ACCENT, "--", "s"), (GREY, ":", "^")
    lines(near, names, accuracy, dict(zip(accuracy, looks, strict=True)))
    near.set(xlabel="pixels between the digits' centres", ylabel="accuracy", ylim=(0, 1.02))
    near.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)  # above, since the curves may be anywhere
    for shares, shift, colour in ((causes, -0.2, WRONG), (before, 0.2, GREY)):
        places = [index + shift for index in range(len(causes))]
        why.bar_label(why.barh(places, [100 * shares[cause] for cause in causes], 0.38, color=colour), fmt=" %.1f")
    why.set_yticks(range(len(causes)), list(causes))
    why.set(xlabel="% of all images", title="errors by cause", xmargin=0.2)
    why.invert_yaxis()
    return figure


def noise_curves(found: dict[str, dict], labels: dict[str, list], trained: str, until: float, looks: Looks) -> Figure:
    """Accuracy (top) and share of digits found (bottom) against the level of each kind of noise.
    found: variant -> kind -> "level" (levels,), "accuracy" and "localised" (seeds, levels), the latter or None; labels:
    of the levels, by kind; trained: the kind that was in the training, and is shaded, until its level ``until``."""
    figure, panels = subplots(2.7 * len(labels), 5.6, 2, len(labels), sharey="row", sharex="col", squeeze=False)
    for column, (kind, ticks) in zip(panels.T, labels.items(), strict=True):
        for axes, key in zip(column, ("accuracy", "localised"), strict=True):
            curves = {name: each[kind][key] for name, each in found.items() if each[kind][key] is not None}
            lines(axes, range(len(ticks)), curves, looks)
            axes.set(xmargin=0.04, ylim=(0, 1.02))
            if kind == trained:
                level = next(iter(found.values()))[kind]["level"]
                axes.axvspan(0, sum(value <= until for value in level) - 1, color="0.94", zorder=0)
        column[0].set_title(f"{kind.replace('_', ' ')}\n{'in training' if kind == trained else 'never seen'}")
        column[1].set_xticks(range(len(ticks)), ticks, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    panels[0, 0].set_ylabel("accuracy")
    panels[1, 0].set_ylabel("digits found")
    legend_below(figure, 2)
    return figure
