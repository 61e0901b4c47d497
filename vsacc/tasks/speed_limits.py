"""Swedish speed limits: 747 + 684 road frames of 1280 x 960 that show a 50, 70 or 80 sign or no sign at all.

The task is that of Katharopoulos and Fleuret (ICML 2019), on the Swedish traffic signs of Larsson and Felsberg (SCIA
2011): Set1 trains, Set2 tests. ``vsacc prepare speed-limits`` fetches what is missing and develops it once into a
training store. Files that came another way are found where they lie below its ``--root``:

    Set1/annotations.txt, Set1/*.jpg                         as attention sampling's script leaves them
    Set1/annotations.txt, Set1/Set1Part0/*.jpg               as this command leaves them
    Set1Part0/annotations.txt, Set1Part0/*.jpg               zips unpacked side by side
    Set1/Set1Part0.zip, Set1Part0.zip or Set1.zip            not unpacked yet

A line of the annotations tells of a frame; the corners of a sign are in pixels, the lower right one first:

    1277381616Image000004.jpg:VISIBLE, 992.000000, 510.000000, 958.000000, 475.000000, PROHIBITORY, 70_SIGN;MISC_SIGNS;

A frame without signs is EMPTY, one whose most visible limit sign is VISIBLE shows that limit, and every other frame is
dropped. Limits are 50, 70 and 80 only. MISC_SIGNS, signs that nobody could read, count as none. Of equally visible
signs the largest counts.
"""

import hashlib
import re
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

import torch
from tqdm.auto import tqdm

from ..images.download import download
from ..images.store import Store
from ..images.store_writing import Photo
from ..local.paths import DOWNLOADS, UserError, write_atomic
from ..reading import Question
from . import Peer, Recipe, Task, signs_standin
from .photographs import PhotoSplit, check_side, develop_all, drawn_store, open_photographs

FOLDER = DOWNLOADS / "speed-limits"
CLASSES = ("EMPTY", "50", "70", "80")
LIMITS = ("50_SIGN", "70_SIGN", "80_SIGN")
VISIBILITIES = ("VISIBLE", "BLURRED", "SIDE_ROAD", "OCCLUDED")  # the best first
UNREADABLE = "MISC_SIGNS"
FIELDS = 7  # of a sign: visibility, four numbers, type and name
NUMBER = re.compile(r"-?\d+(\.\d+)?")
SETS = {"Set1": "train", "Set2": "test"}
COUNTS = (747, 684)  # frames of the published task in Set1 and Set2
SIDE = 1280  # of the squares that frames of 1280 x 960 become: no column is lost
SITES = (  # of Linkoping University, the published address first
    "http://www.isy.liu.se/cvl/research/trafficSigns/swedishSignsSummer",
    "https://www.cvl.isy.liu.se/research/trafficSigns/swedishSignsSummer",
)
MD5 = {  # of annotations.txt, from attention sampling's script; sums of the zips are not published
    "Set1": "9106a905a86209c95dc9b51d12f520d6",
    "Set2": "09debbc67f6cd89c1e2a2688ad1d03ca",
}
HELP = "vsacc prepare speed-limits"
AGAIN = "fetch the file again"
REPRINT = "table in Qinrong-NKU/DBPS"


def opener(split: str, device: torch.device | str, profile: str) -> PhotoSplit:
    return open_photographs(split, device, profile, FOLDER, undeveloped, open_standin)


def undeveloped() -> str | None:
    if any(find_annotations(FOLDER, name) or find_archive(FOLDER, name) for name in SETS):
        return f"the Swedish traffic signs are there and no store of them, make it with {HELP}."


def open_standin(profile: str) -> tuple[Store, None]:
    root, (width, counts) = signs_standin.FOLDER / profile, signs_standin.SIZES[profile]
    folder = root / "stores" / str(width)

    def make() -> list[str]:
        signs_standin.write_standin(root, width, counts)
        return develop_all(folder, index(root)[0], CLASSES, width, "stand-in for the Swedish speed limits, drawn")

    return drawn_store(root, folder, make), None  # no boxes: an EMPTY frame has none


TASK = Task(
    "speed_limits",
    Question(torch.arange(len(CLASSES)), CLASSES),
    opener,
    {
        "quick": Recipe(steps=20, batch=16, evaluated=None),
        "laptop": Recipe(steps=1200, batch=32, evaluated=None),
        # 500 epochs of 747 frames in batches of 32, as published.
        "paper": Recipe(steps=11_700, batch=32, learning_rate=1e-3, evaluated=None),
    },
    channels=3,
    published=(
        Peer("random patches", "10 patches", 0.507, REPRINT),
        Peer("ResNet-18, 0.3 of the side", "coarse view", 0.763, REPRINT),
        Peer("ResNet-18", "every pixel", 0.841, REPRINT),
        Peer("attention sampling (2019)", "coarse view + 5 patches", 0.911, REPRINT),
        Peer("Zoom-In (2022)", "coarse view + 10 patches", 0.926, REPRINT),
        Peer("differentiable patch selection (2021), pretrained", "coarse view + 10 patches", 0.972, REPRINT),
        Peer("iterative patch selection (2023), pretrained", "every pixel", 0.986, REPRINT),
        Peer("DBPS, extended (2025), pretrained", "every pixel", 0.993, REPRINT),
    ),
)


# The annotations


def read_labels(path: Path) -> dict[str, int]:
    """Name -> place in CLASSES of the frames that the task keeps, in the order of the annotations.

    Raises UserError where the file cannot be read, or a line is not of the format.
    """
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}), {AGAIN}.") from error
    frames: dict[str, list] = {}
    for number, line in enumerate(lines, 1):
        name, colon, signs = line.strip().partition(":")
        if not name and not colon:
            continue
        try:
            if not name or not colon:
                raise ValueError("it does not start with the name of a frame and a colon")
            parts = [part.strip() for part in signs.split(";")]
            signs = [parse_sign(part) for part in parts if part and part.split(",")[0] != UNREADABLE]
        except ValueError as error:
            raise UserError(f"{path} line {number} cannot be read ({error}), {AGAIN}.") from None
        frames.setdefault(name, []).extend(signs)
    if not frames:
        raise UserError(f"{path} names no frames, {AGAIN}.")
    return {name: label for name, signs in frames.items() if (label := label_of(signs)) is not None}


def label_of(signs: list[tuple[int, float, str] | None]) -> int | None:
    """The class of a frame with these signs, None where it is dropped."""
    if not signs:
        return 0
    limits = [sign for sign in signs if sign is not None]
    visibility, _, name = min(limits, key=lambda sign: sign[:2], default=(None, None, None))
    return 1 + LIMITS.index(name) if visibility == 0 else None


def parse_sign(text: str) -> tuple[int, float, str] | None:
    """A limit as (place in VISIBILITIES, minus its area, name), so that the least one counts; None for another sign."""
    fields = [field.strip() for field in text.split(",")]
    if len(fields) != FIELDS:
        raise ValueError(f"a sign of {len(fields)} fields instead of {FIELDS}")
    visibility, *corners, _, name = fields
    if name not in LIMITS:
        return None
    if visibility not in VISIBILITIES:
        raise ValueError(f"a sign that is {visibility!r}, which is none of {', '.join(VISIBILITIES)}")
    x1, y1, x0, y0 = map(parse_number, corners)
    return VISIBILITIES.index(visibility), -abs(x1 - x0) * abs(y1 - y0), name


def parse_number(text: str) -> float:
    """A coordinate; some numbers of the published file are followed by a stray character."""
    if not (match := NUMBER.match(text)):
        raise ValueError(f"{text!r} is no number")
    return float(match[0])


# The files


def index(root: Path) -> tuple[list[Photo], list[str]]:
    """The photographs of the task on this disk, and a sentence on each set of which frames are missing. Raises
    UserError where annotations are."""
    photos, told = [], []
    for name, split in SETS.items():
        annotations = find_annotations(root, name)
        if annotations is None:
            raise UserError(f"{root} has no {name}/annotations.txt, fetch it with {HELP}.")
        files, labels = find_files(root, name), read_labels(annotations)
        photos += [Photo(f"{name}/{frame}", files[frame], labels[frame], split) for frame in labels if frame in files]
        if missing := [frame for frame in labels if frame not in files]:
            told.append(f"{len(missing)} of {len(labels)} frames of {name} are missing, the first is {missing[0]}.")
    return photos, told


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


def prepare(root: Path | None = None, side: int = SIDE) -> int:
    """Fetch into ``root`` and develop into data/; returns the exit code, 1 where it is not the published set."""
    check_side(side)
    root = root or FOLDER
    for name in SETS:
        fetch(root, name)
    photos, told = index(root)
    counts = [sum(photo.split == split for photo in photos) for split in SETS.values()]
    source, folder = describe(counts), FOLDER / "stores" / "-".join(map(str, (side, *counts)))
    told += develop_all(folder, photos, CLASSES, side, source)
    print(*told, f"{source}, in {folder}", sep="\n")
    return 0 if tuple(counts) == COUNTS and not told else 1


def describe(counts: Sequence[int]) -> str:
    """The frames of Set1 and Set2 in words, for titles and records."""
    found, published = (f"{train} + {test}" for train, test in (counts, COUNTS))
    differing = "" if found == published else f" instead of the published {published}"
    return f"Swedish speed limits, {found} frames{differing}"


def fetch(root: Path, name: str) -> None:
    """Bring what is lacking of Set1 or Set2: the annotations, and of the zip the frames that the task keeps."""
    annotations = find_annotations(root, name) or fetch_file(f"{name}/annotations.txt", root)
    if hashlib.md5(annotations.read_bytes()).hexdigest() != MD5[name]:
        print(f"{annotations} is another file than attention sampling was trained with, so its counts may differ.")
    lacking = read_labels(annotations).keys() - find_files(root, name).keys()
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
