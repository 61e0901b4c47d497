"""Colon cancer histopathology: 100 H&E stained images of 500 x 500; does one contain an epithelial cell?

The task is that of Ilse et al. (ICML 2018) and Katharopoulos and Fleuret (ICML 2019) on CRCHistoPhenotypes
(Sirinukunwattana et al., IEEE TMI 2016), which is given to those who register, so nothing is fetched here.
``vsacc prepare colon`` finds its files anywhere below ``--root``, pair by pair:

    Classification/img1/img1.bmp              an image
    Classification/img1/img1_epithelial.mat   MATLAB 5, "detection": (n, 2), the middles of its n epithelial cells

The ten folds of the cross-validation are our own, see :func:`folds_of`; the papers do not list theirs. "colon" is the
task whose fold 0 is the split "test", "colon:3" that of fold 3.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..images.store import Store
from ..images.store_writing import Photo, write_store
from ..local.paths import DOWNLOADS, UserError
from ..reading import Question
from . import Recipe, Task, derive
from .photographs import PhotoSplit, largest_store

CLASSES = ("no epithelium", "epithelium")
FOLDER = DOWNLOADS / "colon"
COUNT, SIDE = 100, 500  # images as published, and pixels of their sides
FOLDS = 10
ORDER = 41  # of the images before they are dealt: this stream's purpose among all that derive from one seed
CELLS = re.compile(r"img(\d+)_epithelial\.mat")
HELP = "vsacc prepare colon"
WHERE = "register at warwick.ac.uk/fac/cross_fac/tia/data/crchistolabelednucleihe for CRCHistoPhenotypes_2016_04_28.zip"
RECIPES = {
    "quick": Recipe(steps=20, batch=16, evaluated=None, validations=2),
    "laptop": Recipe(steps=600, batch=16, learning_rate=1e-3, evaluated=None, validations=10),
    "paper": Recipe(steps=5_000, batch=16, learning_rate=1e-3, evaluated=None, validations=20),
}


def parametrised(fold: str) -> Task:
    """The task of a fold, "0" to "9". Raises UserError for another one."""
    if fold not in map(str, range(FOLDS)):
        raise UserError(f"colon has no fold {fold!r}, choose one of 0 to {FOLDS - 1}.")

    def opener(split: str, device: torch.device | str, profile: str) -> PhotoSplit:
        store = open_fold(int(fold))
        return PhotoSplit(store, store.rows(split), None, device)

    return Task(f"colon:{fold}", Question(torch.arange(len(CLASSES)), CLASSES), opener, RECIPES, channels=3)


TASK = replace(parametrised("0"), name="colon")


def open_fold(fold: int) -> Store:
    """The images, split for one run of the cross-validation: fold number ``fold`` is the split "test", the next one
    "validation", the other eight "train". Raises UserError where no store has been made."""
    store = largest_store(FOLDER)
    if store is None:
        raise UserError(f"the colon cancer images are not here, {WHERE}, unpack it into {FOLDER} and run {HELP}.")
    roles = {f"fold {fold}": "test", f"fold {(fold + 1) % FOLDS}": "validation"}
    return store._replace(splits=tuple(roles.get(name, "train") for name in store.splits))


def index(root: Path) -> list[Photo]:
    """The images of a folder in the order of their numbers, each with its fold as its split.

    Raises UserError where there are none, one is there twice, or the cells of one cannot be read.
    """
    found = sorted((int(match[1]), path) for path in root.rglob("*.mat") if (match := CELLS.fullmatch(path.name)))
    if not found:
        raise UserError(
            f"{root} has no Classification/img1/img1_epithelial.mat and so on, {WHERE}, and unpack it there."
        )
    numbers = [number for number, _ in found]
    if twice := [number for number in numbers if numbers.count(number) > 1]:
        raise UserError(f"img{twice[0]}_epithelial.mat is below {root} more than once, take the others away.")
    labels = [int(count_cells(path) > 0) for _, path in found]
    return [
        Photo(f"img{number}", path.with_name(f"img{number}.bmp"), label, f"fold {fold}")
        for (number, path), label, fold in zip(found, labels, folds_of(labels), strict=True)
    ]


def folds_of(labels: Sequence[int], seed: int = 0) -> list[int]:
    """The fold of each image, 0 to 9: stratified, so every fold has its tenth of each class, up to one image."""
    rng, order = np.random.default_rng(derive(seed, ORDER)), []
    for label in range(len(CLASSES)):  # one class after the other is dealt to the folds in turn
        order += rng.permutation(np.flatnonzero(np.array(labels) == label)).tolist()
    return (np.argsort(order) % FOLDS).tolist()


def count_cells(path: Path) -> int:
    """How many middles of cells a file holds. Raises UserError where it is damaged or holds something else."""
    from scipy.io import loadmat  # here: only this file of all that trains needs SciPy

    try:
        cells = loadmat(path)["detection"]
    except Exception as error:  # SciPy raises any, of damaged files
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} cannot be read ({reason.rstrip('.')}), unpack it again.") from error
    if cells.size and (cells.ndim != 2 or cells.shape[1] != 2):
        raise UserError(f"{path} holds {cells.shape} instead of n pairs of coordinates, unpack it again.")
    return cells.size // 2


def read_image(path: Path) -> np.ndarray:
    """A BMP file as uint8 (3, 500, 500). Raises UserError where it is damaged."""
    from PIL import Image

    from ..images.develop import fit_square, one_sentence_of  # here: decoders of photographs are not needed to train

    with one_sentence_of(path), Image.open(path, formats=("BMP",)) as image:
        return fit_square(np.asarray(image.convert("RGB")), SIDE)


def prepare(root: Path | None = None) -> int:
    """Make the store in data/; returns the exit code, 1 where it is not all of the published set."""
    photos = index(root or FOLDER)
    shown = sum(photo.label for photo in photos)
    missing = "" if len(photos) == COUNT else f" instead of the published {COUNT}"
    source = f"colon cancer histopathology, {len(photos)} images{missing}, {shown} with epithelial cells"
    folder = FOLDER / "stores" / str(len(photos))
    left_out = write_store(folder, photos, CLASSES, SIDE, read_image, source)
    print(*left_out, f"{source}, in {folder}", sep="\n")
    return 1 if missing or left_out else 0
