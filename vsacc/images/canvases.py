"""Images that are made rather than photographed: enlarged ones, sprites on black canvases, and videos."""

from collections.abc import Callable
from functools import lru_cache
from itertools import product
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
    tables = level_tables(sizes, sprites.device)
    flat = torch.zeros(len(sprites), sum(h * w for h, w in sizes), dtype=torch.uint8, device=sprites.device)
    first = torch.arange(len(flat), device=flat.device).view(-1, 1, 1, 1) * flat.shape[1]  # of each image

    def address(level: int, rows: Tensor, cols: Tensor) -> Tensor:
        start, _, width, *_ = tables[level]
        return first + start + rows.unsqueeze(-1) * width + cols.unsqueeze(-2)

    paint(flat.view(-1), address, sizes, sprites, corners)
    return Pyramid(flat.unsqueeze(1), sizes)


def paint(
    flat: Tensor, address: Callable, sizes: tuple[tuple[int, int], ...], sprites: Tensor, corners: Tensor
) -> None:
    """Paint sprites and their levels into uint8 (N,) that are black, see :func:`render`. address: (level, rows (B, D,
    n), columns (B, D, n)) -> long or int32 (B, D, n, n), where in ``flat`` the pixels at rows x columns are."""
    along = torch.arange(SPRITE, device=corners.device)
    for number in range(sprites.shape[1]):
        rows, cols = (corners[:, number, None].unsqueeze(-1) + along).unbind(2)  # (B, 1, 28) each
        flat.scatter_(0, address(0, rows, cols).view(-1).long(), sprites[:, number].flatten())
    for level, (last, fine) in enumerate(zip(sizes[1:], sizes, strict=False), 1):
        rows, cols = touched(corners, level, last[0])
        pairs = [(2 * v, (2 * v + 1).clamp(max=fine[0] - 1)) for v in (rows, cols)]
        places = (address(level - 1, *pair) for pair in product(*pairs))
        total = sum(flat.index_select(0, place.view(-1)).short() for place in places)
        flat.scatter_(0, address(level, rows, cols).view(-1).long(), ((total + 2) >> 2).to(torch.uint8))


def touched(corners: Tensor, level: int, length: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of a level of ``length`` x ``length`` pixels that sprites may touch, long (B, D, n) each."""
    along = torch.arange(((SPRITE - 1) >> level) + 1 + (level > 0), device=corners.device)
    return ((corners >> level).unsqueeze(-1) + along).clamp(max=length - 1).unbind(2)


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
        batch, frames = self.flat.shape[:2]
        if steps > frames:
            raise ValueError(f"{steps} glimpses do not fit a video of {frames} frames: each frame is looked at once")
        layout = Pyramid(self.flat.flatten(0, 1), self.sizes).layout()
        return layout._replace(origin=layout.origin.view(batch, frames)[:, :steps].flatten())

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
