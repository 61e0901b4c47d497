"""Any folder of photographs, one folder a class, as a task, and what all tasks of photographs share.

    DIR/<class>/*.jpg                            split by a hash of each name
    DIR/{train,validation,test}/<class>/*.jpg    split as it stands; without validation, an eighth of train by the hash

``vsacc prepare photographs DIR`` develops them into a training store, "photographs:DIR" is the task."""

import hashlib
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..images.store import MANIFEST, Store, open_store
from ..images.store_writing import Photo, write_store
from ..local.paths import DOWNLOADS, UserError
from ..reading import Question
from . import Batch, FiniteSplit, Recipe, Task

SIDE = 2528  # of the paper's squares, pixels
SPLITS = {  # name of a folder: split
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
LEARNED = 0.8  # the share that is not test
SHARES = (
    ("train", 0.7),
    ("validation", LEARNED),
    ("test", 1.0),
)  # up to here; the shares of FiveK's 3500, 500 and 1000
RECIPES = {
    "quick": Recipe(steps=20, batch=16, evaluated=None, validations=2),
    "laptop": Recipe(steps=600, batch=64, evaluated=None, validations=10),
    "paper": Recipe(steps=10_000, batch=160, learning_rate=1e-3, evaluated=None, validations=20),
}


@dataclass(frozen=True)
class PhotoSplit(FiniteSplit):
    """rows: long (n,), the split's of the store's N photographs; boxes: (N, D, 4) of what all N show, or None."""

    store: Store
    rows: Tensor
    boxes: Tensor | None = None
    device: torch.device | str = "cpu"

    @property
    def protocol(self) -> str:
        height, width = self.store.sizes[0]
        return f"{self.store.source}, {height} x {width}, {len(self.store.classes)} classes"

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: Tensor) -> Batch:
        rows = self.rows[places]
        boxes = None if self.boxes is None else self.boxes[rows].to(self.device)
        return Batch(self.store.images(rows.to(self.device)), self.store.labels[rows].to(self.device), boxes)


def largest_store(folder: Path, names: str = "*[0-9]") -> Store | None:
    """The store of most photographs, and of these of most pixels, below ``folder``/stores. The name of one that has
    all classes ends in a number."""
    stores = [open_store(path.parent) for path in folder.glob(f"stores/{names}/{MANIFEST}")]
    return max(stores, key=lambda store: (len(store.names), store.sizes[0]), default=None)


def parametrised(folder: str) -> Task:
    """The task of a folder of photographs, or of a store. Its largest store is used; where it has none, one is made."""
    root, stores = Path(folder), f"*-{digest(Path(folder))}"
    if (root / MANIFEST).exists():
        store = open_store(root)
    elif not (store := largest_store(DOWNLOADS, stores)):
        prepare(root, SIDE)
        store = largest_store(DOWNLOADS, stores)

    def opener(split: str, device: torch.device | str, profile: str) -> PhotoSplit:
        return PhotoSplit(store, store.rows(split), None, device)

    question = Question(torch.arange(len(store.classes)), store.classes)
    return Task(f"photographs:{folder}", question, opener, RECIPES, channels=3)


def prepare(root: Path, side: int = SIDE, out: Path | None = None) -> None:
    """Develop the photographs of ``root`` into a store of ``side`` x ``side`` pixels, by default in data/downloads, and
    say what is in it and what was left out."""
    photos, classes = find(root)
    name = root.resolve().name
    folder = out or DOWNLOADS / "stores" / f"{name}-{side}-{digest(root)}"
    left_out = develop_all(folder, photos, classes, side, f"photographs of {name}")
    store = open_store(folder)
    counts = ", ".join(f"{store.splits.count(split)} {split}" for split in dict.fromkeys(store.splits))
    print(*left_out, f"{len(store.names)} photographs of {len(store.classes)} classes ({counts}) in {folder}", sep="\n")


def digest(root: Path) -> str:
    """Tells the store of a folder from that of another folder of the same name."""
    return f"{zlib.crc32(os.fsencode(root.resolve())):08x}"


def develop_all(
    folder: Path, photos: Sequence[Photo], classes: Sequence[str], side: int, source: str, prophoto: bool = False
) -> list[str]:
    """:func:`.write_store` of squashed photographs. Raises UserError where ``side`` is too small for a proxy too."""
    from ..images.develop import develop_square  # here, with its decoders: to train, none is needed

    if side < 32:
        raise UserError(f"side {side} is too small, choose 32 pixels or more.")
    return write_store(folder, photos, classes, side, partial(develop_square, side=side, prophoto=prophoto), source)


def find(root: Path) -> tuple[list[Photo], list[str]]:
    """The photographs of a folder, by their names, which are their paths below ``root``, and the classes. Hidden files,
    files of other kinds and links that lead out of the folder are passed over. Raises UserError where there is no
    folder, or no class in it."""
    from ..images.develop import SUFFIXES

    root = root.resolve()
    if not root.is_dir():
        raise UserError(f"{root} is not a folder, name the one that holds a folder of photographs for each class.")
    tops = [(root / name, split) for name, split in sorted(SPLITS.items()) if (root / name).is_dir()]
    splits = {split for _, split in tops}
    found = []
    for top, split in tops or [(root, None)]:
        for path in tqdm(top.rglob("*"), "photographs found", delay=2, disable=None):  # it follows no link to a folder
            name, parts = path.relative_to(root).as_posix(), path.relative_to(top).parts
            if any(part.startswith(".") for part in parts) or path.suffix.lower() not in SUFFIXES:
                continue
            if len(parts) > 1 and path.is_file() and path.resolve().is_relative_to(root):
                if split is None:
                    mine = split_of(name)
                elif split == "train" and splits == {"train", "test"}:  # a part of what is to be learned is held out
                    mine = split_of(name, LEARNED)
                else:
                    mine = split
                found.append((name, path, parts[0], mine))
    if not found:
        raise UserError(f"{root} has no photographs in class folders, put them as <class>/name.jpg or "
                        "train/<class>/name.jpg below it.")  # fmt: skip
    classes = sorted({label for _, _, label, _ in found})
    return [Photo(n, p, classes.index(label), split) for n, p, label, split in sorted(found)], classes


def split_of(name: str, most: float = 1.0) -> str:
    """The split of a photograph that comes without one, from its name alone: others coming or going do not move it.
    most: the share of SHARES to draw from."""
    share = most * int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:4]) / 2**32
    return next(split for split, end in SHARES if share < end)
