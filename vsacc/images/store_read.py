"""A training store: photographs on disk as pyramids of bytes, developed once and read where they lie.

folder/images.u8      a record per photograph, all of equal length, see :mod:`vsacc.images.store_tiles`
folder/manifest.json  what the records are; written last, so where it is, the store is whole
folder/journal.jsonl  what is done so far, for :mod:`vsacc.images.store_write`
"""

import json
import mmap
import os
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..local.paths import UserError
from .store_tiles import Sizes, Tiled, level_spans, record_bytes

FORMAT = 1  # of the files: a store of another number is prepared again
PIXELS, MANIFEST = "images.u8", "manifest.json"
LARGE = 0.5  # share of the machine's memory from which a store is read with advice to the kernel


class Store(NamedTuple):
    """An open store: what its photographs are, and their pixels. Everything is in the order of ``names``.

    labels: long (N,), indices into ``classes``. splits: the name of each photograph's split.
    source: what the photographs are, in words. left_out: a sentence on each photograph that could not be developed.
    sizes, channels, pixels, mapped: see :class:`Tiled`. starts: long (N,), the first byte of each record.
    crc32: of each level of each record.
    """

    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: Tensor
    splits: tuple[str, ...]
    source: str
    left_out: tuple[str, ...]
    sizes: Sizes
    channels: int
    pixels: Tensor
    starts: Tensor
    crc32: tuple[tuple[int, ...], ...]
    mapped: mmap.mmap | None

    def images(self, rows: Tensor) -> Tiled:
        """The images of long (B,) rows, for glimpse, proxy and models; read when asked, onto the device of ``rows``."""
        starts = self.starts[rows.to(self.starts.device)].to(rows.device)
        return Tiled(self.pixels, starts, self.sizes, self.channels, self.mapped)

    def rows(self, split: str) -> Tensor:
        """The rows of a split: long (n,). Raises UserError where the store has no such split."""
        if split not in self.splits:
            known = ", ".join(sorted(set(self.splits)))
            raise UserError(f"the store has no split {split!r}, choose one of {known}.")
        return torch.tensor([row for row, other in enumerate(self.splits) if other == split])


def open_store(folder: Path | str) -> Store:
    """Open a store for reading. Its pixels are mapped, not loaded, and must not be written to.

    Raises UserError where there is no store, or it is of another format, damaged or cut short.
    """
    path = Path(folder) / MANIFEST
    again = "delete the folder and prepare it again"
    try:
        manifest = json.loads(path.read_text())
        version = manifest["format"]
    except OSError as error:
        raise UserError(
            f"{folder} holds no finished store ({MANIFEST}: {error.strerror}), prepare one there."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is damaged, {again}.") from None
    if version != FORMAT:
        raise UserError(f"{folder} is a store of format {version}, this program reads format {FORMAT}, {again}.")
    try:
        return _open(Path(folder), manifest)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}), {again}.") from None
    except OSError as error:
        raise UserError(f"{folder} has no readable {PIXELS} ({error.strerror}), {again}.") from None


def _open(folder: Path, manifest: dict) -> Store:
    sizes, channels = tuple((h, w) for h, w in manifest["sizes"]), manifest["channels"]
    record = record_bytes(sizes, channels)
    columns = ("names", "labels", "splits", "places", "crc32")
    if len({len(manifest[column]) for column in columns}) != 1:
        raise ValueError(f"{', '.join(columns)} differ in length")
    if not set(manifest["labels"]) <= set(range(len(manifest["classes"]))):
        raise ValueError("a label has no class")
    if not set(manifest["places"]) <= set(range(manifest["records"])):
        raise ValueError("a photograph has no record")
    wanted, size = manifest["records"] * record, (folder / PIXELS).stat().st_size
    if size != wanted:
        raise UserError(
            f"{folder / PIXELS} has {size} bytes instead of {wanted}, delete the folder and prepare it again."
        )
    with (folder / PIXELS).open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        pixels = torch.frombuffer(mapped, dtype=torch.uint8)
    large = hasattr(mapped, "madvise") and size > LARGE * memory_bytes()
    if large:
        mapped.madvise(mmap.MADV_RANDOM)  # else every page comes with thirty neighbours that nobody asked for
    return Store(
        tuple(manifest["classes"]), tuple(manifest["names"]), torch.tensor(manifest["labels"], dtype=torch.long),
        tuple(manifest["splits"]), manifest["source"], tuple(manifest["left_out"]), sizes, channels, pixels,
        torch.tensor(manifest["places"]) * record, tuple(map(tuple, manifest["crc32"])), mapped if large else None,
    )  # fmt: skip


def memory_bytes() -> int:
    """Memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def verify(folder: Path | str) -> list[str]:
    """Read a whole store and recompute its checksums: a sentence on each damaged photograph, none where all is well."""
    store, damaged = open_store(folder), []
    spans = level_spans(store.sizes, store.channels)
    for name, start, sums in zip(tqdm(store.names, "checksums"), store.starts.tolist(), store.crc32, strict=True):
        record = store.pixels.numpy()[start:]
        found = [zlib.crc32(record[span.start : span.start + span.bytes]) for span in spans]
        wrong = [str(level) for level, (a, b) in enumerate(zip(found, sums, strict=True)) if a != b]
        if wrong:
            damaged.append(f"{name} is damaged (level {', '.join(wrong)}), delete the store and prepare it again.")
    return damaged
