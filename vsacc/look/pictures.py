"""Pictures for a model to look at: fixed test images and the reader's own files, each made when it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..images.develop import SUFFIXES, develop
from ..local.paths import UserError
from ..sampler import Images, build_pyramid, glimpse, upscale
from ..tasks.base import TEST_BATCH, TEST_SEED, ClutteredSplit, PhotoSplit
from ..tasks.cluttered import CANVAS

DISPLAY = 400  # pixels, side of an image as it is shown
TEST_IMAGES = 10_000


class Picture(NamedTuple):
    """One image to look at. images: of batch 1; small: uint8 (h, w) or (h, w, 3), all of it at the size of the
    screen; truth: its class, None where unknown."""

    images: Images
    title: str
    truth: int | None
    small: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the image itself."""
        return self.images.sizes[0]


def channels_last(images: Tensor) -> np.ndarray:
    """(N, C, h, w) -> (N, h, w) of grey or (N, h, w, 3) of colour images."""
    return (images[:, 0] if images.shape[1] == 1 else images.movedim(1, -1)).numpy()


def make_picture(images: Images, title: str, truth: int | None = None) -> Picture:
    """A picture of images of batch 1; reads no more of them than the screen shows."""
    side = min(DISPLAY, max(images.sizes[0]))
    small = glimpse(images, torch.tensor([[1.0, 0.0, 0.0]]), side)
    return Picture(images, title, truth, channels_last((small * 255).round().to(torch.uint8))[0])


def open_picture(path: Path, channels: int) -> Picture:
    """A photograph or picture file, in grey where ``channels`` is 1. Raises UserError where it cannot be opened."""
    pixels = develop(path)  # (H, W, 3)
    if channels == 1:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))[..., None]
    height, width = pixels.shape[:2]
    images = torch.tensor(np.moveaxis(pixels, -1, 0)[None])  # (1, C, H, W)
    return make_picture(build_pyramid(images), f"{path.name}, {width} x {height}")


@dataclass(frozen=True)
class Folder(Sequence[Picture]):
    """The reader's own files; each is opened when it is asked for, in grey where ``channels`` is 1."""

    paths: Sequence[Path]
    channels: int

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Picture:
        return open_picture(self.paths[index], self.channels)


def open_folder(folder: str, channels: int) -> Folder:
    """The photographs and pictures in a folder, by name. Raises UserError where there are none."""
    paths = sorted(p for p in Path(folder).expanduser().glob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise UserError(f"{folder} holds no file that ends in {', '.join(SUFFIXES)}, name a folder of photographs.")
    return Folder(paths, channels)


@dataclass(frozen=True)
class Photographs(Sequence[Picture]):
    """The photographs of a split, read from its store where a look needs them."""

    split: PhotoSplit
    classes: Sequence[str]

    def __len__(self) -> int:
        return len(self.split.rows)

    def __getitem__(self, index: int) -> Picture:
        batch = self.split.take(torch.arange(len(self))[[index]])
        height, width = batch.images.sizes[0]
        source = "stand-in" if "stand-in" in self.split.protocol else "photograph"
        truth = batch.labels.item()
        return make_picture(batch.images, f"{source} {index}, {width} x {height}, true {self.classes[truth]}", truth)


@dataclass(frozen=True)
class FixedTest(Sequence[Picture]):
    """The fixed test set of a cluttered task, enlarged to side x side; each picture is made when it is asked for."""

    split: ClutteredSplit
    classes: Sequence[str]
    side: int = CANVAS

    def __len__(self) -> int:
        return TEST_IMAGES

    def __getitem__(self, index: int) -> Picture:
        if not 0 <= index < len(self):
            raise IndexError(index)
        batch = self.split.draw(TEST_BATCH, TEST_SEED, index // TEST_BATCH)
        row = slice(index % TEST_BATCH, index % TEST_BATCH + 1)
        image, truth = batch.images.level(0)[row], batch.labels[row].item()
        # Only the one image is enlarged: a batch of them would be a gigabyte.
        image = upscale(image, self.side) if self.side != CANVAS else image.clone()
        title = f"test image {index}, {self.side} x {self.side}, true {self.classes[truth]}"
        return make_picture(build_pyramid(image), title, truth)
