"""What RAM and DRAM share: the eye, the stochastic policy that moves it, and where the policy's mean comes from.

The mean is a linear layer on the state (:class:`Dense`), as both papers have it, or read off a map (:class:`Spatial`).
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..sampler import Images, glimpse
from ..vrnn import cell_centres, in_full

GAIN = 0.1  # of the dense layer, see Dense


class Fixation(NamedTuple):
    """place: (B, 2) = (x, y) in [-1, 1], no gradient; log_pi, baseline: (B,), terms of ``loss.score_function``."""

    place: Tensor
    log_pi: Tensor
    baseline: Tensor


class GaussianPolicy(nn.Module):
    """pi(place) = N(mean, sigma^2), and a baseline that is linear in the state.

    In training the place is drawn; the sample itself carries no gradient, log_pi does (Williams 1992). In evaluation it
    is the mean. A draw outside the image is moved to its border after log_pi was taken: what the world does with a
    choice leaves the score function unbiased.

    sigma: standard deviation in the end and in the beginning of a training; equal where it is fixed, as published.
    idle: share of a training in which the mean does not learn, because nobody can tell a good place yet."""

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

    def forward(self, mean: Tensor, state: Tensor) -> Fixation:
        """mean (B, 2), state (B, D). The baseline reads the state detached: what it fits must not shape it."""
        mean = torch.lerp(mean.detach(), mean, self.learns)  # the same value
        drawn = (mean + self.sigma * torch.randn_like(mean) if self.training else mean).detach()
        baseline = self.value(state.detach()).squeeze(-1).to(mean.dtype)
        return Fixation(drawn.clamp(-1, 1), self.log_density(drawn, mean), baseline)

    def log_density(self, drawn: Tensor, mean: Tensor) -> Tensor:
        """log N(drawn; mean, sigma^2) of both coordinates together: (B, 2), (B, 2) -> (B,)."""
        deviation = (drawn - mean) / self.sigma
        return (-0.5 * deviation**2 - self.sigma.log() - 0.5 * math.log(2 * math.pi)).sum(-1)


def stack_terms(choices: list[Fixation]) -> dict[str, Tensor]:
    """The terms of a whole episode, "log_pi" and "baseline", each (B, T); none where nothing was chosen."""
    if not choices:
        return {}
    _, log_pi, baseline = zip(*choices, strict=True)
    return {"log_pi": torch.stack(log_pi, 1), "baseline": torch.stack(baseline, 1)}


class Dense(nn.Module):
    """tanh(GAIN (W h + b)): state (B, D) -> mean place (B, 2). The gain is this project's: Adam takes steps of full
    length on the noise that REINFORCE is at first, and walks the mean into a corner, where tanh has no gradient left,
    unless a step is short against tanh's range."""

    def __init__(self, hidden: int):
        super().__init__()
        self.linear = nn.Linear(hidden, 2)

    def forward(self, state: Tensor) -> Tensor:
        return (GAIN * in_full(self.linear, state)).tanh()


class Spatial(nn.Module):
    """sum_ij softmax(saliency(relu(map + ask(h))))_ij place_ij: map (B, F, M, M), state (B, D) -> mean place (B, 2), in
    coordinates where the map is [-1, 1] on each axis. As in the saccader, it moves with what is seen from the first
    step on: a reward for one place teaches all places."""

    def __init__(self, hidden: int, features: int, cells: int):
        super().__init__()
        self.ask, self.saliency = nn.Linear(hidden, features), nn.Conv2d(features, 1, 1)
        self.register_buffer("grid", cell_centres(cells).flatten(0, 1), persistent=False)  # (M * M, 2)

    def forward(self, features: Tensor, state: Tensor) -> Tensor:
        logits = self.saliency(F.relu(features + self.ask(state)[:, :, None, None]))
        share = logits.flatten(1).to(self.grid.dtype).softmax(-1)
        return (share.unsqueeze(-1) * self.grid).sum(1)


@dataclass(frozen=True)
class Retina:
    """RAM's glimpse sensor (Mnih et al. 2014, section 3.1): concentric squares, each wider, all resized to the same
    pixels. Its sizes are relative to the image, so the same retina serves an image of any resolution; RAM's, for a
    canvas of 100 x 100 pixels, is three squares of 12, 24 and 48 pixels: s = 0.12, 0.24 and 0.48, read at 12 x 12 each.

    size: g, pixels of every square as it is read; finest: s of the smallest square; scales: k; factor: how much
    wider each square is than the last."""

    size: int
    finest: float
    scales: int
    factor: float = 2.0

    def where(self, place: Tensor) -> Tensor:
        """The squares around places: (B, 2) = (x, y) -> (B, k, 3) = (s, x, y), the finest first."""
        s = self.finest * self.factor ** torch.arange(self.scales, device=place.device, dtype=place.dtype)
        s = s.view(1, -1, 1).expand(len(place), -1, 1)
        return torch.cat([s, place.unsqueeze(1).expand(-1, self.scales, 2)], -1)

    def see(self, images: Images, place: Tensor) -> Tensor:
        """What shows around places: (B, 2) -> (B, k, C, g, g) in [0, 1]. No gradient reaches ``place``: the sensor of
        the papers is not differentiable, and that of this project is."""
        where = self.where(place.detach())
        images.prefetch(where, self.size)
        return glimpse(images, where, self.size)
