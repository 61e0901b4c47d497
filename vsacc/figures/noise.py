"""Pictures of noisy proxies and of what noise costs. Arrays and numbers in, Figure out."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .saccades import frame, frame_glimpses, show
from .style import METHODS, TRUTH

LOOKS = {  # of a variant: colour, dashes, marker
    "saccader, trained with noise": (METHODS["saccader"], "-", "o"),
    "saccader, trained clean": (METHODS["saccader (paper)"], "--", "s"),
    "proxy only, trained with noise": (METHODS["proxy_only"], "-", "^"),
    "random glimpses": (METHODS["random"], ":", ""),
}


def family(
    proxies: dict[str, np.ndarray], titles: dict[str, list[str]], boxes: np.ndarray, where: dict[str, np.ndarray]
) -> Figure:
    """One proxy under every kind (rows) and level (columns) of noise.

    Args:
        proxies: (levels, J, J) by kind, in [0, 1]; what noise puts beyond is shown as black or white.
        titles: of each.
        boxes: (D, 4) of the digits, dotted.
        where: (levels, T, 3) by kind, frames of glimpses; a kind that is not in it has none.
    """
    columns = max(map(len, proxies.values()))
    figure = Figure(figsize=(1.5 * columns, 1.75 * len(proxies)), layout="constrained")
    grid = figure.subplots(len(proxies), columns, squeeze=False)
    for line, (kind, row) in zip(grid, proxies.items(), strict=True):
        for axes in line[len(row) :]:
            axes.set_axis_off()
        for number, (axes, proxy) in enumerate(zip(line, row, strict=False)):
            show(axes, proxy, titles[kind][number])
            for box in boxes:
                frame(axes, box, TRUTH, ":")
            if kind in where:
                frame_glimpses(axes, where[kind][number])
        line[0].set_ylabel(kind.replace("_", " "), fontsize=9)
    return figure


def curves(
    found: dict[str, dict[str, dict[str, list]]], labels: dict[str, list[str]], trained: str, until: float
) -> Figure:
    """Accuracy (top) and share of digits found (bottom) against the level of each kind of noise.

    Lines are means over the seeds, bands go from the worst seed to the best.

    Args:
        found: variant -> kind -> "level" (levels,), "accuracy" and "localised" (seeds, levels), the latter or None.
        labels: of the levels, by kind.
        trained: the kind that was in the training, until its level ``until``: that part is shaded.
    """
    figure = Figure(figsize=(2.7 * len(labels), 5.6), layout="constrained")
    panels = figure.subplots(2, len(labels), sharey="row", sharex="col", squeeze=False)
    for column, (kind, ticks) in zip(panels.T, labels.items(), strict=True):
        for variant, by_kind in found.items():
            draw(column[0], by_kind[kind]["accuracy"], variant)
            if by_kind[kind]["localised"] is not None:
                draw(column[1], by_kind[kind]["localised"], variant)
        if kind == trained:
            level = next(iter(found.values()))[kind]["level"]
            for axes in column:
                axes.axvspan(0, max(i for i, value in enumerate(level) if value <= until), color="0.94", zorder=0)
        column[0].set_title(f"{kind.replace('_', ' ')}\n{'in training' if kind == trained else 'never seen'}")
        column[1].set_xticks(range(len(ticks)), ticks, rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
    panels[0, 0].set(ylabel="accuracy", ylim=(0, 1.02))
    panels[1, 0].set(ylabel="digits found", ylim=(0, 1.02))
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    return figure


def draw(axes: Axes, values: list[list[float]], variant: str) -> None:
    """One variant: (seeds, levels)."""
    colour, dashes, marker = LOOKS[variant]
    table = np.asarray(values)
    steps = np.arange(table.shape[1])
    axes.plot(steps, table.mean(0), dashes, color=colour, marker=marker, label=variant)
    axes.fill_between(steps, table.min(0), table.max(0), color=colour, alpha=0.18, linewidth=0)
    axes.margins(x=0.04)
