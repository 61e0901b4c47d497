"""MIT-5k as a task: FiveK where a store of it has been prepared, else the stand-in, made on first use."""

import json
from functools import lru_cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

from ..images.develop import develop_square
from ..images.store_read import MANIFEST, Store, open_store
from ..images.store_write import write_store
from ..local.paths import UserError
from . import fivek, standin


class Mit5k(NamedTuple):
    """An open store and, for the stand-in, the boxes (N, 1, 4) of its subjects in [-1, 1] coordinates."""

    store: Store
    boxes: Tensor | None


@lru_cache
def open_mit5k(profile: str) -> Mit5k:
    """FiveK's largest store in data/, or the stand-in at the size of ``profile`` (always in "quick", which CI runs).

    Raises UserError where FiveK's files are there and not developed yet, or the stand-in cannot be made.
    """
    if profile != "quick":
        stores = [path.parent for path in fivek.FOLDER.glob(f"stores/*/{MANIFEST}")]
        whole = [open_store(path) for path in stores if not path.name.endswith(fivek.CLASSES)]
        if whole:
            return Mit5k(max(whole, key=lambda store: (len(store.names), store.sizes[0])), None)
        for source in fivek.SOURCES:
            if fivek.find_files(fivek.FOLDER, source):
                command = f"python -m vsacc.tasks.fivek prepare --source {source}"
                raise UserError(f"FiveK's files are there and no store of them, develop them with {command}.")
    return open_standin(profile)


def open_standin(profile: str) -> Mit5k:
    """The stand-in of a profile, drawn and developed first where it is not there."""
    root, (side, counts) = standin.FOLDER / profile, standin.SIZES[profile]
    folder = fivek.store_folder(root, "c", side)
    if not (folder / MANIFEST).exists():
        standin.write_standin(root, side, counts)
        develop = partial(develop_square, side=side, prophoto=True)
        left_out = write_store(folder, fivek.index(root, "c"), fivek.CLASSES, side, develop, fivek.describe(root, "c"))
        if left_out:
            raise UserError(f"the stand-in is damaged, delete {root} and draw it again: {left_out[0]}")
    store = open_store(folder)
    records = {
        name: record
        for split in standin.SPLITS
        for name, record in json.loads((root / f"{split}.json").read_text()).items()
    }
    return Mit5k(store, torch.tensor([[records[name]["subject_box"]] for name in store.names]))
