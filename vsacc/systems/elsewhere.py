"""What a trained saccader's places are worth: the same glimpses, read by the same network, at other places."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..saccader import Model, Output, Saccader, read_at
from ..sampler import Images


def stay(where: Tensor) -> Tensor:
    """The first place, kept for all glimpses: (B, T, 3) -> (B, T, 3)."""
    return where[:, :1].expand_as(where)


def scatter(where: Tensor) -> Tensor:
    """Frames of the same scales, uniform over the image: (B, T, 3) -> (B, T, 3), the same places in every call."""
    rng = torch.Generator().manual_seed(0)
    uniform = 2 * torch.rand(*where.shape[:-1], 2, generator=rng).to(where) - 1
    s = where[..., :1]
    return torch.cat([s, (1 - s) * uniform], -1)


class Elsewhere(Model):
    """A trained saccader that is made to look elsewhere; nothing of it is trained here.

    Args:
        saccader: its crop network and likelihood read the glimpses.
        choose: its own places -> those to look at, such as :func:`stay` or :func:`scatter`.
    """

    def __init__(self, saccader: Saccader, choose: Callable[[Tensor], Tensor]):
        super().__init__()
        self.saccader, self.choose = saccader, choose

    def forward(self, images: Tensor | Images, glimpses: int | None = None) -> Output:
        where = self.choose(self.saccader(images, glimpses).where)  # (B, T, 3)
        logits, o = read_at(self.saccader, images, where)
        return Output(logits, where, o, {})
