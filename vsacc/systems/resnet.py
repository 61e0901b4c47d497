r"""The paper's baselines: ResNet-18 on 144 crops that tile the image (Eq. 8), and on the image as a whole.

    y = f_d( sum_{i=1..144} g_c(x_i) ),   x_i a crop of 224 x 224 pixels of a 2528 x 2528 image

g_c is ResNet-18 (He et al. 2016) with 256 outputs, f_d two dense layers with batch norm and ReLU before each.

The crops can be read at once, the paper's "naive" row, or a few at a time, its "checkpoint" row (Chen et al. 2016):
then only the sums are kept, and the backward pass reads and runs the crops again. Logits and gradients are the same
where batch norm uses its running statistics. In training, batch norm takes the statistics of the crops it sees at once:
of all crops naively, of one chunk when checkpointed. A recomputation does not count in the running statistics.

Shapes: B batch, C channels, K classes, N crops."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..reading import Question
from ..saccader import Model, Output
from ..sampler import Images, as_pyramid
from . import BLUE, SKY, System

FEATURES = 256
GRID = 12  # crops along each axis
CROP, SIDE = 224, 2528  # pixels of a crop in an image of this side; in proportion for other sides


def network(channels: int, outputs: int) -> nn.Module:
    """torchvision's ResNet-18 from random weights, its first convolution made for ``channels``."""
    from torchvision.models import resnet18  # here, because importing it takes seconds that a saccader need not pay

    net = resnet18(num_classes=outputs)
    if channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    return net


@dataclass(frozen=True)
class WholeConfig:
    channels: int = 1  # C


class WholeResNet(Model):
    """ResNet-18 on the image as a whole, at its own size, in float."""

    def __init__(self, config: WholeConfig, question: Question):
        super().__init__()
        self.config, self.net = config, network(config.channels, len(question.classes))

    def forward(self, images: Tensor | Images, glimpses: int | None = None) -> Output:
        seen = as_pyramid(images).level(0).to(self.net.conv1.weight.dtype) / 255
        return Output(self.net(seen), None, None, {})


@dataclass(frozen=True)
class CropsConfig:
    """chunk: crops read and run at once, over all images and at least one of each; None is all of them, naively. As
    many as an image has are what a CPU's memory bears at 2528 x 2528, and enough for batch norm."""

    channels: int = 1  # C
    chunk: int | None = GRID**2


class CropsResNet(Model):
    """ResNet-18 on 12 x 12 crops, features summed."""

    def __init__(self, config: CropsConfig, question: Question):
        super().__init__()
        self.config, self.crop = config, network(config.channels, FEATURES)
        self.head = nn.Sequential(
            nn.BatchNorm1d(FEATURES), nn.ReLU(), nn.Linear(FEATURES, FEATURES),
            nn.BatchNorm1d(FEATURES), nn.ReLU(), nn.Linear(FEATURES, len(question.classes)),
        )  # fmt: skip

    def forward(self, images: Tensor | Images, glimpses: int | None = None) -> Output:
        """The images must not change before the backward pass, which may read them again."""
        images = as_pyramid(images)
        rows, cols = (tiles.to(self.crop.conv1.weight.device) for tiles in crop_grid(*images.sizes[0]))
        if self.config.chunk is None:
            return Output(self.head(self.features(images, rows, cols)), None, None, {})
        step = max(1, self.config.chunk // images.shape[0])
        total = torch.zeros((), device=rows.device)
        for some in zip(rows.split(step), cols.split(step), strict=True):
            total = total + checkpoint(
                self.features, images, *some,
                use_reentrant=False, preserve_rng_state=False,
                context_fn=lambda: (nullcontext(), running_statistics_kept(self.crop)),
            )  # fmt: skip
        return Output(self.head(total), None, None, {})

    def features(self, images: Images, rows: Tensor, cols: Tensor) -> Tensor:
        """Sum of g_c over the crops at rows (N, h) x cols (N, w): (B, 256)."""
        batch, level = images.shape[0], rows.new_zeros(images.shape[0], len(rows), 1)
        pixels = images.pick(level, rows.expand(batch, -1, -1), cols.expand(batch, -1, -1))  # (B, C, N, h, w)
        crops = pixels.transpose(1, 2).flatten(0, 1).to(self.crop.conv1.weight.dtype) / 255
        return self.crop(crops).unflatten(0, (batch, -1)).sum(1)


def crop_grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Pixel rows (144, h) and columns (144, w), long, of evenly spaced crops that together cover every pixel."""

    def along(side: int) -> Tensor:
        crop = -(-CROP * side // SIDE)  # rounded up, so that neighbours always touch
        starts = torch.linspace(0, side - crop, GRID, dtype=torch.float64).round().long()
        return starts[:, None] + torch.arange(crop)  # (12, crop)

    return along(height).repeat_interleave(GRID, 0), along(width).repeat(GRID, 1)


@contextmanager
def running_statistics_kept(net: nn.Module) -> Iterator[None]:
    """Inside, batch norm leaves its running statistics alone: a recomputation would count its crops twice."""
    norms = {module: module.momentum for module in net.modules() if isinstance(module, nn.BatchNorm2d)}
    for module in norms:
        module.momentum = 0.0
    try:
        yield
    finally:
        for module, momentum in norms.items():
            module.momentum = momentum


WHOLE = System(
    name="resnet18",
    label="ResNet-18",
    says="ResNet-18 on all pixels of the image.",
    reads="every pixel",
    colour=BLUE,
    marker="^",
    config=WholeConfig,
    make=WholeResNet,
    sizes=dict.fromkeys(("quick", "laptop", "paper"), WholeConfig()),
    recipes={
        # On a CPU a step of a whole ResNet takes as long as many of the others'.
        ("one_digit", "laptop"): {"steps": 300, "batch": 32, "learning_rate": 1e-3},
        ("identification", "laptop"): {"steps": 600, "batch": 32, "learning_rate": 1e-3},
        # Full-resolution activations: as many images as a GPU of 80 GB holds.
        ("identification_2528", "quick"): {"steps": 1, "batch": 2, "evaluated": 2},
        ("identification_2528", "laptop"): {"steps": 100, "batch": 2, "evaluated": 100},
        ("identification_2528", "paper"): {"steps": 6_000, "batch": 32},
    },
)
CROPS = System(
    name="resnet18_144",
    label="ResNet-18, 144 crops",
    says="ResNet-18 on 144 crops that tile the image, their features summed.",
    reads="every pixel",
    colour=SKY,
    marker="s",
    config=CropsConfig,
    make=CropsResNet,
    sizes=dict.fromkeys(("quick", "laptop", "paper"), CropsConfig()),
    recipes={
        ("identification_2528", "quick"): {"steps": 1, "batch": 2, "evaluated": 2},
        ("identification_2528", "laptop"): {"steps": 30, "batch": 2, "evaluated": 100},
        ("identification_2528", "paper"): {"steps": 6_000, "batch": 32},
        ("megapixel", "quick"): {"steps": 1, "batch": 2, "evaluated": 2},
        ("megapixel", "laptop"): {"steps": 10, "batch": 2, "evaluated": 100},
        ("megapixel", "paper"): {"steps": 8_000, "batch": 32},
        # A step of 144 crops takes as long as many of the others'.
        ("mit5k", "quick"): {"steps": 1, "batch": 2, "validations": 0},
        ("mit5k", "laptop"): {"steps": 30, "batch": 4, "learning_rate": 1e-3, "validations": 0},
        ("mit5k", "paper"): {"steps": 2_000, "batch": 8},
    },
)
