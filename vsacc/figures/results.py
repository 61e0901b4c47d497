"""Figures of notebook 08: every system beside every other. Numbers in, Figure out.

Rows of a budget are those of ``python -m vsacc.studies.budget`` with a 95 % interval, "low" and "high".
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .style import BLACK, GREY, METHODS

COLOURS = METHODS | {"saccader (as published)": METHODS["saccader (paper)"]}
MARKERS = {"laptop": "o", "paper": "D"}  # by profile
SHAPES = {"saccader": "o", "resnet18": "^", "resnet18_144": "s", "proxy_only": "v", "random": "x", "ram": "P"}
SHAPES |= {"dram": "X", "attention_sampling": "*"}
COLUMNS = 3  # panels a row, of all systems


def panels(count: int, columns: int, width: float, height: float, **shared: bool) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels, in rows of at most ``columns``."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.5))
    grid = list(figure.subplots(rows, columns, squeeze=False, **shared).flat)
    for axes in grid[count:]:
        axes.set_axis_off()
    return figure, grid[:count]


def systems(results: dict[str, dict[str, dict[str, Sequence[float]]]], names: Sequence[str]) -> Figure:
    """A panel per task: a dot per seed, a bar at their mean, a dotted line where random glimpses are.

    Args:
        results: task's title -> system -> profile -> accuracies of the seeds, in 0 .. 1; empty where not run.
        names: of all systems, from top to bottom.
    """
    figure, grid = panels(len(results), COLUMNS, 3.6, 0.3 * len(names) + 0.6, sharex=True, sharey=True)
    seen = set()
    for axes, (title, by_system) in zip(grid, results.items(), strict=True):
        for line, name in enumerate(names):
            ran = {profile: values for profile, values in by_system.get(name, {}).items() if len(values)}
            seen |= ran.keys()
            for number, (profile, values) in enumerate(ran.items()):
                shift = 0.36 * (number - (len(ran) - 1) / 2)
                dots(axes, line + shift, values, MARKERS[profile], COLOURS.get(name, GREY), 0.32 / len(ran))
                if name == "random":
                    axes.axvline(100 * sum(values) / len(values), color=BLACK, linestyle=":", linewidth=1, zorder=0)
            if not ran:
                behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # the dotted line may pass there
                axes.text(2, line, "not run", va="center", color=GREY, fontsize=8, bbox=behind)
        axes.set_title(title, fontsize=9.5)
        axes.set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6), xlim=(0, 112))
        axes.set_xticks(range(0, 101, 25))
        axes.grid(axis="y")
        axes.tick_params(axis="y", length=0, labelsize=8.5)
    for axes in grid[-COLUMNS:]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("accuracy, %")
    handles = [Line2D([], [], marker=MARKERS[p], color=GREY, linestyle="", label=f"a seed, profile {p}") for p in seen]
    handles = sorted(handles, key=lambda handle: handle.get_label())
    handles.append(Line2D([], [], color=BLACK, linestyle=":", linewidth=1, label="random glimpses, mean"))
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


def legend(figure: Figure, rows: list[dict], dashed: bool = False) -> None:
    """Below the figure, the models of ``rows``; dashed where one takes no glimpses, if ``dashed``."""
    models = {row["model"]: row["glimpses"] for row in rows}
    handles = []
    for model in sorted(models, key=lambda name: list(COLOURS).index(name) if name in COLOURS else len(COLOURS)):
        line = (
            {"linestyle": "--", "marker": ""}
            if dashed and models[model] is None
            else {"marker": SHAPES.get(model, "o")}
        )
        handles.append(Line2D([], [], color=COLOURS.get(model, GREY), label=model, **line))
    figure.legend(handles=handles, loc="outside lower center", ncols=5)


def curve(axes: Axes, rows: list[dict], key: str, model: str) -> None:
    """Accuracy of one model against ``key``, with the interval."""
    x = [row[key] for row in rows]
    colour = COLOURS.get(model, GREY)
    axes.plot(x, [100 * row["accuracy"] for row in rows], marker=SHAPES.get(model, "o"), color=colour)
    low, high = ([100 * row[end] for row in rows] for end in ("low", "high"))
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def against_glimpses(rows: list[dict]) -> Figure:
    """A panel per task: accuracy against the number of glimpses; a ring marks the number of the training, a dashed
    line is a model that takes none."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    figure, grid = panels(len(tasks), 2, 5.0, 3.3, sharey=True)
    ticks = sorted({row["glimpses"] for row in rows if row["glimpses"]})
    for axes, task in zip(grid, tasks, strict=True):
        for model, mine in by_model(rows, task).items():
            if mine[0]["glimpses"] is None:
                axes.axhline(100 * mine[0]["accuracy"], color=COLOURS.get(model, GREY), linestyle="--")
                continue
            curve(axes, mine, "glimpses", model)
            own = [(row["glimpses"], 100 * row["accuracy"]) for row in mine if row["glimpses"] == row["trained"]]
            axes.plot(*zip(*own, strict=True), "o", color=COLOURS.get(model, GREY), markersize=11, mfc="none")
        axes.set(title=task, xlabel="glimpses", xticks=ticks, ylim=(0, 102))
    grid[0].set_ylabel("accuracy, %")
    legend(figure, rows, dashed=True)
    return figure


def against_side(sides: list[dict], seconds: list[dict]) -> Figure:
    """Two panels per task: accuracy, and milliseconds of an image, against its side."""
    tasks = list(dict.fromkeys(row["task"] for row in sides))
    figure, grid = panels(2 * len(tasks), 2, 5.0, 3.0)
    ticks = sorted({row["side"] for row in sides})
    for left, right, task in zip(grid[::2], grid[1::2], tasks, strict=True):
        for model, mine in by_model(sides, task).items():
            curve(left, mine, "side", model)
        for model, mine in by_model(seconds, task).items():
            x, y = [row["side"] for row in mine], [1e3 * row["seconds"] for row in mine]
            right.plot(x, y, marker=SHAPES.get(model, "o"), color=COLOURS.get(model, GREY))
        right.set_yscale("log")
        for axes, label in ((left, "accuracy, %"), (right, "ms per image")):
            axes.set_xscale("log")
            axes.set_xticks(ticks, ticks)
            axes.minorticks_off()
            axes.set(title=task, xlabel="side of the image, pixels", ylabel=label)
        left.set_ylim(0, 102)
    legend(figure, sides)
    return figure


def plane(sides: list[dict], seconds: list[dict]) -> Figure:
    """A panel per task: time of an image against accuracy; each model goes from a small marker at the smallest side to
    a large one at the largest. Up and to the left is better."""
    tasks = list(dict.fromkeys(row["task"] for row in sides))
    figure, grid = panels(len(tasks), 2, 5.0, 3.5, sharey=True)
    taken = {(row["task"], row["model"], row["side"]): 1e3 * row["seconds"] for row in seconds}
    ends = sorted({row["side"] for row in sides})
    for axes, task in zip(grid, tasks, strict=True):
        for model, mine in by_model(sides, task).items():
            at = [(taken.get((task, model, row["side"])), 100 * row["accuracy"]) for row in mine]
            at = [place for place in at if place[0] is not None]
            colour, growing = COLOURS.get(model, GREY), [18 + 130 * k / max(len(at) - 1, 1) for k in range(len(at))]
            axes.plot(*zip(*at, strict=True), linewidth=1, color=colour)
            axes.scatter(*zip(*at, strict=True), s=growing, marker=SHAPES.get(model, "o"), color=colour, alpha=0.75)
        axes.set(title=f"{task}, {ends[0]} x {ends[0]} to {ends[-1]} x {ends[-1]}", xlabel="ms per image")
        axes.set(xscale="log", ylim=(0, 102))
    grid[0].set_ylabel("accuracy, %")
    legend(figure, sides)
    return figure


def by_model(rows: list[dict], task: str) -> dict[str, list[dict]]:
    """The rows of a task by model, in the order in which they came."""
    found: dict[str, list[dict]] = {}
    for row in rows:
        if row["task"] == task:
            found.setdefault(row["model"], []).append(row)
    return found
