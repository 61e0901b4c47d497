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

from functools import lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

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

    def pick(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """The pixels at row x col of a level: long (B, T, 1), (B, T, L), (B, T, L) -> uint8 (B, C, T, L, L)."""
        offset, _, widths = (table[level] for table in level_tables(self.sizes, level.device))  # (B, T, 1)
        index = (offset + row * widths).unsqueeze(-1) + col.unsqueeze(-2)  # (B, T, L, L)
        flat = index.reshape(len(index), 1, -1).expand(-1, self.flat.shape[1], -1)
        return self.flat.gather(2, flat).view(*self.flat.shape[:2], *index.shape[1:])

    def cut(self, where: Tensor, size: int) -> Tensor:
        """See :meth:`Images.cut`."""
        return cut_levels(self, where, size)

    def prefetch(self, where: Tensor, size: int) -> None:
        """Nothing to fetch: it lies in memory."""


class Images(Protocol):
    """What a glimpse needs of images, wherever they are: in memory (:class:`Pyramid`), on disk (a store), or nowhere,
    computed where they are looked at. shape: (B, C); sizes: (H_l, W_l) of each level."""

    sizes: tuple[tuple[int, int], ...]

    @property
    def shape(self) -> tuple[int, int]: ...

    def level(self, index: int) -> Tensor:
        """Level ``index`` as uint8 (B, C, H_l, W_l)."""

    def cut(self, where: Tensor, size: int) -> Tensor:
        """Glimpses at (B, T, 3) = (s, x, y), of float32 at least: (B, T, C, L, L) in [0, 1], differentiable."""

    def prefetch(self, where: Tensor, size: int) -> None:
        """What :meth:`cut` will read at (B, 3) or (B, T, 3) places may be fetched meanwhile."""


class Levels(Images, Protocol):
    """Images whose levels exist, pixel by pixel: what :func:`cut_levels` reads."""

    def pick(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """The pixels at row x col of a level: long (B, T, 1), (B, T, L), (B, T, L) -> uint8 (B, C, T, L, L)."""


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


def cut_levels(images: Levels, where: Tensor, size: int) -> Tensor:
    """:meth:`Images.cut` of images whose levels exist: two of them are read, and blended."""
    (height, width), top = images.sizes[0], len(images.sizes) - 1
    s, x, y = (v.unsqueeze(-1) for v in where.unbind(-1))  # (B, T, 1) each
    unit = (torch.arange(size, device=where.device, dtype=where.dtype) + 0.5) * (2 / size) - 1  # (L,)
    cols = (x + s * unit + 1) * (width / 2)  # (B, T, L), pixel k of level 0 spans [k, k + 1]
    rows = (y + s * unit + 1) * (height / 2)
    if top == 0:
        return read_level(images, rows, cols, torch.zeros_like(s, dtype=torch.long))
    lod = torch.log2(s * (max(height, width) / size)).clamp(0, top)  # (B, T, 1), level of detail
    fine = lod.detach().floor().long().clamp(0, top - 1)  # clamped as an index, so that a NaN stays one
    blend = (lod - fine)[..., None, None]
    return torch.lerp(read_level(images, rows, cols, fine), read_level(images, rows, cols, fine + 1), blend)


def read_level(images: Levels, rows: Tensor, cols: Tensor, level: Tensor) -> Tensor:
    """Bilinear reads. rows, cols: (B, T, L) in level-0 pixels; level: long (B, T, 1) -> (B, T, C, L, L)."""
    _, heights, widths = (table[level] for table in level_tables(images.sizes, rows.device))  # (B, T, 1)
    shrink = torch.exp2(-level.to(rows.dtype))
    row0, row1, fr = corners(rows * shrink - 0.5, heights)
    col0, col1, fc = corners(cols * shrink - 0.5, widths)

    def read(row: Tensor, col: Tensor) -> Tensor:
        return images.pick(level, row, col).to(rows.dtype)  # (B, C, T, L, L)

    fr, fc = fr[:, None, :, :, None], fc[:, None, :, None, :]
    upper = torch.lerp(read(row0, col0), read(row0, col1), fc)
    lower = torch.lerp(read(row1, col0), read(row1, col1), fc)
    return torch.lerp(upper, lower, fr).transpose(1, 2) / 255


def corners(position: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The two pixel indices around ``position``, repeated at the border, and the weight of the second."""
    first = position.detach().floor()
    index = first.long()
    last = length - 1
    return index.clamp(min=0).minimum(last), (index + 1).clamp(min=0).minimum(last), position - first


@lru_cache(maxsize=64)
def level_tables(sizes: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    """Long (3, levels): where each level starts in the flat buffer, its height and its width."""
    starts, total = [], 0
    for h, w in sizes:
        starts.append(total)
        total += h * w
    return torch.tensor([starts, [h for h, _ in sizes], [w for _, w in sizes]], device=device)


def proxy(images: Tensor | Images, side: int = 32) -> Tensor:
    """The proxy c: the whole image, area-averaged to ``side`` x ``side``; float (B, C, J, J) in [0, 1].

    Reads the smallest level that still has two pixels per proxy pixel, so its cost does not grow with the image.
    """
    pyramid = as_pyramid(images)
    index = max([i for i, size in enumerate(pyramid.sizes) if min(size) >= 2 * side], default=0)
    level = pyramid.level(index).float() / 255
    height, width = (extent / 2**index for extent in pyramid.sizes[0])
    down = area_matrix(level.shape[-2], height, side, level.device)  # (J, H_l)
    across = area_matrix(level.shape[-1], width, side, level.device)  # (J, W_l)
    with torch.autocast(level.device.type, enabled=False):  # else a product in bfloat16: not all of 256 levels
        return down @ level @ across.T


@lru_cache(maxsize=64)
def area_matrix(pixels: int, extent: float, cells: int, device: torch.device) -> Tensor:
    """(cells, pixels): row i holds the share of cell i that each pixel covers; cells split [0, extent] evenly."""
    edges = torch.linspace(0, extent, cells + 1, dtype=torch.float64)
    left = torch.arange(pixels, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], left + 1) - torch.maximum(edges[:-1, None], left)
    share = overlap.clamp(min=0)
    return (share / share.sum(1, keepdim=True)).float().to(device)
