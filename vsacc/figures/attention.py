"""Pictures of attention sampling. Arrays and numbers in, Figure out."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .saccades import frame, show
from .style import METHODS

GRADIENTS = {  # colour, dashes
    "exact": (METHODS["attention_sampling"], "-"),
    "reference": (METHODS["attention_sampling (reference gradient)"], "--"),
}


def attended(
    images: np.ndarray,
    attention: np.ndarray,
    where: np.ndarray,
    patches: np.ndarray,
    shares: np.ndarray,
    titles: Sequence[str],
) -> Figure:
    """Image, attention and the patches drawn from it, a row an image.

    Args:
        images: (R, H, W); attention: (R, A, A), shown on a scale of its own in each row.
        where: (R, N, 3) = (s, x, y); patches: (R, N, L, L).
        shares: (R, N), what each patch counts in the estimate.
        titles: of the images.
    """
    columns = -(-patches.shape[1] // 2)
    figure = Figure(figsize=(10.5, 2.75 * len(images)), layout="constrained")
    for part, number in zip(figure.subfigures(len(images), 1, squeeze=False)[:, 0], range(len(images)), strict=True):
        left, right = part.subfigures(1, 2, width_ratios=(2.1, columns / 2 + 0.2))
        scene, heat = left.subplots(1, 2)
        show(scene, images[number], titles[number])
        for s, x, y in where[number]:
            frame(scene, np.array([x - s, y - s, x + s, y + s]), METHODS["attention_sampling"])
        heat.imshow(attention[number], cmap="cividis")
        heat.set(xticks=[], yticks=[], title=f"attention, {attention.shape[1]} x {attention.shape[2]}")
        grid = right.subplots(2, columns, squeeze=False).flat
        for axes, patch, share in zip(grid, patches[number], shares[number], strict=False):
            show(axes, patch, f"{share:.2f}")
        for axes in list(grid)[patches.shape[1] :]:
            axes.set_axis_off()
    return figure


def bias(masses: Sequence[float], cosines: dict[str, Sequence[float]], ratios: dict[str, Sequence[float]]) -> Figure:
    """Expected gradients against the true one, as the attention sharpens.

    Args:
        masses: share of the attention on the N likeliest positions.
        cosines, ratios: by gradient, cosine of the angle to the true gradient and ratio of the lengths.
    """
    figure = Figure(figsize=(8.4, 3.1), layout="constrained")
    named = {"cosine with the true gradient": cosines, "length over the true gradient's": ratios}
    for axes, (label, curves) in zip(figure.subplots(1, 2), named.items(), strict=True):
        for name, values in curves.items():
            colour, dashes = GRADIENTS[name]
            axes.plot(masses, values, dashes, color=colour, marker="o", markersize=3.5, label=name)
        axes.axhline(0, color="0.8", linewidth=1, zorder=0)
        axes.set(xlabel="attention on the N likeliest positions", title=label)
        axes.set_ylim(top=1.08 if curves is cosines else 1.5)
    figure.axes[0].legend()
    return figure


def trainings(runs: dict[str, list[list[dict[str, float]]]]) -> Figure:
    """Training accuracy against the step: the mean over the seeds, a band from the worst to the best.

    Args:
        runs: histories by gradient, one a seed.
    """
    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, histories in runs.items():
        colour, dashes = GRADIENTS[name]
        steps = [row["step"] for row in histories[0]]
        table = np.array([[row["accuracy"] for row in rows] for rows in histories])  # (seeds, rows)
        axes.plot(steps, table.mean(0), dashes, color=colour, label=f"{name}, seeds: {len(table)}")
        axes.fill_between(steps, table.min(0), table.max(0), color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel="step", ylabel="training accuracy", ylim=(0, 1.02))
    axes.margins(x=0)
    axes.legend(loc="lower right")
    return figure


def draws(counts: Sequence[int], curves: dict[str, Sequence[float]], trained: int) -> Figure:
    """Test accuracy against the number of patches, by the way they are drawn; ``trained`` is that of the training."""
    figure = Figure(figsize=(5.6, 3.1), layout="constrained")
    axes = figure.subplots()
    for (name, values), dashes in zip(curves.items(), ("-", ":"), strict=False):
        axes.plot(counts, values, dashes, color=METHODS["attention_sampling"], marker="o", label=name)
    axes.axvline(trained, color="0.8", linewidth=1, zorder=0)
    axes.set(xscale="log", xlabel="patches N", ylabel="test accuracy", ylim=(0, 1.02))
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.legend(loc="lower right")
    return figure
