"""Figures of notebook 06: what looking costs.

Rows are those of ``vsacc bench cost``: seconds per image, bytes beyond the images; seconds None where a row was not
run. A row's "method" is a system's name, which has a mark."""

import numpy as np
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from .style import ACCENT, BLACK, GREY, Marks, label_log, legend_below, mark, subplots

MODES = {"inference": 1.0, "training": 0.45}  # opacity of a bar
TOLD = (0.5, 0.8, 0.95)  # probabilities that have room for their number


def table(rows: list[dict], printed: dict[str, tuple[float, float, float]], epoch: int, marks: Marks) -> Figure:
    """Parameters, memory and time of each method, a pair of bars for inference and training. rows: of one number of
    channels. printed: (parameters, bytes, seconds per epoch) of the paper's Table 1 by name, drawn as open diamonds;
    its batch of 160 is divided out of the bytes, ``epoch`` images out of the seconds."""
    names = list(dict.fromkeys(row["name"] for row in rows))
    figure, panels = subplots(10, 0.62 * len(names) + 1.5, 1, 3, sharey=True)
    count, memory, time = panels
    for row in rows:
        place, training = names.index(row["name"]), row["mode"] == "training"
        colour, shifted = mark(marks, row["method"])[0], place + (0.19 if training else -0.19)
        if not training:
            labelled(count.barh(place, row["parameters"] / 1e6, 0.5, color=colour))
        if row["seconds"] is None:
            memory.text(0.03, shifted, "not run", transform=memory.get_yaxis_transform(), va="center")
            continue
        held = (row["bytes"] - row["resident"]) / row["batch"] / 1e6
        for axes, value in ((memory, held), (time, row["seconds"])):
            labelled(axes.barh(shifted, value, 0.36, color=colour, alpha=MODES[row["mode"]]))
    look = {"color": BLACK, "mfc": "white", "zorder": 3, "clip_on": False, "label": "the paper, training on GPUs"}
    for name in printed.keys() & set(names):
        for axes, value, unit in zip(panels, printed[name], (1e6, 160e6, epoch), strict=True):
            axes.plot(value / unit, names.index(name) + 0.43, "D", **look)
    count.set(xlabel="parameters, millions", ylim=(len(names) - 0.35, -0.6), xmargin=0.25)
    count.set_yticks(range(len(names)), names)
    for axes, label in ((memory, "memory beyond weights, MB per image"), (time, "seconds per image")):
        axes.set(xlabel=label, xscale="log", xmargin=0.25)
        label_log(axes.xaxis)
    for mode, opacity in MODES.items():
        count.barh(0, 0, color=GREY, alpha=opacity, label=mode)
    legend_below(figure, 3)
    return figure


def labelled(bar: BarContainer) -> None:
    """The length of a bar behind it, in three digits without an exponent."""
    bar.patches[0].axes.bar_label(bar, fmt=lambda value: f"{float(f'{value:.3g}'):,g}", padding=4, fontsize=8)


def against_side(rows: list[dict], slopes: dict[str, dict[str, float | None]], marks: Marks) -> Figure:
    """Seconds of one image, and memory held beyond images and weights, against its side; the legend has the fitted
    exponents. A side that was read from a store on disk has an open marker."""
    figure, panels = subplots(10, 4.6, 1, 2)
    labels = {"seconds": "seconds per image", "bytes": "MB beyond image and weights"}
    for axes, (key, label) in zip(panels, labels.items(), strict=True):
        for name in dict.fromkeys(row["name"] for row in rows):
            ran = [row for row in rows if row["name"] == name and row["seconds"] is not None]
            held = [row[key] if key == "seconds" else (row[key] - row["resident"]) / 1e6 for row in ran]
            sides, values, stored = np.array([[row["side"] for row in ran], held, [row["store"] for row in ran]])
            look = dict(zip(("color", "marker"), mark(marks, ran[0]["method"]), strict=False))
            slope = slopes[name][key]
            fitted = "" if slope is None else f", side$^{{{round(slope, 2) + 0:.2f}}}$"
            axes.loglog(sides, values, label=name + fitted, **look)
            axes.plot(sides[stored > 0], values[stored > 0], linestyle="", mfc="white", **look)
        label_log(axes.xaxis)
        label_log(axes.yaxis)
        axes.set(xlabel="side of the image, pixels", ylabel=label)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=8)
    return figure


def roofline(rows: list[dict], flops: float, bandwidth: float, marks: Marks) -> Figure:
    """Operations a second against operations a byte, under the roof of the machine; training has open markers.
    rows: with "intensity", operations a byte, and "flops", an image; flops, bandwidth: the machine's peaks a second."""
    figure, axes = subplots(8, 4.2)
    ridge = flops / bandwidth
    reach = [ridge, *(row["intensity"] for row in rows)]
    low, high = min(reach) / 3, max(reach) * 3
    axes.loglog([low, ridge, high], [low * bandwidth, flops, flops], color=BLACK, label="the machine's roof")
    first = {row["method"]: row["name"] for row in reversed(rows)}
    for row in rows:
        colour, marker, _ = mark(marks, row["method"])
        marker = marker if row["name"] == first[row["method"]] else "D"  # another way to run the same system
        open_or_not = {"mfc": "white"} if row["mode"] == "training" else {"label": row["name"]}
        at = row["intensity"], row["flops"] / row["seconds"]
        axes.plot(*at, marker, color=colour, markersize=8, clip_on=False, **open_or_not)
    for mode, inside in (("inference", GREY), ("training", "white")):
        axes.plot([], [], "o", color=GREY, markersize=8, mfc=inside, label=mode)
    axes.set(xlabel="operations per byte that must move", ylabel="operations per second", xlim=(low, high))
    axes.grid(True)
    figure.legend(loc="outside right upper")
    return figure


def time_shares(rows: list[dict]) -> Figure:
    """One bar per mode, split into the shares of the model's parts."""
    figure, axes = subplots(10, 2.6)
    names, left = list(dict.fromkeys(row["name"] for row in rows if row["share"] is not None)), np.zeros(len(MODES))
    for name in names:
        mine = {row["mode"]: row["share"] for row in rows if row["name"] == name}
        shares = np.array([mine.get(mode, 0) for mode in MODES])
        bars = axes.barh(list(MODES), shares, 0.6, left, label=name, edgecolor="white")
        axes.bar_label(bars, [f"{x:.0%}" if x > 0.03 else "" for x in shares], label_type="center", color="white")
        left += shares
    axes.set(xlim=(0, 1), ylim=(1.5, -0.5), xlabel="share of the time")
    legend_below(figure, len(names))
    return figure


def stopping(rows: list[dict], task: str) -> Figure:
    """Accuracy against seconds an image, and against glimpses: looking equally often at every image, as often as in the
    training with a filled marker, and looking until a probability is reached. rows: of "stopping" of a budget."""
    figure, panels = subplots(10, 4.0, 1, 2, sharey=True)
    ways = {
        "T glimpses of every image": (GREY, "o", [row for row in rows if row["stop"] is None and row["glimpses"] > 1]),
        "until the likeliest class is that probable": (ACCENT, "s", [row for row in rows if row["stop"]]),
    }
    for axes, (key, unit) in zip(panels, (("looks", 1), ("seconds", 1e3)), strict=True):
        for label, (colour, marker, mine) in ways.items():
            x, y = [unit * row[key] for row in mine], [100 * row["accuracy"] for row in mine]
            axes.plot(
                x, y, marker=marker, color=colour, mfc="white", label=label, linestyle="-" if marker == "s" else ""
            )
            for at, height, row in zip(x, y, mine, strict=True):
                fixed = row["stop"] is None
                if fixed or row["stop"] in TOLD:
                    told = row["glimpses"] if fixed else f".{100 * row['stop']:.0f}"
                    shift = (0, -13) if fixed else (-12, 4)
                    axes.annotate(
                        told, (at, height), shift, textcoords="offset points", fontsize=8, color=colour, ha="center"
                    )
                if fixed and row["glimpses"] == row["trained"]:
                    axes.plot(at, height, marker, color=colour)
    panels[0].set(xlabel="glimpses of an image, on average", ylabel=f"accuracy on {task}, %")
    panels[1].set(xlabel="milliseconds an image, in a batch")
    legend_below(figure, 2)
    return figure
