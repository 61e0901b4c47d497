"""The moving digit: one digit crosses a still, cluttered canvas, and every frame hides another part of it.

The digit goes in a straight line at its own constant speed and bounces off the edges. In every frame a band of its rows
or columns is missing, so one frame often leaves open which digit it is: who wants to know has to follow it. Canvas,
sprites and the 8 distractors, which stay where they are, are those of :mod:`~vsacc.tasks.cluttered`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..images.canvases import build_video
from . import ALL, Batch, EndlessSplit, Recipe, Task, derive
from .cluttered import CANVAS, DATA, ONE_DIGIT, SPRITE, paste, paste_distractors, sprite_boxes
from .mnist import Digits, load_digits

FRAMES, DISTRACTORS = 5, 8
SPEED = (6.0, 12.0)  # slowest and fastest, pixels a frame
BAND = 8  # of 28 rows or columns, hidden
ROOM = CANVAS - SPRITE  # pixels that a sprite's corner can go


@dataclass(frozen=True)
class MovingSplit(EndlessSplit):
    """Videos (B, F, 1, 100, 100), drawn on the device of the digits; boxes (B, F, 1, 4) of the digit's whole sprite."""

    digits: Digits
    protocol = (
        f"moving digit, {FRAMES} frames of {CANVAS} x {CANVAS}, a band of {BAND} rows or columns hidden in each, "
        f"{DISTRACTORS} still distractors, 10 classes"
    )

    def draw(self, size: int, seed: int, index: int, part: slice = ALL) -> Batch:
        rng = torch.Generator().manual_seed(derive(seed, index, DATA))
        bank, device = self.digits, self.digits.images.device

        def draw(high: int, *shape: int) -> Tensor:  # of the whole batch, whatever the part
            return torch.randint(high, (size, *shape), generator=rng)[part].to(device, non_blocking=True)

        chosen = draw(len(bank.labels))
        canvas = torch.zeros(len(chosen), CANVAS * CANVAS, dtype=torch.int16, device=device)
        paste_distractors(canvas, DISTRACTORS, bank.images, draw)
        start, speed, angle = torch.rand(3, size, 2, generator=rng)[:, part].unbind()
        speed = SPEED[0] + (SPEED[1] - SPEED[0]) * speed[:, :1]
        heading = torch.stack([angle[:, 0].mul(2 * math.pi).sin(), angle[:, 0].mul(2 * math.pi).cos()], -1)
        corner = bounce(ROOM * start, speed * heading).to(device)  # (B, F, 2)
        hidden = bands(draw(SPRITE - BAND + 1, FRAMES), draw(2, FRAMES).bool())  # (B, F, 28, 28)
        canvas = canvas.repeat_interleave(FRAMES, 0)  # (B * F, 100 * 100)
        sprites = bank.images[chosen].unsqueeze(1).masked_fill(hidden, 0)
        paste(canvas, corner.view(-1, 1, 2), sprites.view(-1, 1, SPRITE, SPRITE))
        frames = canvas.clamp_(max=255).to(torch.uint8).view(-1, FRAMES, 1, CANVAS, CANVAS)
        return Batch(build_video(frames), bank.labels[chosen], sprite_boxes(corner.unsqueeze(2), CANVAS))


def bounce(start: Tensor, velocity: Tensor) -> Tensor:
    """Corners in whole pixels, long (B, F, 2), from float (B, 2) and (B, 2): straight on, reflected at 0 and ROOM."""
    straight = start.unsqueeze(1) + torch.arange(FRAMES).view(-1, 1) * velocity.unsqueeze(1)  # (B, F, 2)
    return (ROOM - (straight.remainder(2 * ROOM) - ROOM).abs()).round().long()


def bands(first: Tensor, upright: Tensor) -> Tensor:
    """Which pixels of a sprite are hidden, bool (B, F, 28, 28): ``BAND`` rows from ``first`` (B, F) on, or columns
    where ``upright`` (B, F)."""
    line = torch.arange(SPRITE, device=first.device)
    inside = (line >= first.unsqueeze(-1)) & (line < first.unsqueeze(-1) + BAND)  # (B, F, 28)
    return torch.where(upright[..., None, None], inside.unsqueeze(-2), inside.unsqueeze(-1))


MOVING_DIGIT = Task(
    "moving_digit",
    ONE_DIGIT.question,
    lambda split, device, profile: MovingSplit(load_digits(split).to(device)),
    {
        "quick": Recipe(steps=20, batch=16, evaluated=200),
        # A bound of five proxies where the others have two of one: the weights make up for it.
        "laptop": Recipe(steps=900, batch=64, weight_c=1e-4, weight_kl=1e-4),
        "paper": Recipe(steps=20_000, batch=256, learning_rate=1e-3, weight_c=1e-4, weight_kl=1e-4),
    },
    video=True,
)
