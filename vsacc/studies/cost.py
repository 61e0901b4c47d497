"""The right half of the paper's Table 1: parameters, memory and time of every system, side by side, and in words.

Weights and pixels are random: neither changes the cost. Everything is float32 and seconds are per image; a row that was
not run has seconds None and says "why". "bytes" is the peak of everything beyond the uint8 images: weights,
activations, and in training gradients and Adam's moments. "resident" is the part of it that is there between steps:
weights, buffers and moments.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from ..loss import lower_bound
from ..saccader import Config, Model
from ..sampler import Images, Pyramid, build_pyramid
from ..systems import System, all_systems
from ..systems.resnet import GRID, crop_grid
from ..tasks import ALL_PIXELS
from ..tasks.cluttered import IDENTIFICATION_2528 as TASK
from .measure import DEVICE, Work, largest_batch, measure, peak_bytes
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
SMALL = 100  # side of the paper's images in the second part of its Table 1
SIDES = (512, 1024, 2528, 5056, 10_000, 20_000)
TABLE = "name mode side channels batch parameters bytes seconds epoch_seconds ratio memory_ratio"
COLUMNS = {  # of text: by key of a row, its heading and what it is multiplied by
    "parameters": ("weights, M", 1e-6), "bytes": ("MB", 1e-6), "resident": ("kept MB", 1e-6), "share": ("%", 1e2),
    "seconds": ("ms", 1e3), "epoch_seconds": ("epoch, h", 1 / 3600), "ratio": ("x time", 1),
    "memory_ratio": ("x memory", 1), "flops": ("GFLOP", 1e-9), "moved": ("MB moved", 1e-6),
    "intensity": ("FLOP/byte", 1), "floor": ("floor, ms", 1e3), "over": ("x floor", 1), "why": ("", None),
}  # fmt: skip


class Size(NamedTuple):
    """What a profile measures.

    side, batches: of Table 1, in inference and in training; small: batches of its part at ``SMALL``; sides: of the
    comparison of sides; parts: (side, batch) of where the time goes; rounds: timed calls of each work, fewer where they
    take more than ``budget`` seconds together; limit: seconds of a call that is not made, in the comparison of sides;
    progress: show bars.
    """

    side: int
    batches: tuple[int, int]
    small: tuple[int, int]
    sides: tuple[int, ...]
    parts: tuple[int, int]
    rounds: int
    budget: float
    limit: float
    progress: bool = True


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
        return self.system.build(replace(config, channels=channels, **self.changes | changes), TASK.question)


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
    colour = table(CONTENDERS, size.side, 3, size.batches, size)
    return colour + table(["saccader"], size.side, 1, size.batches, size)


def small(size: Size) -> list[dict]:
    """The table of small images, which are grey."""
    return table(AT_ONCE, SMALL, 1, size.small, size)


def table(names: Iterable[str], side: int, channels: int, batches: tuple[int, int], size: Size) -> list[dict]:
    """A row per mode and contender of ``names``, measured in turn. "ratio" is a multiple of the first's seconds per
    image, "memory_ratio" of its bytes per image that are not resident.

    batches: in inference and in training; halved for a contender that does not fit. One that never does is not run.
    """
    made = []
    for mode, batch in zip(WORK, batches, strict=True):
        rows, works = {}, {}
        images = random_images(batch, channels, side)
        need = bytes_a_crop(mode, images) * GRID**2
        smallest = 2 if mode == "training" else 1  # batch norm cannot train on one image
        for name in names:
            contender = CONTENDERS[name]
            model = contender.make(channels).to(DEVICE).train(mode == "training")

            def work_of(count: int, mode=mode, model=model, images=images) -> Work:
                return WORK[mode](model, images._replace(flat=images.flat[:count]))

            count = largest_batch(work_of, batch, smallest, contender.heavy * need)
            rows[name] = {
                "part": "table", "name": name, "method": contender.system.name, "mode": mode, "side": side,
                "channels": channels, "batch": count, "parameters": sum(p.numel() for p in model.parameters()),
                "resident": resident_bytes(model, mode),
            }  # fmt: skip
            if count:
                works[name] = work_of(count)
        costs = measure(works, size.rounds, size.budget, f"{mode}, side {side}" if size.progress else None)
        first, first_cost = next((row, costs.get(name)) for name, row in rows.items())
        for name, row in rows.items():
            cost = costs.get(name)
            row |= {"seconds": cost and cost.seconds / row["batch"], "bytes": cost and cost.bytes + row["resident"]}
            row |= {"epoch_seconds": cost and EPOCH * row["seconds"], "calls": cost and cost.calls}
            row |= {"why": None if cost else f"not run: batch {smallest} needs more memory than is free"}
            share = cost and first_cost and first["batch"] / row["batch"]  # so that images are compared, not batches
            row["ratio"] = share and share * cost.seconds / first_cost.seconds
            row["memory_ratio"] = share and share * cost.bytes / first_cost.bytes
        made += rows.values()
    return made


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
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    return optimizer


WORK: dict[str, Callable[[Model, Images], Work]] = {"inference": inference, "training": training}  # by mode


def resident_bytes(model: Model, mode: str) -> int:
    """Weights and buffers, and in training Adam's two moments."""
    weights = sum(p.nbytes for p in model.parameters())
    return weights * (3 if mode == "training" else 1) + sum(b.nbytes for b in model.buffers())


def bytes_a_crop(mode: str, images: Pyramid) -> float:
    """Memory that one crop takes in ResNet-18, from a few: what holding all of them will need."""
    batch, channels = images.shape
    model = CONTENDERS["144 crops, naive"].make(channels).to(DEVICE).train(mode == "training")
    count = max(1, 8 // batch)
    rows, cols = (places[:count].to(DEVICE) for places in crop_grid(*images.sizes[0]))
    with torch.set_grad_enabled(mode == "training"):  # then what the backward pass would need stays in memory
        return peak_bytes(lambda: model.features(images, rows, cols)) / (count * batch)


def text_table(rows: Iterable[dict], keys: str = TABLE) -> str:
    """Rows as lines of text, a column for each of ``keys``, numbers in three digits, and "why" where a row has one."""
    columns = {key: COLUMNS.get(key, (key, None)) for key in [*keys.split(), "why"]}
    lines = [[heading for heading, _ in columns.values()]]
    for row in rows:
        values = [(row.get(key), unit) for key, (_, unit) in columns.items()]
        lines.append(["" if it is None else number(it, unit) if unit else str(it) for it, unit in values])
    first, *widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(f"{name:{first}}  {'  '.join(map(str.rjust, cells, widths))}".rstrip() for name, *cells in lines)


def against_the_saccader(rows: list[dict]) -> str:
    """A line of Markdown for everybody else of a table of one number of channels: multiples of time and memory."""
    of = {(row["name"], row["mode"]): row for row in rows}
    names = [name for name in dict.fromkeys(row["name"] for row in rows) if name != "saccader"]
    lines = [f"- *{name}*: {'; '.join(multiples(of[name, mode]) for mode in WORK)}." for name in names]
    return "\n".join(["In multiples of the saccader's:", "", *lines])


def multiples(row: dict) -> str:
    if row["seconds"] is None:
        return f"{row['mode']} {row['why']}"
    memory = f"{number(row['memory_ratio'])} times the memory beyond weights"
    return f"{row['mode']} **{number(row['ratio'])} times** the time and {memory}"


def beside_the_paper(rows: list[dict], printed: dict[str, tuple[float, float, float]], name: str) -> str:
    """``name`` against the saccader in training: as ``printed`` (parameters, bytes, seconds an epoch), and as measured
    in ``rows``."""
    (_, their_bytes, theirs), (_, our_bytes, ours) = printed[name], printed["saccader"]
    row = next(row for row in rows if (row["name"], row["mode"]) == (name, "training"))
    time, memory = number(theirs / ours), number(their_bytes / our_bytes)
    paper = f"{time} times the time and {memory} times the memory in the paper, "
    here = f"; here {multiples(row).removeprefix('training ')}"
    return f"*{name}* against the saccader in training: {paper}weights included, on GPUs{here}."
