"""Write the record of an image from strips of it: a few rows of tiles of each level are all that memory holds."""

import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor
from torch.nn import functional as F

from ..sampler import halve
from .store_tiles import TILE, Sizes, Span, level_spans


def write_record(path: Path, start: int, strips: Iterable[Tensor], channels: int, sizes: Sizes) -> list[int]:
    """Write one record at byte ``start`` and wait for the disk.

    strips: the image from top to bottom in pieces of any height, uint8 (C, h, W); two rows of tiles a level is the most
    of it that is held. Returns the CRC-32 of each level.
    """
    sums: list[int] = []
    with path.open("r+b") as file:
        for span, (height, width) in zip(level_spans(sizes, channels), sizes, strict=True):
            span = span._replace(start=start + span.start)
            strips = write_level(file, span, strips, (channels, height, width), sums)
        for _ in strips:  # the last level pulls all others through
            pass
        file.flush()
        os.fsync(file.fileno())
    return sums


def write_level(
    file: BinaryIO, span: Span, strips: Iterable[Tensor], shape: tuple[int, int, int], sums: list[int]
) -> Iterator[Tensor]:
    """Write one level, appending its CRC-32 to ``sums``; gives the strips of the next level."""
    rows = checksum = 0
    for band in bands(strips):
        rows += band.shape[1]
        if (band.shape[0], band.shape[2]) != shape[::2] or rows > shape[1]:
            raise ValueError(f"the strips do not make an image of {shape}")
        tiles = tiled(band).numpy()
        file.seek(span.start + (rows - 1) // TILE * span.stride)
        file.write(tiles)
        checksum = zlib.crc32(tiles, checksum)
        yield halve(band)
    if rows != shape[1]:
        raise ValueError(f"the strips hold {rows} rows instead of {shape[1]}")
    sums.append(checksum)


def bands(strips: Iterable[Tensor]) -> Iterator[Tensor]:
    """Strips (C, h, W) as strips of TILE rows, the last one perhaps shorter."""
    kept = None
    for strip in strips:
        kept = strip if kept is None else torch.cat([kept, strip], 1)
        whole = kept.shape[1] // TILE * TILE
        for first in range(0, whole, TILE):
            yield kept[:, first : first + TILE]
        kept = kept[:, whole:]
    if kept is not None and kept.shape[1]:
        yield kept


def tiled(band: Tensor) -> Tensor:
    """(C, h <= TILE, W) -> a row of tiles (ceil(W / TILE), C, TILE, TILE), zeros where there is no pixel."""
    padded = F.pad(band, (0, -band.shape[2] % TILE, 0, TILE - band.shape[1]))
    return padded.unflatten(2, (-1, TILE)).permute(2, 0, 1, 3).contiguous()
