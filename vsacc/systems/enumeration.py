"""Every ordered sample of a few positions with its probability: the exact expectation of any estimate, by summing."""

from itertools import permutations, product

import torch
from torch import Tensor

from .expectation import expectation


def ordered_samples(positions: int, count: int, replacement: bool) -> Tensor:
    """Long (S, N): K^N sequences with replacement, K! / (K - N)! without."""
    drawn = product(range(positions), repeat=count) if replacement else permutations(range(positions), count)
    return torch.tensor(list(drawn))


def probabilities(a: Tensor, samples: Tensor, replacement: bool) -> Tensor:
    """The probability of drawing each sequence from a (K,), one position after another: (S, N) -> (S,)."""
    p = a[samples]  # (S, N)
    if replacement:
        return p.prod(1)
    left = 1 - (p.cumsum(1) - p)
    return (p / left).prod(1)


def mean_estimate(logits: Tensor, features: Tensor, count: int, replacement: bool, gradient: str = "exact") -> Tensor:
    """The expectation of :func:`vsacc.systems.expectation.expectation` over all samples, (F,).

    Which sample is drawn passes no gradient on, so the gradient of this is the expectation of the estimate's gradient.

    Args:
        logits: of the attention, (K,).
        features: f (K, F) of all positions.
        count: N, draws.
    """
    samples = ordered_samples(len(logits), count, replacement)
    log_a = logits.log_softmax(0)
    estimate = expectation(features[samples], log_a[samples], replacement, gradient)  # (S, F)
    return probabilities(log_a.detach().exp(), samples, replacement) @ estimate
