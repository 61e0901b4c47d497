"""What can be learned here: every task by name, its labels, and its images as batches.

A split is drawn from in two ways: endless training batches that are a function of (seed, index) alone, and a fixed
set to measure on. Training and evaluation know nothing else of a task.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..images.store_read import Store
from ..local.paths import UserError, resolve_profile
from ..local.seeds import derive
from ..sampler import Images, build_pyramid, upscale
from . import cluttered, colon, megapixel, moving
from .fivek_labels import CLASSES
from .mnist import Digits, load_digits
from .speed_limits_labels import CLASSES as LIMITS

FINITE_BATCH = 40  # images of a finite set that are measured at once
ORDER = 3  # of the images in an epoch: this stream's purpose among all that derive from one seed
ALL = slice(None)  # of a batch
LARGE_BATCH = 10  # enlarged images that are measured at once
TEST_SEED, TEST_BATCH = 2018, 100  # the fixed test set is the batches 0, 1, ... of this stream over the test digits


class Batch(NamedTuple):
    """images: uint8 (B, C, H, W) behind the sampler's protocol; labels: long (B,), or bool (B, K) where the task asks K
    questions of yes or no; boxes: (B, D, 4) = (x0, y0, x1, y1)
    in [-1, 1] coordinates of the D objects that the label depends on, of a video's frames (B, F, D, 4), or None where
    unknown."""

    images: Images
    labels: Tensor
    boxes: Tensor | None


class Split(Protocol):
    """One split of a task, its images ready for one device."""

    protocol: str  # the data in words, for records; "stand-in" where it is one

    def draw(self, size: int, seed: int, index: int, part: slice = ALL) -> Batch:
        """Training batch number ``index`` of the endless stream ``seed``; or a part of it, the same images."""

    def fixed(self, count: int | None = None) -> Iterator[Batch]:
        """The first ``count`` images of the fixed set that models are measured on, None for all."""


@dataclass(frozen=True)
class Kind:
    """What a model must know of a task to be built. labels: long (O,) or (O, O), the class of every combination of
    objects; classes: their names; channels: C of its images."""

    labels: Tensor
    classes: tuple[str, ...]
    channels: int = 1
    many: bool = False  # K questions of yes or no instead of one of K classes


class EndlessSplit:
    """Drawn as it is asked for, by a subclass's ``draw``; the fixed set is the first batches of one stream."""

    def fixed(self, count: int | None = None) -> Iterator[Batch]:
        count = 10_000 if count is None else count
        for index, start in enumerate(range(0, count, TEST_BATCH)):
            yield self.draw(TEST_BATCH, TEST_SEED, index, slice(count - start))


@dataclass(frozen=True)
class ClutteredSplit(EndlessSplit):
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

    def draw(self, size: int, seed: int, index: int, part: slice = ALL) -> Batch:
        batch = cluttered.make_batch(self.task, self.digits, size, seed, index, self.side)
        images = batch.images._replace(flat=batch.images.flat[part])
        return Batch(images, batch.labels[part], batch.boxes[part])

    def fixed(self, count: int | None = None) -> Iterator[Batch]:
        if self.side == cluttered.CANVAS:
            yield from super().fixed(count)
            return
        for batch in replace(self, side=cluttered.CANVAS).fixed(count):
            for some in torch.arange(len(batch.labels)).split(LARGE_BATCH):
                large = build_pyramid(upscale(batch.images.level(0)[some], self.side))
                yield Batch(large, batch.labels[some], batch.boxes[some])


@dataclass(frozen=True)
class MovingSplit(EndlessSplit):
    """Videos of a moving digit."""

    digits: Digits
    protocol = (
        f"moving digit, {moving.FRAMES} frames of {cluttered.CANVAS} x {cluttered.CANVAS}, a band of {moving.BAND} "
        f"rows or columns hidden in each, {moving.DISTRACTORS} still distractors, 10 classes"
    )

    def draw(self, size: int, seed: int, index: int, part: slice = ALL) -> Batch:
        batch = moving.make_batch(self.digits, size, seed, index)
        return Batch(batch.images._replace(flat=batch.images.flat[part]), batch.labels[part], batch.boxes[part])


class FiniteSplit:
    """As many images as there are: in their own order as the fixed set, shuffled anew every epoch for training."""

    def __len__(self) -> int:
        raise NotImplementedError

    def take(self, places: Tensor) -> Batch:
        """The images at long (B,) places of the set."""
        raise NotImplementedError

    def draw(self, size: int, seed: int, index: int, part: slice = ALL) -> Batch:
        count = len(self)
        position = torch.arange(index * size, (index + 1) * size)
        epoch, place = position // count, position % count
        for number in epoch.unique().tolist():
            rng = torch.Generator().manual_seed(derive(seed, number, ORDER))
            mine = epoch == number
            place[mine] = torch.randperm(count, generator=rng)[place[mine]]
        return self.take(place[part])

    def fixed(self, count: int | None = None) -> Iterator[Batch]:
        for places in torch.arange(len(self))[:count].split(FINITE_BATCH):
            yield self.take(places)


@dataclass(frozen=True)
class PhotoSplit(FiniteSplit):
    """Photographs of a store.

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

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: Tensor) -> Batch:
        rows = self.rows[places]
        boxes = None if self.boxes is None else self.boxes[places].to(self.device)
        return Batch(self.store.images(rows.to(self.device)), self.store.labels[rows].to(self.device), boxes)


@dataclass(frozen=True)
class MegapixelSplit(FiniteSplit):
    """Megapixel MNIST: scenes that are drawn as they are asked for, on the device that holds the digits.

    The boxes are those of all five digits, whichever of them the label depends on.
    """

    task: megapixel.Task
    digits: Digits
    patterns: Tensor
    scenes: megapixel.Scenes

    @property
    def protocol(self) -> str:
        task = self.task
        return (
            f"megapixel MNIST {task.side} x {task.side}, 5 digits, {task.scribbles} scribbles, label {task.label}, "
            f"{len(self)} images of our own drawing"
        )

    def __len__(self) -> int:
        return len(self.scenes.digits)

    def take(self, places: Tensor) -> Batch:
        scenes = self.scenes.take(places.to(self.digits.labels.device))
        images = megapixel.draw(self.task.side, self.digits.images, self.patterns, scenes)
        shown = self.digits.labels[scenes.digits.long()]  # (B, 5)
        labels = megapixel.labels_of(self.task.label, shown, scenes.digit_corners)
        return Batch(images, labels, megapixel.boxes_of(self.task.side, scenes))


KINDS = {name: Kind(cluttered.label_table(task), cluttered.class_names(task)) for name, task in cluttered.TASKS.items()}
KINDS["mit5k"] = Kind(torch.arange(len(CLASSES)), CLASSES, channels=3)
KINDS["speed_limits"] = Kind(torch.arange(len(LIMITS)), LIMITS, channels=3)
KINDS["colon"] = Kind(torch.arange(len(colon.CLASSES)), colon.CLASSES, channels=3)
KINDS |= {
    name: Kind(torch.arange(10), megapixel.class_names(), many=task.label == "multi")
    for name, task in megapixel.TASKS.items()
}
KINDS["moving_digit"] = KINDS["one_digit"]
KINDS["identification_2528"] = KINDS["identification"]  # the same images, enlarged as in the paper


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
        from .mit5k import open_mit5k  # here: decoders of photographs are not needed to train on digits

        store, boxes = open_mit5k(resolve_profile(profile))
        rows = store.rows(split)
        return PhotoSplit(store, rows, None if boxes is None else boxes[rows], device)
    if task == "speed_limits":
        from .speed_limits import open_speed_limits  # here, as above

        store = open_speed_limits(resolve_profile(profile)).store  # no boxes: an EMPTY frame has none
        return PhotoSplit(store, store.rows(split), None, device)
    if task == "colon":
        store = colon.open_colon()
        return PhotoSplit(store, store.rows(split), None, device)
    digits = load_digits(split).to(device)
    if task in megapixel.TASKS:
        scenes, patterns = megapixel.make_scenes(megapixel.TASKS[task], split, digits.labels)
        return MegapixelSplit(megapixel.TASKS[task], digits, patterns.to(device), scenes.to(device))
    if task == "moving_digit":
        return MovingSplit(digits)
    if task == "identification_2528":
        return ClutteredSplit(cluttered.TASKS["identification"], digits, side=2528)
    return ClutteredSplit(cluttered.TASKS[task], digits)
