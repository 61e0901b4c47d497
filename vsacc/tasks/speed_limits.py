"""Swedish speed limits: 747 + 684 road frames of 1280 x 960 that show a 50, 70 or 80 sign or no sign at all.

The task is that of Katharopoulos and Fleuret (ICML 2019), on the Swedish traffic signs of Larsson and Felsberg (SCIA
2011): Set1 trains, Set2 tests. ``vsacc prepare speed-limits`` fetches what is missing and develops it once into a
training store. Below its ``--root`` it finds Set1/annotations.txt, and the frames or Set1Part0.zip anywhere in Set1.

A line of the annotations tells of a frame; the corners of a sign are in pixels, the lower right one first:

    1277381616Image000004.jpg:VISIBLE, 992.000000, 510.000000, 958.000000, 475.000000, PROHIBITORY, 70_SIGN;MISC_SIGNS;

A frame without signs is EMPTY, one whose most visible limit sign, the largest of equals, is VISIBLE shows that limit,
and every other frame is dropped. Limits are 50, 70 and 80 only. MISC_SIGNS, which nobody could read, count as none."""

import hashlib
import re
import zlib
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from tqdm.auto import tqdm

from ..images.download import Job, download_all
from ..images.store_writing import Photo
from ..local.paths import DOWNLOADS, UserError, write_atomic
from . import Peer, Recipe
from .photographs import develop_all
from .standin import Standin

FOLDER = DOWNLOADS / "speed-limits"
CLASSES = ("EMPTY", "50", "70", "80")
LIMITS = {"50_SIGN": 1, "70_SIGN": 2, "80_SIGN": 3}  # name of a sign: place in CLASSES
VISIBILITIES = ("VISIBLE", "BLURRED", "SIDE_ROAD", "OCCLUDED")  # the best first
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
SIZES = {"quick": (256, (40, 0, 24)), "laptop": (512, (400, 0, 150)), "paper": (SIDE, (747, 0, 684))}
STANDIN = Standin("speed-limits", "the Swedish speed limits", dict.fromkeys(CLASSES, 1), (None, 0, 1, 2), SIZES)
REPRINT = "table in Qinrong-NKU/DBPS"
TASK = STANDIN.task(
    "speed_limits",
    {"vsacc prepare speed-limits": "annotations.txt"},
    {
        "quick": Recipe(steps=20, batch=16, evaluated=None),
        "laptop": Recipe(steps=1200, batch=32, evaluated=None),
        # 500 epochs of 747 frames in batches of 32, as published.
        "paper": Recipe(steps=11_700, batch=32, learning_rate=1e-3, evaluated=None),
    },
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


def read_labels(path: Path) -> dict[str, int]:
    """Name -> place in CLASSES of the frames that the task keeps, in the order of the annotations. Raises UserError
    where a line is not of the format."""
    frames: dict[str, list] = {}
    for line in filter(str.strip, path.read_text(errors="replace").splitlines()):
        try:
            name, signs = re.fullmatch(r"\s*([^:]+):(.*)", line).groups()
            signs = [sign for sign in map(str.strip, signs.split(";")) if sign and not sign.startswith("MISC_SIGNS")]
            frames.setdefault(name, []).extend(map(parse_sign, signs))
        except (ValueError, TypeError, AttributeError):
            raise UserError(f"{path} has a line that cannot be read, {line}, fetch the file again.") from None
    labels = {}
    for name, signs in frames.items():
        limits = [sign for sign in signs if sign] if signs else [(0, 0, 0)]
        visibility, _, label = min(limits, key=lambda sign: sign[:2], default=(None, None, None))
        if visibility == 0:
            labels[name] = label
    return labels


def parse_sign(text: str) -> tuple[int, float, int] | None:
    """A limit as (place in VISIBILITIES, minus its area, class), so that the least counts; None for another sign."""
    visibility, x1, y1, x0, y0, _, name = map(str.strip, text.split(","))
    if name not in LIMITS:
        return None
    # Some numbers of the published file are followed by a stray character.
    x1, y1, x0, y0 = (float(re.match(r"-?\d+(\.\d+)?", number)[0]) for number in (x1, y1, x0, y0))
    return VISIBILITIES.index(visibility), -abs(x1 - x0) * abs(y1 - y0), LIMITS[name]


def find_files(root: Path, name: str) -> dict[str, Path]:
    """Name -> path of all that lies in Set1 or Set2. Looked for by listing: no annotated name becomes a path."""
    return {path.name: path for path in (root / name).rglob("*") if path.is_file()}


def prepare(root: Path | None = None, side: int = SIDE) -> int:
    """Fetch into ``root`` and develop into data/; returns the exit code, 1 where it is not the published set."""
    photos, told = [], []
    for name, split in SETS.items():
        labels = fetch(root or FOLDER, name)
        files = find_files(root or FOLDER, name)
        photos += [Photo(f"{name}/{frame}", files[frame], labels[frame], split) for frame in labels if frame in files]
        if missing := [frame for frame in labels if frame not in files]:
            told.append(f"{len(missing)} of {len(labels)} frames of {name} are missing, the first is {missing[0]}.")
    counts = tuple(sum(photo.split == split for photo in photos) for split in SETS.values())
    differing = "" if counts == COUNTS else f" instead of the published {COUNTS[0]} + {COUNTS[1]}"
    source = f"Swedish speed limits, {counts[0]} + {counts[1]} frames{differing}"
    folder = FOLDER / "stores" / "-".join(map(str, (side, *counts)))
    told += develop_all(folder, photos, CLASSES, side, source)
    print(*told, f"{source}, in {folder}", sep="\n")
    return 1 if told or differing else 0


def fetch(root: Path, name: str) -> dict[str, int]:
    """Bring what is lacking of Set1 or Set2: the annotations, and of the zip the frames that the task keeps, whose
    labels are returned."""
    files = find_files(root, name)
    annotations = files.get("annotations.txt") or fetch_file(f"{name}/annotations.txt", root)
    if hashlib.md5(annotations.read_bytes()).hexdigest() != MD5[name]:
        print(f"{annotations} is another file than attention sampling was trained with, so its counts may differ.")
    labels = read_labels(annotations)
    if lacking := labels.keys() - files.keys():
        archive = files.get(f"{name}Part0.zip") or fetch_file(f"{name}/{name}Part0.zip", root)
        unpack(archive, lacking, root / name / f"{name}Part0")
    return labels


def fetch_file(name: str, root: Path) -> Path:
    """A file from the first site that gives it, to the same place below ``root``."""
    for site in SITES:
        failures = download_all([Job(f"{site}/{name}", root / name)])
        if not failures:
            return root / name
    raise UserError(f"{failures[0].reason.rstrip('.')}, or put {name} into {root} by hand.")


def unpack(archive: Path, wanted: set[str], folder: Path) -> None:
    """Take the frames of these names out of a zip, whatever folders it has. Each comes whole or not at all."""
    try:
        with ZipFile(archive) as file:
            members = {PurePosixPath(member.filename).name: member for member in file.infolist()}
            for name in tqdm(sorted(wanted & members.keys()), f"frames of {archive.name}", delay=2):
                write_atomic(folder / name, file.read(members[name]))
    except (BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UserError(f"{archive} is damaged ({str(error).rstrip('.')}), delete it and run this again.") from error
