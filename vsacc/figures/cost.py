"""Figures of notebook 06: what looking costs. Rows of numbers in, Figure out.

Rows are those of ``vsacc bench cost``: seconds per image, bytes beyond the images; seconds None where a row was not
run. A row's "method" is a system's name, which has a mark.
"""

from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from .style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, Marks, label_log, mark, subplots

COLOURS = (VERMILION, BLUE, GREEN, ORANGE, PURPLE, SKY, BLACK)  # of a model's parts
MODES = {"inference": 1.0, "training": 0.45}  # opacity of a bar


def table(rows: list[dict], printed: dict[str, tuple[float, float, float]], epoch: int, marks: Marks) -> Figure:
    """Parameters, memory and time of each method, a pair of bars for inference and training.

    rows: of one number of channels. printed: (parameters, bytes, seconds per epoch) of the paper's Table 1 by name,
    drawn as open diamonds; its batch of 160 is divided out of the bytes, ``epoch`` images out of the seconds.
    """
    names = list(dict.fromkeys(row["name"] for row in rows))
    figure, panels = subplots(10, 0.62 * len(names) + 1.5, 1, 3, sharey=True)
    count, memory, time = panels
    for place, name in enumerate(names):
        for shift, mode in zip((-0.19, 0.19), MODES, strict=True):
            row = next(row for row in rows if row["name"] == name and row["mode"] == mode)
            colour = mark(marks, row["method"])[0]
            if row["seconds"] is None:
                memory.text(0.03, place + shift, "not run", transform=memory.get_yaxis_transform(), va="center")
                continue
            held = (row["bytes"] - row["resident"]) / row["batch"] / 1e6
            for axes, value in ((memory, held), (time, row["seconds"])):
                labelled(axes.barh(place + shift, value, 0.36, color=colour, alpha=MODES[mode]))
        labelled(count.barh(place, row["parameters"] / 1e6, 0.5, color=colour))
        if name in printed:
            parameters, held, seconds = printed[name]
            for axes, value in zip(panels, (parameters / 1e6, held / 160 / 1e6, seconds / epoch), strict=True):
                axes.plot(value, place + 0.43, "D", color=BLACK, markerfacecolor="white", zorder=3, clip_on=False)
    count.set(xlabel="parameters, millions", ylim=(len(names) - 0.35, -0.6))
    count.set_yticks(range(len(names)), names)
    memory.set(xlabel="memory beyond weights, MB per image", xscale="log")
    time.set(xlabel="seconds per image", xscale="log")
    for mode, opacity in MODES.items():
        count.barh(0, 0, color=GREY, alpha=opacity, label=mode)
    if printed:
        count.plot([], [], "D", color=BLACK, markerfacecolor="white", label="the paper, training on GPUs")
    figure.legend(loc="outside lower center", ncols=3)
    for axes in panels:
        axes.margins(x=0.25)
    for axes in (memory, time):
        label_log(axes.xaxis)
    return figure


def labelled(bar: BarContainer) -> None:
    """The length of a bar behind it, in three digits without an exponent."""
    bar.patches[0].axes.bar_label(bar, fmt=lambda value: f"{float(f'{value:.3g}'):,g}", padding=4, fontsize=8)


def against_side(rows: list[dict], slopes: dict[str, dict[str, float | None]], marks: Marks) -> Figure:
    """Seconds and bytes of one image against its side, on logarithmic axes; the legend has the fitted exponents.

    Memory is what is held beyond images and weights. A side that was read from a store on disk has an open marker.
    """
    figure, (left, right) = subplots(10, 4.6, 1, 2)
    for name in dict.fromkeys(row["name"] for row in rows):
        ran = [row for row in rows if row["name"] == name and row["seconds"] is not None]
        colour, marker, _ = mark(marks, ran[0]["method"])
        stored = [k for k, row in enumerate(ran) if row["store"]]
        held = [(row["bytes"] - row["resident"]) / 1e6 for row in ran]
        for axes, values, key in ((left, [row["seconds"] for row in ran], "seconds"), (right, held, "bytes")):
            fitted, sides = slopes[name][key], [row["side"] for row in ran]
            label = name if fitted is None else f"{name}, side$^{{{round(fitted, 2) + 0:.2f}}}$"
            axes.loglog(sides, values, color=colour, marker=marker, label=label)
            axes.plot([sides[k] for k in stored], [values[k] for k in stored], marker, color=colour, mfc="white")
    ticks = sorted({row["side"] for row in rows})
    for axes, label in ((left, "seconds per image"), (right, "MB beyond image and weights")):
        axes.set_xticks(ticks, [f"{side:,}" for side in ticks], rotation=30)
        axes.minorticks_off()
        label_log(axes.yaxis)
        axes.set(xlabel="side of the image, pixels", ylabel=label)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.23), ncols=2, fontsize=8)
    return figure


def roofline(rows: list[dict], flops: float, bandwidth: float, marks: Marks) -> Figure:
    """Operations a second against operations a byte, on logarithmic axes, under the roof of the machine.

    rows: with "intensity" in operations a byte, "flops" and "seconds" per image; filled markers are inference, open
    ones training. flops, bandwidth: the machine's peaks, operations and bytes a second.
    """
    figure, axes = subplots(8, 4.2)
    ridge = flops / bandwidth
    reach = [row["intensity"] for row in rows] + [ridge]
    low, high = min(reach) / 3, max(reach) * 3
    axes.loglog([low, ridge, high], [low * bandwidth, flops, flops], color=BLACK, label="the machine's roof")
    first = {row["method"]: row["name"] for row in reversed(rows)}
    for row in rows:
        colour, marker, _ = mark(marks, row["method"])
        if row["name"] != first[row["method"]]:
            marker = "D"  # another way to run the same system
        filled = row["mode"] == "inference"
        look = {"color": colour, "markersize": 8, "mfc": colour if filled else "white", "clip_on": False}
        at = row["intensity"], row["flops"] / row["seconds"]
        axes.plot(*at, marker, label=row["name"] if filled else None, **look)
    for mode, inside in (("inference", GREY), ("training", "white")):
        axes.plot([], [], "o", color=GREY, markersize=8, mfc=inside, label=mode)
    axes.set(xlabel="operations per byte that must move", ylabel="operations per second", xlim=(low, high))
    axes.grid(True)
    figure.legend(loc="outside right upper", fontsize=8.5)
    return figure


def time_shares(rows: list[dict]) -> Figure:
    """One bar per mode, split into the shares of the model's parts."""
    figure, axes = subplots(10, 2.6)
    names = list(dict.fromkeys(row["name"] for row in rows if row["share"] is not None))
    for line, mode in enumerate(MODES):
        left = 0.0
        for name, colour in zip(names, COLOURS, strict=False):
            share = sum(row["share"] for row in rows if row["mode"] == mode and row["name"] == name)
            axes.barh(line, share, 0.6, left, color=colour, label=name if line else None, edgecolor="white")
            if share > 0.03:
                axes.text(left + share / 2, line, f"{share:.0%}", ha="center", va="center", color="white", fontsize=9)
            left += share
    axes.set(xlim=(0, 1), ylim=(1.5, -0.5), xlabel="share of the time")
    axes.set_yticks(range(len(MODES)), list(MODES))
    figure.legend(loc="outside lower center", ncols=len(names), fontsize=8.5)
    return figure
