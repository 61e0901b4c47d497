"""Figures of notebook 01: the lower bound on a model small enough to integrate. Arrays in, Figure out.

Places are in image coordinates, [-1, 1] on each axis with y down; everything logarithmic is in nats. Arrays whose shape
is not given have one value for each of the places, widths of q, noises or numbers of samples that stand before them."""

import numpy as np
from matplotlib.figure import Figure
from numpy import ndarray

from .saccades import EXTENT, frame_glimpse, show
from .style import BLACK, BLUE, GREEN, GREY, SKY, VERMILION, Curves, label_log, lines, step_colour, subplots

PALE, PALE_RED = "#cfe4f3", "#f3d3c2"  # the gap between a bound and what it bounds; what is no bound
ESTIMATORS = {"pathwise": (VERMILION, "-", "o"), "score function": (GREY, "-", "s")}
ESTIMATORS["score function, baseline"] = (GREEN, "-", "D")


def beliefs(title: str, image: ndarray, where: ndarray, glimpses: ndarray, posteriors: ndarray, label: int) -> Figure:
    """An image with N frames, and per frame its glimpse and the belief p(y | o), of (N, K), that it leads to."""
    count, classes = posteriors.shape
    figure = Figure(figsize=(3.0 + 1.75 * count, 3.5))
    left, right = figure.subfigures(1, 2, width_ratios=[2.0, count])
    scene, grid = left.subplots(), right.subplots(2, count, sharey="row", height_ratios=[1.5, 1.0])
    show(scene, image, f"image $x$, {len(image)} × {len(image)} pixels")
    for i, (seen, axes) in enumerate(grid.T):
        colour = step_colour(i, count)
        frame_glimpse(scene, where[i], colour)
        show(seen, glimpses[i], "$o$ at $z$ = ({:.2g}, {:.2g})".format(*where[i, 1:]), colour)
        axes.bar(range(classes), posteriors[i], color="#c4c4c4")[label].set_color(VERMILION)
        axes.set(ylim=(0, 1), xticks=[0, label, classes - 1], yticks=[0, 1], xlabel="class")
        axes.set_title(f"$p(y = {label} | o)$ = {posteriors[i, label]:.2f}", color=VERMILION, fontsize=9)
    figure.suptitle(title)
    return figure


def maps(title: str, image: ndarray, panels: dict[str, ndarray], reach: float) -> Figure:
    """Functions of z on a grid over [-reach, reach]^2, each (P, P) from 0 to its maximum, with the shapes outlined."""
    figure, row = subplots(3.1 * len(panels), 3.3, 1, len(panels))
    centres = (np.arange(len(image)) + 0.5) * 2 / len(image) - 1
    for axes, (name, values) in zip(row, panels.items(), strict=True):
        picture = axes.imshow(values, extent=np.multiply(reach, EXTENT), vmin=0, interpolation="bilinear")
        axes.contour(centres, centres, image, [96], colors="white", linewidths=0.8)
        axes.set(xlim=(-1.1, 1.1), ylim=(1.1, -1.1), xticks=[-1, 0, 1], yticks=[-1, 0, 1], xlabel="$z_x$", title=name)
        figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.03)
    row[0].set_ylabel("$z_y$")
    figure.suptitle(title)
    return figure


def bound_curves(exact: float, means: ndarray, moved: ndarray, sigmas: ndarray, narrowed: ndarray) -> Figure:
    """The bound, with KL(q || p(z | y, x)) in (n, 2), below log p(y | x) while q moves (left) and narrows (right)."""
    figure, (left, right) = subplots(9.4, 3.5, 1, 2, sharey=True)
    for axes, places, values in ((left, means, moved), (right, sigmas, narrowed)):
        bound, best = values[:, 0], values[:, 0].argmax()
        axes.fill_between(places, bound, exact, color=PALE, linewidth=0, label=r"$KL(q\,\|\,p(z|y,x))$")
        axes.axhline(exact, color=BLACK, label=r"$\log p(y|x)$")
        axes.plot(places, bound, color=BLUE, label=r"bound $\mathcal{L}(q)$")
        axes.plot(places[::5], values[::5].sum(1), "o", color="white", markeredgecolor=BLACK, label="bound + KL")
        axes.text(places[best], bound[best] - 0.1, f"gap {exact - bound[best]:.2f}", ha="center", va="top")
        axes.margins(x=0.01)
    left.set(xlabel=r"mean of $q$, $\mu_x$", ylabel="nats")
    left.set_title("Wherever $q$ goes, the gap is its KL to the posterior")
    right.set(xlabel=r"width of $q$, $\sigma$", xscale="log", title="Too narrow and too broad both widen it")
    label_log(right.xaxis)
    right.legend(loc="lower right")
    return figure


def k_sample_curves(exact: float, ks: list[int], curves: dict[str, ndarray]) -> Figure:
    """The K-sample bound against K, one line per q: (n, 2), mean and standard error."""
    figure, axes = subplots(7.2, 3.5)
    axes.axhline(exact, color=BLACK, label=r"$\log p(y|x)$")
    for name, values in curves.items():
        axes.errorbar(ks, values[:, 0], 2 * values[:, 1], marker="o", capsize=2, label=name)
    axes.set(xlabel="samples $K$", ylabel=r"$\mathcal{L}_K$, nats", xscale="log")
    label_log(axes.xaxis)
    axes.set_title("More samples close the gap, sooner where $q$ covers the posterior")
    axes.legend(loc="lower right")
    return figure


def gradient_spread(exact: float, samples: dict[str, ndarray], counts: list[int], errors: dict[str, ndarray]) -> Figure:
    """One-sample gradients of each estimator, (n,), and the error of their average over ``counts`` samples."""
    figure, (left, right) = subplots(9.4, 3.5, 1, 2, width_ratios=[1.25, 1])
    bins = np.linspace(*np.percentile(np.concatenate(list(samples.values())), [0.05, 99.95]), 61)
    for name, values in samples.items():
        label = f"{name}, sd {values.std():.1f}"
        left.hist(values, bins, histtype="step", color=ESTIMATORS[name][0], linewidth=1.6, label=label)
    left.axvline(exact, 0, 0.78, color=BLACK, linestyle=":", label=f"by quadrature, {exact:.2f}")
    left.set(yscale="log", xlabel=r"$\partial\mathcal{L}/\partial\mu_x$ from one sample", ylabel="samples")
    left.set_ylim(top=left.get_ylim()[1] * 12)  # room for the legend
    left.set_title("All aim at the same gradient, with different spread")
    left.legend(loc="upper left", ncols=2, fontsize=8.5, columnspacing=1.2)
    lines(right, counts, errors, ESTIMATORS)
    right.loglog(counts, errors["pathwise"][0] / np.sqrt(counts), ":", color=BLACK, label=r"$\propto 1/\sqrt{n}$")
    right.set(xlabel="samples averaged, $n$", ylabel=r"RMS error of $\partial\mathcal{L}/\partial\mu_x$")
    label_log(right.yaxis)
    right.set_title(r"The error falls only as $1/\sqrt{n}$")
    right.legend(loc="lower left")
    return figure


def estimator_variance(sigmas: list[float], panels: dict[str, Curves]) -> Figure:
    """Variance of a one-sample gradient against the width of q, a panel per place and a line per estimator."""
    figure, row = subplots(3.6 * len(panels), 3.5, 1, len(panels), sharey=True)
    for axes, (title, variances) in zip(row, panels.items(), strict=True):
        lines(axes, sigmas, variances, ESTIMATORS)
        axes.set(xlabel=r"width of $q$, $\sigma$", xscale="log", yscale="log", title=title)
        label_log(axes.xaxis)
    row[0].set_ylabel(r"variance of $\partial\mathcal{L}/\partial(\mu_x, \mu_y)$")
    row[-1].legend()
    figure.suptitle("Pathwise has the lower variance at middle widths")
    return figure


def landscape(places: ndarray, heights: dict[float, ndarray], start: float, bar: float, pull: ndarray) -> Figure:
    """E_q[log p(y | o)] along a line, by width of q; the slope towards the bar at start, pull (n, 2), by width."""
    figure, (left, right) = subplots(9.4, 3.5, 1, 2, width_ratios=[1.4, 1])
    for i, (sigma, values) in enumerate(heights.items()):
        left.plot(places, values, color=step_colour(i, len(heights)), label=rf"$\sigma$ = {sigma:g}")
    left.axvline(bar, color=BLACK, linewidth=1, linestyle="--", label="the bar")
    left.axvline(start, color=BLACK, linewidth=1, linestyle=":", label="start")
    left.set(xlabel=r"mean of $q$, $\mu_x$", ylabel=r"$E_q[\log p(y|o)]$, nats", ylim=(None, 0.9))
    left.set_title("A narrow $q$ sees a moat, a broad one a hill")
    left.legend()
    sigmas, slopes = pull.T
    right.plot(sigmas, slopes, color=BLACK)
    right.axhline(0, color=GREY, linewidth=1)
    right.set(xlabel=r"width of $q$, $\sigma$", ylabel="slope towards the bar at the start")
    right.set_title("Only a broad $q$ is drawn to the bar")
    return figure


def sum_over_saccades(likelihoods: dict[str, ndarray], bounds: dict[str, ndarray]) -> Figure:
    """Log-likelihoods of the readings of the sum over i, and the bounds of some of them, against T = 1, 2, ..."""
    figure, axes = subplots(7.6, 4.0)
    looks = dict(zip(likelihoods, zip((VERMILION, BLACK, BLUE, GREY), "----", "so^D", strict=True), strict=True))
    steps = np.arange(1, 1 + len(next(iter(likelihoods.values()))))
    axes.axhspan(0, 0.9, color=PALE_RED, linewidth=0)
    axes.text(1, 0.72, "no log-probability is above 0", color=VERMILION, va="top", fontsize=9)
    lines(axes, steps, likelihoods, looks)
    lines(axes, steps, bounds, looks, linestyle=":", alpha=0.75, mfc="white", label="")
    axes.plot([], [], ":", color=GREY, label="dotted: its bound")
    axes.set(xlabel="saccades $T$", xticks=steps, ylabel="nats", ylim=(None, 0.9))
    axes.set_title("Only the joint reading gains from looking again")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def dropped_constant(sigmas: list[float], log_y: ndarray, density: ndarray, probability: ndarray) -> Figure:
    """Eq. 6 at its best q against the decoder's noise, with p(c) a density and a probability."""
    figure, axes = subplots(7.6, 3.8)
    red = {"where": density > log_y, "color": PALE_RED, "linewidth": 0, "interpolate": True, "label": "no bound here"}
    axes.fill_between(sigmas, density, log_y, **red)
    axes.plot(sigmas, log_y, color=BLACK, label=r"$\log p(y|x,c)$")
    axes.plot(sigmas, density, color=VERMILION, label="Eq. 6, $p(c|z)$ a density")
    axes.plot(sigmas, probability, color=SKY, label="Eq. 6, $p(c|z)$ a probability")
    axes.set(xlabel=r"noise of the decoder, $\sigma_c$", ylabel="nats", xscale="log", ylim=(-480, 60))
    label_log(axes.xaxis)
    axes.set_title(r"Dropping $-\log p(c)$ is safe for probabilities only")
    axes.legend(loc="center right")
    return figure
