"""Figures of notebook 01: the lower bound on a model small enough to integrate. Arrays in, Figure out.

Places are in image coordinates, [-1, 1] on each axis with y down; everything logarithmic is in nats.
"""

import numpy as np
from matplotlib.figure import Figure

from .saccades import EXTENT, frame_glimpse, show
from .style import BLACK, BLUE, GREEN, GREY, SKY, VERMILION, label_log, log_x, step_colour, subplots

PALE, PALE_RED = "#cfe4f3", "#f3d3c2"  # the gap between a bound and what it bounds; what is no bound, or repels
ESTIMATORS = {"pathwise": (VERMILION, "o"), "score function": (GREY, "s"), "score function, baseline": (GREEN, "D")}


def beliefs(
    title: str, image: np.ndarray, where: np.ndarray, glimpses: np.ndarray, posteriors: np.ndarray, label: int
) -> Figure:
    """The image with N frames; per frame its glimpse and the belief p(y | o) it leads to.

    image (H, H); where (N, 3) = (s, x, y); glimpses (N, L, L); posteriors (N, K).
    """
    count = len(where)
    figure = Figure(figsize=(3.0 + 1.75 * count, 3.5), layout="constrained")
    names = [["x", *(f"o{i}" for i in range(count))], ["x", *(f"p{i}" for i in range(count))]]
    axes = figure.subplot_mosaic(names, width_ratios=[2.0] + [1.0] * count, height_ratios=[1.5, 1.0])
    show(axes["x"], image, f"image $x$, {len(image)} × {len(image)} pixels")
    for i, (s, x, y) in enumerate(where):
        colour = step_colour(i, count)
        frame_glimpse(axes["x"], (s, x, y), colour)
        show(axes[f"o{i}"], glimpses[i], f"$o$ at $z$ = ({x:.2g}, {y:.2g})", colour)
        bars = axes[f"p{i}"].bar(range(posteriors.shape[1]), posteriors[i], color="#c4c4c4")
        bars[label].set_color(VERMILION)
        axes[f"p{i}"].set(ylim=(0, 1), xticks=[0, label, posteriors.shape[1] - 1], yticks=[0, 1] if i == 0 else [])
        axes[f"p{i}"].set_title(f"$p(y = {label} | o)$ = {posteriors[i, label]:.2f}", color=VERMILION, fontsize=9)
        axes[f"p{i}"].set_xlabel("class")
    figure.suptitle(title, fontsize=10.5)
    return figure


def maps(title: str, image: np.ndarray, panels: dict[str, np.ndarray], reach: float) -> Figure:
    """Functions of z on a grid over [-reach, reach]^2, each (P, P) from 0 to its maximum, with the shapes outlined."""
    figure, row = subplots(3.1 * len(panels), 3.3, 1, len(panels))
    for axes, (name, values) in zip(row, panels.items(), strict=True):
        picture = axes.imshow(values, extent=np.multiply(reach, EXTENT), vmin=0, interpolation="bilinear")
        centres = (np.arange(len(image)) + 0.5) * 2 / len(image) - 1
        axes.contour(centres, centres, image, [96], colors="white", linewidths=0.8)
        axes.set(xlim=(-1.1, 1.1), ylim=(1.1, -1.1), xticks=[-1, 0, 1], yticks=[-1, 0, 1], xlabel="$z_x$", title=name)
        figure.colorbar(picture, ax=axes, fraction=0.046, pad=0.03)
    row[0].set_ylabel("$z_y$")
    figure.suptitle(title, fontsize=10.5)
    return figure


def bound_curves(
    exact: float, means: np.ndarray, moved: np.ndarray, sigmas: np.ndarray, narrowed: np.ndarray
) -> Figure:
    """The bound below log p(y | x) while q moves (left) and narrows (right).

    moved, narrowed: (n, 2), the bound and KL(q || p(z | y, x)) at each of means and sigmas.
    """
    figure, (left, right) = subplots(9.4, 3.5, 1, 2, sharey=True)
    for axes, places, values in ((left, means, moved), (right, sigmas, narrowed)):
        axes.fill_between(places, values[:, 0], exact, color=PALE, linewidth=0, label=r"$KL(q\,\|\,p(z|y,x))$")
        axes.axhline(exact, color=BLACK, label=r"$\log p(y|x)$")
        axes.plot(places, values[:, 0], color=BLUE, label=r"bound $\mathcal{L}(q)$")
        axes.margins(x=0.01)
        axes.plot(places[::5], values[::5].sum(1), "o", color="white", markeredgecolor=BLACK, label="bound + KL")
        best = values[:, 0].argmax()
        look = {"textcoords": "offset points", "ha": "center", "arrowprops": {"arrowstyle": "-", "color": GREY}}
        axes.annotate(f"gap {exact - values[best, 0]:.2f}", (places[best], values[best, 0]), (0, -26), **look)
    left.set(xlabel=r"mean of $q$, $\mu_x$", ylabel="nats")
    left.set_title("Wherever $q$ goes, the gap is its KL to the posterior")
    right.set(xlabel=r"width of $q$, $\sigma$ on both axes", title="Too narrow and too broad both widen it")
    log_x(right, [0.05, 0.1, 0.2, 0.4])
    right.legend(loc="lower right")
    return figure


def k_sample_curves(exact: float, ks: list[int], curves: dict[str, np.ndarray]) -> Figure:
    """The K-sample bound against K, one line per q: (n, 2), mean and standard error."""
    figure, axes = subplots(7.2, 3.5)
    axes.axhline(exact, color=BLACK)
    axes.annotate(r"$\log p(y|x)$", (ks[0], exact), (0, 4), textcoords="offset points")
    for (name, values), colour, marker in zip(curves.items(), (BLUE, VERMILION, GREY), "osD", strict=False):
        axes.errorbar(ks, values[:, 0], 2 * values[:, 1], color=colour, marker=marker, capsize=2, label=name)
    axes.set(xlabel="samples $K$", ylabel=r"$\mathcal{L}_K$, nats")
    log_x(axes, ks)
    axes.set_title("More samples close the gap, sooner where $q$ covers the posterior")
    axes.legend(loc="lower right", title="$q(z)$")
    return figure


def gradient_spread(
    exact: float, samples: dict[str, np.ndarray], counts: list[int], errors: dict[str, np.ndarray]
) -> Figure:
    """One-sample gradients of each estimator (n,), and the error of their average over ``counts`` samples."""
    figure, (left, right) = subplots(9.4, 3.5, 1, 2, width_ratios=[1.25, 1])
    bins = np.linspace(*np.percentile(np.concatenate(list(samples.values())), [0.05, 99.95]), 61)
    for name, values in samples.items():
        colour, marker = ESTIMATORS[name]
        left.hist(values, bins, histtype="step", color=colour, linewidth=1.6, label=f"{name}, sd {values.std():.1f}")
        right.loglog(counts, errors[name], color=colour, marker=marker, label=name)
    left.axvline(exact, 0, 0.78, color=BLACK, linestyle=":", label=f"by quadrature, {exact:.2f}")
    left.set(yscale="log", xlabel=r"$\partial\mathcal{L}/\partial\mu_x$ from one sample", ylabel="samples")
    left.set_ylim(top=left.get_ylim()[1] * 12)  # room for the legend
    left.set_title("All aim at the same gradient, with different spread")
    left.legend(loc="upper left", ncols=2, fontsize=8.5, columnspacing=1.2)
    right.loglog(counts, errors["pathwise"][0] / np.sqrt(counts), ":", color=BLACK, label=r"$\propto 1/\sqrt{n}$")
    right.set(xlabel="samples averaged, $n$", ylabel=r"RMS error of $\partial\mathcal{L}/\partial\mu_x$")
    label_log(right.yaxis)
    right.set_title(r"The error falls only as $1/\sqrt{n}$")
    right.legend(loc="lower left")
    return figure


def estimator_variance(sigmas: list[float], panels: dict[str, dict[str, list[float]]]) -> Figure:
    """Variance of a one-sample gradient against the width of q, a panel per place and a line per estimator."""
    figure, row = subplots(9.4, 3.5, 1, len(panels), sharey=True)
    for axes, (title, lines) in zip(row, panels.items(), strict=True):
        for name, values in lines.items():
            colour, marker = ESTIMATORS[name]
            axes.loglog(sigmas, values, color=colour, marker=marker, label=name)
        axes.set(xlabel=r"width of $q$, $\sigma$", title=title)
        log_x(axes, [0.03, 0.1, 0.2, 0.4])
    row[0].set_ylabel(r"variance of $\partial\mathcal{L}/\partial(\mu_x, \mu_y)$")
    row[-1].legend()
    figure.suptitle("Pathwise has the lower variance while $q$ is narrow", fontsize=10.5)
    return figure


def landscape(
    places: np.ndarray, heights: dict[float, np.ndarray], start: float, bar: float, pull: np.ndarray
) -> Figure:
    """E_q[log p(y | o)] along a line for several widths of q (left), and the slope towards the bar at ``start``.

    pull: (n, 2), widths and slopes; positive is towards the bar.
    """
    figure, (left, right) = subplots(9.4, 3.5, 1, 2, width_ratios=[1.4, 1])
    for i, (sigma, values) in enumerate(heights.items()):
        left.plot(places, values, color=step_colour(i, len(heights)), label=rf"$\sigma$ = {sigma:g}")
    for place, name, dashes, colour in ((bar, "the bar", "--", "#666666"), (start, "start", ":", BLACK)):
        left.axvline(place, color=colour, linewidth=1, linestyle=dashes)
        left.text(place + 0.02, 0.4, name, color=colour, fontsize=9)
    left.set(xlabel=r"mean of $q$, $\mu_x$", ylabel=r"$E_q[\log p(y|o)]$, nats", ylim=(None, 0.9))
    left.set_title("A narrow $q$ sees a moat, a broad one a hill")
    left.legend(loc="lower right")
    sigmas, slopes = pull.T
    for side, colour in ((slopes < 0, PALE_RED), (slopes > 0, PALE)):
        right.fill_between(sigmas, slopes, 0, where=side, color=colour, linewidth=0, interpolate=True)
    right.plot(sigmas, slopes, color=BLACK)
    right.axhline(0, color=GREY, linewidth=1)
    right.set(xlabel=r"width of $q$, $\sigma$", ylabel="slope towards the bar at the start")
    right.set_title("Only a broad $q$ is drawn to the bar")
    return figure


def sum_over_saccades(likelihoods: dict[str, np.ndarray], bounds: dict[str, np.ndarray]) -> Figure:
    """Three readings of the sum over i, and the one printed in Eq. 1, against T = 1, 2, ...

    likelihoods: (T,) log-likelihood by reading; bounds: (T,) the bound of some of them.
    """
    figure, axes = subplots(7.6, 4.0)
    styles = dict(zip(likelihoods, ((VERMILION, "s"), (BLACK, "o"), (BLUE, "^"), (GREY, "D")), strict=True))
    steps = np.arange(1, 1 + len(next(iter(likelihoods.values()))))
    axes.axhspan(0, 0.9, color="#f7e3d8", linewidth=0)
    axes.text(1, 0.72, "no log-probability is above 0", color=VERMILION, va="top", fontsize=9)
    for name, values in likelihoods.items():
        colour, marker = styles[name]
        axes.plot(steps, values, color=colour, marker=marker, label=name)
        if name in bounds:
            axes.plot(steps, bounds[name], color=colour, marker=marker, linestyle=":", alpha=0.75, mfc="white")
    axes.plot([], [], ":", color=GREY, label="dotted: its bound")
    axes.set(xlabel="saccades $T$", xticks=steps, ylabel="nats", ylim=(None, 0.9))
    axes.set_title("Only the joint reading gains from looking again")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def dropped_constant(sigmas: list[float], log_y: np.ndarray, density: np.ndarray, probability: np.ndarray) -> Figure:
    """Eq. 6 at its best q against the decoder's noise, with p(c) a density and a probability; (n,) each."""
    figure, axes = subplots(7.6, 3.8)
    over = density > log_y
    axes.fill_between(sigmas, density, log_y, where=over, color=PALE_RED, linewidth=0, interpolate=True)
    axes.plot(sigmas, log_y, color=BLACK, label=r"$\log p(y|x,c)$")
    axes.plot(sigmas, density, color=VERMILION, label="Eq. 6, $p(c|z)$ a density")
    axes.plot(sigmas, probability, color=SKY, label="Eq. 6, $p(c|z)$ a probability")
    if over.any():
        top = density.argmax()
        axes.annotate("no bound here", (sigmas[top], density[top]), (0, 5), textcoords="offset points", ha="center")
    axes.set(xlabel=r"noise of the decoder, $\sigma_c$", ylabel="nats", ylim=(-480, 60))
    log_x(axes, [0.05, 0.1, 0.2, 0.5, 1])
    axes.set_title(r"Dropping $-\log p(c)$ is safe for probabilities only")
    axes.legend(loc="center right")
    return figure
