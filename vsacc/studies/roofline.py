"""The floor under the times of Table 1: what must be computed and moved at least, at this machine's own best speed.

The roofline model of Williams, Waterman and Patterson (2009): work of F operations that moves M bytes takes at least
max(F / peak, M / bandwidth) seconds. Counted are

    F   multiplications and additions of all products and convolutions, forward and, in training, backward, as
        written: norms, activations and the optimiser are left out, and a library may know a shorter way
    M   weights and buffers, read once a batch, in training also Adam's moments, all of them written back; the image's
        bytes as often as they are asked for; and the logits

Activations are left out of M: a machine whose caches held them would never move them. That makes it a floor, and one
that no machine of today reaches for images whose activations are gigabytes."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ..saccader import Model
from ..sampler import Pyramid, pyramid_sizes
from ..systems.resnet import GRID, CropsResNet, WholeResNet
from .cost import CLASSES, CONTENDERS, WORK, resident_bytes
from .measure import DEVICE, seconds_of

SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices whose product shows the peak
COPIED = {"cpu": 2**28, "cuda": 2**30}  # bytes, more than any cache holds
ROUNDS = 7  # the best of
ROOFLINE = "name mode flops moved intensity floor seconds over"  # columns of text


class Peaks(NamedTuple):
    """flops: operations a second in float32; bandwidth: bytes read and written a second."""

    flops: float
    bandwidth: float


class Count(NamedTuple):
    """flops: operations an image; read: bytes an image that its pixels, and the logits, take; resident: bytes that move
    once a batch."""

    flops: float
    read: float
    resident: int


class Counted(Pyramid):
    """Images that count the bytes they are asked for, in ``read``."""

    read = 0

    def level(self, index: int) -> Tensor:
        return self.counted(super().level(index))

    def pick(self, level: Tensor, row: Tensor, col: Tensor) -> Tensor:
        return self.counted(super().pick(level, row, col))

    def cut(self, where: Tensor, size: int) -> Tensor:
        """Black glimpses that depend on their places: of each pixel, four neighbours in two levels are read."""
        seen = where.new_zeros(*where.shape[:2], self.shape[1], size, size) + 0 * where.sum()
        self.read += seen.numel() * 4 * min(len(self.sizes), 2)
        return seen

    def counted(self, pixels: Tensor) -> Tensor:
        self.read += pixels.nbytes
        return pixels


def peaks() -> Peaks:
    """The fastest of a few large matrix products and copies, by the same clock as everything else. Convolutions of a
    GPU may round to TF32 where torch lets them, and then so may the product."""
    side, kept = SIDE[DEVICE], torch.get_float32_matmul_precision()
    factor, product = torch.rand(side, side, device=DEVICE), torch.empty(side, side, device=DEVICE)
    source = torch.ones(COPIED[DEVICE], dtype=torch.uint8, device=DEVICE)
    target = torch.zeros_like(source)
    torch.set_float32_matmul_precision("high" if torch.backends.cudnn.allow_tf32 else "highest")
    try:
        multiply = min(seconds_of(lambda: torch.mm(factor, factor, out=product)) for _ in range(ROUNDS))
    finally:
        torch.set_float32_matmul_precision(kept)
    copy = min(seconds_of(lambda: target.copy_(source)) for _ in range(ROUNDS))
    return Peaks(2 * side**3 / multiply, 2 * source.nbytes / copy)


def count(model: Model, mode: str, side: int, channels: int) -> Count:
    """What a mode of the table costs at least, counted on two blank images. A ResNet is run on shapes without values,
    which takes no time whatever the side. The others look at what they see, so they are run as they are."""
    device = "meta" if isinstance(model, CropsResNet | WholeResNet) else "cpu"
    sizes = pyramid_sizes(side, side)
    flat = torch.zeros((), dtype=torch.uint8, device=device).expand(2, channels, sum(h * w for h, w in sizes))
    images, model = Counted(flat, sizes), model.to(device).train(mode == "training")
    if isinstance(model, CropsResNet) and model.config.chunk:
        model.config = replace(model.config, chunk=2 * GRID**2)  # the same operations in fewer calls
    work = WORK[mode](model, images)
    with FlopCounterMode(display=False) as counter:
        work()
    there_and_back = 2 if mode == "training" else 1
    pixels_and_logits = images.read / 2 + 4 * CLASSES
    return Count(counter.get_total_flops() / 2, pixels_and_logits, there_and_back * resident_bytes(model, mode))


def least_times(rows: Iterable[dict], best: Peaks) -> list[dict]:
    """The rows of the table that were run, with "flops" and "moved" bytes per image, "intensity" in operations a byte,
    "bound" by operations or bytes, "floor" in seconds per image, "over" how many times as long it took, and the peaks
    it was compared with."""
    made = []
    for row in (row for row in rows if row["seconds"] is not None):
        model = CONTENDERS[row["name"]].make(row["channels"])
        flops, read, resident = count(model, row["mode"], row["side"], row["channels"])
        moved = read + resident / row["batch"]
        times = {"operations": flops / best.flops, "bytes": moved / best.bandwidth}
        bound = max(times, key=times.get)
        made.append({
            **row, "part": "floor", "flops": flops, "moved": moved, "intensity": flops / moved, "bound": bound,
            "floor": times[bound], "over": row["seconds"] / times[bound],
            "peak_flops": best.flops, "peak_bandwidth": best.bandwidth,
        })  # fmt: skip
    return made
