"""Write a store: photographs developed once, on all cores, into the records that :mod:`vsacc.images.store_read` reads.

Every photograph has its place in ``images.u8.part`` from the start, and a line in the journal once its record is safely
on disk. A run that was killed, or met a full disk, therefore goes on where it stopped; so does one that has got more
photographs, or tries again those that could not be developed.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..local.paths import UserError, check_writable, file_size
from ..sampler import pyramid_sizes
from .store_journal import (
    JOURNAL,
    PART,
    Entry,
    Photo,
    finish,
    make_header,
    read_journal,
    reopen,
    write_manifest,
)
from .store_read import PIXELS
from .store_tiles import Sizes, record_bytes
from .store_tiles_write import write_record

CHANNELS = 3


def write_store(
    folder: Path | str,
    photos: Sequence[Photo],
    classes: Sequence[str],
    side: int,
    develop: Callable[[Path], np.ndarray | Tensor],
    source: str,
) -> list[str]:
    """Develop photographs into a store, or go on with one; a store that is complete is left as it is.

    Args:
        photos: anything with name, path, label and split. Names are kept as text and never used as paths.
        develop: path -> uint8 (3, side, side), run in threads side by side. Where it raises UserError the photograph is
            left out, and tried again by the next run.
        source: what the photographs are, in words.

    Returns a sentence on each photograph that was left out. Raises UserError where the folder cannot be written, holds
    other photographs or runs out of space, or no photograph could be developed.
    """
    folder, sizes = Path(folder), pyramid_sizes(side, side)
    header, record = make_header(source, CHANNELS, sizes), record_bytes(sizes, CHANNELS)
    check_photos(photos, classes)
    check_writable(folder)
    done = read_journal(folder, header, {photo.name for photo in photos}, record)
    lacking = [photo for photo in photos if photo.name not in done]
    taken = {entry.place for entry in done.values()}
    free = [place for place in range(len(photos) + len(taken)) if place not in taken]
    todo = dict(zip(free, lacking, strict=False))
    size = (max(taken | todo.keys()) + 1) * record
    left_out: dict[str, str] = {}
    if todo or file_size(folder / PIXELS) != size:
        check_space(folder, len(todo) * record)
        with going_on(folder):
            reopen(folder, header, done)
            left_out = develop_all(folder, todo, sizes, develop, done)
            if not done:
                first = next(iter(left_out.values()))
                raise UserError(f"none of the {len(photos)} photographs could be developed, the first: {first}")
            finish(folder, size)
    sentences = [left_out[photo.name] for photo in photos if photo.name in left_out]
    kept = [photo for photo in photos if photo.name in done]
    write_manifest(folder, header, kept, classes, done, size // record, sentences)
    return sentences


def check_photos(photos: Sequence[Photo], classes: Sequence[str]) -> None:
    if not photos:
        raise UserError("there are no photographs to store, look at the folder that was given.")
    if len({photo.name for photo in photos}) != len(photos):
        raise ValueError("two photographs have the same name")
    if not all(0 <= photo.label < len(classes) for photo in photos):
        raise ValueError("a label has no class")


@contextmanager
def going_on(folder: Path) -> Iterator[None]:
    """What the system refuses, a full disk above all, as one sentence."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}), make room and run the same command again: "
            "it goes on where it stopped."
        ) from error


def check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(f"{folder} has {free / 1e9:.1f} GB free and the store needs {needed / 1e9:.1f} GB more, "
                        "free some space or name another folder.")  # fmt: skip


def develop_all(
    folder: Path,
    todo: dict[int, Photo],
    sizes: Sizes,
    develop: Callable[[Path], np.ndarray | Tensor],
    done: dict[str, Entry],
) -> dict[str, str]:
    """Develop and write the photographs at their places, adding to ``done`` and the journal.

    Returns name -> sentence of those left out.
    """
    left_out, lock, threads = {}, Lock(), torch.get_num_threads()

    def put(place: int, photo: Photo) -> None:
        try:
            image = torch.as_tensor(develop(photo.path))
        except UserError as error:
            left_out[photo.name] = str(error)
            return
        except OSError as error:
            left_out[photo.name] = f"{photo.name} cannot be read ({error.strerror})."
            return
        if image.shape != (CHANNELS, *sizes[0]) or image.dtype != torch.uint8:
            raise TypeError(f"develop must return uint8 (3, side, side), not {image.dtype} {tuple(image.shape)}")
        sums = write_record(folder / PART, place * record_bytes(sizes, CHANNELS), [image], CHANNELS, sizes)
        with lock:
            done[photo.name] = Entry(place, sums)
            journal.write(json.dumps([photo.name, place, sums]) + "\n")
            journal.flush()

    torch.set_num_threads(1)  # in each thread of the pool: photographs side by side use the cores better
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        with (folder / JOURNAL).open("a") as journal:
            try:
                jobs = [pool.submit(put, *item) for item in todo.items()]
                for job in tqdm(as_completed(jobs), "photographs", len(jobs), disable=not jobs):
                    job.result()
            finally:
                pool.shutdown(cancel_futures=True)
    finally:
        torch.set_num_threads(threads)
    return left_out


def write_strips(folder: Path | str, strips: Iterable[Tensor], shape: tuple[int, int, int], source: str) -> None:
    """A store of one image that is larger than memory, replacing what the folder held.

    Args:
        strips: the image from top to bottom in pieces of any height, uint8 (C, h, W).
        shape: (C, H, W). Raises ValueError where the strips are not an image of it.
        source: what the image is, in words; it is row 0, of class "image" and split "test".
    """
    folder, (channels, height, width) = Path(folder), shape
    sizes = pyramid_sizes(height, width)
    header, size = make_header(source, channels, sizes), record_bytes(sizes, channels)
    check_writable(folder)
    check_space(folder, size)
    with going_on(folder):
        reopen(folder, header, {})
        sums = write_record(folder / PART, 0, strips, channels, sizes)
        finish(folder, size)
    write_manifest(folder, header, [Photo("image", folder, 0, "test")], ["image"], {"image": Entry(0, sums)}, 1, [])
