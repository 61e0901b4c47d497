"""Pictures of a training and of what it reached. Numbers in, Figure out."""

from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from .style import METHODS, WRONG

QUANTITIES = {  # of a history row: axis label
    "accuracy": "training accuracy",
    "log_y": "log p(y | o, z)  [nats]",
    "bits": "-log p(c | z, h)  [bits per pixel]",
    "kl": "KL(q || p)  [nats]",
    "scale": "mean scale s",
    "spread": "spread of places",
}


def curves(runs: dict[str, list[dict[str, float]]], pixels: int) -> Figure:
    """The quantities of the bound against the step, one line per run.

    Args:
        runs: history rows by name of the run.
        pixels: T * C * J * J, by which log p(c) is divided to read as bits per proxy pixel.
    """
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    for axes, (key, label) in zip(figure.subplots(2, 3, sharex=True).flat, QUANTITIES.items(), strict=True):
        for name, rows in runs.items():
            steps = [row["step"] for row in rows]
            values = [-row["log_c"] / pixels / np.log(2) if key == "bits" else row[key] for row in rows]
            axes.plot(steps, values, label=name, linewidth=1.5)
        axes.set_title(label, fontsize=10)
        axes.margins(x=0)
    for axes in figure.axes[3:]:
        axes.set_xlabel("step")
    figure.axes[0].set_ylim(0, 1)
    if len(runs) > 1:
        figure.axes[0].legend(fontsize=8)
    return figure


def confusion(labels: np.ndarray, predictions: np.ndarray, names: list[str], every: int = 1) -> Figure:
    """Share of each true class (row) that is called each class (column); every ``every``-th class is named."""
    classes = len(names)
    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels, predictions), 1)
    share = counts / counts.sum(1, keepdims=True).clip(min=1)
    figure = Figure(figsize=(5.6, 4.8), layout="constrained")
    axes = figure.subplots()
    # the square root keeps rare confusions visible beside a diagonal near one
    picture = axes.imshow(np.sqrt(share), cmap="cividis", vmin=0, vmax=1)
    ticks = np.arange(0, classes, every)
    axes.set_xticks(ticks, [names[i] for i in ticks], rotation=90, fontsize=7)
    axes.set_yticks(ticks, [names[i] for i in ticks], fontsize=7)
    axes.set(xlabel="called", ylabel="true")
    bar = figure.colorbar(picture, ax=axes, ticks=np.sqrt([0, 0.01, 0.1, 0.5, 1]), shrink=0.8)
    bar.ax.set_yticklabels(["0", "1 %", "10 %", "50 %", "100 %"])
    return figure


def against_glimpses(glimpses: list[int], accuracy: list[float], localised: list[float], trained: int) -> Figure:
    """Accuracy and localisation against the number of glimpses T, with the T of the training marked."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.plot(glimpses, accuracy, "o-", color=METHODS["saccader"], label="accuracy")
    axes.plot(glimpses, localised, "s--", color=METHODS["saccader"], alpha=0.6, label="digits found")
    axes.axvline(trained, color="0.6", linewidth=1, zorder=0)
    axes.text(trained, 0.03, " T in training", color="0.4", fontsize=9)
    axes.set(xlabel="glimpses T", xticks=glimpses, ylim=(0, 1.02))
    axes.legend(loc="center right")
    return figure


def ablation(rows: dict[str, dict]) -> Figure:
    """Accuracy and share of digits found, a pair of bars per variant; a run that stopped early has none."""
    figure = Figure(figsize=(7.5, 0.42 * len(rows) + 0.9), layout="constrained")
    axes = figure.subplots()
    for line, (name, row) in enumerate(rows.items()):
        if "stopped" in row:
            axes.text(0.01, line, "stopped: " + row["stopped"].split(": ", 1)[-1][:70], va="center", fontsize=8)
            continue
        colour = METHODS["saccader" if name == "ours" else "saccader (paper)"]
        axes.barh(line - 0.18, row["test_accuracy"], 0.34, color=colour)
        axes.barh(line + 0.18, row["localised"], 0.34, color=colour, alpha=0.45)
        axes.text(row["test_accuracy"] + 0.01, line - 0.18, f"{row['test_accuracy']:.2f}", va="center", fontsize=8)
        axes.text(row["localised"] + 0.01, line + 0.18, f"{row['localised']:.2f}", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set(xlim=(0, 1.08), ylim=(len(rows) - 0.5, -0.5), xlabel="accuracy (full) and digits found (pale)")
    return figure


def errors(edges: tuple[int, ...], accuracy: dict[str, list[float]], images: list[float], causes: dict) -> Figure:
    """Accuracy by the distance between two digits, over the share of images that are that far apart, and the errors by
    cause.

    Args:
        edges: of the bins of the distance, in pixels, one more than there are bins.
        accuracy: by reading, one value a bin.
        images: share of all in each bin.
        causes: share of all images by cause.
    """
    figure = Figure(figsize=(10, 3.3), layout="constrained")
    near, why = figure.subplots(1, 2, width_ratios=[1.5, 1])
    bins = np.arange(len(images))
    near.bar(bins, images, 0.8, color="0.88", label="share of the images")
    for (name, values), style in zip(accuracy.items(), ("o-", "s--"), strict=True):
        near.plot(bins, values, style, color=METHODS["saccader"], alpha=1 if style == "o-" else 0.6, label=name)
    names = [*(f"{low} to {high}" for low, high in pairwise(edges[:-1])), f"over {edges[-2]}"]
    near.set_xticks(bins, names)
    near.set(xlabel="pixels between the digits' centres", ylabel="accuracy", ylim=(0, 1.02))
    near.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)  # above, since the curves may be anywhere
    places = range(len(causes))
    why.barh(places, [100 * share for share in causes.values()], 0.6, color=WRONG)
    for place, share in zip(places, causes.values(), strict=True):
        why.text(100 * share, place, f" {100 * share:.1f}", va="center")
    why.set_yticks(places, list(causes))
    why.invert_yaxis()
    why.margins(x=0.2)
    why.set(xlabel="% of all images", title="errors by cause")
    return figure
