"""Pictures of a training, of what it reached, and of what noise in the proxy costs. Numbers in, Figure out."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from .style import ACCENT, ORANGE, WRONG, Looks, both, lines, log_x, subplots

QUANTITIES = {  # of a history row: axis label
    "accuracy": "training accuracy",
    "log_y": "log p(y | o, z)  [nats]",
    "bits": "-log p(c | z, h)  [bits per pixel]",
    "kl": "KL(q || p)  [nats]",
    "scale": "mean scale s",
    "spread": "spread of places",
}


def curves(runs: dict[str, list[dict[str, float]]], pixels: int) -> Figure:
    """The quantities of the bound against the step, one line per run, whose history's rows ``runs`` has by name.

    pixels: T * C * J * J, by which log p(c) is divided to read as bits per proxy pixel.
    """
    figure, grid = subplots(10, 4.6, 2, 3, sharex=True)
    for axes, (key, label) in zip(grid.flat, QUANTITIES.items(), strict=True):
        for name, rows in runs.items():
            steps = [row["step"] for row in rows]
            values = [-row["log_c"] / pixels / np.log(2) if key == "bits" else row[key] for row in rows]
            axes.plot(steps, values, label=name, linewidth=1.5)
        axes.set_title(label, fontsize=10)
        axes.margins(x=0)
    for axes in grid[1]:
        axes.set_xlabel("step")
    grid[0, 0].set_ylim(0, 1)
    if len(runs) > 1:
        grid[0, 0].legend(fontsize=8)
    return figure


def confusion(labels: np.ndarray, predictions: np.ndarray, names: list[str], every: int = 1) -> Figure:
    """Share of each true class (row) that is called each class (column); every ``every``-th class is named."""
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (labels, predictions), 1)
    share = counts / counts.sum(1, keepdims=True).clip(min=1)
    figure, axes = subplots(5.6, 4.8)
    # the square root keeps rare confusions visible beside a diagonal near one
    picture = axes.imshow(np.sqrt(share), cmap="cividis", vmin=0, vmax=1)
    ticks = range(0, len(names), every)
    axes.set_xticks(ticks, names[::every], rotation=90, fontsize=7)
    axes.set_yticks(ticks, names[::every], fontsize=7)
    axes.set(xlabel="called", ylabel="true")
    bar = figure.colorbar(picture, ax=axes, ticks=np.sqrt([0, 0.01, 0.1, 0.5, 1]), shrink=0.8)
    bar.ax.set_yticklabels(["0", "1 %", "10 %", "50 %", "100 %"])
    return figure


def against_glimpses(
    counts: Sequence[int],
    curves: dict[str, Sequence[float]],
    trained: int,
    what: str = "glimpses T",
    colour: str = ACCENT,
) -> Figure:
    """Two shares, such as accuracy and localisation, against a number of glimpses; that of the training is marked."""
    figure, axes = subplots(6, 3.4)
    both(axes, counts, curves, colour)
    axes.axvline(trained, color="0.6", linewidth=1, zorder=0)
    axes.text(trained, 0.03, f" {what.split()[-1]} in training", color="0.4", fontsize=9)
    axes.set(xlabel=what, xticks=counts, ylim=(0, 1.02))
    if counts[-1] > 10 * counts[0]:
        log_x(axes, counts)
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
            axes.barh(place, row[key], 0.34, color=ACCENT if name == "ours" else ORANGE, alpha=opacity)
            axes.text(row[key] + 0.01, place, f"{row[key]:.2f}", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set(xlim=(0, 1.08), ylim=(len(rows) - 0.5, -0.5), xlabel="accuracy (full) and digits found (pale)")
    return figure


def error_causes(edges: tuple[int, ...], accuracy: dict[str, list[float]], images: list[float], causes: dict) -> Figure:
    """Accuracy by the distance between two digits, and the errors by cause.

    edges: of the bins of the distance, in pixels, one more than there are bins; accuracy: by reading, one value a bin;
    images, causes: share of all images in each bin, and by cause.
    """
    figure, (near, why) = subplots(10, 3.3, 1, 2, width_ratios=[1.5, 1])
    bins = np.arange(len(images))
    near.bar(bins, images, 0.8, color="0.88", label="share of the images")
    both(near, bins, accuracy, ACCENT)
    names = [*(f"{low} to {high}" for low, high in pairwise(edges[:-1])), f"over {edges[-2]}"]
    near.set_xticks(bins, names)
    near.set(xlabel="pixels between the digits' centres", ylabel="accuracy", ylim=(0, 1.02))
    near.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)  # above, since the curves may be anywhere
    bars = why.barh(list(causes), [100 * share for share in causes.values()], 0.6, color=WRONG)
    why.bar_label(bars, fmt=" %.1f")
    why.invert_yaxis()
    why.margins(x=0.2)
    why.set(xlabel="% of all images", title="errors by cause")
    return figure


def noise_curves(
    found: dict[str, dict[str, dict[str, list]]], labels: dict[str, list[str]], trained: str, until: float, looks: Looks
) -> Figure:
    """Accuracy (top) and share of digits found (bottom) against the level of each kind of noise.

    found: variant -> kind -> "level" (levels,), "accuracy" and "localised" (seeds, levels), the latter or None; labels:
    of the levels, by kind; trained: the kind that was in the training, until its level ``until``: that part is shaded.
    """
    figure, panels = subplots(2.7 * len(labels), 5.6, 2, len(labels), sharey="row", sharex="col", squeeze=False)
    for column, (kind, ticks) in zip(panels.T, labels.items(), strict=True):
        for axes, key in zip(column, ("accuracy", "localised"), strict=True):
            curves = {name: each[kind][key] for name, each in found.items() if each[kind][key] is not None}
            lines(axes, range(len(ticks)), curves, looks)
            axes.margins(x=0.04)
        if kind == trained:
            level = next(iter(found.values()))[kind]["level"]
            for axes in column:
                axes.axvspan(0, max(i for i, value in enumerate(level) if value <= until), color="0.94", zorder=0)
        column[0].set_title(f"{kind.replace('_', ' ')}\n{'in training' if kind == trained else 'never seen'}")
        column[1].set_xticks(range(len(ticks)), ticks, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    panels[0, 0].set(ylabel="accuracy", ylim=(0, 1.02))
    panels[1, 0].set(ylabel="digits found", ylim=(0, 1.02))
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
