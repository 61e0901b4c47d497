r"""The spatial transformer: cut glimpses out of very large uint8 images, reading only the pixels they need.

Convention
    images      uint8 (B, C, H, W), or a :class:`Pyramid` of them. They are never cast to float as a whole.
    where       float (..., 3) = (s, x, y), the paper's Eq. 2. A glimpse covers [x - s, x + s] x [y - s, y + s]
                in coordinates where the image is [-1, 1] on each axis; x runs right, y runs down; s > 0.
    sampling    bilinear at pixel centres (``align_corners=False``), border pixels repeated outside.
    size        side L of the square glimpse, in pixels.
    values      float in [0, 1], in the dtype of ``where``, float32 at least; differentiable in s, x and y.

A glimpse coarser than the image's pixels would alias. It therefore reads two neighbouring levels of a mip
pyramid (2 x 2 box averages, Williams 1983) at level = log2(s * side / L) and blends them, which keeps s
differentiable and the number of reads per glimpse at 8 L^2 C, whatever the size of the image.
"""

import math
import warnings
from functools import cache, lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

STRIP = 2**17  # pixels that are averaged at once


class Pyramid(NamedTuple):
    """Every level of B images in one buffer, so that one gather serves glimpses of mixed levels.

    flat: uint8 (B, C, N), the levels one after another, each row-major.
    sizes: (H_l, W_l) of each level; H_l = ceil(H / 2^l), border pixels repeated where H is odd.
    """

    flat: Tensor
    sizes: tuple[tuple[int, int], ...]

    def level(self, index: int) -> Tensor:
        """Level ``index`` as uint8 (B, C, H_l, W_l), a view."""
        start = sum(h * w for h, w in self.sizes[:index])
        h, w = self.sizes[index]
        return self.flat[:, :, start : start + h * w].unflatten(2, (h, w))

    @property
    def shape(self) -> tuple[int, int]:
        """(B, C)."""
        return self.flat.shape[:2]

    def layout(self) -> "Layout":
        """See :class:`Layout`."""
        batch, channels, length = self.flat.shape
        record, levels = channels * length, level_tables(self.sizes, self.flat.device)
        origin = torch.arange(0, batch * record, record, device=self.flat.device)
        return Layout(self.flat.reshape(-1), origin, levels, self.sizes[0], channels, plane=length)

    def pick(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """See :meth:`Images.pick`."""
        return pick_from(self.layout(), level, row, col)

    def cut(self, where: Tensor, size: int) -> Tensor:
        """See :meth:`Images.cut`."""
        return cut_levels(self.layout(), where, size)

    def prefetch(self, where: Tensor, size: int) -> None:
        """Nothing to fetch: it lies in memory."""

    def take(self, rows: Tensor) -> "Pyramid | Taken":
        """See :meth:`Images.take`."""
        return self if len(rows) == len(self.flat) else Taken(self, rows)


class Taken(NamedTuple):
    """Images ``rows``, long (N,), of a pyramid, which are not copied."""

    whole: Pyramid
    rows: Tensor

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return self.whole.sizes

    @property
    def shape(self) -> tuple[int, int]:
        """(B, C)."""
        return len(self.rows), self.whole.shape[1]

    def level(self, index: int) -> Tensor:
        """Level ``index`` as uint8 (B, C, H_l, W_l)."""
        return self.whole.level(index)[self.rows]

    def layout(self) -> "Layout":
        """See :class:`Layout`."""
        layout = self.whole.layout()
        return layout._replace(origin=layout.origin[self.rows])

    def pick(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """See :meth:`Images.pick`."""
        return pick_from(self.layout(), level, row, col)

    def cut(self, where: Tensor, size: int) -> Tensor:
        """See :meth:`Images.cut`."""
        return cut_levels(self.layout(), where, size)

    def prefetch(self, where: Tensor, size: int) -> None:
        """Nothing to fetch: it lies in memory."""

    def take(self, rows: Tensor) -> "Taken":
        """See :meth:`Images.take`."""
        return Taken(self.whole, self.rows[rows])


class Images(Protocol):
    """What a glimpse needs of images, wherever they are: in memory (:class:`Pyramid`), on disk (a store), or nowhere,
    computed where they are looked at. shape: (B, C); sizes: (H_l, W_l) of each level."""

    sizes: tuple[tuple[int, int], ...]

    @property
    def shape(self) -> tuple[int, int]: ...

    def level(self, index: int) -> Tensor:
        """Level ``index`` as uint8 (B, C, H_l, W_l)."""

    def pick(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """The pixels at row x col of a level: long (B, T, 1), (B, T, I), (B, T, J) -> uint8 (B, C, T, I, J)."""

    def cut(self, where: Tensor, size: int) -> Tensor:
        """Glimpses at (B, T, 3) = (s, x, y), of float32 at least: (B, T, C, L, L) in [0, 1], differentiable."""

    def prefetch(self, where: Tensor, size: int) -> None:
        """What :meth:`cut` will read at (B, 3) or (B, T, 3) places may be fetched meanwhile."""

    def take(self, rows: Tensor) -> "Images":
        """Images ``rows``, distinct, long (N,), of which nothing large is copied."""


class Layout(NamedTuple):
    """Where the levels of images lie in memory, or in a file that is mapped into it: tile by tile, row by row.

    Pixel (row, col) of a level, in channel c, is the byte at ``origin + start + c * plane + down(row) + across(col)``,
    where down(row) = (row // tile) * band + (row % tile) * pitch and across(col) = (col // tile) * step + col % tile.

    pixels: uint8 (N,), all bytes. origin: long (G,), the first byte of each image's record, for glimpses that are asked
    for image by image, equally many of each. levels: long (levels, 5): start, height, width, band and pitch of each.
    channels: C. plane, step, bits: as above, tile = 2 ** bits; by default a level is one tile.
    """

    pixels: Tensor
    origin: Tensor
    levels: Tensor
    sides: tuple[int, int]
    channels: int
    plane: int
    step: int = 0
    bits: int = 62

    def read(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """The pixels at row x col of levels, in all channels: long (N, Q, 1), (N, Q, I), (N, Q, J), of N glimpses, a
        multiple of G -> uint8 (N, C, Q, I, J) on their device."""
        start, _, _, band, pitch = self.levels[level].unbind(-1)  # (N, Q, 1) each
        origin = self.origin.unsqueeze(1).expand(-1, len(row) // len(self.origin)).reshape(-1, 1, 1)
        down, across = origin + start, col
        if self.step:
            inside = (1 << self.bits) - 1
            down = down + (row >> self.bits) * band
            row, across = row & inside, (col >> self.bits) * self.step + (col & inside)
        down = down + row * pitch
        index = down.to(self.pixels.device).unsqueeze(-1) + across.to(self.pixels.device).unsqueeze(-2)
        planes = [self.pixels[c * self.plane :].index_select(0, index.flatten()) for c in range(self.channels)]
        return torch.stack([plane.view_as(index) for plane in planes], 1).to(row.device)


def halve(images: Tensor) -> Tensor:
    """2 x 2 box average, rounded: uint8 (B, C, H, W) -> uint8 (B, C, ceil(H/2), ceil(W/2))."""
    h, w = images.shape[-2:]
    if h % 2 or w % 2:
        images = torch.cat([images, images[..., -1:, :]], -2) if h % 2 else images
        images = torch.cat([images, images[..., -1:]], -1) if w % 2 else images
    total = images[..., ::2, ::2].short() + images[..., 1::2, ::2]
    total += images[..., ::2, 1::2]
    total += images[..., 1::2, 1::2]
    total += 2
    return total.bitwise_right_shift_(2).to(torch.uint8)


def build_pyramid(images: Tensor, smallest: int = 32) -> Pyramid:
    """All levels from the image itself down to the last one whose sides are both >= ``smallest``.

    images: uint8 (B, C, H, W). The pyramid holds a copy of them, and a third more for the other levels.
    """
    check_images(images)
    sizes = pyramid_sizes(*images.shape[-2:], smallest)
    pyramid = Pyramid(images.new_empty(*images.shape[:2], sum(h * w for h, w in sizes)), sizes)
    pyramid.level(0).copy_(images)
    for index in range(1, len(sizes)):
        above, below = pyramid.level(index - 1), pyramid.level(index)
        rows = 2 * max(1, STRIP // (2 * above[..., 0, :].numel()))  # in strips: what is added up takes memory too
        for top in range(0, above.shape[-2], rows):
            below[..., top // 2 : (top + rows) // 2, :] = halve(above[..., top : top + rows, :])
    return pyramid


def pyramid_sizes(height: int, width: int, smallest: int = 32) -> tuple[tuple[int, int], ...]:
    """(H_l, W_l) of the levels that :func:`build_pyramid` makes of an image."""
    sizes = [(height, width)]
    while min(sizes[-1]) >= 2 * smallest:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    return tuple(sizes)


def as_pyramid(images: Tensor | Images) -> Images:
    """A plain image batch is a pyramid of one level (no copy, no anti-aliasing)."""
    if not isinstance(images, Tensor):
        return images
    check_images(images)
    return Pyramid(images.flatten(2), ((images.shape[-2], images.shape[-1]),))


def check_images(images: Tensor) -> None:
    if images.dtype != torch.uint8 or images.dim() != 4:
        raise TypeError(
            f"images must be uint8 (B, C, H, W), got {images.dtype} {tuple(images.shape)}; "
            "convert floats in [0, 1] with (images * 255).round().to(torch.uint8)"
        )


def glimpse(images: Tensor | Images, where: Tensor, size: int) -> Tensor:
    r"""Cut glimpses o = f(x, z), the paper's Dirac-centred spatial transformer (section 3, Eq. 2).

    Args:
        images: uint8 (B, C, H, W), a :class:`Pyramid` or a store's images.
        where: (B, 3) or (B, T, 3) = (s, x, y).
        size: L.

    Returns:
        (B, C, L, L) or (B, T, C, L, L) in [0, 1].

    Raises:
        TypeError: images are not uint8 (B, C, H, W).
        ValueError: ``where`` does not fit the batch.

    Example:
        >>> ramp = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)
        >>> (255 * glimpse(ramp, torch.tensor([[0.5, 0.0, 0.0]]), 2)).round()  # the middle four pixels
        tensor([[[[ 5.,  6.],
                  [ 9., 10.]]]])
    """
    pyramid = as_pyramid(images)
    batch, channels = pyramid.shape
    if where.dim() not in (2, 3) or where.shape[-1] != 3 or len(where) != batch:
        raise ValueError(f"where must be ({batch}, 3) or ({batch}, T, 3), got {tuple(where.shape)}")
    steps = where.unsqueeze(1) if where.dim() == 2 else where  # (B, T, 3)
    steps = steps.to(torch.promote_types(steps.dtype, torch.float32))  # bfloat16 would make pixels 8 wide in 2528
    return pyramid.cut(steps, size).view(*where.shape[:-1], channels, size, size)


def pick_from(layout: Layout, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
    """:meth:`Images.pick` of images whose levels lie in memory."""
    pixels = layout.read(*(v.flatten(0, 1).unsqueeze(1) for v in (level, row, col)))  # (B * T, C, 1, I, J)
    return pixels.squeeze(2).unflatten(0, row.shape[:2]).transpose(1, 2)


def cut_levels(layout: Layout, where: Tensor, size: int) -> Tensor:
    """:meth:`Images.cut` of images whose levels exist: two of them are read, and blended. layout: a :class:`Layout`, or
    whatever else has its ``sides``, ``levels`` (heights and widths) and ``read``."""
    return Cut.apply(where, layout, size)


class Cut(torch.autograd.Function):
    """Glimpses (B, T, C, L, L) at where (B, T, 3). Their slopes in s, x and y come with them, so that no pixel is read
    twice: the gradient is two products."""

    @staticmethod
    def forward(ctx, where: Tensor, layout: Layout, size: int) -> Tensor:
        ctx.shape, flat = where.shape, where.flatten(0, 1)
        compiled = isinstance(layout, Layout) and not (where.is_cuda or layout.pixels.is_cuda)
        cut = fastest_cut() if compiled else cut_in_torch
        values, slopes = cut(layout, flat, size, ctx.needs_input_grad[0])
        if slopes is not None:
            ctx.save_for_backward(slopes)
        return values.unflatten(0, where.shape[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None, None]:
        (slopes,) = ctx.saved_tensors
        return (slopes.flatten(2) * gradient.flatten(0, 1).flatten(1).unsqueeze(1)).sum(-1).view(ctx.shape), None, None


@cache
def fastest_cut():
    """What cuts glimpses on a CPU: a compiled loop where numba is installed, else :func:`cut_in_torch`."""
    try:
        from .kernels.sampler import cut
    except (ImportError, RuntimeError) as error:  # RuntimeError: numba finds no folder for what it compiled
        warnings.warn(f"glimpses are cut without numba, which takes three times as long ({error}).", stacklevel=2)
        return cut_in_torch
    return cut


def cut_in_torch(layout: Layout, where: Tensor, size: int, teach: bool) -> tuple[Tensor, Tensor | None]:
    """where (N, 3) -> glimpses (N, C, L, L) and, to ``teach``, their slopes in s, x and y, (N, 3, C, L, L)."""
    (height, width), top = layout.sides, len(layout.levels) - 1
    s, x, y = where.T.unsqueeze(-1)  # (N, 1) each
    unit = (torch.arange(size, device=where.device, dtype=where.dtype) + 0.5) * (2 / size) - 1  # (L,)
    rows, cols = (y + s * unit + 1) * (height / 2), (x + s * unit + 1) * (width / 2)  # (N, L), of level 0
    level = torch.zeros_like(s, dtype=torch.long).unsqueeze(-1)  # (N, Q, 1), the Q levels that are read
    if top > 0:
        detail = torch.log2(s * (max(height, width) / size)).unsqueeze(-1)
        lod = detail.clamp(0, top)  # (N, 1, 1), level of detail
        fine = lod.floor().long().clamp(0, top - 1)  # clamped as an index, so that a NaN stays one
        level, blend = torch.cat([fine, fine + 1], 1), (lod - fine).unsqueeze(-1)
    _, heights, widths, _, _ = layout.levels[level].unbind(-1)  # (N, Q, 1)
    shrink = torch.exp2(-level.to(where.dtype))
    row, down = corners(rows.unsqueeze(1) * shrink - 0.5, heights)  # (N, Q, 2 L), (N, Q, L)
    col, across = corners(cols.unsqueeze(1) * shrink - 0.5, widths)
    taps = layout.read(level, row, col).to(where.dtype)  # (N, C, Q, 2 L, 2 L)
    across, down = across[:, None, :, None, :], down[:, None, :, :, None]  # weights of the second pixel
    left, right = taps.split(size, -1)
    change = right - left
    upper, lower = torch.addcmul(left, across, change).split(size, -2)  # (N, C, Q, L, L)
    fall = lower - upper
    values = torch.addcmul(upper, down, fall)
    deeper = 0.0
    if top > 0:
        near, far = values.unbind(2)
        deeper = far - near
        values = torch.addcmul(near, blend, deeper)
    else:
        values = values.squeeze(2)
    if not teach:
        return values / 255, None
    shrink = shrink[:, None, :, :, None] * (1 / 510)
    along_x = torch.lerp(*change.split(size, -2), down) * (shrink * width)
    along_y = fall * (shrink * height)
    if top > 0:
        along_x, along_y = (torch.lerp(*both.unbind(2), blend) for both in (along_x, along_y))
        changes = (detail >= 0) & (detail <= top)
        deeper = deeper * (changes / (s.unsqueeze(-1) * (math.log(2) * 255))).unsqueeze(-1)
    else:
        along_x, along_y = along_x.squeeze(2), along_y.squeeze(2)
    return values / 255, torch.stack([along_x * unit + along_y * unit.unsqueeze(-1) + deeper, along_x, along_y], 1)


def corners(position: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Positions (..., L) -> indices of the pixels before and behind them (..., 2 L), repeated at the border, and the
    weight of the second (..., L)."""
    first = position.floor()
    index = first.long()
    return torch.cat([index, index + 1], -1).clamp(min=0).minimum(length - 1), position - first


@lru_cache(maxsize=64)
def level_tables(sizes: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    """Long (levels, 5), as :class:`Layout` has them, of levels that lie one behind the other, each in one piece."""
    rows, start = [], 0
    for h, w in sizes:
        rows.append([start, h, w, 0, w])
        start += h * w
    return torch.tensor(rows, device=device)


def proxy(images: Tensor | Images, side: int = 32) -> Tensor:
    """The proxy c: the whole image, area-averaged to ``side`` x ``side``; float (B, C, J, J) in [0, 1].

    Reads the smallest level that still has two pixels per proxy pixel, so its cost does not grow with the image.
    """
    pyramid = as_pyramid(images)
    index = max([i for i, size in enumerate(pyramid.sizes) if min(size) >= 2 * side], default=0)
    level = pyramid.level(index).float()
    height, width = (extent / 2**index for extent in pyramid.sizes[0])
    down = area_matrix(level.shape[-2], height, side, level.device)  # (J, H_l)
    across = area_matrix(level.shape[-1], width, side, level.device)  # (J, W_l)
    with torch.autocast(level.device.type, enabled=False):  # else a product in bfloat16: not all of 256 levels
        return down @ level @ across.T / 255


@lru_cache(maxsize=64)
def area_matrix(pixels: int, extent: float, cells: int, device: torch.device) -> Tensor:
    """(cells, pixels): row i holds the share of cell i that each pixel covers; cells split [0, extent] evenly."""
    edges = torch.linspace(0, extent, cells + 1, dtype=torch.float64)
    left = torch.arange(pixels, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], left + 1) - torch.maximum(edges[:-1, None], left)
    share = overlap.clamp(min=0)
    return (share / share.sum(1, keepdim=True)).float().to(device)
