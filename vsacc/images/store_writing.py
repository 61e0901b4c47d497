"""Write a store: photographs developed once, on all cores, into the records that :mod:`vsacc.images.store` reads.

Every photograph has its place in ``images.u8.part`` from the start, and a line in the journal once its record is safely
on disk. So a run that was killed or met a full disk goes on where it stopped, also with more photographs than before.
"""

import json
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from ..local.paths import UserError, check_room, file_size, locked, write_atomic
from ..sampler import halve, pyramid_sizes
from .store import FORMAT, MANIFEST, PIXELS, TILE, Sizes, span_tables

PART, JOURNAL = f"{PIXELS}.part", "journal.jsonl"
Develop = Callable[[Path], np.ndarray | Tensor]


class Photo(NamedTuple):
    """A photograph to be stored. name: unique, kept as text and never used as a path; label: index of its class."""

    name: str
    path: Path
    label: int
    split: str


def write_store(
    folder: Path | str, photos: Sequence[Photo], classes: Sequence[str], side: int, develop: Develop, source: str
) -> list[str]:
    """Develop photographs into a store, or go on with one; a store that is complete is left as it is.

    develop: path -> uint8 (3, side, side), run in threads side by side; where it raises UserError the photograph is
    left out, and tried again by the next run. source: what the photographs are, in words.

    Returns a sentence on each photograph that was left out. Raises UserError where the folder cannot be written, holds
    other photographs or runs out of space, or no photograph could be developed."""
    if not photos:
        raise UserError("there are no photographs to store, look at the folder that was given.")
    store = Unfinished(Path(folder), source, 3, pyramid_sizes(side, side))
    with locked(store.folder):
        store.read_journal({photo.name for photo in photos})
        taken = {place for place, _ in store.done.values()}
        free = (place for place in count() if place not in taken)
        todo = dict(zip(free, [photo for photo in photos if photo.name not in store.done], strict=False))
        records, left_out = max(taken | todo.keys()) + 1, []
        if todo or file_size(store.folder / PIXELS) != records * store.record:
            with store.opened(records, len(todo)):
                left_out = develop_all(store, todo, develop)
                if not store.done:
                    raise UserError(f"none of the {len(photos)} photographs could be developed, first: {left_out[0]}")
        store.write_manifest(records, photos, classes, left_out)
    return left_out


def write_strips(folder: Path | str, strips: Iterable[Tensor], shape: tuple[int, int, int], source: str) -> None:
    """A store of one image that is larger than memory, of ``shape`` (C, H, W), replacing what the folder held. It comes
    from top to bottom in strips of any height, uint8 (C, h, W); ValueError where they are not an image of the shape."""
    store = Unfinished(Path(folder), source, shape[0], pyramid_sizes(*shape[1:]))
    with locked(store.folder):
        with store.opened(1, 1):
            store.done = {"image": (0, store.write_record(0, strips))}
        store.write_manifest(1, [Photo("image", store.folder, 0, "test")], ["image"], [])


class Unfinished:
    """The files of a store while it is written. header: the journal's first line, on which two runs must agree to work
    on the same store. record: bytes of one. done: name -> its place among the records, and the CRC-32 of each of its
    levels."""

    def __init__(self, folder: Path, source: str, channels: int, sizes: Sizes):
        self.folder, self.channels, self.sizes = folder, channels, sizes
        self.header = dict(format=FORMAT, source=source, channels=channels, sizes=[list(size) for size in sizes])
        self.record = int(span_tables(sizes, channels)[2].sum())
        self.done: dict[str, tuple[int, list[int]]] = {}

    def read_journal(self, names: set[str]) -> None:
        """Take up what is done. Raises UserError where the folder holds anything beyond ``names``."""
        journal, lines = self.folder / JOURNAL, []
        for line in journal.read_text(errors="replace").splitlines() if journal.exists() else []:
            try:
                lines.append(json.loads(line))
            except ValueError:
                break  # the line that a kill cut off
        if not lines:
            return
        if lines[0] != self.header or not {name for name, *_ in lines[1:]} <= names:
            theirs = lines[0].get("source")
            raise UserError(f"{self.folder} already holds another store ({theirs}), name another folder or delete it.")
        written = max(file_size(self.folder / PIXELS), file_size(self.folder / PART))
        self.done = {name: (place, sums) for name, place, sums in lines[1:] if (place + 1) * self.record <= written}

    @contextmanager
    def opened(self, records: int, new: int) -> Iterator[None]:
        """Make the store unfinished and its journal whole; afterwards its pixels are ``records`` long. Raises UserError
        where ``new`` more records do not fit the disk, or the system refuses to write."""
        pixels, part = self.folder / PIXELS, self.folder / PART
        check_room(self.folder, new * self.record, "name another")
        try:
            (self.folder / MANIFEST).unlink(missing_ok=True)
            if pixels.exists():
                os.replace(pixels, part)
            part.touch()
            journal = [self.header, *([name, *entry] for name, entry in self.done.items())]
            write_atomic(self.folder / JOURNAL, "".join(json.dumps(line) + "\n" for line in journal))
            yield
            with part.open("r+b") as file:
                file.truncate(records * self.record)
                os.fsync(file.fileno())
            os.replace(part, pixels)
        except OSError as error:
            told = f"{self.folder} cannot be written ({error.strerror}), make room and run it again."
            raise UserError(told) from error

    def write_record(self, place: int, strips: Iterable[Tensor]) -> list[int]:
        """Write one record from strips as of :func:`write_strips` and wait for the disk; of each level no more than two
        rows of tiles are held. Returns the CRC-32 of each level."""
        sums: list[int] = []
        with (self.folder / PART).open("r+b") as file:
            spans = span_tables(self.sizes, self.channels).T.tolist()
            for (start, stride, _), size in zip(spans, self.sizes, strict=True):
                strips = write_level(file, place * self.record + start, stride, strips, (self.channels, *size), sums)
            deque(strips, maxlen=0)  # the last level pulls all others through
            file.flush()
            os.fsync(file.fileno())
        return sums

    def write_manifest(self, records: int, photos: Sequence[Photo], classes: Sequence[str], left_out: list) -> None:
        kept = [photo for photo in photos if photo.name in self.done]
        places, sums = zip(*(self.done[photo.name] for photo in kept), strict=True)
        manifest = self.header | {
            "classes": list(classes), "records": records, "names": [photo.name for photo in kept],
            "labels": [int(photo.label) for photo in kept], "splits": [photo.split for photo in kept],
            "places": places, "crc32": sums, "left_out": left_out,
        }  # fmt: skip
        write_atomic(self.folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")


def develop_all(store: Unfinished, todo: dict[int, Photo], develop: Develop) -> list[str]:
    """Develop and write the photographs at their places. Returns a sentence on each that was left out."""

    def put(place: int, photo: Photo) -> list[int]:
        return store.write_record(place, [torch.as_tensor(develop(photo.path))])

    left_out, pool = [], ThreadPoolExecutor(os.cpu_count())
    with (store.folder / JOURNAL).open("a") as journal, ExitStack() as at_end:
        at_end.callback(torch.set_num_threads, torch.get_num_threads())
        at_end.callback(pool.shutdown, cancel_futures=True)
        torch.set_num_threads(1)  # in each thread of the pool: photographs side by side use the cores better
        jobs = [(photo.name, place, pool.submit(put, place, photo)) for place, photo in todo.items()]
        for name, place, job in tqdm(jobs, "photographs", disable=not jobs):
            try:
                store.done[name] = (place, job.result())
            except UserError as error:
                left_out.append(str(error))
            else:
                journal.write(json.dumps([name, *store.done[name]]) + "\n")
                journal.flush()
    return left_out


def write_level(
    file: BinaryIO, start: int, stride: int, strips: Iterable[Tensor], shape: tuple[int, int, int], sums: list[int]
) -> Iterator[Tensor]:
    """Write one level at byte ``start`` and append its CRC-32 to ``sums``. Gives the strips of the next level."""
    rows = checksum = 0
    for band in bands(strips):
        rows += band.shape[1]
        if (band.shape[0], band.shape[2]) != shape[::2] or rows > shape[1]:
            raise ValueError(f"the strips do not make an image of {shape}")
        # a row of tiles (ceil(W / TILE), C, TILE, TILE), zeros where there is no pixel
        padded = F.pad(band, (0, -band.shape[2] % TILE, 0, TILE - band.shape[1]))
        tiles = padded.unflatten(2, (-1, TILE)).permute(2, 0, 1, 3).contiguous().numpy()
        file.seek(start + (rows - 1) // TILE * stride)
        file.write(tiles)
        checksum = zlib.crc32(tiles, checksum)
        yield halve(band)
    if rows != shape[1]:
        raise ValueError(f"the strips hold {rows} rows instead of {shape[1]}")
    sums.append(checksum)


def bands(strips: Iterable[Tensor]) -> Iterator[Tensor]:
    """Strips (C, h, W) as strips of TILE rows, the last one perhaps shorter."""
    kept = torch.empty(0, dtype=torch.uint8)  # of this shape it can be joined to any other
    for strip in strips:
        *whole, kept = torch.cat([kept, strip], 1).split(TILE, 1)
        yield from whole
    if kept.numel():
        yield kept
