"""A training store: photographs on disk as pyramids of bytes, developed once and read where they lie.

folder/images.u8      a record per photograph, all of equal length
folder/manifest.json  what the records are; written last, so where it is, the store is whole
folder/journal.jsonl  what is done so far, for :mod:`vsacc.images.store_writing`

A record holds the levels of :func:`vsacc.sampler.build_pyramid` one after another. A level is padded to multiples of 64
and stored as tiles of (C, 64, 64) bytes, row by row: the plane of a tile is 4096 bytes, a page, so that a glimpse
touches few pages."""

import json
import mmap
import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ..local.paths import UserError
from ..sampler import Layout, cut_levels, pick_from

FORMAT = 1  # of the files: a store of another number is prepared again
PIXELS, MANIFEST = "images.u8", "manifest.json"
TILE = 64  # side of a tile in pixels
PLANE = TILE * TILE
LARGE = 0.5  # share of the machine's memory from which a store is read with advice to the kernel

Sizes = tuple[tuple[int, int], ...]  # (H_l, W_l) of each level


@lru_cache(maxsize=64)
def span_tables(sizes: Sizes, channels: int, device: torch.device | str = "cpu") -> Tensor:
    """Long (3, levels): a level's first byte in the record, the bytes of a row of its tiles, and all its bytes."""
    down, across = -(-torch.tensor(sizes).T // TILE)  # in tiles
    stride = across * (channels * PLANE)
    bytes_ = down * stride
    return torch.stack([bytes_.cumsum(0) - bytes_, stride, bytes_]).to(device)


@lru_cache(maxsize=64)
def tile_tables(sizes: Sizes, channels: int, device: torch.device | str = "cpu") -> Tensor:
    """Long (levels, 5), as :class:`vsacc.sampler.Layout` has them."""
    start, stride, _ = span_tables(sizes, channels, device)
    height, width = torch.tensor(sizes).T.to(device)
    return torch.stack([start, height, width, stride, torch.full_like(start, TILE)], 1)


class Tiled(NamedTuple):
    """B images of a store, read where they lie: what :class:`vsacc.sampler.Images` asks for. pixels: uint8 (N,), the
    bytes of the whole store, mapped into memory or on a GPU. starts: long (B,), the first byte of each image's record;
    what is read comes to its device. mapped: to give the kernel advice about, or None."""

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
        start, stride, length = span_tables(self.sizes, self.channels)[:, index].tolist()
        firsts = [record + start for record in self.starts.tolist()]
        self._advise([(first, length) for first in firsts])
        tiles = torch.stack([self.pixels[first : first + length] for first in firsts])
        tiles = tiles.view(len(tiles), -1, stride // (self.channels * PLANE), self.channels, TILE, TILE)
        level = tiles.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)  # (B, C, padded H_l, padded W_l)
        height, width = self.sizes[index]
        return level[..., :height, :width].to(self.starts.device)

    def layout(self) -> Layout:
        """See :class:`vsacc.sampler.Layout`."""
        levels = tile_tables(self.sizes, self.channels, self.starts.device)
        whole = {"plane": PLANE, "step": self.channels * PLANE, "bits": TILE.bit_length() - 1}
        return Layout(self.pixels, self.starts, levels, self.sizes[0], self.channels, **whole)

    def pick(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """See :meth:`vsacc.sampler.Images.pick`."""
        return pick_from(self.layout(), level, row, col)

    def cut(self, where: Tensor, size: int) -> Tensor:
        """See :meth:`vsacc.sampler.Images.cut`."""
        return cut_levels(self.layout(), where, size)

    def prefetch(self, where: Tensor, size: int) -> None:
        """Ask the kernel for what :func:`vsacc.sampler.glimpse` will read at (B, 3) or (B, T, 3) places; no waiting."""
        if self.mapped is None:
            return
        s, x, y = where.detach().cpu().reshape(len(where), -1, 1, 3).split(1, -1)  # (B, T, 1, 1) each
        (height, width), top = self.sizes[0], len(self.sizes) - 1
        fine = torch.log2(s * (max(height, width) / size)).clamp(0, top).floor().long().clamp(0, max(top - 1, 0))
        level = torch.cat([fine, (fine + 1).clamp(max=top)], 2)  # (B, T, 2, 1), the two that are blended
        start, heights, widths, stride, _ = tile_tables(self.sizes, self.channels)[level].unbind(-1)
        ends, scale = torch.tensor([-1, 1]), torch.exp2(-level.to(s.dtype)) / 2
        rows, cols = (  # of tiles, first and last: (B, T, 2, 2) each
            ((centre + s * ends + 1) * (extent * scale) + ends).long().clamp(min=0).minimum(pixels - 1) // TILE
            for centre, extent, pixels in ((y, height, heights), (x, width, widths))  # a pixel of margin at both ends
        )
        (top_row, bottom_row), (left, right) = rows.split(1, -1), cols.split(1, -1)
        row = top_row + torch.arange(int((bottom_row - top_row).max()) + 1)  # (B, T, 2, R)
        tile = self.channels * PLANE
        first = self.starts.cpu().view(-1, 1, 1, 1) + start + left * tile + row * stride
        length = ((right - left + 1) * tile).expand_as(first)
        self._advise(torch.stack([first, length], -1)[row <= bottom_row].unique(dim=0).tolist())

    def take(self, rows: Tensor) -> "Tiled":
        """See :meth:`vsacc.sampler.Images.take`."""
        return self._replace(starts=self.starts[rows])

    def _advise(self, runs: list[tuple[int, int]]) -> None:
        for first, length in runs if self.mapped is not None else ():
            ahead = first % mmap.PAGESIZE  # pages of 16 or 64 KiB exist
            self.mapped.madvise(mmap.MADV_WILLNEED, first - ahead, length + ahead)


class Store(NamedTuple):
    """An open store: what its photographs are, and their pixels. Everything is in the order of ``names``.
    labels: long (N,), indices into ``classes``. source: what the photographs are, in words. tiled: all N images."""

    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: Tensor
    splits: tuple[str, ...]
    source: str
    tiled: Tiled

    @property
    def sizes(self) -> Sizes:
        return self.tiled.sizes

    def images(self, rows: Tensor) -> Tiled:
        """The images of long (B,) rows, for glimpse, proxy and models; read when asked, onto the device of ``rows``."""
        starts = self.tiled.starts
        return self.tiled._replace(starts=starts[rows.to(starts.device)].to(rows.device))

    def rows(self, split: str) -> Tensor:
        """The rows of a split: long (n,). Raises UserError where the store has no such split."""
        if split not in self.splits:
            raise UserError(f"the store has no split {split!r}, choose one of {', '.join(sorted(set(self.splits)))}.")
        return torch.tensor([row for row, other in enumerate(self.splits) if other == split])


def open_store(folder: Path | str) -> Store:
    """Open a store; its pixels are mapped, not loaded. Raises UserError where there is none, or one that is damaged or
    of another format."""
    path, again = Path(folder) / MANIFEST, "delete the folder and prepare it again"
    try:
        manifest = json.loads(path.read_bytes())
        if (version := manifest["format"]) != FORMAT:
            raise UserError(f"{folder} is a store of format {version}, this program reads format {FORMAT}, {again}.")
        labels = torch.tensor(manifest["labels"], dtype=torch.long)
        classes, names, splits = (tuple(manifest[column]) for column in ("classes", "names", "splits"))
        return Store(classes, names, labels, splits, manifest["source"], map_images(path.with_name(PIXELS), manifest))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}), {again}.") from None
    except OSError as error:
        lacking = f"{Path(error.filename or PIXELS).name}: {error.strerror}"
        raise UserError(f"{folder} holds no finished store ({lacking}), prepare one there.") from None


def map_images(path: Path, manifest: dict) -> Tiled:
    """All images of the store whose pixels lie in ``path``."""
    sizes, channels = tuple((h, w) for h, w in manifest["sizes"]), manifest["channels"]
    record, size = int(span_tables(sizes, channels)[2].sum()), path.stat().st_size
    if size != (wanted := manifest["records"] * record):
        raise UserError(f"{path} has {size} bytes instead of {wanted}, delete the folder and prepare it again.")
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        pixels = torch.frombuffer(mapped, dtype=torch.uint8)
    large = size > LARGE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if large:
        mapped.madvise(mmap.MADV_RANDOM)  # else every page comes with thirty neighbours that nobody asked for
    return Tiled(pixels, torch.tensor(manifest["places"]) * record, sizes, channels, mapped if large else None)
