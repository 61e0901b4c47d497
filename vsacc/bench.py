"""Benchmarks: time and memory, measured side by side in one run, printed as ratios.

python -m vsacc.bench sampler [--out FILE.json]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from .paths import UserError, one_sentence_exit, write_atomic
from .record import provenance
from .sampler import Pyramid, build_pyramid, glimpse

SIDES = (256, 512, 1024, 2048, 4096, 8192)
BATCH, STEPS, SIZE, ROUNDS = (
    4,
    4,
    32,
    7,
)  # images, glimpses an image, side of a glimpse, timed rounds (after one unmeasured)

OURS = "glimpse, pyramid"


def seconds_of(work: Callable[[], object]) -> float:
    """Wall clock of one call, waiting for the device."""
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_bytes(work: Callable[[], object]) -> int:
    """Most bytes that torch's allocator held at once during one call, beyond what it held before."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    held = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


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
    where = torch.rand(BATCH, STEPS, 3, generator=rng) * torch.tensor([0.2, 1.0, 1.0]) + torch.tensor(
        [0.05, -0.5, -0.5]
    )
    where = where.to(device)
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
        times = {name: [] for name in contenders}
        for turn in range(ROUNDS + 1):
            for name, (work, _) in contenders.items():  # in turn, so that a slow moment of the machine hits all of them
                elapsed = seconds_of(work)
                if turn:
                    times[name].append(elapsed)
        ours = statistics.median(times[OURS])
        for name, (work, resident) in contenders.items():
            seconds = statistics.median(times[name])
            row = {"name": name, "side": side, "batch": BATCH, "glimpses": STEPS, "size": SIZE}
            rows.append(
                row | {"seconds": seconds, "bytes": peak_bytes(work), "resident": resident, "ratio": seconds / ours}
            )
    return rows


BENCHMARKS = {"sampler": sampler}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m vsacc.bench", description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", help=", ".join(BENCHMARKS))
    parser.add_argument("--out", type=Path, help="a .json for the rows")
    options = parser.parse_args()
    if options.benchmark not in BENCHMARKS:
        raise UserError(f"benchmark {options.benchmark!r} is unknown, choose one of {', '.join(BENCHMARKS)}.")
    rows = BENCHMARKS[options.benchmark]()
    print(f"{'forward + backward':30s}{'side':>7s}{'ms':>10s}{'MB':>10s}{'+ kept MB':>11s}{'ratio':>8s}")
    for row in rows:
        figures = f"{row['side']:7d}{1e3 * row['seconds']:10.2f}{row['bytes'] / 1e6:10.2f}{row['resident'] / 1e6:11.2f}"
        print(f"{row['name']:30s}{figures}{row['ratio']:8.2f}")
    if options.out:
        write_atomic(options.out, json.dumps({**provenance(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    one_sentence_exit(main)
