"""Images whose canvas is never made: what is looked at is computed from the small things that a canvas is made of.

An enlarged image is a linear function of its original, A x A', and so is each level of its pyramid, whose A are
averages of two rows each of the level below; a bilinear read blends two rows of A. A glimpse of a level is therefore
W x W', with W of (L, h): two small products, whatever the side of the canvas.

The made canvas rounds each of its levels to whole grey levels, halves upwards. Where neighbours differ that adds 1/8 of
a grey level on average, and 1/4 where they differ along one axis only, since sums of four are then even. So much is
added here too; what remains between the two is the noise of single roundings, rarely more than a grey level.

Sprites on a black canvas are kept in the tiles that they touch. There everything is the made canvas, to the bit."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..sampler import check_images, cut_levels, level_tables, pyramid_sizes
from .canvases import bilinear_matrix, paint, touched, upscale

ROOM = {"cpu": 2**19, "cuda": 2**25}  # floats that a part of a batch may take on the way
TILE = 16  # pixels, the side of a tile of sprites
UNITS = 32  # of ``Enlarged.added`` in a grey level


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
        start, length = sum(h + 1 for h, _ in self.sizes[:index]) + 1, self.sizes[index][0]
        with torch.autocast(device.type, enabled=False):  # bfloat16 has not all of 256 grey levels
            if index == 0:
                return upscale(self.small, self.side)
            down, across = (table[start : start + length, 0] for table in self.tables(torch.float32))
            level = down @ self.small.float() @ across.T
        place = (torch.arange(length, device=device) + 0.5) * 2**index
        rows, cols = (self.nearest(place, pixels) for pixels in self.small.shape[2:])
        level += self.added[:, :, rows[:, None], cols] * (index / UNITS)
        return level.clamp_(max=255).round_().to(torch.uint8)

    def pick(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """The pixels at row x col of a level: long (B, T, 1), (B, T, L), (B, T, L) -> uint8 (B, C, T, L, L)."""
        places, scale = spans(self.side, row.device)[0, level] + 1, torch.exp2(level.float())
        down, across = (table[places + at, 0] for table, at in zip(self.tables(torch.float32), (row, col), strict=True))
        with torch.autocast(row.device.type, enabled=False):
            read = across.unsqueeze(1) @ self.small.float().unsqueeze(2).mT  # (B, C, T, L, h)
            read = down.unsqueeze(1) @ read.mT
        added = self.added_at((row + 0.5) * scale, (col + 0.5) * scale).transpose(1, 2)
        return (read + added * level[:, None, :, :, None]).clamp_(max=255).round_().to(torch.uint8)

    def cut(self, where: Tensor, size: int) -> Tensor:
        """See :meth:`vsacc.sampler.Images.cut`; places and levels are those of :func:`vsacc.sampler.cut_levels`."""
        s, x, y = (v.unsqueeze(-1) for v in where.unbind(-1))  # (B, T, 1) each
        unit = (torch.arange(size, device=where.device, dtype=where.dtype) + 0.5) * (2 / size) - 1  # (L,)
        cols, rows = ((centre + s * unit + 1) * (self.side / 2) for centre in (x, y))  # (B, T, L)
        lod = torch.log2(s * (self.side / size)).clamp(0, len(self.sizes) - 1)
        seen = Products.apply(rows, cols, lod, self)
        with torch.no_grad():
            added = self.added_at(rows, cols).to(where.dtype)
        return torch.addcmul(seen, added, lod[..., None, None]).clamp(max=255) / 255

    def prefetch(self, where: Tensor, size: int) -> None:
        """Nothing to fetch: it is computed."""

    def take(self, rows: Tensor) -> "Enlarged":
        """See :meth:`vsacc.sampler.Images.take`."""
        return self._replace(small=self.small[rows], added=self.added[rows])

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
        return found.transpose(1, 2) / UNITS


def enlarge(images: Tensor, side: int) -> Enlarged:
    """uint8 (B, C, h, w), enlarged bilinearly to side x side where it is looked at."""
    check_images(images)
    x = F.pad(images, (1, 1, 1, 1))
    x[..., 0, :], x[..., -1, :] = x[..., 1, :], x[..., -2, :]
    x[..., 0], x[..., -1] = x[..., 1], x[..., -2]
    across, down = x[..., 1:] != x[..., :-1], x[..., 1:, :] != x[..., :-1, :]
    across = across[..., 1:, :] | across[..., :-1, :]  # (B, C, h + 1, w + 1): between four pixels
    down = down[..., 1:] | down[..., :-1]
    added = (across | down).byte() + (across ^ down).byte()  # 1/8 of a grey level each
    added = added[..., 1:, :] + added[..., :-1, :]
    return Enlarged(images, added[..., 1:] + added[..., :-1], side)  # around each pixel four, hence 32ths


@lru_cache(maxsize=64)
def spans(side: int, device: torch.device) -> Tensor:
    """Long (2, levels): where each level starts in a table of :func:`reads`, and how many pixels its side has."""
    lengths = torch.tensor([length for length, _ in pyramid_sizes(side, side)])
    return torch.stack([(lengths + 1).cumsum(0) - lengths - 1, lengths]).to(device)


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
    start, lengths = spans(images.side, rows.device)[:, level]  # (B, T, 2, 1) each

    def weights(table: Tensor, at: Tensor) -> Tensor:
        """Of L places, and their slopes after them where they are wanted: (B, T, 2, L or 2 L, pixels)."""
        position = at.unsqueeze(2) * shrink - 0.5  # (B, T, 2, L)
        first = position.floor()
        index = start + 1 + first.long().clamp(min=-1).minimum(lengths - 1)
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


class Scattered(NamedTuple):
    """B black canvases of side x side with sprites on them behind the sampler's protocol, of which only the tiles exist
    that a sprite touches: pixel by pixel what :func:`~.canvases.render` makes; see :func:`scatter`. tiles: uint8 (N,),
    TILE x TILE pixels each, the first one black; table: int32 (B, cells), where the tile of each cell of each level
    starts."""

    tiles: Tensor
    table: Tensor
    side: int

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return pyramid_sizes(self.side, self.side)

    @property
    def shape(self) -> tuple[int, int]:
        """(B, C)."""
        return len(self.table), 1

    def level(self, index: int) -> Tensor:
        """Level ``index`` as uint8 (B, 1, H_l, W_l), put together; no other level is read."""
        (first, across), length = cells(self.side, torch.device("cpu"))[:, index].tolist(), self.sizes[index][0]
        found = self.table[:, first : first + across**2].long()
        pixels = self.tiles.view(-1, TILE, TILE)[found // TILE**2].unflatten(1, (across, across)).transpose(2, 3)
        return pixels.flatten(3, 4).flatten(1, 2)[:, None, :length, :length]

    def pick(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """The pixels at row x col of a level: long (B, T, 1), (B, T, L), (B, T, L) -> uint8 (B, 1, T, L, L)."""
        index = self.address(level, row, col)
        return self.tiles.index_select(0, index.view(-1)).view_as(index).unsqueeze(1)

    def address(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """Where in ``tiles`` the pixels are: long (B, T, 1), (B, T, L), (B, T, L) -> int32 (B, T, L, L)."""
        image = torch.arange(len(row), device=row.device).view(-1, 1, 1) * self.table.shape[1]
        first, across = cells(self.side, row.device)[:, level]  # (B, T, 1) each
        down, inside = image + first + row // TILE * across, row % TILE * TILE
        cell = down.int().unsqueeze(-1) + (col // TILE).int().unsqueeze(-2)
        tile = self.table.view(-1).index_select(0, cell.view(-1)).view_as(cell)
        return tile.add_(inside.int().unsqueeze(-1)).add_((col % TILE).int().unsqueeze(-2))

    @property
    def sides(self) -> tuple[int, int]:
        return self.side, self.side

    @property
    def levels(self) -> Tensor:
        """See :class:`vsacc.sampler.Layout`; only heights and widths are meant."""
        return level_tables(self.sizes, self.tiles.device)

    def read(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """See :meth:`vsacc.sampler.Layout.read`: (N, Q, 1), (N, Q, I), (N, Q, J) -> (N, 1, Q, I, J)."""
        batch, count = len(self.table), level.shape[:2]
        found = self.pick(*(each.reshape(batch, -1, each.shape[-1]) for each in (level, row, col)))
        return found.reshape(*count, *found.shape[-2:]).unsqueeze(1)

    def cut(self, where: Tensor, size: int) -> Tensor:
        """See :meth:`vsacc.sampler.Images.cut`."""
        return cut_levels(self, where, size)

    def prefetch(self, where: Tensor, size: int) -> None:
        """Nothing to fetch: it lies in memory."""

    def take(self, rows: Tensor) -> "Scattered":
        """See :meth:`vsacc.sampler.Images.take`."""
        return self._replace(table=self.table[rows])


@lru_cache(maxsize=64)
def cells(side: int, device: torch.device) -> Tensor:
    """Long (2, levels): a level's first cell in a table of :class:`Scattered`, and how many it has in a row."""
    across = torch.tensor([-(-length // TILE) for length, _ in pyramid_sizes(side, side)])
    return torch.stack([(across**2).cumsum(0) - across**2, across]).to(device)


def scatter(side: int, sprites: Tensor, corners: Tensor) -> Scattered:
    """The canvases of :func:`~.canvases.render`, but for what is black."""
    sizes, device = pyramid_sizes(side, side), sprites.device
    first, across = cells(side, device).unsqueeze(2)
    table = torch.zeros(len(sprites), sum((-(-length // TILE)) ** 2 for length, _ in sizes), dtype=torch.int32)
    table = table.to(device)
    for level, (length, _) in enumerate(sizes):
        near = touched(corners, level, length)
        rows, cols = (torch.cat([each[..., ::TILE], each[..., -1:]], -1) // TILE for each in near)  # of tiles
        cell = first[level] + (rows * across[level]).unsqueeze(-1) + cols.unsqueeze(-2)
        table.scatter_(1, cell.flatten(1), 1)
    table *= table.view(-1).cumsum(0, dtype=torch.int32).view_as(table) * TILE**2
    images = Scattered(sprites.new_zeros(int(table.max()) + TILE**2), table, side)

    def address(level: int, rows: Tensor, cols: Tensor) -> Tensor:
        return images.address(torch.full_like(rows[..., :1], level), rows, cols)

    paint(images.tiles, address, sizes, sprites, corners)
    return images
