"""The files of a store while it is written: which records are done, and how they become a store that can be opened.

``journal.jsonl`` starts with what the store is; then comes a line for each record that is safely on disk.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..local.paths import UserError, file_size, write_atomic
from .store_read import FORMAT, MANIFEST, PIXELS
from .store_tiles import Sizes

PART, JOURNAL = f"{PIXELS}.part", "journal.jsonl"


class Photo(NamedTuple):
    """A photograph to be stored. name: unique, never used as a path; label: index of its class."""

    name: str
    path: Path
    label: int
    split: str


def make_header(source: str, channels: int, sizes: Sizes) -> dict:
    """What two runs must agree on to work on the same store."""
    return {"format": FORMAT, "source": source, "channels": channels, "sizes": [list(size) for size in sizes]}


class Entry(NamedTuple):
    """A finished record: its place among the records, and the CRC-32 of each of its levels."""

    place: int
    crc32: list[int]


def read_journal(folder: Path, header: dict, names: set[str], record: int) -> dict[str, Entry]:
    """Name -> entry of what is done. Raises UserError where the folder holds anything beyond ``names``."""
    if not (folder / JOURNAL).exists():
        return {}
    lines = []
    for line in (folder / JOURNAL).read_text(errors="replace").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break  # the line that a kill cut off
    if not lines:
        return {}
    if lines[0] != header or not {name for name, *_ in lines[1:]} <= names:
        theirs = lines[0].get("source")
        raise UserError(f"{folder} already holds another store ({theirs}), name another folder or delete it.")
    done = {name: Entry(place, sums) for name, place, sums in lines[1:]}
    written = max(file_size(folder / PIXELS), file_size(folder / PART))
    return {name: entry for name, entry in done.items() if (entry.place + 1) * record <= written}


def reopen(folder: Path, header: dict, done: dict[str, Entry]) -> None:
    """Make the store unfinished, if it was not, and its journal whole."""
    (folder / MANIFEST).unlink(missing_ok=True)
    if (folder / PIXELS).exists():
        os.replace(folder / PIXELS, folder / PART)
    (folder / PART).touch()
    journal = [header, *([name, *entry] for name, entry in done.items())]
    write_atomic(folder / JOURNAL, "".join(json.dumps(line) + "\n" for line in journal))


def finish(folder: Path, size: int) -> None:
    """All records are written: give the pixels their length, which ends in a hole where photographs were left out."""
    with (folder / PART).open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())
    os.replace(folder / PART, folder / PIXELS)


def write_manifest(
    folder: Path,
    header: dict,
    photos: Sequence[Photo],
    classes: Sequence[str],
    done: dict[str, Entry],
    records: int,
    left_out: list[str],
) -> None:
    entries = [done[photo.name] for photo in photos]
    manifest = header | {
        "classes": list(classes), "records": records, "names": [photo.name for photo in photos],
        "labels": [int(photo.label) for photo in photos], "splits": [photo.split for photo in photos],
        "places": [entry.place for entry in entries], "crc32": [entry.crc32 for entry in entries],
        "left_out": left_out,
    }  # fmt: skip
    write_atomic(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
