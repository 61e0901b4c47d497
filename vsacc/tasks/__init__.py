"""What can be learned, a file a task: its question, its images as batches, how long to train, what others published.

Every :class:`Task` at the top of a file of this room is a task; no list names them. A file may also have a function
``parametrised(argument) -> Task`` for the tasks that "file:argument" names, such as a fold or a folder."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..local.paths import TRAININGS, UserError, resolve_profile
from ..reading import Question
from ..sampler import Images

FINITE_BATCH = 40  # images of a finite set that are measured at once
ORDER = 3  # of the images in an epoch: this stream's purpose among all that derive from one seed
ALL = slice(None)  # of a batch
ALL_PIXELS = "every pixel"  # what some systems read of an image
TEST_SEED, TEST_BATCH = 2018, 100  # the fixed test set is the batches 0, 1, ... of this stream over the test digits


def derive(*parts: int) -> int:
    """A 32-bit seed from several numbers, such as (seed, step, purpose): no two streams are the same by accident. It is
    hashed, because torch's CPU generator keeps the low 32 bits of a seed and drops the rest."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


@dataclass(frozen=True)
class Recipe:
    """How a model is trained."""

    steps: int
    batch: int = 128
    learning_rate: float = 2e-3  # peak of a one-cycle schedule
    warmup: float = 0.15  # share of the steps spent rising to it
    weight_decay: float = 1e-4
    clip: float = 1.0  # largest norm of the gradient of each part of the model
    weight_c: float = 3e-4  # of log p(c | z, h) in the bound: Eq. 6 has 1
    weight_kl: float = 3e-4  # of the KL in the bound: Eq. 6 has 1
    form: str = "sum"  # or "product", the authors' code
    looks: tuple[int, ...] = ()  # numbers of glimpses, one drawn for each step; none: as the model is configured
    early: tuple[float, ...] = ()  # weights of log p(y | o_1..t) for t < T, see vsacc.loss.lower_bound
    evaluated: int | None = 10_000  # test images, None for all
    validations: int = 0  # on the validation split, evenly over the second half; the best one's weights are kept


class Batch(NamedTuple):
    """images: uint8 (B, C, H, W) behind the sampler's protocol; labels: long (B,), or bool (B, K) for K questions of
    yes or no; boxes: (B, D, 4) = (x0, y0, x1, y1) in [-1, 1] coordinates of the D objects that the label depends on, of
    a video (B, F, D, 4), or None where unknown; objects: long (B, D), what stands in each, or None."""

    images: Images
    labels: Tensor
    boxes: Tensor | None
    objects: Tensor | None = None


# A split of a task, its images ready for one device, is one of the next two. ``protocol`` is the data in words, with
# "stand-in" in it where they are one. ``draw`` is training batch number ``index`` of the endless stream ``seed``, or a
# part of it, the same images. ``fixed`` are the first ``count`` images that models are measured on, None for all.


class EndlessSplit:
    """Drawn as it is asked for, by a subclass's ``draw``; the fixed set is the first batches of one stream."""

    at_once = TEST_BATCH  # images of a test batch that memory holds, a divisor of it

    def fixed(self, count: int | None = None) -> Iterator[Batch]:
        count = 10_000 if count is None else count
        for start in range(0, count, self.at_once):
            index, first = divmod(start, TEST_BATCH)
            yield self.draw(TEST_BATCH, TEST_SEED, index, slice(first, first + min(self.at_once, count - start)))


class FiniteSplit:
    """As many images as there are: in their own order as the fixed set, shuffled anew every epoch for training. It has
    ``__len__`` and ``take(places) -> Batch``, the images at long (B,) places of the set."""

    def draw(self, size: int, seed: int, index: int, part: slice = ALL) -> Batch:
        count = len(self)
        position = torch.arange(index * size, (index + 1) * size)
        epochs, place = position // count, position % count
        for epoch in epochs.unique().tolist():
            rng = torch.Generator().manual_seed(derive(seed, epoch, ORDER))
            mine = epochs == epoch
            place[mine] = torch.randperm(count, generator=rng)[place[mine]]
        return self.take(place[part])

    def fixed(self, count: int | None = None) -> Iterator[Batch]:
        for places in torch.arange(len(self))[:count].split(FINITE_BATCH):
            yield self.take(places)


Split = EndlessSplit | FiniteSplit


class Printed(NamedTuple):
    """An accuracy of the paper's Table 1, 0 .. 1. side: of its images, pixels; system: under this workbook's name;
    method: under the paper's; spread: what it prints behind +/-, whose unit it does not say, or None."""

    side: int
    system: str
    method: str
    accuracy: float
    spread: float | None


class Peer(NamedTuple):
    """An accuracy that others published, 0 .. 1. reads: what of the full resolution it looks at when it answers;
    source: where the number was read."""

    method: str
    reads: str
    accuracy: float
    source: str


@dataclass(frozen=True)
class Task:
    """name; question: what a model must know of it to be built; channels: C of its images; recipes: by profile;
    published: what others reached; video: its images are videos.

    opener: (split, device, profile) -> :data:`Split`, where split is "train", "validation" or "test" and the profile
    sizes what has to be made first. Raises UserError where the data are neither there nor to be had."""

    name: str
    question: Question
    opener: Callable[[str, torch.device | str, str], Split]
    recipes: Mapping[str, Recipe]
    channels: int = 1
    published: tuple[Printed | Peer, ...] = ()
    video: bool = False

    def open(self, split: str, device: torch.device | str = "cpu", profile: str = "auto") -> Split:
        return self.opener(split, device, resolve_profile(profile, TRAININGS))


def all_tasks() -> dict[str, Task]:
    """Every task by name."""
    return {value.name: value for file in files().values() for value in vars(file).values() if isinstance(value, Task)}


def files() -> dict[str, ModuleType]:
    return {found.name: import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)}


def find_task(name: str) -> Task:
    """The task called ``name``, or "file:argument". Raises UserError for an unknown one."""
    file, colon, argument = name.partition(":")
    if colon and (make := getattr(files().get(file), "parametrised", None)):
        return make(argument)
    if name not in (known := all_tasks()):
        raise UserError(f"task {name!r} is unknown, choose one of {', '.join(known)}.")
    return known[name]


def open_split(task: str, split: str, device: torch.device | str = "cpu", profile: str = "auto") -> Split:
    """A split of the task called ``task``, see :class:`Task`."""
    return find_task(task).open(split, device, profile)
