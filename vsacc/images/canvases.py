"""Images that are made rather than photographed: enlarged ones, sprites on sparse canvases, and videos."""

from functools import lru_cache
from itertools import pairwise, product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..sampler import Layout, Pyramid, build_pyramid, cut_levels, level_tables, pick_from, pyramid_sizes

SPRITE = 28  # pixels, the side of a digit and of a scribble
ROWS = 64  # that are enlarged at a time, which bounds the floats


def upscale(images: Tensor, side: int) -> Tensor:
    """Bilinear enlargement of uint8 (B, C, h, w) to (B, C, side, side)."""
    small = images.float()
    down = bilinear_matrix(images.shape[-2], side, images.device)  # (side, h)
    across = bilinear_matrix(images.shape[-1], side, images.device).T  # (w, side)
    out = torch.empty(*images.shape[:2], side, side, dtype=torch.uint8, device=images.device)
    for start in range(0, side, ROWS):
        out[:, :, start : start + ROWS] = (down[start : start + ROWS] @ small @ across).round_()
    return out


@lru_cache(maxsize=64)
def bilinear_matrix(pixels: int, side: int, device: torch.device) -> Tensor:
    """(side, pixels) weights of a bilinear enlargement, ``align_corners=False``."""
    eye = torch.eye(pixels).view(1, 1, pixels, pixels)
    return F.interpolate(eye, (side, pixels), mode="bilinear", align_corners=False)[0, 0].to(device)


def render(side: int, sprites: Tensor, corners: Tensor) -> Pyramid:
    """What :func:`vsacc.sampler.build_pyramid` makes of black canvases with sprites on them, uint8 (B, 1, side, side),
    from the pixels near a sprite alone. sprites: uint8 (B, D, 28, 28), pasted one after the other: a later one replaces
    all pixels that it covers. corners: long (B, D, 2), (row, column) of each sprite's upper left pixel."""
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
        halves = 2 * place, (2 * place + 1).clamp(max=fine - 1)
        read = [flat.gather(1, start + crossings(*pair, fine)).short() for pair in product(halves, halves)]
        start += fine**2
        flat.scatter_(1, start + crossings(place, place, coarse), ((sum(read) + 2) >> 2).to(torch.uint8))
    return Pyramid(flat.unsqueeze(1), sizes)


def crossings(rows: Tensor, cols: Tensor, side: int) -> Tensor:
    """Row-major indices of pixels, from rows[:, :, 0] x cols[:, :, 1], long (B, D, 2, n) each -> (B, D * n * n)."""
    return (rows[:, :, 0, :, None] * side + cols[:, :, 1, None]).flatten(1)


class Video(NamedTuple):
    """B clips of F frames, the sets {x_i, c_i} with which the paper's section 3 ends, behind the sampler's protocol:
    ``proxy(video, J)`` is (B, F, C, J, J), and ``glimpse(video, where, L)`` cuts row i of ``where`` from frame i.
    flat: uint8 (B, F, C, N), of each frame what a :class:`vsacc.sampler.Pyramid` with these sizes holds."""

    flat: Tensor
    sizes: tuple[tuple[int, int], ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(B, C)."""
        return self.flat.shape[0], self.flat.shape[2]

    def level(self, index: int) -> Tensor:
        """Level ``index`` of all frames as uint8 (B, F, C, H_l, W_l), a view."""
        return Pyramid(self.flat.flatten(0, 1), self.sizes).level(index).unflatten(0, self.flat.shape[:2])

    def layout(self, steps: int) -> Layout:
        """Of the first ``steps`` frames, see :class:`vsacc.sampler.Layout`. Raises ValueError where there are fewer."""
        batch, frames, channels, length = self.flat.shape
        if steps > frames:
            raise ValueError(f"{steps} glimpses do not fit a video of {frames} frames: each frame is looked at once")
        frame = torch.arange(batch * frames, device=self.flat.device).view(batch, frames)[:, :steps]
        levels, origin = level_tables(self.sizes, self.flat.device), frame.flatten() * (channels * length)
        return Layout(self.flat.reshape(-1), origin, levels, self.sizes[0], channels, plane=length)

    def pick(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """See :meth:`vsacc.sampler.Images.pick`; row i of each is frame i's."""
        return pick_from(self.layout(row.shape[1]), level, row, col)

    def cut(self, where: Tensor, size: int) -> Tensor:
        """See :meth:`vsacc.sampler.Images.cut`; frame i is cut at row i of ``where``."""
        return cut_levels(self.layout(where.shape[1]), where, size)

    def prefetch(self, where: Tensor, size: int) -> None:
        """Nothing to fetch: it lies in memory."""


def build_video(frames: Tensor) -> Video:
    """The pyramids of uint8 (B, F, C, H, W), see :func:`vsacc.sampler.build_pyramid`."""
    pyramid = build_pyramid(frames.flatten(0, 1))
    return Video(pyramid.flat.unflatten(0, frames.shape[:2]), pyramid.sizes)
