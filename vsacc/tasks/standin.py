"""A stand-in for MIT-Adobe FiveK, for machines without its 260 GB: drawn scenes in FiveK's own on-disk format.

    python -m vsacc.tasks.standin --profile laptop

The folder holds what FiveK's loader reads: {training,validation,testing}.json in the community's schema and 16-bit
ProPhoto RGB TIFFs under processed/tiff16_c. The classes are as imbalanced as FiveK's, but what tells a class is a
texture, see :mod:`.scenes`: a number made from it says nothing about photographs, and says "stand-in".

An image is a function of (seed, number, side, class) alone and every file appears whole or not at all, so an
interrupted run goes on where it stopped.
"""

import argparse
import io
import itertools
import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from imagecodecs import cms_profile, cms_transform
from tqdm.auto import tqdm

from ..images.colour import PROPHOTO
from ..local.paths import DOWNLOADS, UserError, one_sentence_exit, resolve_profile, write_atomic
from ..local.seeds import derive
from .scenes import SMALLEST_SIDE, render, subject_box
from .textures import CELLS

FOLDER = DOWNLOADS / "fivek-standin"
SPLITS = ("training", "validation", "testing")
# FiveK's images of each subject, of 5000; the community's files write "unknown" for the paper's "None".
SUBJECTS = {"abstract": 35, "animals": 300, "man_made": 1869, "nature": 1089, "unknown": 366, "people": 1341}
SIZES = {  # profile: side, images of each split; the last line is FiveK's own
    "quick": (256, (48, 16, 24)),
    "laptop": (512, (1280, 120, 240)),
    "paper": (2528, (3500, 500, 1000)),
}
NOTE = "standin.json"  # in the folder: what it was made from
VERSION = 1  # of the pictures: another one is another stand-in
STEP = 64  # between 16-bit values: ten bits hold the eight of sRGB, in half the bytes
PIXEL = 3  # bytes on disk, about
DATE = slice(24, 36)  # of its making, in an ICC profile
SINGLE = 100  # images that are drawn before a pool of processes has started
ORDER, IMAGE = 13, 14  # purposes of the random streams that derive from one seed


class Scene(NamedTuple):
    """An image to be: its number, from 1 on, the seed of its scene, and its class, a number in SUBJECTS."""

    number: int
    seed: int
    kind: int

    @property
    def name(self) -> str:
        return f"a{self.number:04d}-standin"

    @property
    def tiff(self) -> str:
        return f"processed/tiff16_c/{self.name}.tif"


def write_standin(root: Path | str, side: int, counts: tuple[int, int, int], seed: int = 0) -> None:
    """Write the stand-in, or what is still missing of it.

    Args:
        root: its folder.
        side: of the square images in pixels, a multiple of 32 and at least 256.
        counts: images in the training, validation and testing split, each at least six.
        seed: another seed, another set of scenes.

    Every record also holds "subject_box": (x0, y0, x1, y1) in [-1, 1] coordinates. Raises UserError for a side or
    counts that cannot be, where ``root`` holds anything but this stand-in, or where it cannot be written.
    """
    root = Path(root)
    if side % CELLS or side < SMALLEST_SIDE:
        raise UserError(f"side {side} cannot be drawn, choose a multiple of {CELLS} from {SMALLEST_SIDE} on.")
    if min(counts) < len(SUBJECTS):
        raise UserError(f"{min(counts)} images cannot show {len(SUBJECTS)} classes, ask for more in every split.")
    claim(root, {"version": VERSION, "side": side, "counts": list(counts), "seed": seed})
    splits = plan(counts, seed)
    missing = [scene for scenes in splits.values() for scene in scenes if not (root / scene.tiff).exists()]
    needed, free = len(missing) * side**2 * PIXEL, shutil.disk_usage(root).free
    if needed > free:
        raise UserError(
            f"the stand-in needs {needed / 1e9:.1f} GB and the disk of {root} has {free / 1e9:.1f}, free some."
        )
    with tqdm(total=len(missing), desc="FiveK stand-in", unit="image", delay=2) as bar:
        for _ in in_parallel(partial(write_image, root, side), missing):
            bar.update()
    for split, scenes in splits.items():  # last: a folder that has these is complete
        records = {scene.name: record(scene) for scene in scenes}
        write_atomic(root / f"{split}.json", json.dumps(records, indent=1) + "\n")


def claim(root: Path, made_from: dict) -> None:
    """Leave a note of what the stand-in is made from, or find the same note there."""
    note, text = root / NOTE, json.dumps(made_from) + "\n"
    if note.exists():
        if note.read_text() != text:
            raise UserError(f"{root} holds a stand-in made from {note.read_text().strip()}, name another folder.")
    elif any((root / f"{split}.json").exists() for split in SPLITS):
        raise UserError(f"{root} holds FiveK already, name another folder for the stand-in.")
    else:
        write_atomic(note, text)


def plan(counts: tuple[int, int, int], seed: int) -> dict[str, list[Scene]]:
    """The scenes of each split: classes in FiveK's shares, in random order."""
    rng, numbers = np.random.default_rng(derive(seed, ORDER)), itertools.count(1)
    splits = {}
    for split, count in zip(SPLITS, counts, strict=True):
        kinds = rng.permutation(np.repeat(np.arange(len(SUBJECTS)), quotas(count))).tolist()
        scenes = zip(itertools.islice(numbers, count), kinds, strict=True)
        splits[split] = [Scene(number, derive(seed, number, IMAGE), kind) for number, kind in scenes]
    return splits


def quotas(count: int) -> np.ndarray:
    """Images of each class among ``count``: one of each, then each where FiveK's share is furthest off."""
    share = np.array(list(SUBJECTS.values())) / sum(SUBJECTS.values())
    given = np.ones(len(share), int)
    while given.sum() < count:
        given[np.argmax(count * share - given)] += 1
    return given


def in_parallel(work: Callable[[Scene], None], scenes: list[Scene]) -> Iterator[None]:
    """Do all the work, on all cores where there is much of it; yields as each is done."""
    if len(scenes) < SINGLE:
        yield from map(work, scenes)
        return
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:  # torch's threads do not fork
        yield from pool.map(work, scenes)


def write_image(root: Path, side: int, scene: Scene) -> None:
    profile = prophoto()
    picture = render(scene.seed, side, scene.kind)
    # From 8 bits Little CMS is right to half a STEP or so without its slow exact mode.
    deep = cms_transform(
        picture, cms_profile("srgb"), profile, colorspace="rgb", outcolorspace="rgb", outdtype="uint16"
    )  # fmt: skip
    deep = (deep.clip(max=65535 - STEP // 2) + STEP // 2) // STEP * STEP
    file = io.BytesIO()
    tifffile.imwrite(
        file, deep, photometric="rgb", compression="zlib", predictor=2, rowsperstrip=64, iccprofile=profile,
        metadata=None, software=False,
    )  # fmt: skip
    write_atomic(root / scene.tiff, file.getvalue())


def prophoto() -> bytes:
    """The ICC profile of ProPhoto RGB, the same bytes on every day."""
    profile = bytearray(cms_profile("rgb", **PROPHOTO))
    profile[DATE] = bytes(12)
    return bytes(profile)


def record(scene: Scene) -> dict:
    """What the community's files say of an image, with the subject's box; the address is relative to the folder."""
    unknown = dict.fromkeys(("location", "time", "light"), "unknown")
    return {
        "urls": {"tiff16": {"c": scene.tiff}},
        "categories": {**unknown, "subject": list(SUBJECTS)[scene.kind]},
        "id": scene.number,
        "license": "stand-in",
        "camera": {"make": "stand-in", "model": "dead leaves"},
        "subject_box": subject_box(scene.seed),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m vsacc.tasks.standin", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="auto", help="quick, laptop, paper or auto")
    parser.add_argument("--root", type=Path, help="the folder to write, by default one of the profile's own")
    options = parser.parse_args()
    profile = resolve_profile(options.profile)
    root = options.root or FOLDER / profile
    write_standin(root, *SIZES[profile])
    print(f"the stand-in for FiveK is whole: {' + '.join(map(str, SIZES[profile][1]))} images in {root}")


if __name__ == "__main__":
    one_sentence_exit(main)
