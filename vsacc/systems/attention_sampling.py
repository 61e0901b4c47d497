r"""Attention sampling (Katharopoulos and Fleuret 2019): a coarse view says where to look, a few patches are looked at.

    a = softmax of a small convolutional network on the view c, over its A x A positions
    q_1 .. q_N drawn from a, without replacement
    f_i = features of the patch of L x L pixels around position q_i, of one norm for all patches
    F = estimate of sum_k a_k f_k, see :func:`expectation`;  p(y | x) = softmax(linear(F))

All patches are drawn at once: none decides where the next one is. No gradient passes through a place; the attention
learns because F depends on how much of it each patch has.

Where this differs from the published model: features have norm sqrt(F) instead of 1, so that the linear layer on them
starts at the usual scale; a patch over the border repeats the border's pixels instead of zeros; and in evaluation the
draws are a function of the batch, so that a model that looks twice sees the same. A patch is a share of the image and
not a number of pixels, which is the same thing on images of the size that it is trained on, and is what makes it find
the same things in an enlarged one. ``bright`` and ``jitter`` are ours too; at their defaults they do nothing.

The estimate of F = sum_k a_k f_k over K positions, from the features of the N drawn ones alone:

    with replacement      F = 1/N sum_i f_i
    without replacement   F = 1/N sum_i ( sum_{j<i} p_j f_j + r_i f_i ),  p_i = a[q_i],  r_i = 1 - sum_{j<i} p_j

Each term of the second is an unbiased estimate of its own: what was drawn counts with its exact share, and the new draw
stands for all the rest. Written as one sum over the draws it is F = sum_i w_i f_i with w_i = (r_i + (N - i) p_i) / N.

The same argument with f_k / a_k in place of f_k gives an unbiased gradient, d F / d log a_i = w_i f_i in both schemes
(w_i = 1/N with replacement). It is the gradient of F itself, exact wherever F enters the loss linearly; through a
loss that bends, the slope at F is itself a random number, as in any method that differentiates at a sample.

Shapes: B batch, C channels, A side of the view, K = A * A positions, N draws or patches, L side of a patch, F features.
"""

from dataclasses import dataclass
from itertools import permutations, product

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ..reading import Question
from ..saccader import Model, Output, make_crop_network, seeded_by
from ..sampler import Images, as_pyramid, glimpse, proxy
from . import INDIGO, VIOLET, System, Variant


@dataclass(frozen=True)
class AttentionConfig:
    """Sizes and choices: all that tells the published model from the laptop's."""

    glimpses: int = 2  # N, patches
    size: int = 32  # L, pixels
    scale: float = 32 / 100  # s of a patch; size / side for the image's own resolution, as published
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
    gradient: str = "exact"  # or "reference", see expectation
    entropy: float = 1e-4  # weight of the attention's entropy in the value to maximise


class AttentionSampling(Model):
    """A classifier of what is drawn from an attention over a coarse view. Raises ValueError for an unknown reader."""

    def __init__(self, config: AttentionConfig, question: Question):
        super().__init__()
        self.config = config
        self.attention = attention_network(config.channels, config.widths, config.bright)
        self.read = make_reader(config)
        self.classify = nn.Linear(config.features, len(question.classes))

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
        where = places(drawn, config.view, config.scale, images.sizes[0], config.jitter and self.training)  # (B, N, 3)
        images.prefetch(where, config.size)
        o = glimpse(images, where, config.size)  # (B, N, C, L, L)
        read = self.read(o.flatten(0, 1)).unflatten(0, o.shape[:2]).float()  # (B, N, F)
        features = functional.normalize(read, dim=-1) * config.features**0.5
        seen = expectation(features, log_a.gather(1, drawn), config.replacement, config.gradient)  # (B, F)
        entropy = -(log_a.exp() * log_a).sum(1)  # (B,)
        return Output(self.classify(seen), where, o, {"bonus": config.entropy * entropy})


def places(drawn: Tensor, view: int, scale: float, sides: tuple[int, int], jitter: bool = False) -> Tensor:
    """Where the patches are: positions long (B, N) of an A x A view -> (B, N, 3) = (s, x, y).

    A patch starts on a whole pixel of the image, as near as can be to the middle of its position, or with ``jitter`` to
    a random point of its cell: at the scale L / side it shows the pixels as they are. s is the same share of both axes,
    as the view's cells are. sides: (H, W) of the images."""

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
    empty, patches drawn evenly show hardly anything that the reader and the attention could learn from."""
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
        return make_crop_network(config, config.size)
    if config.reader != "published":
        raise ValueError(f"reader must be 'crop' or 'published', not {config.reader!r}")
    layers: list[nn.Module] = [nn.Conv2d(config.channels, config.features, 7), nn.ReLU()]
    for _ in range(3):
        layers += [nn.Conv2d(config.features, config.features, 3), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten())


def sample(log_a: Tensor, count: int, replacement: bool, generator: Generator | None = None) -> Tensor:
    """Draw N positions of each image: log_a (B, K), log-probabilities -> long (B, N), in the order of the draws.

    Without replacement by Gumbel top-k (Vieira 2014; Kool et al. 2019): the largest log a + Gumbel noise are a sequence
    of draws, each from what the earlier ones left. Probabilities stay logarithms, so none of them is too small to draw.

    Raises ValueError for more draws than positions where none may be drawn twice."""
    log_a = log_a.detach().float()
    if replacement:
        return torch.multinomial(log_a.exp(), count, replacement=True, generator=generator)
    if count > log_a.shape[1]:
        raise ValueError(f"{count} positions cannot be drawn without replacement from {log_a.shape[1]}")
    gumbel = -torch.empty_like(log_a).exponential_(generator=generator).log()
    return (log_a + gumbel).topk(count, sorted=True).indices


def expectation(features: Tensor, log_p: Tensor, replacement: bool, gradient: str = "exact") -> Tensor:
    """Estimate F, (B, F), float32 at least, differentiable in the features and in the attention.

    features: f (B, N, F), at the positions drawn, in the order of the draws; log_p: log a (B, N) there, from where
    gradients flow into the attention. gradient: "exact", see above; or "reference", what the authors' code returns for
    draws without replacement,

        d F / d a_i = 1/N ( F_i r_i / p_i + sum_{j<i} f_j - (i - 1) f_i ),  F_i the i-th term of the sum above,

    which is biased for N > 1, the more the sharper the attention; with replacement the two are the same. Raises
    ValueError for another gradient."""
    if gradient not in ("exact", "reference"):
        raise ValueError(f"gradient must be 'exact' or 'reference', not {gradient!r}")
    with torch.autocast(features.device.type, enabled=False):  # bfloat16 has no room for 1 - sum of shares
        dtype = torch.promote_types(features.dtype, torch.float32)
        features, log_p = features.to(dtype), log_p.to(dtype)
        weight, rest = weights(log_p.detach(), replacement)
        if gradient == "exact" or replacement:
            slope = weight.unsqueeze(-1) * features.detach()  # (B, N, F), d F / d log a_i
        else:
            slope = reference_slope(features.detach(), log_p.detach().exp(), rest)
        nothing = (log_p - log_p.detach()).unsqueeze(-1)  # 0, with a gradient
        return (weight.unsqueeze(-1) * features + nothing * slope).sum(1)


def weights(log_p: Tensor, replacement: bool) -> tuple[Tensor, Tensor]:
    """w (B, N), what each draw counts, and r (B, N), the share of attention that was left before it."""
    p, count = log_p.exp(), log_p.shape[1]
    if replacement:
        return torch.full_like(p, 1 / count), torch.ones_like(p)
    rest = (1 - before(p)).clamp(min=0)  # rounding may draw more than there is
    later = torch.arange(count - 1, -1, -1, device=p.device, dtype=p.dtype)  # N - i
    return (rest + later * p) / count, rest


def reference_slope(features: Tensor, p: Tensor, rest: Tensor) -> Tensor:
    """p_i times the authors' d F / d a_i: (B, N, F), (B, N), (B, N) -> (B, N, F)."""
    p, rest, count = p.unsqueeze(-1), rest.unsqueeze(-1), features.shape[1]
    term = before(p * features) + rest * features  # F_i
    earlier = torch.arange(count, device=p.device, dtype=p.dtype).view(1, -1, 1)  # i - 1
    return (rest * term + p * (before(features) - earlier * features)) / count


def before(values: Tensor) -> Tensor:
    """Sum over j < i along axis 1."""
    return values.cumsum(1) - values


def ordered_samples(positions: int, count: int, replacement: bool) -> Tensor:
    """Long (S, N): K^N sequences with replacement, K! / (K - N)! without."""
    drawn = product(range(positions), repeat=count) if replacement else permutations(range(positions), count)
    return torch.tensor(list(drawn))


def probabilities(a: Tensor, samples: Tensor, replacement: bool) -> Tensor:
    """The probability of drawing each sequence from a (K,), one position after another: (S, N) -> (S,)."""
    p = a[samples]  # (S, N)
    return (p if replacement else p / (1 - before(p))).prod(1)


def mean_estimate(logits: Tensor, features: Tensor, count: int, replacement: bool, gradient: str = "exact") -> Tensor:
    """The expectation over all samples of N = ``count`` draws of :func:`expectation`, (F,), from the attention's logits
    (K,) and the features (K, F) of all positions. Which sample is drawn passes no gradient on, so the gradient of this
    is the expectation of the estimate's gradient."""
    samples = ordered_samples(len(logits), count, replacement)
    log_a = logits.log_softmax(0)
    estimate = expectation(features[samples], log_a[samples], replacement, gradient)  # (S, F)
    return probabilities(log_a.detach().exp(), samples, replacement) @ estimate


MEGAPIXEL = ("megapixel", "megapixel_max", "megapixel_top", "megapixel_multi")
PUBLISHED = {"size": 50, "scale": 50 / 1500, "view": 180, "reader": "published", "features": 32}
ATTENTION_SAMPLING = System(
    name="attention_sampling",
    label="attention sampling",
    says="A few patches are drawn from an attention over a coarse view; the class is read from their weighted sum.",
    reads="coarse view + {} glimpses",
    colour=INDIGO,
    marker="*",
    config=AttentionConfig,
    make=AttentionSampling,
    sizes={
        "quick": AttentionConfig(),
        "laptop": AttentionConfig(),
        "paper": AttentionConfig(glimpses=4, features=256, crop_widths=(64, 128, 256), crop_depth=3),
    },
    changes={
        "identification": {"glimpses": 4},
        "identification_2528": {"glimpses": 4},
        "sum": {"glimpses": 4},
        "mit5k": {"glimpses": 8, "size": 48, "scale": 0.3, "grey": 0.5, "entropy": 0.01},
        # The published patches: 100 pixels of a frame 1280 wide, and 27 of 500.
        "speed_limits": {"glimpses": 5, "size": 48, "scale": 0.08, "view": 64, "grey": 0.5},
        "colon": {"glimpses": 10, "size": 32, "scale": 32 / 500, "view": 64, "grey": 0.5},
        # In cells of 16 pixels, some four to a digit, draws without replacement miss fewer of the five digits; in the
        # published cells of 5 pixels they miss as many as draws with replacement do.
        "megapixel_easy": {"glimpses": 10, "size": 48, "scale": 48 / 500, "bright": 1.5, "jitter": True},
        **{key: {"glimpses": 10, "size": 48, "scale": 48 / 1500, "view": 96, "bright": 1.5} for key in MEGAPIXEL},
        # As published, but for the bright start.
        **{(task, "paper"): PUBLISHED for task in MEGAPIXEL},
    },
    recipes={
        ("mit5k", "laptop"): {"learning_rate": 5e-4},
        ("megapixel_easy", "laptop"): {"steps": 1800, "batch": 32},
        ("identification", "laptop"): {"steps": 2500},
    },
    # The gradient of the code of its authors: notebook 07.
    variants={"reference_gradient": Variant({"gradient": "reference"}, {}, VIOLET)},
)
