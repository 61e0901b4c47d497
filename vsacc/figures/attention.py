"""Pictures of attention sampling. Arrays and numbers in, Figure out."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from .saccades import frame_glimpse, show
from .style import ACCENT, Looks, lines, subplots, used


def attended(
    images: np.ndarray,
    attention: np.ndarray,
    where: np.ndarray,
    patches: np.ndarray,
    shares: np.ndarray,
    titles: Sequence[str],
    colour: str = ACCENT,
) -> Figure:
    """Image, attention and the patches drawn from it, a row an image.

    images (R, H, W); attention (R, A, A), shown on a scale of its own in each row; where (R, N, 3) = (s, x, y); patches
    (R, N, L, L); shares (R, N), what each patch counts in the estimate; colour: of the patches' frames.
    """
    columns = -(-patches.shape[1] // 2)
    figure = Figure(figsize=(10.5, 2.75 * len(images)), layout="constrained")
    for number, part in enumerate(figure.subfigures(len(images), 1, squeeze=False).flat):
        left, right = part.subfigures(1, 2, width_ratios=(2.1, columns / 2 + 0.2))
        scene, heat = left.subplots(1, 2)
        show(scene, images[number], titles[number])
        for place in where[number]:
            frame_glimpse(scene, place, colour)
        heat.imshow(attention[number], cmap="cividis")
        heat.set(xticks=[], yticks=[], title=f"attention, {attention.shape[1]} x {attention.shape[2]}")
        cells = used(right.subplots(2, columns, squeeze=False), patches.shape[1])
        for axes, patch, share in zip(cells, patches[number], shares[number], strict=True):
            show(axes, patch, f"{share:.2f}")
    return figure


def bias(
    masses: Sequence[float], cosines: dict[str, Sequence[float]], ratios: dict[str, Sequence[float]], looks: Looks
) -> Figure:
    """Expected gradients against the true one, as the attention sharpens: ``masses`` on the N likeliest positions.

    cosines, ratios: by gradient, cosine of the angle to the true gradient and ratio of the lengths.
    """
    figure, panels = subplots(8.4, 3.1, 1, 2)
    named = {"cosine with the true gradient": cosines, "length over the true gradient's": ratios}
    for axes, (label, curves) in zip(panels, named.items(), strict=True):
        lines(axes, masses, curves, looks, markersize=3.5)
        axes.axhline(0, color="0.8", linewidth=1, zorder=0)
        axes.set(xlabel="attention on the N likeliest positions", title=label)
        axes.set_ylim(top=1.08 if curves is cosines else 1.5)
    panels[0].legend()
    return figure


def trainings(runs: dict[str, list[list[dict[str, float]]]], looks: Looks) -> Figure:
    """Training accuracy against the step; runs: histories by gradient, one a seed."""
    figure, axes = subplots(7.0, 3.2)
    for name, histories in runs.items():
        steps = [row["step"] for row in histories[0]]
        accuracies = [[row["accuracy"] for row in rows] for rows in histories]
        lines(axes, steps, {name: accuracies}, looks, label=f"{name}, seeds: {len(histories)}", marker="")
    axes.set(xlabel="step", ylabel="training accuracy", ylim=(0, 1.02))
    axes.margins(x=0)
    axes.legend(loc="lower right")
    return figure
