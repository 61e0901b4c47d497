"""Drawing of sparse images: sprites on black pyramids, in a time that hardly grows with the canvas."""

from itertools import pairwise

import torch
from torch import Tensor

from ..sampler import Pyramid, pyramid_sizes

SPRITE = 28  # pixels, the side of a digit and of a scribble


def render(side: int, sprites: Tensor, corners: Tensor) -> Pyramid:
    """What :func:`vsacc.sampler.build_pyramid` makes of the drawn canvases, uint8 (B, 1, side, side).

    Args:
        sprites: uint8 (B, D, 28, 28), pasted one after the other: a later one replaces all pixels that it covers.
        corners: long (B, D, 2), (row, column) of each sprite's upper left pixel.
    """
    sizes = pyramid_sizes(side, side)
    flat = torch.zeros(len(sprites), sum(h * w for h, w in sizes), dtype=torch.uint8, device=sprites.device)
    place = corners.unsqueeze(-1) + torch.arange(SPRITE, device=corners.device)  # (B, D, 2, 28)
    for number in range(sprites.shape[1]):
        index = crossings(place[:, number, None], place[:, number, None], side)
        flat.scatter_(1, index, sprites[:, number].flatten(1))
    start = 0
    for level, ((fine, _), (coarse, _)) in enumerate(pairwise(sizes), 1):
        along = torch.arange(((SPRITE - 1) >> level) + 2, device=corners.device)  # as many as a sprite may touch
        place = ((corners >> level).unsqueeze(-1) + along).clamp(max=coarse - 1)
        first, second = 2 * place, (2 * place + 1).clamp(max=fine - 1)
        total = 0
        for rows in (first, second):
            for cols in (first, second):
                total = total + flat.gather(1, start + crossings(rows, cols, fine)).short()
        start += fine**2
        flat.scatter_(1, start + crossings(place, place, coarse), ((total + 2) >> 2).to(torch.uint8))
    return Pyramid(flat.unsqueeze(1), sizes)


def crossings(rows: Tensor, cols: Tensor, side: int) -> Tensor:
    """Row-major indices of pixels, from rows[:, :, 0] x cols[:, :, 1], long (B, D, 2, n) each -> (B, D * n * n)."""
    return (rows[:, :, 0, :, None] * side + cols[:, :, 1, None]).flatten(1)
