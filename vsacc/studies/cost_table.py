"""The right half of the paper's Table 1: parameters, memory and time of every system, side by side.

Weights and pixels are random: neither changes the cost. "bytes" is the peak of everything beyond the uint8 images:
weights, activations, and in training gradients and Adam's moments. "resident" is the part of it that is there between
steps: weights, buffers and moments.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn

from ..loss import lower_bound
from ..saccader import Model
from ..sampler import Images, Pyramid, build_pyramid
from ..systems.models import build_model
from ..systems.resnet import GRID, CropsResNet, WholeResNet, crop_grid
from ..tasks.base import KINDS
from ..training.recipes import make_job
from .measure import Work, largest_batch, measure, peak_bytes
from .published import EPOCH

TASK = "identification_2528"
KIND = KINDS[TASK]
CLASSES = len(KIND.classes)
PRINTED = {  # the paper's own column at 2528 x 2528: parameters, bytes at batch 160, seconds per epoch
    "saccader": (7.4e6, 4.1e9, 120.0),
    "144 crops, naive": (11.4e6, 79e9, 1052.43),
    "144 crops, checkpointed": (11.4e6, 6.5e9, 1454.05),
}


class Contender(NamedTuple):
    """method: the model's name in :mod:`vsacc.systems.models`; heavy: holds the floats of the whole image at once."""

    method: str
    make: Callable[[int], Model]
    heavy: bool = False


def paper_size(method: str) -> Contender:
    """A model as profile paper trains it."""

    def make(channels: int) -> Model:
        return build_model(method, replace(make_job(TASK, "paper", method).config, channels=channels), KIND)

    return Contender(method, make)


CONTENDERS = {
    "saccader": paper_size("saccader"),
    "attention sampling": paper_size("attention_sampling"),
    "RAM": paper_size("ram"),
    "DRAM": paper_size("dram"),
    "144 crops, checkpointed": Contender("resnet18_144", lambda channels: CropsResNet(CLASSES, channels)),
    "144 crops, naive": Contender("resnet18_144", lambda channels: CropsResNet(CLASSES, channels, None), True),
    "whole image": Contender("resnet18", lambda channels: WholeResNet(CLASSES, channels), True),
}


def table(
    side: int,
    channels: int,
    names: list[str],
    batches: tuple[int, int],
    rounds: int,
    budget: float,
    progress: bool = True,
) -> list[dict]:
    """A row per mode and contender of ``names``.

    batches: in inference and in training; halved for a contender that does not fit. One that never does has a row with
    seconds None.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = []
    for mode, batch in zip(("inference", "training"), batches, strict=True):
        images = random_images(batch, channels, side, device)
        rows += contest(mode, images, names, rounds, budget, progress)
    return rows


def random_images(batch: int, channels: int, side: int, device: str) -> Pyramid:
    torch.manual_seed(0)
    return build_pyramid(torch.randint(0, 256, (batch, channels, side, side), dtype=torch.uint8, device=device))


def contest(
    mode: str, images: Pyramid, names: list[str], rounds: int, budget: float, progress: bool = True
) -> list[dict]:
    """Measure the contenders of ``names`` in one mode, interleaved; the first is the one that ratios refer to."""
    batch, channels = images.shape
    need = bytes_a_crop(mode, images) * GRID**2
    rows, works = {}, {}
    for name in names:
        method, make, heavy = CONTENDERS[name]
        model = make(channels).to(images.flat.device, memory_format=torch.channels_last).train(mode == "training")

        def work_of(size: int, model: Model = model) -> Work:
            return WORK[mode](model, images._replace(flat=images.flat[:size]))

        smallest = 2 if mode == "training" else 1  # batch norm cannot train on one image
        size = largest_batch(work_of, batch, smallest, lambda size, heavy=heavy: heavy * size * need)
        rows[name] = {
            "part": "table", "name": name, "method": method, "mode": mode, "side": images.sizes[0][0],
            "channels": channels, "batch": size, "parameters": sum(p.numel() for p in model.parameters()),
            "resident": resident_bytes(model, mode),
        }  # fmt: skip
        if size:
            works[name] = work_of(size)
    costs = measure(works, rounds, budget, f"{mode}, side {images.sizes[0][0]}" if progress else None)
    for name, row in rows.items():
        cost = costs.get(name)
        row |= {"seconds": cost and cost.seconds / row["batch"], "bytes": cost and cost.bytes + row["resident"]}
        row |= {"epoch_seconds": cost and EPOCH * row["seconds"], "calls": cost and cost.calls}
        row |= {"why": None if cost else f"not run: batch {smallest} needs more memory than is free"}
    return with_ratios(list(rows.values()))


def with_ratios(rows: list[dict]) -> list[dict]:
    """Add to each row its multiple of the first: "ratio" of seconds per image, "memory_ratio" of the bytes per image
    that are not resident; None where a row was not run."""

    def working(row: dict) -> float:
        return (row["bytes"] - row["resident"]) / row["batch"]

    first = rows[0]
    for row in rows:
        ran = row["seconds"] is not None and first["seconds"] is not None
        row["ratio"] = row["seconds"] / first["seconds"] if ran else None
        row["memory_ratio"] = working(row) / working(first) if ran else None
    return rows


def inference(model: Model, images: Images) -> Work:
    """Logits of a batch, without gradients."""

    @torch.no_grad()
    def work() -> None:
        model(images)

    return work


def training(model: Model, images: Images) -> Work:
    """A step of AdamW, whose moments are there before the first call; gradients are gone after each."""
    labels = torch.arange(images.shape[0], device=next(model.parameters()).device) % CLASSES
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()

    def work() -> None:
        output = model(images)
        lower_bound(output.logits, labels, output.terms).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return work


WORK: dict[str, Callable[[Model, Images], Work]] = {"inference": inference, "training": training}


def resident_bytes(model: nn.Module, mode: str) -> int:
    """Weights and buffers, and in training Adam's two moments."""
    weights = sum(p.nbytes for p in model.parameters())
    return weights * (3 if mode == "training" else 1) + sum(b.nbytes for b in model.buffers())


def bytes_a_crop(mode: str, images: Pyramid) -> float:
    """Memory that one crop takes in ResNet-18, from a few: what holding all of them will need."""
    batch, channels = images.shape
    model = CropsResNet(CLASSES, channels).to(images.flat.device).train(mode == "training")
    count = max(1, 8 // batch)
    rows, cols = (places[:count].to(images.flat.device) for places in crop_grid(*images.sizes[0]))

    def work() -> None:
        with torch.set_grad_enabled(mode == "training"):
            kept = model.features(images, rows, cols)  # noqa: F841  what the backward pass would need stays in memory

    return peak_bytes(work) / (count * batch)
