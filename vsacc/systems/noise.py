"""Noisy proxies: a family of corruptions with levels, from none at all to a proxy of only a few points.

Nothing but the proxy c is corrupted, and before any model sees it: the saccader decides where to look from the noisy c,
and log p(c | z, h) explains the noisy c, as in the paper's section 5.1.1. Glimpses read the clean image.

A level is 0 for the proxy as it is. Its unit:
    gaussian         standard deviation of the noise that is added, in units of the proxy's range [0, 1]; not clipped
    salt_and_pepper  share of the pixels that become 0 or 1, each with probability one half
    dropout          share of the pixels that become 0, the others are the "few points" that remain
    downsample       halvings of the side: area-averaged to J / 2^level pixels, enlarged to J by repeating them

Shapes: B batch, C channels, J side of the proxy. A pixel is hit in all its channels at once."""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from ..saccader import seeded_by


def gaussian(c: Tensor, levels: Tensor, generator: Generator | None) -> Tensor:
    noise = torch.randn(c.shape, generator=generator, device=c.device, dtype=c.dtype)
    return c + levels.view(-1, 1, 1, 1) * noise


def hit(c: Tensor, shares: Tensor, generator: Generator | None) -> Tensor:
    """Exactly round(share * J * J) random pixels of each image: bool (B, 1, J, J)."""
    draws = torch.rand(len(c), c[0, 0].numel(), generator=generator, device=c.device)
    order = draws.argsort(1)  # (B, J * J), the pixels in a random order, of which the first are hit
    first = torch.arange(order.shape[1], device=c.device) < (shares * order.shape[1]).round()[:, None]
    return torch.empty_like(first).scatter_(1, order, first).view(len(c), 1, *c.shape[2:])


def salt_and_pepper(c: Tensor, levels: Tensor, generator: Generator | None) -> Tensor:
    where = hit(c, levels, generator)
    salt = torch.rand(where.shape, generator=generator, device=c.device) < 0.5
    return torch.where(where, salt.to(c.dtype), c)


def dropout(c: Tensor, levels: Tensor, generator: Generator | None) -> Tensor:
    return c.masked_fill(hit(c, levels, generator), 0)


def downsample(c: Tensor, levels: Tensor, generator: Generator | None) -> Tensor:
    blocks = 2 ** levels.round().long()  # pixels averaged along an axis, (B,)
    out = c.clone()
    for block in blocks.unique().tolist():
        if c.shape[-1] % block:
            raise ValueError(f"a proxy of {c.shape[-1]} pixels cannot be averaged in blocks of {block}")
        small = F.avg_pool2d(c[blocks == block], block)
        out[blocks == block] = small.repeat_interleave(block, 2).repeat_interleave(block, 3)
    return out


KINDS = {kind.__name__: kind for kind in (gaussian, salt_and_pepper, dropout, downsample)}
SHARES = ("salt_and_pepper", "dropout")


@dataclass(frozen=True)
class Corruption:
    """What befalls a proxy: one kind of :data:`KINDS` or "none", each image at a level uniform in [low, high]. Raises
    ValueError for an unknown kind, for levels that are not 0 <= low <= high, or for a share above 1."""

    kind: str = "none"
    low: float = 0.0
    high: float = 0.0

    def __post_init__(self):
        if self.kind not in ("none", *KINDS):
            raise ValueError(f"noise must be none, {', '.join(KINDS)}, not {self.kind!r}")
        if not 0 <= self.low <= self.high or (self.kind in SHARES and self.high > 1):
            raise ValueError(f"{self.kind} has no levels from {self.low} to {self.high}")

    def __call__(self, c: Tensor, training: bool) -> Tensor:
        """(B, C, J, J) -> the corrupted proxies, (B, C, J, J). In training drawn from torch's global generator. In
        evaluation a function of the clean batch alone: whatever model looks at it, and however often, meets the same
        noise."""
        if self.kind == "none":
            return c
        generator = None if training else seeded_by(c)
        share = torch.rand(len(c), generator=generator, device=c.device)
        return KINDS[self.kind](c, self.low + (self.high - self.low) * share, generator)


def describe(kind: str, level: float, side: int) -> str:
    """A level in words, for a proxy of ``side`` pixels."""
    if level == 0:
        return "clean"
    left = side // 2 ** round(level)  # pixels of a side
    return {
        "gaussian": f"σ {level:g}",
        "salt_and_pepper": f"{100 * level:g} %",
        "dropout": f"{side**2 - round(level * side**2)} points",
        "downsample": f"{left} x {left}",
    }[kind]
