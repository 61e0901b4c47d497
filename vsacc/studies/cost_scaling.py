"""What grows with the side of the image: time and memory of whole models, and of the sampler alone.

Sides beyond ``IN_MEMORY`` are read from a store on disk, mapped into memory, as photographs of that size would be.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from ..images.store import open_store
from ..images.store_writing import write_strips
from ..local.paths import RUNS, check_writable
from ..sampler import Images, build_pyramid, glimpse
from .cost import AT_ONCE, CONTENDERS, Size, inference, random_images, resident_bytes
from .measure import DEVICE, SHARE, Cost, Work, free_bytes, measure

IN_MEMORY = 10_000  # largest side that is held in memory
STRIP = 256  # rows of random pixels made at once
# Of the sampler alone: images, glimpses an image and side of a glimpse; sides in memory and on disk, timed calls.
BATCH, STEPS, SIZE = 4, 4, 32
SIDES, ROUNDS, STORED, STORED_ROUNDS = (256, 512, 1024, 2048, 4096, 8192), 7, (512, 20_000), 150
OURS, MAPPED = "glimpse, pyramid", "glimpse, store on disk"


def against_side(size: Size) -> list[dict]:
    """A row per name and side, sides rising, of one image of one channel in inference; "glimpse" is the sampler alone.

    Whoever holds all pixels is not run where its last side says that one call may take more than ``limit`` seconds or
    more memory than is free; then seconds are None and "why" is a sentence.
    """
    models = {name: CONTENDERS[name].make(1).to(DEVICE).eval() for name in AT_ONCE}
    where = torch.tensor([[[0.3, x, y] for x in (-0.5, 0.5) for y in (-0.5, 0.5)]], device=DEVICE)
    last: dict[str, tuple[int, Cost]] = {}
    rows = []
    for side in size.sides:
        with stored(side, size.progress) if side > IN_MEMORY else nullcontext(random_images(1, 1, side)) as images:
            works: dict[str, Work] = {name: inference(model, images) for name, model in models.items()}
            works["glimpse"] = lambda images=images: glimpse(images, where, 32)
            why = {name: reason(last.get(name), side, size.limit) for name in AT_ONCE if CONTENDERS[name].heavy}
            runs = {name: work for name, work in works.items() if not why.get(name)}
            costs = measure(runs, size.rounds, size.budget, f"side {side}" if size.progress else None)
        last |= {name: (side, cost) for name, cost in costs.items()}
        for name in works:
            cost, model = costs.get(name), models.get(name)
            resident = resident_bytes(model, "inference") if model else 0
            rows.append({
                "part": "sides", "name": name, "method": CONTENDERS[name].system.name if model else "glimpse",
                "mode": "inference", "side": side, "channels": 1, "batch": 1, "store": side > IN_MEMORY,
                "resident": resident, "seconds": cost and cost.seconds, "bytes": cost and cost.bytes + resident,
                "calls": cost and cost.calls, "ratio": cost and cost.seconds / costs["saccader"].seconds,
                "why": why.get(name),
            })  # fmt: skip
    return rows


@contextmanager
def stored(side: int, progress: bool = True) -> Iterator[Images]:
    """One image of random pixels in a store on disk, mapped into memory; it is gone afterwards."""
    check_writable(RUNS)
    tops = tqdm(range(0, side, STRIP), f"writing {side} x {side}", leave=False, disable=not progress)
    strips = (torch.randint(0, 256, (1, min(STRIP, side - top), side), dtype=torch.uint8) for top in tops)
    with TemporaryDirectory(dir=RUNS, prefix="bench-") as folder:
        write_strips(folder, strips, (1, side, side), "random pixels")
        yield open_store(folder).images(torch.zeros(1, dtype=torch.long, device=DEVICE))


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


def sampler() -> list[dict]:
    """Glimpses forward and backward, against cast-to-float + grid_sample: a row per contender and side, and one for
    each side on disk; seconds and bytes are those of a batch."""
    rng = torch.Generator().manual_seed(0)
    low, extent = torch.tensor([0.05, -0.5, -0.5]), torch.tensor([0.2, 1.0, 1.0])
    where = (low + extent * torch.rand(BATCH, STEPS, 3, generator=rng)).to(DEVICE)
    made = []  # name, side, batch, cost, resident bytes, the cost that ratios refer to
    for side in tqdm(SIDES, desc="image side"):
        images = torch.randint(0, 256, (BATCH, 1, side, side), dtype=torch.uint8, generator=rng).to(DEVICE)
        pyramid, floats = build_pyramid(images), images.float() / 255
        contenders = {  # name: glimpses, bytes that stay resident for them
            OURS: (partial(glimpse, pyramid, size=SIZE), pyramid.flat.nbytes),
            "glimpse, image alone": (partial(glimpse, images, size=SIZE), images.nbytes),
            "grid_sample, floats kept": (partial(plain, floats), floats.nbytes),
            "cast + grid_sample": (lambda w, i=images: plain(i.float() / 255, w), images.nbytes),
        }
        works = {name: partial(forward_backward, where, look) for name, (look, _) in contenders.items()}
        costs = measure(works, ROUNDS)
        made += [(name, side, BATCH, costs[name], kept, costs[OURS]) for name, (_, kept) in contenders.items()]
    with ExitStack() as stack:  # one small and one huge image, both mapped from a store, in turn
        works = {}
        for side in STORED:
            images = stack.enter_context(stored(side))
            works[side] = partial(forward_backward, where[:1], partial(glimpse, images, size=SIZE))
        costs = measure(works, STORED_ROUNDS)
    made += [(MAPPED, side, 1, cost, 0, costs[STORED[0]]) for side, cost in costs.items()]
    return [
        {"name": name, "side": side, "batch": batch, "glimpses": STEPS, "size": SIZE, "seconds": cost.seconds}
        | {"bytes": cost.bytes, "resident": kept, "ratio": cost.seconds / first.seconds}
        for name, side, batch, cost, kept, first in made
    ]


def forward_backward(where: Tensor, pixels: Callable[[Tensor], Tensor]) -> None:
    """What one training step asks of the sampler, for STEPS glimpses."""
    leaf = where.clone().requires_grad_()
    pixels(leaf).sum().backward()


def plain(floats: Tensor, where: Tensor) -> Tensor:
    """What a spatial transformer usually is: affine_grid and grid_sample over float images in [0, 1]."""
    s, x, y = where.flatten(0, 1).T
    zero = torch.zeros_like(s)
    theta = torch.stack([torch.stack([s, zero, x], -1), torch.stack([zero, s, y], -1)], 1)
    grid = F.affine_grid(theta, [len(s), 1, SIZE, SIZE], align_corners=False)
    grid = grid.view(len(floats), -1, SIZE, 2)  # the glimpses of an image below each other: one call serves them all
    return F.grid_sample(floats, grid, "bilinear", "border", align_corners=False)
