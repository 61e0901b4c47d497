"""Benchmarks: time and memory, measured side by side in one run, printed as ratios.

python -m vsacc.studies.bench sampler [--out FILE.json]
python -m vsacc.studies.bench cost [--profile quick|laptop|paper] [--out FILE.json]
python -m vsacc.studies.bench epoch [--profile quick|laptop|paper] [--out FILE.json]
"""

import argparse
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from ..local.paths import UserError, check_writable, one_sentence_exit, resolve_profile, write_atomic
from ..local.record import provenance
from ..sampler import Pyramid, build_pyramid, glimpse
from . import cost as benchmark
from . import epoch
from .cost_scaling import stored
from .measure import measure

SIDES = (256, 512, 1024, 2048, 4096, 8192)
BATCH, STEPS, SIZE = 4, 4, 32  # images, glimpses an image, side of a glimpse
ROUNDS = 7  # that are timed, after one that is not
STORED, STORED_ROUNDS = (512, 20_000), 150  # sides of one image on disk
OURS, MAPPED = "glimpse, pyramid", "glimpse, store on disk"


def looks(where: Tensor, pixels: Callable[[Tensor], Tensor]) -> Callable[[], None]:
    """Forward and backward of STEPS glimpses: what one training step asks of the sampler."""

    def work() -> None:
        leaf = where.clone().requires_grad_()
        pixels(leaf).sum().backward()

    return work


def plain(floats: Tensor, where: Tensor) -> Tensor:
    """What a spatial transformer usually is: affine_grid and grid_sample over float images in [0, 1]."""
    s, x, y = where.flatten(0, 1).T
    zero = torch.zeros_like(s)
    theta = torch.stack([torch.stack([s, zero, x], -1), torch.stack([zero, s, y], -1)], 1)
    grid = F.affine_grid(theta, [len(s), 1, SIZE, SIZE], align_corners=False)
    grid = grid.view(len(floats), -1, SIZE, 2)  # the glimpses of an image below each other: one call serves them all
    return F.grid_sample(floats, grid, "bilinear", "border", align_corners=False)


def sampler() -> list[dict]:
    """Glimpse forward + backward against cast-to-float + grid_sample, by image side."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rng = torch.Generator().manual_seed(0)
    low, extent = torch.tensor([0.05, -0.5, -0.5]), torch.tensor([0.2, 1.0, 1.0])
    where = (low + extent * torch.rand(BATCH, STEPS, 3, generator=rng)).to(device)
    rows = []
    for side in tqdm(SIDES, desc="image side"):
        images = torch.randint(0, 256, (BATCH, 1, side, side), dtype=torch.uint8, generator=rng).to(device)
        pyramid: Pyramid = build_pyramid(images)
        floats = images.float() / 255
        contenders = {  # name: work, bytes that stay resident for it
            OURS: (looks(where, lambda w, p=pyramid: glimpse(p, w, SIZE)), pyramid.flat.nbytes),
            "glimpse, image alone": (looks(where, lambda w, i=images: glimpse(i, w, SIZE)), images.nbytes),
            "grid_sample, floats kept": (looks(where, lambda w, f=floats: plain(f, w)), floats.nbytes),
            "cast + grid_sample": (looks(where, lambda w, i=images: plain(i.float() / 255, w)), images.nbytes),
        }
        costs = measure({name: work for name, (work, _) in contenders.items()}, ROUNDS)
        for name, (_, resident) in contenders.items():
            row = {"name": name, "side": side, "batch": BATCH, "glimpses": STEPS, "size": SIZE}
            row |= {"seconds": costs[name].seconds, "bytes": costs[name].bytes, "resident": resident}
            rows.append(row | {"ratio": costs[name].seconds / costs[OURS].seconds})
    return rows + from_disk(where[:1], device)


def from_disk(where: Tensor, device: str) -> list[dict]:
    """Forward + backward of the same glimpses into one small and one huge image, both mapped from a store, in turn."""
    with ExitStack() as stack:
        works = {}
        for side in STORED:
            images = stack.enter_context(stored(side, device, progress=True))
            works[side] = looks(where, lambda w, i=images: glimpse(i, w, SIZE))
        costs = measure(works, STORED_ROUNDS)
    shared = {"name": MAPPED, "batch": 1, "glimpses": STEPS, "size": SIZE, "resident": 0}
    first = costs[STORED[0]].seconds
    return [
        shared | {"side": side, "seconds": each.seconds, "bytes": each.bytes, "ratio": each.seconds / first}
        for side, each in costs.items()
    ]


def show_sampler(rows: list[dict]) -> str:
    lines = [f"{'forward + backward':30s}{'side':>7s}{'ms':>10s}{'MB':>10s}{'+ kept MB':>11s}{'ratio':>8s}"]
    for row in rows:
        figures = f"{row['side']:7d}{1e3 * row['seconds']:10.2f}{row['bytes'] / 1e6:10.2f}{row['resident'] / 1e6:11.2f}"
        lines.append(f"{row['name']:30s}{figures}{row['ratio']:8.2f}")
    return "\n".join(lines)


BENCHMARKS = {  # name: what makes the rows of a profile, what shows them
    "sampler": (lambda profile: sampler(), show_sampler),
    "cost": (benchmark.cost, benchmark.show),
    "epoch": (epoch.epoch, epoch.show),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m vsacc.studies.bench", description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", help=", ".join(BENCHMARKS))
    parser.add_argument("--profile", default="auto", help="of cost and epoch: quick, laptop, paper or auto")
    parser.add_argument("--out", type=Path, help="a .json for the rows")
    options = parser.parse_args()
    if options.benchmark not in BENCHMARKS:
        raise UserError(f"benchmark {options.benchmark!r} is unknown, choose one of {', '.join(BENCHMARKS)}.")
    resolve_profile(options.profile)
    if options.out:
        check_writable(options.out.parent)
    run, show = BENCHMARKS[options.benchmark]
    made, rows = provenance(), run(options.profile)
    print(show(rows))
    if options.out:
        write_atomic(options.out, json.dumps({**made, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    one_sentence_exit(main)
