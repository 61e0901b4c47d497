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
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

import torch
from tqdm.auto import tqdm

from ..images.download import download
from ..images.store_writing import Photo
from ..local.paths import DOWNLOADS, UserError, write_atomic
from ..reading import Question
from . import Peer, Recipe, Task
from .photographs import PhotoSplit, check_side, develop_all, open_photographs
from .standin import Standin

FOLDER = DOWNLOADS / "speed-limits"
CLASSES = ("EMPTY", "50", "70", "80")
VISIBILITIES = ("VISIBLE", "BLURRED", "SIDE_ROAD", "OCCLUDED")  # the best first
SETS = {"Set1": "train", "Set2": "test"}
COUNTS = [747, 684]  # frames of the published task in Set1 and Set2
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
HELP = "vsacc prepare speed-limits"
REPRINT = "table in Qinrong-NKU/DBPS"


def opener(split: str, device: torch.device | str, profile: str) -> PhotoSplit:
    files = (path for pattern in ("**/annotations.txt", "**/Set*.zip") for path in FOLDER.glob(pattern))
    return open_photographs(split, device, profile, FOLDER, STANDIN.open, lambda: HELP if any(files) else None)


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


def read_labels(path: Path) -> dict[str, int]:
    """Name -> place in CLASSES of the frames that the task keeps, in the order of the annotations.

    Raises UserError where the file names no frames, or a line is not of the format.
    """
    frames: dict[str, str] = {}
    for line in filter(str.strip, path.read_text(errors="replace").splitlines()):
        name, _, signs = line.strip().partition(":")
        frames[name] = frames.get(name, "") + signs
        try:
            if not name or ":" not in line:
                raise ValueError
            label_of(signs)
        except (ValueError, TypeError):
            raise UserError(f"{path} has a line that is not of its format, {line}, fetch the file again.") from None
    if not frames:
        raise UserError(f"{path} names no frames, fetch the file again.")
    return {name: label for name, signs in frames.items() if (label := label_of(signs)) is not None}


def label_of(text: str) -> int | None:
    """The class of a frame with these signs, None where it is dropped. Raises ValueError or TypeError for other text."""
    signs = [[field.strip() for field in sign.split(",")] for sign in text.split(";") if sign.strip()]
    signs = [sign for sign in signs if sign[0] != "MISC_SIGNS"]
    limits = []
    for sign in signs:
        visibility, x1, y1, x0, y0, _, name = sign
        if name.removesuffix("_SIGN") in CLASSES:
            # Some numbers of the published file are followed by a stray character.
            x1, y1, x0, y0 = (float(re.match(r"-?\d+(\.\d+)?", number)[0]) for number in (x1, y1, x0, y0))
            rank = VISIBILITIES.index(visibility), -abs(x1 - x0) * abs(y1 - y0)
            limits.append((rank, CLASSES.index(name.removesuffix("_SIGN"))))
    if not signs:
        return 0
    rank, label = min(limits, key=lambda limit: limit[0], default=((None, 0), 0))
    return label if rank[0] == 0 else None
