"""Colon cancer histopathology: 100 H&E stained images of 500 x 500; does one contain an epithelial cell?

The task is that of Ilse et al. (ICML 2018) and Katharopoulos and Fleuret (ICML 2019) on CRCHistoPhenotypes
(Sirinukunwattana et al., IEEE TMI 2016), which is given to those who register, so nothing is fetched here.
``vsacc prepare colon`` finds its files anywhere below ``--root``, pair by pair:

    Classification/img1/img1.bmp              an image
    Classification/img1/img1_epithelial.mat   MATLAB 5, "detection": (n, 2), the middles of its n epithelial cells

The ten folds of the cross-validation are our own, see :func:`folds_of`; the papers do not list theirs. "colon" is the
task whose fold 0 is the split "test", "colon:3" that of fold 3; the next fold is "validation", the other eight "train".
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..images.store_writing import Photo
from ..local.paths import DOWNLOADS, UserError
from . import Recipe, Task, derive, photographs
from .standin import Standin

CLASSES = ("no epithelium", "epithelium")
FOLDER = DOWNLOADS / "colon"
COUNT, SIDE, FOLDS = 100, 500, 10  # of images as published, of their sides in pixels, of the cross-validation
ORDER = 41  # of the images before they are dealt: this stream's purpose among all that derive from one seed
WHERE = "register at warwick.ac.uk/fac/cross_fac/tia/data/crchistolabelednucleihe for CRCHistoPhenotypes_2016_04_28.zip"
SIZES = {"quick": (256, (40, 0, 0)), "laptop": (512, (COUNT, 0, 0)), "paper": (512, (COUNT, 0, 0))}
STANDIN = Standin("colon", "colon cancer histopathology", dict.fromkeys(CLASSES, 1), (None, 0), SIZES)
RECIPES = photographs.RECIPES | {
    "laptop": Recipe(steps=600, batch=16, learning_rate=1e-3, evaluated=None, validations=10),
    "paper": Recipe(steps=5_000, batch=16, learning_rate=1e-3, evaluated=None, validations=20),
}


def parametrised(fold: str) -> Task:
    """The task of a fold, "0" to "9". Raises UserError for another one."""
    if fold not in map(str, range(FOLDS)):
        raise UserError(f"colon has no fold {fold!r}, choose one of 0 to {FOLDS - 1}.")
    roles = {int(fold): "test", (int(fold) + 1) % FOLDS: "validation"}
    return STANDIN.task(
        f"colon:{fold}",
        {"vsacc prepare colon": "*_epithelial.mat"},
        RECIPES,
        splits_of=lambda labels: [roles.get(dealt, "train") for dealt in folds_of(labels)],
    )


TASK = replace(parametrised("0"), name="colon")


def folds_of(labels: Sequence[int]) -> list[int]:
    """The fold of each image, 0 to 9: stratified, so every fold has its tenth of each class, up to one image."""
    rng, labels = np.random.default_rng(derive(0, ORDER)), np.asarray(labels)
    # One class after the other is dealt to the folds in turn.
    order = [rng.permutation(np.flatnonzero(labels == label)) for label in range(len(CLASSES))]
    return (np.argsort(np.concatenate(order)) % FOLDS).tolist()


def index(root: Path) -> list[Photo]:
    """The images of a folder in the order of their numbers. Raises UserError where there are none, or the cells of one
    cannot be read."""
    matches = ((re.fullmatch(r"img(\d+)_epithelial\.mat", path.name), path) for path in root.rglob("*.mat"))
    found = sorted({int(match[1]): path for match, path in matches if match}.items())
    if not found:
        raise UserError(f"{root} has no Classification/img1/img1_epithelial.mat and so on, {WHERE}, unpack it there.")
    return [Photo(f"img{n}", path.with_name(f"img{n}.bmp"), int(count_cells(path) > 0), "train") for n, path in found]


def count_cells(path: Path) -> int:
    """How many middles of cells a file holds. Raises UserError where it is damaged."""
    from scipy.io import loadmat  # here, with the decoders: to train, none is needed

    from ..images.develop import one_sentence_of

    with one_sentence_of(path):
        return len(loadmat(path)["detection"])


def prepare(root: Path | None = None) -> int:
    """Make the store in data/; returns the exit code, 1 where it is not all of the published set."""
    photos = index(root or FOLDER)
    missing = "" if len(photos) == COUNT else f" instead of the published {COUNT}"
    shown = sum(photo.label for photo in photos)
    source = f"colon cancer histopathology, {len(photos)} images{missing}, {shown} with epithelial cells"
    folder = FOLDER / "stores" / str(len(photos))
    left_out = photographs.develop_all(folder, photos, CLASSES, SIDE, source)
    print(*left_out, f"{source}, in {folder}", sep="\n")
    return 1 if missing or left_out else 0
