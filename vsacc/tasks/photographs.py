"""Any folder of photographs, one folder a class, into a training store.

    DIR/<class>/*.jpg                            split by a hash of each name
    DIR/{train,validation,test}/<class>/*.jpg    split as it stands

python -m vsacc.tasks.photographs prepare DIR [--side 2528] [--out FOLDER]
"""

import argparse
import os
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tqdm import tqdm

from ..images.develop import SUFFIXES, develop_square
from ..images.store_read import open_store
from ..images.store_write import Photo, write_store
from ..local.paths import DOWNLOADS, UserError, one_sentence_exit
from .splits import split_of

SPLITS = {  # name of a folder: split
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


def find(root: Path | str) -> tuple[list[Photo], list[str], list[str]]:
    """The photographs of a folder, by name: (photographs, classes, names of links that lead out of it, not followed).

    Hidden files and files of other kinds are passed over. A photograph's name is its path below ``root``.
    Raises UserError where there is no folder, or no class in it.
    """
    root = Path(root).resolve()
    if not root.is_dir():
        raise UserError(f"{root} is not a folder, name the one that holds a folder of photographs for each class.")
    tops = [(root / name, split) for name, split in sorted(SPLITS.items()) if (root / name).is_dir()]
    found, outside = [], []
    for top, split in tops or [(root, None)]:
        for path in tqdm(files_of_classes(top), "photographs found", delay=2, disable=None):
            name = path.relative_to(root).as_posix()
            if not path.resolve().is_relative_to(root):
                outside.append(name)
            elif path.is_file():
                found.append((name, path, path.relative_to(top).parts[0], split or split_of(name)))
    if not found:
        raise UserError(f"{root} has no photographs in class folders, put them as <class>/name.jpg or "
                        "train/<class>/name.jpg below it.")  # fmt: skip
    classes = sorted({label for _, _, label, _ in found})
    return [Photo(n, p, classes.index(label), split) for n, p, label, split in sorted(found)], classes, sorted(outside)


def files_of_classes(top: Path) -> Iterator[Path]:
    """Photographs below the folders of ``top``, and links that might be some."""
    for folder, folders, names in os.walk(top):
        folders[:] = [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if (Path(folder) / name).is_symlink()]  # os.walk does not enter them
        if Path(folder) == top:
            names = []
        photos = [name for name in names if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES]
        yield from (Path(folder) / name for name in links + photos)


def default_folder(root: Path | str, side: int) -> Path:
    """Where the store of a folder goes: told apart from that of another folder of the same name."""
    root = Path(root).resolve()
    return DOWNLOADS / "stores" / f"{root.name}-{side}-{zlib.crc32(os.fsencode(root)):08x}"


def prepare(root: Path | str, side: int, folder: Path | str | None = None) -> Path:
    """Develop the photographs of ``root`` into a store of ``side`` x ``side`` pixels; returns the store's folder."""
    if side < 32:
        raise UserError(f"side {side} is too small, choose 32 pixels or more.")
    photos, classes, outside = find(root)
    folder = Path(folder) if folder else default_folder(root, side)
    source = f"photographs of {Path(root).resolve().name}"
    left_out = write_store(folder, photos, classes, side, partial(develop_square, side=side), source)
    for sentence in [*left_out, *(f"{name} leads out of the folder and is not followed." for name in outside)]:
        print(sentence)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m vsacc.tasks.photographs", description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["prepare"])
    parser.add_argument("root", metavar="DIR", type=Path)
    parser.add_argument("--side", type=int, default=2528, help="pixels; photographs are squashed to squares")
    parser.add_argument("--out", type=Path, help="folder of the store, else one in data/downloads/stores")
    options = parser.parse_args()
    folder = prepare(options.root, options.side, options.out)
    store = open_store(folder)
    counts = ", ".join(f"{store.splits.count(split)} {split}" for split in dict.fromkeys(store.splits))
    print(f"{len(store.names)} photographs of {len(store.classes)} classes ({counts}) in {folder}")


if __name__ == "__main__":
    one_sentence_exit(main)
