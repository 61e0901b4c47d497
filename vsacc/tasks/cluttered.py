"""Cluttered MNIST, generated on the fly: digits and distractors added onto a canvas, with labels and digit boxes.

The protocol is that of RAM and DRAM (Mnih et al. 2014, Ba et al. 2015), which the paper uses: a 100 x 100 canvas,
28 x 28 digits at independent uniform places (overlap allowed), 8 distractors of 8 x 8 pixels cut from digits;
everything is additive and clipped. A larger canvas is the same image bilinearly enlarged, as in the paper.

An image is a function of (task, split, seed, index of the batch) alone: the layout is drawn on the CPU, the
rendering runs on the device that holds the digits, so every device sees the same images.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..local.seeds import derive
from ..sampler import Pyramid, build_pyramid, upscale
from .mnist import Digits

CANVAS, SPRITE, PATCH = 100, 28, 8  # pixels
DATA = 1  # this stream's purpose among all that derive from one seed


@dataclass(frozen=True)
class Task:
    """What is on the canvas and what is asked about it."""

    digits: int
    distractors: int
    classes: int
    label: str  # "digit", "pair" (unordered) or "sum"
    objects: int = 10  # kinds of object, here the ten digits


TASKS = {
    "one_digit": Task(digits=1, distractors=8, classes=10, label="digit"),
    "identification": Task(digits=2, distractors=8, classes=55, label="pair"),
    "sum": Task(digits=2, distractors=0, classes=19, label="sum"),
}


class Batch(NamedTuple):
    """images: pyramid of uint8 (B, 1, S, S); labels: long (B,); boxes: (B, D, 4) = (x0, y0, x1, y1) in [-1, 1]
    coordinates, the 28 x 28 sprite of each digit; digits: long (B, D), what stands in each box."""

    images: Pyramid
    labels: Tensor
    boxes: Tensor
    digits: Tensor


def label_of(task: Task, digits: Tensor) -> Tensor:
    """The class of long (B, D) digits. Unordered pairs are numbered row by row: (0,0), (0,1) ... (0,9), (1,1) ..."""
    if task.label == "digit":
        return digits[:, 0]
    if task.label == "sum":
        return digits.sum(1)
    low, high = digits.amin(1), digits.amax(1)
    return low * task.objects - low * (low - 1) // 2 + high - low


def class_names(task: Task) -> tuple[str, ...]:
    """The classes in order: "3", "37" for a pair, "10" for a sum."""
    if task.label == "pair":
        return tuple(f"{low}{high}" for low in range(task.objects) for high in range(low, task.objects))
    return tuple(map(str, range(task.classes)))


def label_table(task: Task) -> Tensor:
    """The class of every combination of objects: long (O,) for one digit, (O, O) for two."""
    kinds = torch.arange(task.objects)
    combinations = torch.cartesian_prod(*[kinds] * task.digits).view(-1, task.digits)
    return label_of(task, combinations).view([task.objects] * task.digits)


def make_batch(task: Task, bank: Digits, size: int, seed: int, index: int = 0, side: int = CANVAS) -> Batch:
    """Batch number ``index`` of the endless stream ``seed``, on the device of ``bank``.

    Args:
        task: one of :data:`TASKS`.
        bank: the split's digits; a training bank and a test bank share none.
        size: B.
        side: canvas side S in pixels, >= 100.
    """
    rng = torch.Generator().manual_seed(derive(seed, index, DATA))
    device, count = bank.images.device, len(bank.labels)

    def draw(high: int, *shape: int) -> Tensor:
        return torch.randint(high, (size, *shape), generator=rng).to(device, non_blocking=True)

    chosen, corner = draw(count, task.digits), draw(CANVAS - SPRITE + 1, task.digits, 2)
    source, cut = draw(count, task.distractors), draw(SPRITE - PATCH + 1, task.distractors, 2)
    patch_corner = draw(CANVAS - PATCH + 1, task.distractors, 2)

    canvas = torch.zeros(size, CANVAS * CANVAS, dtype=torch.int16, device=device)
    paste(canvas, corner, bank.images[chosen])
    paste(canvas, patch_corner, cut_patches(bank.images, source, cut))
    images = canvas.clamp_(max=255).to(torch.uint8).view(size, 1, CANVAS, CANVAS)
    if side != CANVAS:
        images = upscale(images, side)

    digits = bank.labels[chosen]
    first = corner.flip(-1) * (2 / CANVAS) - 1  # (row, column) -> (x, y)
    boxes = torch.cat([first, first + SPRITE * 2 / CANVAS], -1)  # (B, D, 4)
    return Batch(build_pyramid(images), label_of(task, digits), boxes, digits)


def paste(canvas: Tensor, corner: Tensor, sprites: Tensor) -> None:
    """Add uint8 sprites (B, D, h, h) onto int16 canvas (B, 100 * 100) at (row, column) corners (B, D, 2), in place."""
    side = torch.arange(sprites.shape[-1], device=canvas.device)
    offset = side[:, None] * CANVAS + side  # (h, h)
    start = corner[..., 0] * CANVAS + corner[..., 1]  # (B, D)
    index = start[..., None, None] + offset  # (B, D, h, h)
    canvas.scatter_add_(1, index.flatten(1), sprites.flatten(1).to(torch.int16))


def cut_patches(images: Tensor, source: Tensor, cut: Tensor) -> Tensor:
    """The 8 x 8 patches at (row, column) ``cut`` (B, D, 2) of images[source] -> uint8 (B, D, 8, 8)."""
    side = torch.arange(PATCH, device=images.device)
    rows = cut[..., 0, None] + side  # (B, D, 8)
    cols = cut[..., 1, None] + side
    return images[source[..., None, None], rows[..., :, None], cols[..., None, :]]
