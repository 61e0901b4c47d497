"""The stochastic policy of RAM and DRAM: from a state, a Gaussian over places, and what reward to expect there."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Choice(NamedTuple):
    """place: (B, 2) = (x, y) in [-1, 1], no gradient; log_pi, baseline: (B,), terms of ``loss.score_function``."""

    place: Tensor
    log_pi: Tensor
    baseline: Tensor


class Policy(nn.Module):
    """pi(place) = N(mean, sigma^2), and a baseline that is linear in the state.

    In training the place is drawn; the sample itself carries no gradient, log_pi does (Williams 1992). In evaluation
    it is the mean. A draw outside the image is moved to its border after log_pi was taken: what the world does with a
    choice leaves the score function unbiased.

    Args:
        hidden: D of the state.
        sigma: standard deviation in the end and in the beginning of a training; equal where it is fixed, as published.
        idle: share of a training in which the mean does not learn, because nobody can tell a good place yet.
    """

    def __init__(self, hidden: int, sigma: tuple[float, float], idle: float = 0.0):
        super().__init__()
        self.value, self.range, self.idle = nn.Linear(hidden, 1), sigma, idle
        self.register_buffer("sigma", torch.tensor(sigma[0]), persistent=False)
        self.register_buffer("learns", torch.tensor(1.0), persistent=False)

    def anneal(self, progress: float) -> None:
        """Sigma falls from its first to its last value, geometrically, over the first half of a training."""
        last, first = self.range
        self.sigma.fill_(last * (first / last) ** max(0.0, 1 - 2 * progress))
        self.learns.fill_(progress >= self.idle)

    def forward(self, mean: Tensor, state: Tensor) -> Choice:
        """mean (B, 2), state (B, D). The baseline reads the state detached: what it fits must not shape it."""
        mean = torch.lerp(mean.detach(), mean, self.learns)  # the same value
        drawn = (mean + self.sigma * torch.randn_like(mean) if self.training else mean).detach()
        baseline = self.value(state.detach()).squeeze(-1).to(mean.dtype)
        return Choice(drawn.clamp(-1, 1), self.log_density(drawn, mean), baseline)

    def log_density(self, drawn: Tensor, mean: Tensor) -> Tensor:
        """log N(drawn; mean, sigma^2) of both coordinates together: (B, 2), (B, 2) -> (B,)."""
        deviation = (drawn - mean) / self.sigma
        return (-0.5 * deviation**2 - self.sigma.log() - 0.5 * math.log(2 * math.pi)).sum(-1)


def stack_terms(choices: list[Choice]) -> dict[str, Tensor]:
    """The terms of a whole episode, "log_pi" and "baseline", each (B, T); none where nothing was chosen."""
    if not choices:
        return {}
    _, log_pi, baseline = zip(*choices, strict=True)
    return {"log_pi": torch.stack(log_pi, 1), "baseline": torch.stack(baseline, 1)}
