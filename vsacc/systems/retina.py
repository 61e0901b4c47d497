"""RAM's glimpse sensor (Mnih et al. 2014, section 3.1): concentric squares, each wider, all resized to the same pixels.

Its sizes are relative to the image, so the same retina serves an image of any resolution. RAM's, for a canvas of
100 x 100 pixels, is three squares of 12, 24 and 48 pixels: s = 0.12, 0.24 and 0.48, read at 12 x 12 each.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..sampler import Images, glimpse


@dataclass(frozen=True)
class Retina:
    """size: g, pixels of every square as it is read; finest: s of the smallest square; scales: k; factor: how much
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
        """What shows around places: (B, 2) -> (B, k, C, g, g) in [0, 1].

        No gradient reaches ``place``: the sensor of the papers is not differentiable, and that of this project is.
        """
        where = self.where(place.detach())
        images.prefetch(where, self.size)
        return glimpse(images, where, self.size)
