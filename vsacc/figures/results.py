"""Pictures of what was reached: on a task, by class and by model, and by every system beside every other.

Rows of a budget are those of ``vsacc budget``, with a 95 % interval, "low" and "high", of their accuracy."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import ACCENT, BLACK, GREY, Marks, band, label_log, legend_below, mark, subplots, used

MARKERS = {"laptop": "o", "desk": "s", "paper": "D"}  # by profile


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


def panels(count: int, columns: int, width: float, height: float, sharey: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels, in rows of at most ``columns``, with room for a legend below."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, grid = subplots(width * columns, height * rows + 0.5, rows, columns, squeeze=False, sharey=sharey)
    return figure, used(grid, count)


def systems(results: dict[str, dict[str, dict]], names: Sequence[str], control: str, marks: Marks) -> Figure:
    """A panel per task: a dot per seed, a bar at their mean, a dotted line where the system ``control`` is.
    results: task's title -> system -> profile -> accuracies of the seeds; names: of all systems, from top to bottom."""
    figure, grid = panels(len(results), 3, 3.6, 0.3 * len(names) + 0.7)
    for axes, (title, by_system) in zip(grid, results.items(), strict=True):
        for line, name in enumerate(names):
            colour, _, label = mark(marks, name)
            ran = {profile: values for profile, values in by_system.get(name, {}).items() if len(values)}
            for number, (profile, values) in enumerate(ran.items()):
                y, height = line + 0.36 * (number - (len(ran) - 1) / 2), 0.32 / len(ran)
                dots = [100 * value for value in values]
                mean = sum(dots) / len(dots)
                axes.plot([mean, mean], [y - height, y + height], color=colour, linewidth=1.2)
                axes.plot(dots, [y] * len(dots), MARKERS[profile], color=colour, alpha=0.65)
                axes.plot([], [], MARKERS[profile], color=GREY, label=f"a seed, profile {profile}")
                x, side = (max(dots) + 3, "left") if mean < 85 else (min(dots) - 3, "right")
                axes.text(x, y, f"{mean:.1f}", va="center", ha=side, fontsize=7.5, color=colour)
                if name == control:
                    axes.axvline(mean, color=BLACK, linestyle=":", linewidth=1, zorder=0, label=f"{label}, mean")
            if not ran:
                behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # the dotted line may pass there
                axes.text(2, line, "not run", va="center", color=GREY, fontsize=8, bbox=behind)
        axes.set(title=title, xlabel="accuracy, %", xlim=(0, 112), xticks=range(0, 101, 25))
        axes.grid(axis="y")
        axes.tick_params(axis="y", length=0)
    grid[0].set_yticks(range(len(names)), [mark(marks, name)[2] for name in names])
    grid[0].set_ylim(len(names) - 0.4, -0.6)
    legend_below(figure, 3)
    return figure


def against_glimpses(rows: list[dict], marks: Marks) -> Figure:
    """A panel per task: accuracy against the number of glimpses; a ring marks the number of the training, a dashed
    line is a model that takes none."""
    figure, grid = panels(len(by_task(rows)), 2, 5.0, 3.3)
    ticks = sorted({row["glimpses"] for row in rows if row["glimpses"]})
    for axes, (task, models) in zip(grid, by_task(rows).items(), strict=True):
        for model, mine in models.items():
            colour, _, label = mark(marks, model)
            if mine[0]["glimpses"] is None:
                axes.axhline(100 * mine[0]["accuracy"], color=colour, linestyle="--", label=label)
                continue
            curve(axes, mine, "glimpses", "accuracy", 100, marks)
            for row in (row for row in mine if row["glimpses"] == row["trained"]):
                axes.plot(row["glimpses"], 100 * row["accuracy"], "o", color=colour, markersize=11, mfc="none")
        axes.set(title=task, xlabel="glimpses", xticks=ticks, ylim=(0, 102))
    grid[0].set_ylabel("accuracy, %")
    legend_below(figure, 5)
    return figure


def against_side(sides: list[dict], seconds: list[dict], marks: Marks) -> Figure:
    """Two panels per task: accuracy, and milliseconds of an image, against its side."""
    figure, grid = panels(2 * len(by_task(sides)), 2, 5.0, 3.0, sharey=False)
    taken, times = by_task(seconds), [1e3 * row["seconds"] for row in seconds] or [1.0]
    for left, right, (task, models) in zip(grid[::2], grid[1::2], by_task(sides).items(), strict=True):
        for mine in models.values():
            curve(left, mine, "side", "accuracy", 100, marks)
        for mine in taken.get(task, {}).values():
            curve(right, mine, "side", "seconds", 1e3, marks)
        left.set(ylabel="accuracy, %", ylim=(0, 102))
        right.set(ylabel="ms per image", yscale="log", ylim=(min(times) / 1.5, max(times) * 1.5))  # one for all tasks
        label_log(right.yaxis)
        for axes in (left, right):
            axes.set(title=task, xlabel="side of the image, pixels", xscale="log")
            label_log(axes.xaxis)
    legend_below(figure, 5)
    return figure


def curve(axes: Axes, rows: list[dict], x: str, y: str, unit: float, marks: Marks) -> None:
    """What one model's y is against its x, ``unit`` to one, with the interval where there is one."""
    colour, marker, label = mark(marks, rows[0]["model"])
    values, low, high = ([unit * row.get(end, row[y]) for row in rows] for end in (y, "low", "high"))
    band(axes, [row[x] for row in rows], values, low, high, marker=marker, color=colour, label=label)


def by_task(rows: list[dict]) -> dict[str, dict[str, list[dict]]]:
    """The rows by task and by model, in the order in which they came."""
    found: dict[str, dict[str, list[dict]]] = {}
    for row in rows:
        found.setdefault(row["task"], {}).setdefault(row["model"], []).append(row)
    return found
