"""Figures of notebook 08: every system beside every other. Numbers in, Figure out.

Rows of a budget are those of ``vsacc budget`` with a 95 % interval, "low" and "high".
"""

from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .style import BLACK, GREY, Marks, band, label_log, log_x, mark, subplots, used

MARKERS = {"laptop": "o", "paper": "D"}  # by profile
COLUMNS = 3  # panels a row, of all systems


def panels(count: int, columns: int, width: float, height: float, **shared: bool) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels, in rows of at most ``columns``, with room for a legend below."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, grid = subplots(width * columns, height * rows + 0.5, rows, columns, squeeze=False, **shared)
    return figure, used(grid, count)


def systems(
    results: dict[str, dict[str, dict[str, Sequence[float]]]], names: Sequence[str], control: str, marks: Marks
) -> Figure:
    """A panel per task: a dot per seed, a bar at their mean, a dotted line where the system ``control`` is.

    results: task's title -> system -> profile -> accuracies of the seeds, in 0 .. 1; empty where not run.
    names: of all systems, from top to bottom.
    """
    figure, grid = panels(len(results), COLUMNS, 3.6, 0.3 * len(names) + 0.6, sharex=True, sharey=True)
    labels = [mark(marks, name)[2] for name in names]
    seen = set()
    for axes, (title, by_system) in zip(grid, results.items(), strict=True):
        for line, name in enumerate(names):
            ran = {profile: values for profile, values in by_system.get(name, {}).items() if len(values)}
            seen |= ran.keys()
            for number, (profile, values) in enumerate(ran.items()):
                shift = 0.36 * (number - (len(ran) - 1) / 2)
                dots(axes, line + shift, values, MARKERS[profile], mark(marks, name)[0], 0.32 / len(ran))
                if name == control:
                    axes.axvline(100 * sum(values) / len(values), color=BLACK, linestyle=":", linewidth=1, zorder=0)
            if not ran:
                behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # the dotted line may pass there
                axes.text(2, line, "not run", va="center", color=GREY, fontsize=8, bbox=behind)
        axes.set_title(title, fontsize=9.5)
        axes.set(yticks=range(len(names)), yticklabels=labels, ylim=(len(names) - 0.4, -0.6), xlim=(0, 112))
        axes.set_xticks(range(0, 101, 25))
        axes.grid(axis="y")
        axes.tick_params(axis="y", length=0, labelsize=8.5)
    for axes in grid[-COLUMNS:]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("accuracy, %")
    look = {"color": GREY, "linestyle": ""}
    handles = [Line2D([], [], marker=MARKERS[p], label=f"a seed, profile {p}", **look) for p in sorted(seen)]
    label = f"{mark(marks, control)[2]}, mean"
    handles.append(Line2D([], [], color=BLACK, linestyle=":", linewidth=1, label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def dots(axes: Axes, line: float, values: Sequence[float], marker: str, colour: str, height: float) -> None:
    """Accuracies in 0 .. 1 as markers at the height ``line``, a bar at their mean, which is also written."""
    scaled = [100 * value for value in values]
    mean = sum(scaled) / len(scaled)
    axes.plot([mean, mean], [line - height, line + height], color=colour, linewidth=1.2)
    axes.plot(scaled, [line] * len(values), marker, color=colour, alpha=0.65, markersize=4.5)
    place, shift, side = (max(scaled), 5, "left") if mean < 85 else (min(scaled), -5, "right")
    look = {"va": "center", "ha": side, "fontsize": 7.5, "color": colour}
    axes.annotate(f"{mean:.1f}", (place, line), (shift, 0), textcoords="offset points", **look)


def against_glimpses(rows: list[dict], marks: Marks) -> Figure:
    """A panel per task: accuracy against the number of glimpses; a ring marks the number of the training, a dashed
    line is a model that takes none."""
    figure, grid = panels(len(by_task(rows)), 2, 5.0, 3.3, sharey=True)
    ticks = sorted({row["glimpses"] for row in rows if row["glimpses"]})
    for axes, (task, models) in zip(grid, by_task(rows).items(), strict=True):
        for model, mine in models.items():
            colour = mark(marks, model)[0]
            if mine[0]["glimpses"] is None:
                axes.axhline(100 * mine[0]["accuracy"], color=colour, linestyle="--")
                continue
            accuracy(axes, mine, "glimpses", marks)
            for row in (row for row in mine if row["glimpses"] == row["trained"]):
                axes.plot(row["glimpses"], 100 * row["accuracy"], "o", color=colour, markersize=11, mfc="none")
        axes.set(title=task, xlabel="glimpses", xticks=ticks, ylim=(0, 102))
    grid[0].set_ylabel("accuracy, %")
    legend(figure, rows, marks, dashed={row["model"] for row in rows if row["glimpses"] is None})
    return figure


def against_side(sides: list[dict], seconds: list[dict], marks: Marks) -> Figure:
    """Two panels per task: accuracy, and milliseconds of an image, against its side."""
    taken = by_task(seconds)
    figure, grid = panels(2 * len(by_task(sides)), 2, 5.0, 3.0)
    ticks = sorted({row["side"] for row in sides})
    for left, right, (task, models) in zip(grid[::2], grid[1::2], by_task(sides).items(), strict=True):
        for mine in models.values():
            accuracy(left, mine, "side", marks)
        for model, mine in taken.get(task, {}).items():
            colour, marker, _ = mark(marks, model)
            at = [row["side"] for row in mine], [1e3 * row["seconds"] for row in mine]
            right.plot(*at, marker=marker, color=colour)
        right.set_yscale("log")
        for axes, label in ((left, "accuracy, %"), (right, "ms per image")):
            log_x(axes, ticks)
            axes.set(title=task, xlabel="side of the image, pixels", ylabel=label)
        left.set_ylim(0, 102)
        label_log(right.yaxis)
    legend(figure, sides, marks)
    return figure


def plane(sides: list[dict], seconds: list[dict], marks: Marks) -> Figure:
    """A panel per task: time of an image against accuracy; each model goes from a small marker at the smallest side to
    a large one at the largest. Up and to the left is better."""
    figure, grid = panels(len(by_task(sides)), 2, 5.0, 3.5, sharey=True)
    taken = {(row["task"], row["model"], row["side"]): 1e3 * row["seconds"] for row in seconds}
    ends = sorted({row["side"] for row in sides})
    for axes, (task, models) in zip(grid, by_task(sides).items(), strict=True):
        for model, mine in models.items():
            at = [(taken.get((task, model, row["side"])), 100 * row["accuracy"]) for row in mine]
            at = [place for place in at if place[0] is not None]
            colour, marker, _ = mark(marks, model)
            growing = [18 + 130 * k / max(len(at) - 1, 1) for k in range(len(at))]
            axes.plot(*zip(*at, strict=True), linewidth=1, color=colour)
            axes.scatter(*zip(*at, strict=True), s=growing, marker=marker, color=colour, alpha=0.75)
        axes.set(title=f"{task}, {ends[0]} x {ends[0]} to {ends[-1]} x {ends[-1]}", xlabel="ms per image")
        axes.set(xscale="log", ylim=(0, 102))
        label_log(axes.xaxis)
    grid[0].set_ylabel("accuracy, %")
    legend(figure, sides, marks)
    return figure


def accuracy(axes: Axes, rows: list[dict], key: str, marks: Marks) -> None:
    """Accuracy of one model against ``key``, with the interval."""
    colour, marker, _ = mark(marks, rows[0]["model"])
    y, low, high = ([100 * row[end] for row in rows] for end in ("accuracy", "low", "high"))
    band(axes, [row[key] for row in rows], y, low, high, marker=marker, color=colour)


def legend(figure: Figure, rows: list[dict], marks: Marks, dashed: Iterable[str] = ()) -> None:
    """Below the figure, the models of ``rows`` in the order of their marks; a ``dashed`` one has no marker."""
    models = {row["model"] for row in rows}
    handles = []
    for model in [*(name for name in marks if name in models), *sorted(models - marks.keys())]:
        colour, marker, label = mark(marks, model)
        line = {"linestyle": "--"} if model in dashed else {"marker": marker}
        handles.append(Line2D([], [], color=colour, label=label, **line))
    figure.legend(handles=handles, loc="outside lower center", ncols=5)


def by_task(rows: list[dict]) -> dict[str, dict[str, list[dict]]]:
    """The rows by task and by model, in the order in which they came."""
    found: dict[str, dict[str, list[dict]]] = {}
    for row in rows:
        found.setdefault(row["task"], {}).setdefault(row["model"], []).append(row)
    return found
