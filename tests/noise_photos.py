"""Photographs of noise, each a function of its name, for the tests of the store and the processes they start."""

from pathlib import Path

from conftest import noise
from vsacc.images.store_writing import Photo

SIDE, CLASSES = 150, ("cat", "dog")


def photo_list(count, first=0):
    return [Photo(f"p{i}", Path(f"{i}.jpg"), i % 2, "train" if i % 3 else "test") for i in range(first, first + count)]


def develop(path):
    """A photograph that is a function of its name."""
    return noise(3, SIDE, SIDE, seed=int(path.stem))
