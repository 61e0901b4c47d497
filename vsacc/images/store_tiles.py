"""Pyramids of bytes in tiles, so that a glimpse into a file touches few pages: the record of an image, and reading it.

A record holds the levels of :func:`vsacc.sampler.build_pyramid` one after another. A level is padded to multiples of
64 and stored as tiles of (C, 64, 64) bytes, row by row: the plane of a tile is 4096 bytes, a page. The place of a
pixel is then a part of its row, a part of its column and a part of its channel, added.
"""

import mmap
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from ..sampler import level_tables

TILE = 64  # side of a tile in pixels
PLANE = TILE * TILE

Sizes = tuple[tuple[int, int], ...]


class Span(NamedTuple):
    """A level inside a record: its first byte, the bytes of a row of its tiles, and all its bytes."""

    start: int
    stride: int
    bytes: int


def level_spans(sizes: Sizes, channels: int) -> list[Span]:
    """Where the levels of a record lie; the record ends where the last one does."""
    spans, start = [], 0
    for height, width in sizes:
        stride = -(-width // TILE) * channels * PLANE
        spans.append(Span(start, stride, -(-height // TILE) * stride))
        start += spans[-1].bytes
    return spans


def record_bytes(sizes: Sizes, channels: int) -> int:
    return sum(span.bytes for span in level_spans(sizes, channels))


@lru_cache(maxsize=64)
def span_tables(sizes: Sizes, channels: int, device: torch.device) -> Tensor:
    """Long (2, levels): start and stride of each level."""
    return torch.tensor([span[:2] for span in level_spans(sizes, channels)], device=device).T


class Tiled(NamedTuple):
    """B images of a store, read where they lie: what :class:`vsacc.sampler.Images` asks for.

    pixels: uint8 (N,), the bytes of the whole store, mapped into memory or on a GPU.
    starts: long (B,), the first byte of each image's record. What is read comes back to the device of ``starts``.
    sizes: (H_l, W_l) of each level.
    channels: C.
    mapped: what to give the kernel advice about; None where the store is small against the machine's memory.
    """

    pixels: Tensor
    starts: Tensor
    sizes: Sizes
    channels: int
    mapped: mmap.mmap | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(B, C)."""
        return len(self.starts), self.channels

    def level(self, index: int) -> Tensor:
        """Level ``index`` as uint8 (B, C, H_l, W_l), a copy; no other level is read."""
        span, (height, width) = level_spans(self.sizes, self.channels)[index], self.sizes[index]
        firsts = [start + span.start for start in self.starts.tolist()]
        self._advise([(first, span.bytes) for first in firsts])
        tiles = torch.stack([self.pixels[first : first + span.bytes] for first in firsts])
        tiles = tiles.view(len(tiles), -1, span.stride // (self.channels * PLANE), self.channels, TILE, TILE)
        level = tiles.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)  # (B, C, padded H_l, padded W_l)
        return level[..., :height, :width].to(self.starts.device)

    def pick(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """The pixels at row x col of a level: long (B, T, 1), (B, T, L), (B, T, L) -> uint8 (B, C, T, L, L).

        Where the places are on a GPU and the pixels are not, (B, T, L) numbers go to the host and bytes come back.
        """
        start, stride = (table[level] for table in span_tables(self.sizes, self.channels, level.device))  # (B, T, 1)
        down = self.starts[:, None, None] + start + row // TILE * stride + row % TILE * TILE  # (B, T, L)
        across = col // TILE * (self.channels * PLANE) + col % TILE
        down, across = torch.stack([down, across]).to(self.pixels.device)
        index = down.unsqueeze(-1) + across.unsqueeze(-2)  # (B, T, L, L)
        flat = index.flatten()
        planes = [self.pixels[c * PLANE :].index_select(0, flat).view_as(index) for c in range(self.channels)]
        return torch.stack(planes, 1).to(level.device)

    def prefetch(self, where: Tensor, size: int) -> None:
        """Ask the kernel for what :func:`vsacc.sampler.glimpse` will read at (B, 3) or (B, T, 3) places; no waiting.

        Does nothing where the store is small against the machine's memory, or the system takes no such advice.
        """
        if self.mapped is not None:
            self._advise(self.touched(where, size).tolist())

    def touched(self, where: Tensor, size: int) -> Tensor:
        """The runs of tiles, (first byte, bytes), that glimpses at ``where`` read: long (R, 2), none twice."""
        steps = where.detach().cpu().reshape(len(where), -1, 3)
        (height, width), top, tile = self.sizes[0], len(self.sizes) - 1, self.channels * PLANE
        s, x, y = (v.unsqueeze(-1) for v in steps.unbind(-1))  # (B, T, 1) each
        fine = torch.log2(s * (max(height, width) / size)).clamp(0, top).floor().long().clamp(0, max(top - 1, 0))
        level = torch.cat([fine, (fine + 1).clamp(max=top)], -1)  # (B, T, 2)
        _, heights, widths = (table[level] for table in level_tables(self.sizes, level.device))
        start, stride = (table[level] for table in span_tables(self.sizes, self.channels, level.device))
        shrink = torch.exp2(-level.to(s.dtype))
        first_row, last_row = tile_range(y, s, height * shrink, heights)  # (B, T, 2) each
        first_col, last_col = tile_range(x, s, width * shrink, widths)
        row = first_row.unsqueeze(-1) + torch.arange(int((last_row - first_row).max()) + 1)  # (B, T, 2, R)
        first = self.starts.cpu()[:, None, None] + start + first_col * tile
        first = first.unsqueeze(-1) + row * stride.unsqueeze(-1)
        length = ((last_col - first_col + 1) * tile).unsqueeze(-1).expand_as(first)
        return torch.stack([first, length], -1)[row <= last_row.unsqueeze(-1)].unique(dim=0)

    def _advise(self, runs: list[tuple[int, int]]) -> None:
        if self.mapped is None:
            return
        for first, length in runs:
            ahead = first % mmap.PAGESIZE  # pages of 16 or 64 KiB exist
            self.mapped.madvise(mmap.MADV_WILLNEED, first - ahead, length + ahead)


def tile_range(centre: Tensor, s: Tensor, extent: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """First and last tile, along one axis, of what bilinear reads in [centre - s, centre + s] touch.

    extent: length of the axis in pixels of the level, before its rounding up; pixels: the level's own.
    """
    low, high = (centre - s + 1) * (extent / 2) - 1, (centre + s + 1) * (extent / 2) + 1  # a pixel of margin
    return tuple(edge.long().clamp(min=0).minimum(pixels - 1) // TILE for edge in (low, high))
