"""What looking anywhere tells: the saccader's crop network and likelihood on glimpses at random places."""

import torch
from torch import Tensor

from ..saccader import Config, Model, Output, make_crop_network, make_likelihood, read_at
from ..sampler import Images, proxy
from .noise import seeded_by


class RandomGlimpses(Model):
    """A saccader without a proxy: places are uniform over all that keep the frame inside the image.

    The frames have the largest scale that a trained saccader may use, so that chance finds as much as it can. Places
    are drawn afresh in training; in evaluation they are a function of the batch.

    Args:
        config: a saccader's; ``glimpses``, ``size``, ``scale`` and the sizes of the crop network are taken from it.
        labels, many: see :func:`vsacc.saccader.make_likelihood`.
    """

    def __init__(self, config: Config, labels: Tensor, many: bool = False):
        super().__init__()
        self.config = config
        self.crop = make_crop_network(config, config.size)
        self.likelihood = make_likelihood(config, labels, many)

    def forward(self, images: Tensor | Images, glimpses: int | None = None) -> Output:
        c, s = proxy(images, self.config.proxy), self.config.scale[1]
        generator = None if self.training else seeded_by(c)
        shape = (len(c), glimpses or self.config.glimpses, 2)
        place = (1 - s) * (2 * torch.rand(shape, generator=generator, device=c.device) - 1)  # (B, T, 2)
        where = torch.cat([torch.full_like(place[..., :1], s), place], -1)  # (B, T, 3)
        logits, o = read_at(self, images, where)
        return Output(logits, where, o, {})
