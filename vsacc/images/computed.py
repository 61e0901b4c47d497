"""Images whose canvas is never made: what is looked at is computed from the small things that the canvas is made of.

An enlarged image is a linear function of its original, A x A', and so is each level of its pyramid, whose A are 2 x 2
averages of the rows of the level below; a bilinear read blends two rows of A. A glimpse is therefore W x W', with W of
(L, h): two small products, whatever the side of the canvas.

The made canvas rounds every level to whole grey levels, halves upwards. Where neighbours differ that adds 1/8 of a grey
level on average at each level, and 1/4 where they differ along one axis only, since sums of four are then even; the
made one is brighter by so much, and so is what is computed here. What remains is the noise of single roundings."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..sampler import check_images, pyramid_sizes
from .canvases import bilinear_matrix, upscale

ROOM = {"cpu": 2**20, "cuda": 2**25}  # floats that a part of a batch may take on the way
EIGHTHS = 32  # units of ``Enlarged.added`` in a grey level


class Enlarged(NamedTuple):
    """B images enlarged to side x side behind the sampler's protocol, as :func:`~.canvases.upscale` and
    :func:`vsacc.sampler.build_pyramid` would make them; see :func:`enlarge`. small: uint8 (B, C, h, w), the originals;
    added: uint8 (B, C, h, w), what the roundings of each level of the made one add there, in 32ths of a grey level."""

    small: Tensor
    added: Tensor
    side: int

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return pyramid_sizes(self.side, self.side)

    @property
    def shape(self) -> tuple[int, int]:
        """(B, C)."""
        return self.small.shape[:2]

    def level(self, index: int) -> Tensor:
        """Level ``index`` as uint8 (B, C, H_l, W_l), computed by itself; level 0 is the canvas."""
        index, device = range(len(self.sizes))[index], self.small.device
        if index == 0:
            return upscale(self.small, self.side)
        start, length = starts(self.side, device)[index], self.sizes[index][0]
        down, across = (table[start + 1 : start + 1 + length, 0] for table in self.tables(torch.float32))
        place = (torch.arange(length, device=device) + 0.5) * 2**index
        rows, cols = (self.nearest(place, pixels) for pixels in self.small.shape[2:])
        with torch.autocast(device.type, enabled=False):  # bfloat16 has not all of 256 levels
            level = down @ self.small.float() @ across.T
        level += self.added[:, :, rows[:, None], cols] * (index / EIGHTHS)
        return level.round_().to(torch.uint8)

    def pick(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """The pixels at row x col of a level: long (B, T, 1), (B, T, L), (B, T, L) -> uint8 (B, C, T, L, L)."""
        places, scale = starts(self.side, row.device)[level] + 1, torch.exp2(level.float())
        down, across = (table[places + at, 0] for table, at in zip(self.tables(torch.float32), (row, col), strict=True))
        with torch.autocast(row.device.type, enabled=False):
            read = across.unsqueeze(1) @ self.small.float().unsqueeze(2).mT  # (B, C, T, L, h)
            read = down.unsqueeze(1) @ read.mT
        added = self.added_at((row + 0.5) * scale, (col + 0.5) * scale).transpose(1, 2)
        return (read + added * level[:, None, :, :, None]).round_().to(torch.uint8)

    def cut(self, where: Tensor, size: int) -> Tensor:
        """See :meth:`vsacc.sampler.Images.cut`; places and levels are those of :func:`vsacc.sampler.cut_levels`."""
        s, x, y = (v.unsqueeze(-1) for v in where.unbind(-1))  # (B, T, 1) each
        unit = (torch.arange(size, device=where.device, dtype=where.dtype) + 0.5) * (2 / size) - 1  # (L,)
        cols, rows = ((centre + s * unit + 1) * (self.side / 2) for centre in (x, y))  # (B, T, L)
        lod = torch.log2(s * (self.side / size)).clamp(0, len(self.sizes) - 1)
        seen = Products.apply(rows, cols, lod, self)
        with torch.no_grad():
            added = self.added_at(rows, cols).to(where.dtype)
        return torch.addcmul(seen, added, lod[..., None, None]) / 255

    def prefetch(self, where: Tensor, size: int) -> None:
        """Nothing to fetch: it is computed."""

    def tables(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """:func:`reads` of rows and of columns."""
        height, width = (reads(pixels, self.side, dtype, self.small.device) for pixels in self.small.shape[2:])
        return height, width

    def nearest(self, place: Tensor, pixels: int) -> Tensor:
        """Pixels of the original at places of the canvas."""
        return (place * (pixels / self.side)).long().clamp(0, pixels - 1)

    def added_at(self, rows: Tensor, cols: Tensor) -> Tensor:
        """What a level's roundings add at (B, T, L) places of the canvas, in grey levels: (B, T, C, L, L)."""
        height, width = self.small.shape[2:]
        row, col = self.nearest(rows, height), self.nearest(cols, width)
        index = (row * width).unsqueeze(-1) + col.unsqueeze(-2)  # (B, T, L, L)
        flat = index.flatten(1).unsqueeze(1).expand(-1, self.shape[1], -1)
        found = self.added.flatten(2).gather(2, flat).view(*self.shape, *index.shape[1:])
        return found.transpose(1, 2) / EIGHTHS


def enlarge(images: Tensor, side: int) -> Enlarged:
    """uint8 (B, C, h, w), enlarged bilinearly to side x side where it is looked at."""
    check_images(images)
    x = F.pad(images.byte(), (1, 1, 1, 1), value=0)
    x[..., 0, :], x[..., -1, :] = x[..., 1, :], x[..., -2, :]
    x[..., 0], x[..., -1] = x[..., 1], x[..., -2]
    across, down = x[..., 1:] != x[..., :-1], x[..., 1:, :] != x[..., :-1, :]
    across = across[..., 1:, :] | across[..., :-1, :]  # (B, C, h + 1, w + 1): between four pixels
    down = down[..., 1:] | down[..., :-1]
    added = (across | down).byte() + (across ^ down).byte()  # 1/8 of a grey level each
    added = added[..., 1:, :] + added[..., :-1, :]
    return Enlarged(images, added[..., 1:] + added[..., :-1], side)  # around each pixel four, hence 32ths


@lru_cache(maxsize=64)
def starts(side: int, device: torch.device) -> Tensor:
    """Long (levels,): where each level starts in a table of :func:`reads`."""
    lengths = torch.tensor([length + 1 for length, _ in pyramid_sizes(side, side)])
    return (lengths.cumsum(0) - lengths).to(device)


@lru_cache(maxsize=16)
def reads(pixels: int, side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What lies between a level's rows k and k + 1, for k = -1 .. H_l - 1, of all levels one after another: (N, 2,
    pixels), the weights of row k and how much those of k + 1 differ; rows outside are the border's."""
    rows, found = bilinear_matrix(pixels, side, torch.device("cpu")).double(), []
    for _ in pyramid_sizes(side, side):
        first, second = torch.cat([rows[:1], rows]), torch.cat([rows, rows[-1:]])
        found.append(torch.stack([first, second - first], 1))
        rows = torch.cat([rows, rows[-1:]]) if len(rows) % 2 else rows
        rows = (rows[::2] + rows[1::2]) / 2
    return torch.cat(found).to(dtype).to(device)


class Products(Function):
    """(rows (B, T, L), cols (B, T, L), level of detail (B, T, 1), images) -> (B, T, C, L, L) in grey levels.

    Slopes come with the values and are all that is kept for the backward pass: the weights are many times as large."""

    @staticmethod
    def forward(ctx, rows: Tensor, cols: Tensor, lod: Tensor, images: Enlarged) -> Tensor:
        batch, steps, size = rows.shape
        (_, channels, height, width), slopes = images.small.shape, any(ctx.needs_input_grad)
        each = 4 * size * (height + width + channels * (height + 2 * size))  # floats of a glimpse on the way
        room = max(1, ROOM.get(rows.device.type, ROOM["cuda"]) // each)  # glimpses
        made = rows.new_empty(4 if slopes else 1, batch, steps, channels, size, size)
        with torch.autocast(rows.device.type, enabled=False):
            for image in range(0, batch, count := max(1, room // steps)):
                part = images._replace(small=images.small[image : image + count])
                for step in range(0, steps, room):
                    some = slice(image, image + count), slice(step, step + room)
                    products(part, rows[some], cols[some], lod[some], made[(slice(None), *some)])
        ctx.save_for_backward(*made[1:])
        return made[0]

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        along_row, along_col, along_lod = (grad * slope for slope in ctx.saved_tensors)  # (B, T, C, L, L)
        return along_row.sum((2, 4)), along_col.sum((2, 3)), along_lod.sum((2, 3, 4)).unsqueeze(-1), None


def products(images: Enlarged, rows: Tensor, cols: Tensor, lod: Tensor, out: Tensor) -> None:
    """Glimpses of all T steps of a few images into out[0], (B, T, C, L, L), and their slopes along rows, columns and
    level of detail into out[1:], where there is room for them."""
    (batch, steps, size), top, slopes = rows.shape, len(images.sizes) - 1, len(out) > 1
    lod = lod.unsqueeze(-1)  # (B, T, 1, 1)
    fine = lod.floor().long().clamp(0, max(top - 1, 0))
    blend = (lod - fine).unsqueeze(-1)  # (B, T, 1, 1, 1)
    level = torch.cat([fine, (fine + 1).clamp(max=top)], 2)  # (B, T, 2, 1), the two that are blended
    shrink = torch.exp2(-level.to(rows.dtype))
    lengths = torch.tensor([length for length, _ in images.sizes], device=rows.device)[level]

    def weights(table: Tensor, at: Tensor) -> Tensor:
        """Of L places, and their slopes after them where they are wanted: (B, T, 2, L or 2 L, pixels)."""
        position = at.unsqueeze(2) * shrink - 0.5  # (B, T, 2, L)
        first = position.floor()
        index = starts(images.side, rows.device)[level] + 1 + first.long().clamp(min=-1).minimum(lengths - 1)
        found = table.index_select(0, index.flatten()).view(*index.shape, 2, -1)  # (B, T, 2, L, 2, pixels)
        found[..., 0, :].addcmul_((position - first).unsqueeze(-1), found[..., 1, :])
        return found.flatten(3, 4) if slopes else found[..., 0, :]

    down, across = (weights(*pair) for pair in zip(images.tables(rows.dtype), (rows, cols), strict=True))
    small = images.small.to(rows.dtype)  # (B, C, h, w)
    read = across.flatten(1, 3).unsqueeze(1) @ small.mT  # (B, C, T * 2 * L', h)
    read = read.unflatten(2, across.shape[1:4]).transpose(1, 2)  # (B, T, C, 2, L', h)
    read = down.unsqueeze(2) @ read.mT  # (B, T, C, 2, L', L')
    if not slopes:
        torch.lerp(*read.unbind(3), blend, out=out[0])
        return
    seen = read.unflatten(5, (size, 2)).unflatten(4, (size, 2))  # (B, T, C, 2, L, 2, L, 2)
    shrink = shrink.view(batch, steps, 2, 1, 1, 1)
    torch.lerp(*seen[..., 0, :, 0].unbind(3), blend, out=out[0])
    torch.lerp(*(seen[..., 1, :, 0] * shrink.transpose(2, 3)).unbind(3), blend, out=out[1])
    torch.lerp(*(seen[..., 0, :, 1] * shrink.transpose(2, 3)).unbind(3), blend, out=out[2])
    torch.sub(seen[:, :, :, 1, :, 0, :, 0], seen[:, :, :, 0, :, 0, :, 0], out=out[3])

