"""What can be learned here: every task by name, its labels, and its images as batches.

A split is drawn from in two ways: endless training batches that are a function of (seed, index) alone, and a fixed
set to measure on. Training and evaluation know nothing else of a task.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from .datasets import cluttered
from .datasets.fivek_labels import CLASSES
from .datasets.mnist import Digits, load_digits
from .paths import UserError, resolve_profile
from .sampler import Images
from .seeds import derive
from .store import Store

PHOTO_BATCH = 40  # photographs that are measured at once
ORDER = 3  # of the photographs in an epoch: this stream's purpose among all that derive from one seed
TEST_SEED, TEST_BATCH = 2018, 100  # the fixed test set is the batches 0, 1, ... of this stream over the test digits


class Batch(NamedTuple):
    """images: uint8 (B, C, H, W) behind the sampler's protocol; labels: long (B,), or bool (B, K) where the task asks K
    questions of yes or no; boxes: (B, D, 4) = (x0, y0, x1, y1)
    in [-1, 1] coordinates of the D objects that the label depends on, or None where unknown."""

    images: Images
    labels: Tensor
    boxes: Tensor | None


class Split(Protocol):
    """One split of a task, its images ready for one device."""

    protocol: str  # the data in words, for records; "stand-in" where it is one

    def draw(self, size: int, seed: int, index: int) -> Batch:
        """Training batch number ``index`` of the endless stream ``seed``."""

    def fixed(self, count: int | None = None) -> Iterator[Batch]:
        """The first ``count`` images of the fixed set that models are measured on, None for all."""


@dataclass(frozen=True)
class Kind:
    """What a model must know of a task to be built. labels: long (O,) or (O, O), the class of every combination of
    objects; classes: their names; channels: C of its images."""

    labels: Tensor
    classes: tuple[str, ...]
    channels: int = 1


@dataclass(frozen=True)
class ClutteredSplit:
    """Cluttered MNIST, generated as it is asked for."""

    task: cluttered.Task
    digits: Digits
    side: int = cluttered.CANVAS

    @property
    def protocol(self) -> str:
        task = self.task
        return (
            f"cluttered MNIST {self.side} x {self.side}, {task.digits} digit(s), {task.distractors} distractors, "
            f"{task.classes} classes"
        )

    def draw(self, size: int, seed: int, index: int) -> Batch:
        batch = cluttered.make_batch(self.task, self.digits, size, seed, index, self.side)
        return Batch(batch.images, batch.labels, batch.boxes)

    def fixed(self, count: int | None = None) -> Iterator[Batch]:
        count = 10_000 if count is None else count
        for index, start in enumerate(range(0, count, TEST_BATCH)):
            batch = self.draw(TEST_BATCH, TEST_SEED, index)
            keep = min(TEST_BATCH, count - start)
            images = batch.images._replace(flat=batch.images.flat[:keep])
            yield Batch(images, batch.labels[:keep], batch.boxes[:keep])


@dataclass(frozen=True)
class PhotoSplit:
    """Photographs of a store: in their own order as the fixed set, shuffled anew every epoch for training.

    rows: long (N,), the split's rows of the store. boxes: (N, D, 4) of their subjects, or None where unknown.
    """

    store: Store
    rows: Tensor
    boxes: Tensor | None
    device: torch.device | str = "cpu"

    @property
    def protocol(self) -> str:
        height, width = self.store.sizes[0]
        return f"{self.store.source}, {height} x {width}, {len(self.store.classes)} classes"

    def take(self, places: Tensor) -> Batch:
        rows = self.rows[places]
        boxes = None if self.boxes is None else self.boxes[places].to(self.device)
        return Batch(self.store.images(rows.to(self.device)), self.store.labels[rows].to(self.device), boxes)

    def draw(self, size: int, seed: int, index: int) -> Batch:
        count = len(self.rows)
        position = torch.arange(index * size, (index + 1) * size)
        epoch, place = position // count, position % count
        for number in epoch.unique().tolist():
            rng = torch.Generator().manual_seed(derive(seed, number, ORDER))
            mine = epoch == number
            place[mine] = torch.randperm(count, generator=rng)[place[mine]]
        return self.take(place)

    def fixed(self, count: int | None = None) -> Iterator[Batch]:
        for places in torch.arange(len(self.rows))[:count].split(PHOTO_BATCH):
            yield self.take(places)


KINDS = {name: Kind(cluttered.label_table(task), cluttered.class_names(task)) for name, task in cluttered.TASKS.items()}
KINDS["mit5k"] = Kind(torch.arange(len(CLASSES)), CLASSES, channels=3)


def kind_of(task: str) -> Kind:
    """Raises UserError for an unknown task."""
    if task not in KINDS:
        raise UserError(f"task {task!r} is unknown, choose one of {', '.join(KINDS)}.")
    return KINDS[task]


def open_split(task: str, split: str, device: torch.device | str = "cpu", profile: str = "auto") -> Split:
    """A task's "train", "validation" or "test" split; ``profile`` sizes what has to be made first.

    Raises UserError for an unknown task, or where the data are neither there nor to be had.
    """
    kind_of(task)
    if task == "mit5k":
        from .datasets.mit5k import open_mit5k  # here: decoders of photographs are not needed to train on digits

        store, boxes = open_mit5k(resolve_profile(profile))
        rows = store.rows(split)
        return PhotoSplit(store, rows, None if boxes is None else boxes[rows], device)
    return ClutteredSplit(cluttered.TASKS[task], load_digits(split).to(device))
