"""Swedish speed limits: 747 + 684 road frames of 1280 x 960 that show a 50, 70 or 80 sign or no sign at all.

    python -m vsacc.tasks.speed_limits prepare [--root DIR] [--side 1280]

The task is that of Katharopoulos and Fleuret (ICML 2019), on the Swedish traffic signs of Larsson and Felsberg (SCIA
2011): Set1 trains, Set2 tests, see :mod:`.speed_limits_labels` for the rule. ``prepare`` fetches what is missing and
develops it once into a training store. Files that came another way are found where they lie below ``--root``:

    Set1/annotations.txt, Set1/*.jpg                         as attention sampling's script leaves them
    Set1/annotations.txt, Set1/Set1Part0/*.jpg               as this command leaves them
    Set1Part0/annotations.txt, Set1Part0/*.jpg               zips unpacked side by side
    Set1/Set1Part0.zip, Set1Part0.zip or Set1.zip            not unpacked yet
"""

import argparse
import hashlib
import json
import zlib
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from zipfile import BadZipFile, ZipFile

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..images.develop import develop_square, size_of
from ..images.download import download
from ..images.store_read import Store, open_store
from ..images.store_write import Photo, write_store
from ..local.paths import DOWNLOADS, UserError, one_sentence_exit, write_atomic
from . import signs_standin
from .speed_limits_labels import CLASSES, Box, read_frames

FOLDER = DOWNLOADS / "speed-limits"
SETS = {"Set1": "train", "Set2": "test"}
SITES = (  # of Linkoping University, the published address first
    "http://www.isy.liu.se/cvl/research/trafficSigns/swedishSignsSummer",
    "https://www.cvl.isy.liu.se/research/trafficSigns/swedishSignsSummer",
)
MD5 = {  # of annotations.txt, from attention sampling's script; sums of the zips are not published
    "Set1": "9106a905a86209c95dc9b51d12f520d6",
    "Set2": "09debbc67f6cd89c1e2a2688ad1d03ca",
}
COUNTS = (747, 684)  # frames of the published task in Set1 and Set2
SIDE = 1280  # of the squares that frames of 1280 x 960 become: no column is lost
BOXES = "boxes.json"  # in a store's folder, written last: name -> box of the sign in [-1, 1] coordinates
HELP = "python -m vsacc.tasks.speed_limits prepare"


class SpeedLimits(NamedTuple):
    """An open store and the boxes (N, 1, 4) of the limit signs in [-1, 1] coordinates, NaN where a frame is EMPTY."""

    store: Store
    boxes: Tensor


@lru_cache
def open_speed_limits(profile: str) -> SpeedLimits:
    """The largest store in data/, or the stand-in at the size of ``profile`` (always in "quick", which CI runs).

    Raises UserError where the files are there and no store of them yet, or the stand-in cannot be made.
    """
    if profile != "quick":
        opened = [open_with_boxes(path.parent) for path in FOLDER.glob(f"stores/*/{BOXES}")]
        if opened:
            return max(opened, key=lambda data: (len(data.store.names), data.store.sizes[0]))
        if any(find_annotations(FOLDER, name) or find_archive(FOLDER, name) for name in SETS):
            raise UserError(f"the Swedish traffic signs are there and no store of them, make it with {HELP}.")
    return open_standin(profile)


def open_standin(profile: str) -> SpeedLimits:
    """The stand-in of a profile, drawn and developed first where it is not there."""
    root, (width, counts) = signs_standin.FOLDER / profile, signs_standin.SIZES[profile]
    folder = root / "stores" / str(width)
    if not (folder / BOXES).exists():
        signs_standin.write_standin(root, width, counts)
        if told := build(root, folder, width, "stand-in for the Swedish speed limits, drawn"):
            raise UserError(f"the stand-in is damaged, delete {root} and draw it again: {told[0]}")
    return open_with_boxes(folder)


def open_with_boxes(folder: Path) -> SpeedLimits:
    store, boxes = open_store(folder), json.loads((folder / BOXES).read_text())
    return SpeedLimits(store, torch.tensor([[boxes.get(name, [float("nan")] * 4)] for name in store.names]))


def index(root: Path) -> tuple[list[Photo], dict[str, Box], list[str]]:
    """What of the task is on this disk: photographs, the boxes of their signs in pixels, and a sentence on each set of
    which frames are missing. Raises UserError where annotations are."""
    photos, boxes, told = [], {}, []
    for name, split in SETS.items():
        annotations = find_annotations(root, name)
        if annotations is None:
            raise UserError(f"{root} has no {name}/annotations.txt, fetch it with {HELP}.")
        files, frames = find_files(root, name), read_frames(annotations)
        there = [frame for frame in frames if frame.name in files]
        photos += [Photo(f"{name}/{frame.name}", files[frame.name], frame.label, split) for frame in there]
        boxes |= {f"{name}/{frame.name}": frame.box for frame in there if frame.box}
        if missing := [frame.name for frame in frames if frame.name not in files]:
            told.append(f"{len(missing)} of {len(frames)} frames of {name} are missing, the first is {missing[0]}.")
    return photos, boxes, told


def find_annotations(root: Path, name: str) -> Path | None:
    """annotations.txt of Set1 or Set2."""
    return next((path for folder in folders(root, name) if (path := folder / "annotations.txt").exists()), None)


def find_files(root: Path, name: str) -> dict[str, Path]:
    """Name -> path of the frames of a set. They are looked for by listing, so no annotated name becomes a path."""
    paths = (path for folder in folders(root, name) for path in folder.glob("*"))
    return {path.name: path for path in paths if path.suffix.lower() == ".jpg"}


def find_archive(root: Path, name: str) -> Path | None:
    places = (f"{name}/{name}Part0.zip", f"{name}Part0.zip", f"{name}.zip")
    return next((root / place for place in places if (root / place).exists()), None)


def folders(root: Path, name: str) -> tuple[Path, ...]:
    return root / name, root / name / f"{name}Part0", root / f"{name}Part0"


def fetch(root: Path, name: str) -> None:
    """Bring what is lacking of Set1 or Set2: the annotations, and of the zip the frames that the task keeps."""
    annotations = find_annotations(root, name)
    if annotations is None:
        annotations = fetch_file(f"{name}/annotations.txt", root)
    if hashlib.md5(annotations.read_bytes()).hexdigest() != MD5[name]:
        print(f"{annotations} is another file than attention sampling was trained with, so its counts may differ.")
    lacking = {frame.name for frame in read_frames(annotations)} - find_files(root, name).keys()
    if lacking:
        archive = find_archive(root, name) or fetch_file(f"{name}/{name}Part0.zip", root)
        unpack(archive, lacking, root / name / f"{name}Part0")


def fetch_file(name: str, root: Path) -> Path:
    """A file from the first site that gives it, to the same place below ``root``."""
    for site in SITES:
        try:
            download(f"{site}/{name}", root / name)
            return root / name
        except UserError as error:
            reason = str(error).rstrip(".")
    raise UserError(f"the Swedish traffic signs cannot be fetched ({reason}), or put {name} into {root} by hand.")


def unpack(archive: Path, wanted: set[str], folder: Path) -> None:
    """Take the frames of these names out of a zip, whatever folders it has. Each comes whole or not at all."""
    try:
        with ZipFile(archive) as file:
            members = {PurePosixPath(member.filename).name: member for member in file.infolist()}
            for name in tqdm(sorted(wanted & members.keys()), f"frames of {archive.name}", delay=2):
                write_atomic(folder / name, file.read(members[name]))
    except (BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UserError(f"{archive} is damaged ({str(error).rstrip('.')}), delete it and run this again.") from error


def build(root: Path, folder: Path, side: int, source: str) -> list[str]:
    """Develop what is in ``root`` into a store; returns a sentence on whatever is not in it."""
    photos, pixels, told = index(root)
    told += write_store(folder, photos, CLASSES, side, partial(develop_square, side=side), source)
    kept = set(open_store(folder).names)
    boxes = {p.name: relative(pixels[p.name], size_of(p.path)) for p in photos if p.name in kept & pixels.keys()}
    write_atomic(folder / BOXES, json.dumps(boxes) + "\n")
    return told


def relative(box: Box, size: tuple[int, int]) -> list[float]:
    """A box in pixels of an image of (width, height) -> [-1, 1] coordinates."""
    return [round(2 * value / extent - 1, 5) for value, extent in zip(box, size * 2, strict=True)]


def describe(counts: Sequence[int]) -> str:
    """The frames of Set1 and Set2 in words, for titles and records."""
    found, published = (f"{train} + {test}" for train, test in (counts, COUNTS))
    differing = "" if found == published else f" instead of the published {published}"
    return f"Swedish speed limits, {found} frames{differing}"


def prepare(root: Path, side: int) -> int:
    """Fetch into ``root`` and develop into data/; returns the exit code, 1 where it is not the published set."""
    for name in SETS:
        fetch(root, name)
    photos = index(root)[0]
    counts = [sum(photo.split == split for photo in photos) for split in SETS.values()]
    folder = FOLDER / "stores" / "-".join(map(str, (side, *counts)))
    told = build(root, folder, side, describe(counts))
    print(*told, f"{describe(counts)}, in {folder}", sep="\n")
    return 0 if tuple(counts) == COUNTS and not told else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m vsacc.tasks.speed_limits", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["prepare"])
    parser.add_argument("--root", type=Path, default=FOLDER, metavar="DIR", help="where the files are, or go")
    parser.add_argument("--side", type=int, default=SIDE, help="pixels; frames are squashed to squares")
    options = parser.parse_args()
    if options.side < 32:
        raise UserError(f"side {options.side} is too small, choose 32 pixels or more.")
    return prepare(options.root, options.side)


if __name__ == "__main__":
    one_sentence_exit(main)
