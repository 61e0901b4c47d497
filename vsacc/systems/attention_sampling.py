r"""Attention sampling (Katharopoulos and Fleuret 2019): a coarse view says where to look, a few patches are looked at.

    a = softmax of a small convolutional network on the view c, over its A x A positions
    q_1 .. q_N drawn from a, without replacement
    f_i = features of the patch of L x L pixels around position q_i, of one norm for all patches
    F = estimate of sum_k a_k f_k, see :mod:`vsacc.systems.expectation`;  p(y | x) = softmax(linear(F))

All patches are drawn at once: none decides where the next one is. No gradient passes through a place; the attention
learns because F depends on how much of it each patch has.

Where this differs from the published model: features have norm sqrt(F) instead of 1, so that the linear layer on them
starts at the usual scale; a patch over the border repeats the border's pixels instead of zeros; and in evaluation the
draws are a function of the batch, so that a model that looks twice sees the same. ``bright``, ``jitter`` and ``scale``
are ours too; at their defaults they do nothing.

N draws out of many positions are a poll, and a poll errs: of five digits, three alike, 10 even draws name the majority
in 88 % of the images, however well each digit is read. Without replacement they do better only where the cells of the
view are so coarse that a digit fills a few of them: 94 % at four.

Shapes: B batch, C channels, A side of the view, K = A * A positions, N patches, L side of a patch, F features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..reading import crop_network
from ..saccader import Model, Output
from ..sampler import Images, as_pyramid, glimpse, proxy
from .expectation import expectation, sample
from .noise import seeded_by


@dataclass(frozen=True)
class AttentionConfig:
    """Sizes and choices: all that tells the published model from the laptop's."""

    glimpses: int = 2  # N, patches
    size: int = 32  # L, pixels
    scale: float = 0.0  # s of a patch; 0 for the image's own resolution, as published
    view: int = 32  # A, pixels
    channels: int = 1  # C
    widths: tuple[int, ...] = (8, 8)  # of the attention network
    bright: float = 0.0  # how strongly the attention starts on bright places, 0 for initial weights as published
    jitter: bool = False  # in training, a patch lies anywhere in its cell of the view, not at its middle
    reader: str = "crop"  # the saccader's crop network, or "published"
    features: int = 128
    crop_widths: tuple[int, ...] = (64, 128)  # of the crop network
    crop_depth: int = 0  # its residual blocks a stage
    grey: float = 0.0  # the level that it measures pixels from
    replacement: bool = False
    gradient: str = "exact"  # or "reference", see vsacc.systems.expectation
    entropy: float = 1e-4  # weight of the attention's entropy in the value to maximise


class AttentionSampling(Model):
    """A classifier of what is drawn from an attention over a coarse view.

    Args:
        config: see there.
        classes: of the task.

    Raises ValueError for an unknown reader.
    """

    def __init__(self, config: AttentionConfig, classes: int):
        super().__init__()
        self.config = config
        self.attention = attention_network(config.channels, config.widths, config.bright)
        self.read = make_reader(config)
        self.classify = nn.Linear(config.features, classes)

    def look(self, images: Tensor | Images) -> Tensor:
        """The view c, (B, C, A, A), after its noise."""
        return self.noise(proxy(images, self.config.view), self.training)

    def log_attention(self, view: Tensor) -> Tensor:
        """log a of a view, (B, A * A) row by row."""
        return self.attention(view).float().flatten(1).log_softmax(1)

    def attend(self, images: Tensor | Images) -> Tensor:
        """The attention a: (B, A, A), sums to 1 per image."""
        return self.log_attention(self.look(images)).exp().unflatten(1, (self.config.view, -1))

    def forward(self, images: Tensor | Images, glimpses: int | None = None) -> Output:
        config, images = self.config, as_pyramid(images)
        view = self.look(images)
        log_a = self.log_attention(view)  # (B, A * A)
        generator = None if self.training else seeded_by(view.clamp(0, 1))
        drawn = sample(log_a, glimpses or config.glimpses, config.replacement, generator)  # (B, N)
        scale = config.scale or config.size / max(images.sizes[0])
        where = places(drawn, config.view, scale, images.sizes[0], config.jitter and self.training)  # (B, N, 3)
        images.prefetch(where, config.size)
        o = glimpse(images, where, config.size)  # (B, N, C, L, L)
        read = self.read(o.flatten(0, 1)).unflatten(0, o.shape[:2]).float()  # (B, N, F)
        features = functional.normalize(read, dim=-1) * config.features**0.5
        seen = expectation(features, log_a.gather(1, drawn), config.replacement, config.gradient)  # (B, F)
        entropy = -(log_a.exp() * log_a).sum(1)  # (B,)
        return Output(self.classify(seen), where, o, {"bonus": config.entropy * entropy})


def places(drawn: Tensor, view: int, scale: float, sides: tuple[int, int], jitter: bool = False) -> Tensor:
    """Where the patches are: positions long (B, N) of an A x A view -> (B, N, 3) = (s, x, y).

    A patch starts on a whole pixel of the image, as near as can be to the middle of its position: at the scale L / side
    it shows the pixels as they are. s is the same share of both axes, as the view's cells are. At the scale
    L / max(H, W) a patch of an image that is not square therefore has L pixels of the longer side, and of the shorter
    one as many fewer as that side is shorter, enlarged.

    Args:
        scale: s.
        sides: (H, W) of the images.
        jitter: around a random point of the position's cell instead of its middle.
    """

    def centre(index: Tensor, side: int) -> Tensor:
        within = torch.rand(index.shape, device=index.device) if jitter else 0.5
        first = ((index + within) * (side / view) - scale * side / 2).round()
        return first * (2 / side) - 1 + scale

    height, width = sides
    s = torch.full(drawn.shape, scale, device=drawn.device)
    return torch.stack([s, centre(drawn % view, width), centre(drawn // view, height)], -1)


def attention_network(channels: int, widths: tuple[int, ...], bright: float) -> nn.Sequential:
    """(B, C, A, A) -> logits (B, 1, A, A); no bias at the end, which a softmax would not see.

    ``bright`` above 0 lets the network start as a detector of what is bright at the position itself: all of a kernel's
    weight is positive and in its middle, and the last kernel is larger by this factor. On a canvas that is mostly
    empty, patches drawn evenly show hardly anything that the reader and the attention could learn from.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in zip((channels, *widths), widths, strict=False):
        layers += [nn.Conv2d(inputs, outputs, 3, 1, 1), nn.Tanh()]
    network = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, 1, 1, bias=False))
    if bright:
        with torch.no_grad():
            for layer in network[::2]:
                total = layer.weight.abs().sum((2, 3))
                layer.weight.zero_()[:, :, 1, 1] = total
            for layer in network[:-1:2]:
                layer.bias.zero_()
            network[-1].weight.mul_(bright)
    return network


def make_reader(config: AttentionConfig) -> nn.Sequential:
    """Patches (N, C, L, L) in [0, 1] -> (N, F): the crop network, for equal footing with a saccader, or the published
    network for megapixel MNIST, one convolution of 7 x 7 and three of 3 x 3 at full resolution and the maximum over
    the patch."""
    if config.reader == "crop":
        return crop_network(
            config.channels, config.size, config.crop_widths, config.crop_depth, config.features, config.grey,
        )  # fmt: skip
    if config.reader != "published":
        raise ValueError(f"reader must be 'crop' or 'published', not {config.reader!r}")
    layers: list[nn.Module] = [nn.Conv2d(config.channels, config.features, 7), nn.ReLU()]
    for _ in range(3):
        layers += [nn.Conv2d(config.features, config.features, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten())
