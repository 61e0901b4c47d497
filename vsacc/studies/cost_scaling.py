"""Time and memory against the side of the image: one image of one channel, inference.

Sides beyond ``IN_MEMORY`` are read from a store on disk, mapped into memory, as photographs of that size would be.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..images.store_read import open_store
from ..images.store_write import write_strips
from ..local.paths import RUNS, check_writable
from ..sampler import Images, glimpse
from .cost_table import CONTENDERS, inference, random_images, resident_bytes
from .measure import SHARE, Cost, Work, free_bytes, measure, slope

IN_MEMORY = 10_000  # largest side that is held in memory
STRIP = 256  # rows of random pixels made at once
NAMES = ("saccader", "attention sampling", "RAM", "DRAM", "144 crops, naive", "whole image")
HEAVY = {name for name in NAMES if CONTENDERS[name].heavy}


def against_side(sides: tuple[int, ...], rounds: int, budget: float, limit: float, progress: bool = True) -> list[dict]:
    """A row per name and side, sides rising; "glimpse" is the sampler alone, four glimpses of 32 x 32.

    A ResNet is not run where its last side says that one call may take more than ``limit`` seconds or more memory
    than is free; then seconds are None and "why" is a sentence.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    models = {name: CONTENDERS[name].make(1).to(device, memory_format=torch.channels_last).eval() for name in NAMES}
    where = torch.tensor([[[0.3, x, y] for x in (-0.5, 0.5) for y in (-0.5, 0.5)]], device=device)
    last: dict[str, tuple[int, Cost]] = {}
    rows = []
    for side in sides:
        with images_of(side, device, progress) as images:
            works: dict[str, Work] = {name: inference(model, images) for name, model in models.items()}
            works["glimpse"] = lambda images=images: glimpse(images, where, 32)
            why = {name: reason(last.get(name), side, limit) for name in works if name in HEAVY}
            runs = {name: work for name, work in works.items() if not why.get(name)}
            costs = measure(runs, rounds, budget, f"side {side}" if progress else None)
        last |= {name: (side, cost) for name, cost in costs.items()}
        for name in works:
            cost, model = costs.get(name), models.get(name)
            resident = resident_bytes(model, "inference") if model else 0
            rows.append({
                "part": "sides", "name": name, "method": CONTENDERS[name].method if model else "glimpse",
                "mode": "inference", "side": side, "channels": 1, "batch": 1, "store": side > IN_MEMORY,
                "resident": resident, "seconds": cost and cost.seconds, "bytes": cost and cost.bytes + resident,
                "calls": cost and cost.calls, "ratio": cost and cost.seconds / costs["saccader"].seconds,
                "why": why.get(name),
            })  # fmt: skip
    return rows


@contextmanager
def images_of(side: int, device: str, progress: bool) -> Iterator[Images]:
    """One image of random pixels."""
    if side <= IN_MEMORY:
        yield random_images(1, 1, side, device)
        return
    with stored(side, device, progress) as images:
        yield images


@contextmanager
def stored(side: int, device: str, progress: bool) -> Iterator[Images]:
    """One image of random pixels in a store on disk, mapped into memory; it is gone afterwards."""
    check_writable(RUNS)
    with TemporaryDirectory(dir=RUNS, prefix="bench-") as folder:
        write_strips(folder, random_strips(side, progress), (1, side, side), "random pixels")
        yield open_store(folder).images(torch.zeros(1, dtype=torch.long, device=device))


def random_strips(side: int, progress: bool) -> Iterator[Tensor]:
    for top in tqdm(range(0, side, STRIP), f"writing {side} x {side}", leave=False, disable=not progress):
        yield torch.randint(0, 256, (1, min(STRIP, side - top), side), dtype=torch.uint8)


def reason(last: tuple[int, Cost] | None, side: int, limit: float) -> str | None:
    """Why not to run a contender at ``side``, should its cost have grown with the pixels since its last side."""
    if last is None:
        return None
    before, cost = last
    growth = (side / before) ** 2
    if cost.seconds * growth > limit:
        return f"not run: may take {cost.seconds * growth:.0f} s"
    if cost.bytes * growth > SHARE * free_bytes():
        return f"not run: may need {cost.bytes * growth / 1e9:.0f} GB"
    return None


def slopes(rows: list[dict]) -> dict[str, dict[str, float | None]]:
    """By name, the exponents of side in "seconds" and in "bytes" beyond the weights; None below three sides."""
    fitted = {}
    for name in dict.fromkeys(row["name"] for row in rows):
        ran = [row for row in rows if row["name"] == name and row["seconds"] is not None]
        sides = [row["side"] for row in ran]
        fitted[name] = {
            "seconds": slope(sides, [row["seconds"] for row in ran]),
            "bytes": slope(sides, [row["bytes"] - row["resident"] for row in ran]),
        }
    return fitted
