"""The right half of the paper's Table 1, parameters, memory and time of every system, and how they grow with the image.

Weights and pixels are random: neither changes the cost. Everything is float32 and seconds are per image; a row that was
not run has seconds None and says "why". "bytes" is the peak of everything beyond the uint8 images: weights,
activations, and in training gradients and Adam's moments. "resident" is the part of it that is there between steps:
weights, buffers and moments."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch

from ..images.store import open_store
from ..images.store_writing import write_strips
from ..local.paths import RUNS, check_writable
from ..loss import lower_bound
from ..saccader import Config, Model
from ..sampler import Images, Pyramid, build_pyramid, glimpse
from ..systems import System, all_systems
from ..tasks import ALL_PIXELS
from ..tasks.cluttered import IDENTIFICATION_2528 as TASK
from .measure import DEVICE, Work, largest_batch, measure
from .table1 import EPOCH, number

CLASSES = len(TASK.question.classes)
PRINTED = {  # the paper's own column at 2528 x 2528: parameters, bytes at batch 160, seconds per epoch
    "saccader": (7.4e6, 4.1e9, 120.0),
    "144 crops, naive": (11.4e6, 79e9, 1052.43),
    "144 crops, checkpointed": (11.4e6, 6.5e9, 1454.05),
}
ROWS = {  # what Table 1 calls the ways to run a system, and what each changes; the other systems go by their labels
    "resnet18": {"whole image": {}},
    "resnet18_144": {"144 crops, checkpointed": {"chunk": 16}, "144 crops, naive": {"chunk": None}},
}
HELD = {"inference": 170, "training": 520}  # bytes a pixel, a little more than ResNet-18's floats of a whole image take
SMALL = 100  # side of the second part of the paper's Table 1
SIDES = (512, 1024, 2528, 5056, 10_000, 20_000)
IN_MEMORY = 10_000  # the largest side that is held in memory; a store on disk is mapped into it beyond
STRIP = 256  # rows of random pixels written at once
TABLE = "name mode side channels batch parameters bytes seconds epoch_seconds ratio memory_ratio"
COLUMNS = {  # of text: by key of a row, its heading and what it is multiplied by
    "parameters": ("weights, M", 1e-6), "bytes": ("MB", 1e-6), "resident": ("kept MB", 1e-6), "share": ("%", 1e2),
    "low": ("from", 1), "high": ("to", 1), "disk_bytes": ("disk MB", 1e-6),
    "seconds": ("ms", 1e3), "epoch_seconds": ("epoch, h", 1 / 3600), "ratio": ("x time", 1),
    "memory_ratio": ("x memory", 1), "flops": ("GFLOP", 1e-9), "moved": ("MB moved", 1e-6),
    "intensity": ("FLOP/byte", 1), "floor": ("floor, ms", 1e3), "over": ("x floor", 1), "why": ("", None),
}  # fmt: skip


class Size(NamedTuple):
    """What a profile measures."""

    side: int  # of Table 1
    batches: tuple[int, int]  # of Table 1, in inference and in training
    small: tuple[int, int]  # batches of its part at SMALL
    sides: tuple[int, ...]  # that are compared
    parts: tuple[int, int]  # (side, batch) of where the time goes
    rounds: int  # timed calls of each work ...
    budget: float  # ... fewer where they take more than so many seconds together
    limit: float  # seconds of a call that is not made, in the comparison of sides
    progress: bool = True  # show bars


SIZES = {
    "quick": Size(316, (2, 2), (2, 2), (128, 256, 512, 1024, 2048), (316, 8), 2, 0.3, 1.0),
    "laptop": Size(2528, (4, 2), (8, 8), SIDES, (1264, 32), 15, 3.0, 10.0),
    "paper": Size(2528, (160, 160), (160, 160), SIDES, (2528, 160), 20, 30.0, 30.0),
}


class Contender(NamedTuple):
    """A system as profile paper trains it, but for some ``changes`` of its configuration. heavy: holds the floats of
    the whole image at once."""

    system: System
    changes: dict[str, Any]
    heavy: bool

    def make(self, channels: int, **changes) -> Model:
        config = self.system.configure(TASK.name, "paper")
        return self.system.build(replace(config, channels=channels, **self.changes | changes), TASK.question).to(DEVICE)


def contenders() -> dict[str, Contender]:
    """Every system by the names of Table 1's rows, the saccader first, whoever reads every pixel last; without the
    controls, which are built from the saccader's configuration and are saccaders that lack a part."""
    found = {}
    for system in sorted(all_systems().values(), key=lambda each: (each.name != "saccader", each.reads == ALL_PIXELS)):
        if system.config is not Config or system.name == "saccader":
            for name, changes in ROWS.get(system.name, {system.label: {}}).items():
                found[name] = Contender(system, changes, system.reads == ALL_PIXELS and not changes.get("chunk"))
    return found


CONTENDERS = contenders()
AT_ONCE = tuple(name for name in CONTENDERS if name != "144 crops, checkpointed")  # for images that fit into any memory


def large(size: Size) -> list[dict]:
    """The table of large images: colour for everybody, grey for the saccader too."""
    return table(CONTENDERS, size.side, 3, size.batches, size) + table(["saccader"], size.side, 1, size.batches, size)


def small(size: Size) -> list[dict]:
    """The table of small images, which are grey."""
    return table(AT_ONCE, SMALL, 1, size.small, size)


def table(names: Iterable[str], side: int, channels: int, batches: tuple[int, int], size: Size) -> list[dict]:
    """The rows of ``names`` in both modes, in batches of so many images in inference and in training."""
    given = ((mode, random_images(batch, channels, side)) for mode, batch in zip(WORK, batches, strict=True))
    return [row for mode, images in given for row in compare("table", names, mode, images, size)]


def against_side(size: Size) -> list[dict]:
    """Rows of one image of one channel in inference, sides rising; "glimpse" is the sampler alone. Whoever holds all
    pixels is not run where its last side says that a call may take more than ``limit`` seconds."""
    where = torch.tensor([[[0.3, x, y] for x in (-0.5, 0.5) for y in (-0.5, 0.5)]], device=DEVICE)
    made = []
    for side in size.sides:
        last = {row["name"]: row for row in made if row["seconds"] and row["name"] in CONTENDERS}
        may_take = {n: last[n]["seconds"] * (side / last[n]["side"]) ** 2 for n in last if CONTENDERS[n].heavy}
        too_long = {n: f"not run: may take {each:.0f} s" for n, each in may_take.items() if each > size.limit}
        with stored(side) if side > IN_MEMORY else nullcontext(random_images(1, 1, side)) as images:
            alone = {"glimpse": partial(glimpse, images, where, 32)}
            rows = compare("sides", AT_ONCE, "inference", images, size, too_long, alone)
        made += [row | {"store": side > IN_MEMORY} for row in rows]
    return made


@contextmanager
def written(side: int) -> Iterator[str]:
    """The folder of a store on disk with one image of random pixels; it is gone afterwards."""
    check_writable(RUNS)
    heights = (min(STRIP, side - top) for top in range(0, side, STRIP))
    strips = (torch.randint(0, 256, (1, height, side), dtype=torch.uint8) for height in heights)
    with TemporaryDirectory(dir=RUNS, prefix="bench-") as folder:
        write_strips(folder, strips, (1, side, side), "random pixels")
        yield folder


@contextmanager
def stored(side: int) -> Iterator[Images]:
    """Its image, mapped into memory."""
    with written(side) as folder:
        yield open_store(folder).images(torch.zeros(1, dtype=torch.long, device=DEVICE))


def compare(
    part: str, names: Iterable[str], mode: str, images: Images, size: Size, left_out: Mapping = {}, alone: Mapping = {}
) -> list[dict]:
    """A row per contender of ``names``, measured in turn on the same images, and per work of ``alone``. "ratio" is a
    multiple of the first's seconds per image, "memory_ratio" of its bytes per image that are not resident.

    left_out: by name, a sentence why a contender is not run. The batch is halved for one that it does not fit; one that
    no batch fits is not run either."""
    (batch, channels), (side, _) = images.shape, images.sizes[0]
    smallest = 2 if mode == "training" else 1  # batch norm cannot train on one image
    rows, works = {}, {}
    for name in names:
        contender, why = CONTENDERS[name], left_out.get(name)
        model = contender.make(channels).train(mode == "training")

        def work_of(count: int, model=model) -> Work:
            return WORK[mode](model, images if count == batch else images._replace(flat=images.flat[:count]))

        fitting = None if why else largest_batch(work_of, batch, smallest, contender.heavy * HELD[mode] * side**2)
        if fitting:
            works[name] = work_of(fitting)
        rows[name] = {
            "method": contender.system.name, "batch": fitting, "parameters": sum(p.numel() for p in model.parameters()),
            "resident": resident_bytes(model, mode),
            "why": None if fitting else why or f"not run: batch {smallest} needs more memory than is free",
        }  # fmt: skip
    works |= alone
    rows |= {name: {"method": name, "batch": batch, "resident": 0, "why": None} for name in alone}
    costs = measure(works, size.rounds, size.budget, f"{mode}, side {side}" if size.progress else None)
    first, *_ = rows
    for name, row in rows.items():
        row |= {"part": part, "name": name, "mode": mode, "side": side, "channels": channels}
        row |= dict.fromkeys(("seconds", "bytes", "epoch_seconds", "calls", "ratio", "memory_ratio"))
        if cost := costs.get(name):
            row |= {"seconds": cost.seconds / row["batch"], "bytes": cost.bytes + row["resident"], "calls": cost.calls}
            row["epoch_seconds"] = EPOCH * row["seconds"]
        if cost and first in costs:
            share = rows[first]["batch"] / row["batch"]  # so that images are compared, not batches
            row["ratio"] = share * cost.seconds / costs[first].seconds
            row["memory_ratio"] = share * cost.bytes / costs[first].bytes
    return list(rows.values())


def random_images(batch: int, channels: int, side: int) -> Pyramid:
    torch.manual_seed(0)
    return build_pyramid(torch.randint(0, 256, (batch, channels, side, side), dtype=torch.uint8, device=DEVICE))


def inference(model: Model, images: Images) -> Work:
    """Logits of a batch, without gradients."""
    return torch.no_grad()(lambda: model(images))


def training(model: Model, images: Images) -> Work:
    """A step of AdamW, whose moments are there before the first call; gradients are gone after each."""
    labels = torch.arange(images.shape[0], device=next(model.parameters()).device) % CLASSES
    optimizer = adam(model)
    optimizer.zero_grad()

    def work() -> None:
        output = model(images)
        lower_bound(output.logits, labels, output.terms).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return work


def adam(model: Model) -> torch.optim.Optimizer:
    """AdamW that has its moments already; the gradients are zeros."""
    counted = next(model.parameters()).is_meta  # shapes without values, which no kernel takes
    optimizer = torch.optim.AdamW(model.parameters(), fused=not counted)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return optimizer


WORK: dict[str, Callable[[Model, Images], Work]] = {"inference": inference, "training": training}  # by mode


def resident_bytes(model: Model, mode: str) -> int:
    """Weights and buffers, and in training Adam's two moments."""
    weights = sum(p.nbytes for p in model.parameters())
    return weights * (3 if mode == "training" else 1) + sum(b.nbytes for b in model.buffers())


def slopes(rows: list[dict]) -> dict[str, dict[str, float | None]]:
    """By name, the exponents of side in "seconds" and in "bytes" beyond the weights, fitted by least squares on
    logarithms; None below three sides."""
    fitted = {}
    for name in dict.fromkeys(row["name"] for row in rows):
        ran = [row for row in rows if row["name"] == name and row["seconds"] is not None]
        values = {"seconds": [row["seconds"] for row in ran], "bytes": [row["bytes"] - row["resident"] for row in ran]}
        sides = np.log([row["side"] for row in ran])
        fitted[name] = {
            key: float(np.polyfit(sides, np.log(each), 1)[0]) if len(ran) > 2 else None for key, each in values.items()
        }
    return fitted


def text_table(rows: Iterable[dict], keys: str = TABLE) -> str:
    """Rows as lines of text, a column for each of ``keys``, numbers in three digits, and "why" where a row has one."""
    columns = {key: COLUMNS.get(key, (key, None)) for key in [*keys.split(), "why"]}
    lines = [[heading for heading, _ in columns.values()]]
    for row in rows:
        values = [(row.get(key), unit) for key, (_, unit) in columns.items()]
        lines.append(["" if it is None else number(it, unit) if unit else str(it) for it, unit in values])
    first, *widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(f"{name:{first}}  {'  '.join(map(str.rjust, cells, widths))}".rstrip() for name, *cells in lines)
