"""Megapixel MNIST: five digits and many scribbles on a very large black canvas, drawn when it is asked for.

The task is that of attention sampling (Katharopoulos & Fleuret 2019): 1500 x 1500 pixels, five MNIST digits of 28 x 28
that do not overlap, three of the same class, which is the label, and two of any other; 50 scribbles out of 50 patterns;
5000 images to train on, 1000 to test. As in their generator, what is drawn later replaces all of the 28 x 28 pixels
that it covers, scribbles after digits. The other labels are those of iterative patch selection (Bergner et al. 2023),
whose generator draws the scribbles first and so hides no digit, where ours partly hides about one in fourteen. The
random numbers are our own. Images are kept as what stands where, some 300 bytes each, and no canvas is made of them."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..images.canvases import SPRITE
from ..images.computed import scatter
from ..reading import Question
from . import ALL_PIXELS, Batch, FiniteSplit, Peer, Recipe, Task, derive
from .cluttered import sprite_boxes
from .mnist import Digits, load_digits

DIGITS, SAME = 5, 3  # in an image, and how many of them show its majority
PATTERNS = 50  # different scribbles in a split
COUNTS = {"train": 5000, "validation": 1000, "test": 1000}  # images
SEED, SCENES = 0, 4  # of the data set; this stream's purpose among all that derive from one seed


@dataclass(frozen=True)
class Scribbled:
    """What is on the canvas and what is asked about it."""

    side: int = 1500  # pixels; below 140 four digits may leave no place for the fifth
    scribbles: int = 50
    label: str = "majority"  # or "max" (the largest digit), "top" (the topmost one), "multi" (all that are there)


class Scenes(NamedTuple):
    """What stands where in N images. Corners are (row, column) of the upper left pixel. digits: int32 (N, 5), rows of
    the bank, the three equal ones first; digit_corners: int16 (N, 5, 2); scribbles: uint8 (N, S), rows of the patterns;
    scribble_corners: int16 (N, S, 2)."""

    digits: Tensor
    digit_corners: Tensor
    scribbles: Tensor
    scribble_corners: Tensor

    def take(self, rows: Tensor) -> "Scenes":
        return Scenes(*(part[rows] for part in self))

    def to(self, device: torch.device | str) -> "Scenes":
        return Scenes(*(part.to(device) for part in self))


def make_scenes(canvas: Scribbled, split: str, labels: Tensor) -> tuple[Scenes, Tensor]:
    """The scenes of a split and its patterns, uint8 (50, 28, 28), on the CPU; always the same for the same bank of
    digits with these labels, long (M,)."""
    rng = torch.Generator().manual_seed(derive(SEED, list(COUNTS).index(split), canvas.side, SCENES))
    count = COUNTS[split]
    digits = draw_digits(labels.cpu(), count, rng)
    corners = draw_corners(count, canvas.side, rng)
    patterns = draw_patterns(rng)
    chosen = torch.randint(PATTERNS, (count, canvas.scribbles), generator=rng)
    places = torch.randint(SPRITE, canvas.side - SPRITE, (count, canvas.scribbles, 2), generator=rng)
    return Scenes(digits.int(), corners.short(), chosen.to(torch.uint8), places.short()), patterns


def draw_digits(labels: Tensor, count: int, rng: Generator) -> Tensor:
    """Rows of the bank, long (N, 5): three of one class, uniform over the ten, and two uniform over all digits of
    the other classes."""
    order, per_class = labels.argsort(stable=True), labels.bincount(minlength=10)
    first = per_class.cumsum(0) - per_class  # of each class in the order
    majority = torch.randint(10, (count, 1), generator=rng)
    share = torch.rand(count, DIGITS, generator=rng, dtype=torch.float64)
    size, start = per_class[majority], first[majority]  # (N, 1)
    same = start + (share[:, :SAME] * size).long()
    other = (share[:, SAME:] * (len(labels) - size)).long()
    other = other + size * (other >= start)  # counted past the majority's class
    return order[torch.cat([same, other], 1)]


def draw_corners(count: int, side: int, rng: Generator) -> Tensor:
    """Long (N, 5, 2): each digit anywhere on the canvas, drawn again until it overlaps none before it."""
    corners = torch.randint(side - SPRITE + 1, (count, DIGITS, 2), generator=rng)
    for index in range(1, DIGITS):
        while (bad := ((corners[:, :index] - corners[:, index, None]).abs() < SPRITE).all(-1).any(1)).any():
            corners[bad, index] = torch.randint(side - SPRITE + 1, (int(bad.sum()), 2), generator=rng)
    return corners


def draw_patterns(rng: Generator) -> Tensor:
    """Scribbles, uint8 (50, 28, 28): two straight strokes from corners, each pixel of a grey level from 204 to 255. The
    second is the first one of another pattern, each of its axes turned round with probability 0.33."""
    slope = (torch.rand(PATTERNS, 1, generator=rng) * math.pi / 2.5).tan()
    end = SPRITE - 0.51  # rounds to the last pixel
    across = (end / slope).clamp(max=end) * torch.linspace(0, 1, 2 * SPRITE)  # (50, 56)
    stroke = torch.zeros(PATTERNS, SPRITE, SPRITE, dtype=torch.bool)
    stroke[torch.arange(PATTERNS)[:, None], across.round().long(), (across * slope).round().long()] = True
    second = stroke[torch.randperm(PATTERNS, generator=rng)]
    for axis in (1, 2):
        turned = torch.rand(PATTERNS, 1, 1, generator=rng) < 0.33
        second = torch.where(turned, second.flip(axis), second)
    level = 0.8 + 0.2 * torch.rand(stroke.shape, generator=rng)
    return (255 * level * (stroke | second)).to(torch.uint8)


def labels_of(label: str, digits: Tensor, corners: Tensor) -> Tensor:
    """The answers for long (N, 5) digits at (row, column) corners (N, 5, 2): long (N,), or of "multi" bool (N, 10)."""
    present = torch.nn.functional.one_hot(digits, 10).sum(1)  # (N, 10)
    if label == "multi":
        return present > 0
    if label == "max":
        return digits.amax(1)
    if label == "top":
        return digits.gather(1, corners[..., 0].argmin(1, keepdim=True)).squeeze(1)
    return present.argmax(1)


@dataclass(frozen=True)
class MegapixelSplit(FiniteSplit):
    """Scenes that are drawn as they are asked for, on the device that holds the digits; boxes of all five digits,
    whichever of them the label depends on. patterns: uint8 (50, 28, 28)."""

    canvas: Scribbled
    digits: Digits
    patterns: Tensor
    scenes: Scenes

    @property
    def protocol(self) -> str:
        side, scribbles, label = self.canvas.side, self.canvas.scribbles, self.canvas.label
        shown = f"5 digits, {scribbles} scribbles, label {label}"
        return f"megapixel MNIST {side} x {side}, {shown}, {len(self)} images of our own drawing"

    def __len__(self) -> int:
        return len(self.scenes.digits)

    def take(self, places: Tensor) -> Batch:
        scenes = self.scenes.take(places.to(self.digits.labels.device))
        digits = scenes.digits.long()
        sprites = torch.cat([self.digits.images[digits], self.patterns[scenes.scribbles.long()]], 1)  # 5 + S of each
        corners = torch.cat([scenes.digit_corners, scenes.scribble_corners], 1).long()
        labels = labels_of(self.canvas.label, self.digits.labels[digits], scenes.digit_corners)
        boxes = sprite_boxes(scenes.digit_corners, self.canvas.side)  # (B, 5, 4)
        return Batch(scatter(self.canvas.side, sprites, corners), labels, boxes)


def megapixel(name: str, canvas: Scribbled, published: tuple[Peer, ...] = (), **recipes: Recipe) -> Task:
    """``recipes`` are changes to those of 1500 x 1500, by profile."""

    def opener(split: str, device: torch.device | str, profile: str) -> MegapixelSplit:
        digits = load_digits(split).to(device)
        scenes, patterns = make_scenes(canvas, split, digits.labels)
        return MegapixelSplit(canvas, digits, patterns.to(device), scenes.to(device))

    common = {  # 1500 x 1500: a laptop shows that it runs, in too few steps to learn anything
        "quick": Recipe(steps=6, batch=8, evaluated=40),
        "laptop": Recipe(steps=150, batch=32, evaluated=None),
        # 500 epochs of 5000 images in batches of 128, as published.
        "paper": Recipe(steps=19_500, learning_rate=1e-3, evaluated=None),
    }
    question = Question(torch.arange(10), tuple(map(str, range(10))), canvas.label == "multi")
    return Task(name, question, opener, common | recipes, published=published)


CURVE = "test curve in the authors' repository, idiap/attention-sampling"
RUN = "log of an independent run, 1500 x 1500, 5000 images (Riffi-Aslett et al. 2024); its scribbles are curves"
IPS = Peer("iterative patch selection (2023)", ALL_PIXELS, 0.991, RUN)
MEGAPIXEL = megapixel(
    "megapixel", Scribbled(), (Peer("attention sampling (2019)", "coarse view + 10 patches", 0.80, CURVE), IPS)
)
MEGAPIXEL_EASY = megapixel(
    "megapixel_easy",
    Scribbled(side=500, scribbles=0),
    quick=Recipe(steps=20, batch=16, evaluated=200),
    laptop=Recipe(steps=1200, batch=64, evaluated=None),
)
MEGAPIXEL_MAX = megapixel("megapixel_max", Scribbled(label="max"), (IPS._replace(accuracy=0.937),))
MEGAPIXEL_TOP = megapixel("megapixel_top", Scribbled(label="top"), (IPS._replace(accuracy=0.927),))
MEGAPIXEL_MULTI = megapixel("megapixel_multi", Scribbled(label="multi"), (IPS._replace(accuracy=0.819),))
