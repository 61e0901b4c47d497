r"""What sampling can know of the toy's bound: Monte Carlo estimates of its value and of its gradient.

Every function draws ``count`` places from q and returns one row per sample, so that both the mean and its
spread can be read off. Notebook 01 holds them against the integrals of :mod:`vsacc.studies.toy`.

Gradients are with respect to (mean_x, mean_y, log sigma_x, log sigma_y), (4,). The KL to the Gaussian prior is
in closed form in all of them: only the gradient of E_q[log p(y | f(x, z))] is estimated.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..vrnn import Normal, kl_normal
from .toy import CHUNK, LABEL, PRIOR, Toy, classify, expectation, glimpses, log_density, look


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
    groups = log_w[: len(log_w) // k * k].view(-1, k)
    return torch.logsumexp(groups, 1) - math.log(k)


def exact_gradient(toy: Toy, q: Normal) -> Tensor:
    """The gradient of the bound by quadrature, (4,): what the estimators below aim at."""
    return _gradient(q, lambda q: expectation(toy, q, toy.log_y) - kl_normal(q, PRIOR))


def pathwise_gradient(toy: Toy, q: Normal, count: int, generator: torch.Generator) -> Tensor:
    """Through the sampler: the slope of log p(y | f(x, mean + sigma * eps)), (count, 4)."""
    z, eps = draw(q, count, generator)
    slopes = []
    for part in z.split(CHUNK):
        part = part.clone().requires_grad_()
        log_y = classify(glimpses(toy.image, part)).log_softmax(-1)[:, LABEL]
        slopes += torch.autograd.grad(log_y.sum(), part)
    slope = torch.cat(slopes)  # (count, 2)
    return torch.cat([slope, slope * q.sigma * eps], 1) + _kl_gradient(q)


def score_gradient(toy: Toy, q: Normal, count: int, generator: torch.Generator, baseline: float = 0.0) -> Tensor:
    """Score function (REINFORCE): (log p(y | f(x, z)) - baseline) times the slope of log q(z), (count, 4).

    ``baseline`` is a control variate; any constant leaves the mean as it is.
    """
    z, eps = draw(q, count, generator)
    reward = look(toy.image, z).log_softmax(-1)[:, LABEL] - baseline
    return reward[:, None] * torch.cat([eps / q.sigma, eps**2 - 1], 1) + _kl_gradient(q)


def _kl_gradient(q: Normal) -> Tensor:
    return _gradient(q, lambda q: -kl_normal(q, PRIOR))


def _gradient(q: Normal, value: Callable[[Normal], Tensor]) -> Tensor:
    mean, log_sigma = q.mean.clone().requires_grad_(), q.sigma.log().requires_grad_()
    return torch.cat(torch.autograd.grad(value(Normal(mean, log_sigma.exp())), [mean, log_sigma]))
