r"""The saccader small enough to integrate exactly: one image, one label, the place of a glimpse on a grid.

Notebook 01 derives the paper's bound (section 3, Eq. 1-6) on this model and checks each step by quadrature, then by
what sampling can know: a row for each of ``count`` places that are drawn from q.

    p(z)          N(0, 0.4^2) over the place z = (x, y); the scale s is fixed
    o = f(x, z)   the glimpse, through :func:`vsacc.sampler.glimpse`
    p(y | o)      which of ten directions a bar in the glimpse points in; fixed filters, see :func:`classify`
    p(c | z)      a decoder that paints one bright blob at z on the proxy c, with pixel noise N(0, sigma_c^2)
    q(z)          a diagonal Gaussian: :class:`vsacc.vrnn.Normal` with mean and sigma (2,)

Float64. Logarithms are natural; densities of z are per unit of image coordinates, where the image is [-1, 1] on each
axis. Gradients are with respect to (mean_x, mean_y, log sigma_x, log sigma_y), (4,). Shapes: N places, K classes,
L side of the glimpse, J side of the proxy."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from ..sampler import glimpse, proxy
from ..vrnn import Normal

CLASSES, LABEL = 10, 7  # K directions, k * 18 degrees; the one in the image
SIZE, SCALE = 12, 0.5  # L in pixels, and s
FILTER, FOVEA = 7, 0.7  # side of the bar filters in pixels; how far a glimpse sees clearly, in half sides
SOFTNESS, GAIN = 6.0, 12.0  # of the maximum over places, of the softmax over directions
BAR, DISC, RING = (0.25, -0.2), (-0.5, 0.45), (-0.45, -0.5)  # only the bar tells the label
PROXY, BLOB = 8, 0.2  # J in pixels, width of the decoder's blob
CHUNK = 2048  # places looked at together


def normal(mean: float | list[float] | Tensor, sigma: float | list[float] | Tensor) -> Normal:
    """A float64 Gaussian over the place; a single number serves both axes."""
    return Normal(*(torch.as_tensor(v, dtype=torch.float64).expand(2).clone() for v in (mean, sigma)))


PRIOR = normal(0.0, 0.4)


@dataclass(frozen=True)
class Toy:
    """An image, and what is known of it on a grid of N = points^2 places."""

    image: Tensor  # uint8 (1, 1, H, H)
    grid: Tensor  # (N, 2)
    cell: float  # area between neighbours of the grid
    logits: Tensor  # (N, K) of p(y | f(x, z))
    log_prior: Tensor  # (N,), the log density p(z) or p(z | c)

    @cached_property
    def log_y(self) -> Tensor:
        """log p(y | f(x, z)) of the true label on the grid, (N,)."""
        return self.logits.log_softmax(-1)[:, LABEL]


def make_toy(points: int = 201, reach: float = 3.0) -> Toy:
    """The toy on points x points places in [-reach, reach]^2, by default 0.03 apart and out to 7.5 prior sigmas."""
    axis = torch.linspace(-reach, reach, points, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(-1, 2)
    x, y = pixel_centres(48)
    bar, disc, ring = ((x - place[0], y - place[1]) for place in (BAR, DISC, RING))
    shapes = [draw_bar(*bar, LABEL), draw_disc(*disc, 0.18), draw_disc(*ring, 0.2) - draw_disc(*ring, 0.1)]
    image = (255 * torch.stack(shapes).amax(0)).round().to(torch.uint8)[None, None]
    return Toy(image, grid, float(axis[1] - axis[0]) ** 2, look(image, grid), log_density(PRIOR, grid))


def pixel_centres(side: int) -> tuple[Tensor, Tensor]:
    """x and y of the pixels' centres, each (side, side), in [-1, 1]."""
    centres = (torch.arange(side, dtype=torch.float64) + 0.5) * (2 / side) - 1
    return torch.meshgrid(centres, centres, indexing="xy")


def draw_bar(x: Tensor, y: Tensor, direction: int) -> Tensor:
    """Brightness in [0, 1] of a soft bar through the origin, 0.5 long."""
    angle = math.pi * direction / CLASSES
    along, across = math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x
    return torch.exp(-0.5 * ((along.abs() - 0.25).clamp(min=0) ** 2 + across**2) / 0.09**2)


def draw_disc(x: Tensor, y: Tensor, radius: float) -> Tensor:
    """Brightness in [0, 1] of a disc with a soft edge."""
    return torch.sigmoid((radius - torch.hypot(x, y)) / 0.04)


def glimpses(image: Tensor, z: Tensor) -> Tensor:
    """o = f(x, z): places (N, 2) -> (N, L, L) in [0, 1]; differentiable in z."""
    where = torch.cat([torch.full_like(z[:, :1], SCALE), z], 1)
    return glimpse(image, where[None], SIZE)[0, :, 0]


def classify(o: Tensor) -> Tensor:
    """Logits of p(y | o): (N, L, L) -> (N, K). Bar filters slide over the glimpse, dimmed towards its border, and the
    best place counts: a convolution and spatial pooling, as in the paper's section 4."""
    x, y = pixel_centres(SIZE)
    patches = F.unfold((o * torch.exp(-0.5 * (x**2 + y**2) / FOVEA**2)).unsqueeze(1), FILTER)
    x, y = (SCALE * FILTER / SIZE * axis for axis in pixel_centres(FILTER))  # in image coordinates
    bars = torch.stack([draw_bar(x, y, k).flatten() for k in range(CLASSES)])
    response = F.normalize(bars - bars.mean(0)) @ patches  # (N, K, places)
    return GAIN * torch.logsumexp(SOFTNESS * response, -1) / SOFTNESS


def look(image: Tensor, z: Tensor) -> Tensor:
    """Logits (N, K) of the glimpses at z (N, 2), without gradient, a few at a time."""
    with torch.no_grad():
        return torch.cat([classify(glimpses(image, part)) for part in z.split(CHUNK)])


def log_proxy(image: Tensor, z: Tensor, sigma_c: float) -> Tensor:
    """log p(c | z), a density over the J^2 pixels of the proxy: (N, 2) -> (N,)."""
    c, (x, y) = proxy(image, PROXY).double().flatten(), (axis.flatten() for axis in pixel_centres(PROXY))
    blob = 0.6 * torch.exp(-0.5 * ((x - z[:, :1]) ** 2 + (y - z[:, 1:]) ** 2) / BLOB**2)  # (N, J^2)
    return log_density(Normal(blob, torch.full_like(c, sigma_c)), c)


def log_density(q: Normal, z: Tensor) -> Tensor:
    """log q(z): (N, D) -> (N,)."""
    return (-0.5 * ((z - q.mean) / q.sigma) ** 2 - q.sigma.log() - 0.5 * math.log(2 * math.pi)).sum(-1)


def log_integral(toy: Toy, log_f: Tensor) -> Tensor:
    """log of the integral of exp(log_f) (N, ...) over all places -> (...). It must vanish at the border of the grid."""
    return torch.logsumexp(log_f, 0) + math.log(toy.cell)


def expectation(toy: Toy, q: Normal, values: Tensor) -> Tensor:
    """E_q of values (N, ...) -> (...). q must fit the grid: sigma at least a step, 6 sigma inside the border."""
    return torch.tensordot(log_density(q, toy.grid).exp() * toy.cell, values, 1)


def log_likelihood(toy: Toy) -> Tensor:
    """log p(y | x), Eq. 1 with T = 1: the prior's average of p(y | f(x, z))."""
    return log_integral(toy, toy.log_prior + toy.log_y)


def log_posterior(toy: Toy) -> Tensor:
    """log p(z | y, x) on the grid, by Bayes' rule: (N,)."""
    return toy.log_prior + toy.log_y - log_likelihood(toy)


def divergence(toy: Toy, q: Normal, log_p: Tensor) -> Tensor:
    """KL(q || p) for any density on the grid, log_p (N,)."""
    log_q = log_density(q, toy.grid)
    return log_q.exp() @ (log_q - log_p) * toy.cell


def bound(toy: Toy, q: Normal) -> Tensor:
    """Eq. 4 with T = 1: E_q[log p(y | f(x, z))] - KL(q || prior)."""
    return -divergence(toy, q, toy.log_y + toy.log_prior)


def given_proxy(toy: Toy, sigma_c: float) -> tuple[Toy, Tensor]:
    """The toy with the prior p(z | c) that Eq. 4 asks for, and log p(c), a density like log p(c | z)."""
    log_joint = log_density(PRIOR, toy.grid) + log_proxy(toy.image, toy.grid, sigma_c)
    log_c = log_integral(toy, log_joint)
    return replace(toy, log_prior=log_joint - log_c), log_c


def pair_log_likelihood(toy: Toy) -> Tensor:
    """log p(y | x) of one label read from two glimpses, their logits added. Holds N^2 numbers."""
    return log_integral(toy, toy.log_prior + log_integral(toy, toy.log_prior[:, None] + pair_log_y(toy)))


def pair_bound(toy: Toy, q1: Normal, q2: Normal) -> Tensor:
    """Its bound: E[log p(y | o_1, o_2)] - KL(q1 || prior) - KL(q2 || prior), z_1 from q1 and z_2 from q2."""
    expected = expectation(toy, q1, expectation(toy, q2, pair_log_y(toy)))
    return expected - sum(divergence(toy, q, toy.log_prior) for q in (q1, q2))


def pair_log_y(toy: Toy) -> Tensor:
    """log p(y | o_1, o_2), (N, N): p(y | o_1) p(y | o_2), made to sum to 1 over the classes."""
    belief = toy.logits.softmax(-1)
    return toy.log_y[:, None] + toy.log_y - (belief @ belief.T).log()


def draw(q: Normal, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """z = mean + sigma * eps, and eps: (count, 2) each."""
    eps = torch.randn(count, 2, dtype=torch.float64, generator=generator)
    return q.mean + q.sigma * eps, eps


def log_weights(toy: Toy, q: Normal, count: int, generator: torch.Generator) -> Tensor:
    """log [p(y | f(x, z)) p(z) / q(z)], (count,). Their mean estimates the bound, Eq. 4 with T = 1."""
    z, _ = draw(q, count, generator)
    return look(toy.image, z).log_softmax(-1)[:, LABEL] + log_density(PRIOR, z) - log_density(q, z)


def k_sample(log_w: Tensor, k: int) -> Tensor:
    """The K-sample bound of Burda et al. (2016), log of the mean of k weights: (count,) -> (count // k,)."""
    return torch.logsumexp(log_w[: len(log_w) // k * k].view(-1, k), 1) - math.log(k)


def exact_gradient(toy: Toy, q: Normal) -> Tensor:
    """The gradient of the bound by quadrature, (4,): what the estimators below aim at."""
    mean, log_sigma = q.mean.clone().requires_grad_(), q.sigma.log().requires_grad_()
    return torch.cat(torch.autograd.grad(bound(toy, Normal(mean, log_sigma.exp())), [mean, log_sigma]))


def pathwise_gradient(toy: Toy, q: Normal, count: int, generator: torch.Generator) -> Tensor:
    """Through the sampler: the slope of log p(y | f(x, mean + sigma * eps)), (count, 4)."""
    z, eps = draw(q, count, generator)
    slopes = []
    for part in z.split(CHUNK):
        part = part.clone().requires_grad_()
        slopes += torch.autograd.grad(classify(glimpses(toy.image, part)).log_softmax(-1)[:, LABEL].sum(), part)
    slope = torch.cat(slopes)  # (count, 2)
    return torch.cat([slope, slope * q.sigma * eps], 1) + kl_gradient(q)


def score_gradient(toy: Toy, q: Normal, count: int, generator: torch.Generator, baseline: float = 0.0) -> Tensor:
    """Score function (REINFORCE): (log p(y | f(x, z)) - baseline) times the slope of log q(z), (count, 4). The baseline
    is a control variate; any constant leaves the mean as it is."""
    z, eps = draw(q, count, generator)
    reward = look(toy.image, z).log_softmax(-1)[:, LABEL] - baseline
    return reward[:, None] * torch.cat([eps / q.sigma, eps**2 - 1], 1) + kl_gradient(q)


def kl_gradient(q: Normal) -> Tensor:
    """Of -KL(q || PRIOR), in closed form: (4,)."""
    return torch.cat([(PRIOR.mean - q.mean) / PRIOR.sigma**2, 1 - (q.sigma / PRIOR.sigma) ** 2])
