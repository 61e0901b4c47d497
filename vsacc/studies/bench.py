"""``vsacc bench``: time and memory, measured side by side in one run, printed as ratios.

Cost has four tables of rows in one list, told apart by "part": "table", the right half of Table 1; "floor", how far
above the machine's limits its times lie; "sides", against the image's side; "parts", where the time of a saccader goes.
"""

import json
import os
from argparse import Namespace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from .. import sampler as core
from ..images.store import open_store
from ..local.paths import check_out, resolve_profile, write_atomic
from ..local.record import provenance
from ..sampler import Images, build_pyramid, glimpse
from .cost import SIZES, TABLE, against_side, large, slopes, small, text_table, written
from .measure import DEVICE, bytes_from_disk, measure, seconds_of
from .roofline import ROOFLINE, least_times, peaks
from .step_time import canvases, epoch, forward_backward, time_shares

SHARES = "name mode side batch seconds bytes ratio share"
PARTS = {"table": TABLE, "floor": ROOFLINE, "sides": SHARES, "parts": SHARES}  # and their columns of text
# Of the sampler: images, glimpses an image and side of a glimpse; sides in memory, timed calls, sides on disk.
BATCH, STEPS, SIZE = 4, 4, 32
SIDES, ROUNDS, STORED = (256, 1024, 2528, 8192), 40, (256, 2528, 20_000)
RIVAL = "grid_sample, floats kept"


def cost(profile: str) -> list[dict]:
    """All rows of a profile."""
    size = SIZES[profile]
    rows = large(size)
    limits = least_times([row for row in rows if row["channels"] == 3], peaks())
    return [*rows, *small(size), *limits, *against_side(size), *time_shares(size)]


def cost_text(rows: list[dict]) -> str:
    """A table for each part, and the fitted exponents of the side."""
    told = [text_table((row for row in rows if row["part"] == part), keys) for part, keys in PARTS.items()]
    for name, fitted in slopes([row for row in rows if row["part"] == "sides"]).items():
        fits = [f"{key} {'not fitted' if value is None else f'{value:+.2f}'}" for key, value in fitted.items()]
        told.append(f"exponents of the side, {name}: {', '.join(fits)}")
    return "\n".join(told)


def sampler() -> list[dict]:
    """Glimpses forward and backward from uint8, grey and colour, against grid_sample over floats that are resident
    already, a row per contender, side and number of threads; and of glimpses from a store on disk, warm and cold.
    seconds and bytes are those of a batch, "ratio" is the median over the rounds of the time over grid_sample's of the
    same round, between the quartiles "low" and "high"."""
    rng, threads, made = torch.Generator().manual_seed(0), torch.get_num_threads(), []
    step = partial(forward_backward, nn.Identity())  # a sampler has no weights
    for side, channels in tqdm(tuple(product(SIDES, (1, 3))), desc="image side"):
        images = torch.randint(0, 256, (BATCH, channels, side, side), dtype=torch.uint8, generator=rng).to(DEVICE)
        pyramid, floats, where = build_pyramid(images), images.float() / 255, places(BATCH, rng)
        contenders = {  # name: glimpses, bytes that stay resident for them
            RIVAL: (partial(plain, floats), floats.nbytes),
            "glimpse, pyramid": (partial(glimpse, pyramid, size=SIZE), pyramid.flat.nbytes),
            "glimpse, one level": (partial(glimpse, images, size=SIZE), images.nbytes),
            "in torch, pyramid": (partial(in_torch, pyramid), pyramid.flat.nbytes),
            "in torch, one level": (partial(in_torch, images), images.nbytes),
        }
        for count in (1, 2) if DEVICE == "cpu" else (threads,):
            torch.set_num_threads(count)
            costs = measure({name: partial(step, look, where) for name, (look, _) in contenders.items()}, ROUNDS)
            for name, cost in costs.items():
                row = {"name": name, "side": side, "channels": channels, "threads": count}
                row |= {"batch": BATCH, "glimpses": STEPS, "size": SIZE, "seconds": cost.seconds, "bytes": cost.bytes}
                made.append(row | {"resident": contenders[name][1]} | cost.over(costs[RIVAL]))
    torch.set_num_threads(threads)
    return made + [row for side in STORED for row in from_disk(side, rng)]


def in_torch(images: Images, where: Tensor) -> Tensor:
    """Glimpses without the compiled loop."""
    compiled, core.fastest_cut = core.fastest_cut, lambda: core.cut_in_torch
    try:
        return glimpse(images, where, SIZE)
    finally:
        core.fastest_cut = compiled


def from_disk(side: int, rng: torch.Generator) -> list[dict]:
    """Glimpses of one image in a store, at new places in every call: of a mapped file whose pages are in memory, and of
    one that the system was told to forget; "disk_bytes" came from the disk in a call. No cold row where the system
    cannot be told."""
    found = {"glimpse, store, warm": ([], [])}
    if hasattr(os, "posix_fadvise"):
        found["glimpse, store, cold"] = ([], [])
    with written(side) as folder:
        for name, (seconds, read) in found.items():
            for _ in range(ROUNDS):
                if name.endswith("cold"):
                    forget(folder)
                images = open_store(folder).images(torch.zeros(1, dtype=torch.long))
                where, before = places(1, rng).cpu(), bytes_from_disk()
                seconds.append(seconds_of(partial(glimpse, images, where, SIZE)))
                read.append(bytes_from_disk() - before)
                del images  # unmapped: pages that are mapped are not forgotten
    row = {"side": side, "threads": torch.get_num_threads(), "batch": 1, "glimpses": STEPS, "size": SIZE}
    return [
        {"name": name, **row, "seconds": median(seconds), "disk_bytes": median(read)}
        for name, (seconds, read) in found.items()
    ]


def forget(folder: str) -> None:
    """Tell the system to drop a folder's files from memory, once they are written."""
    for path in Path(folder).iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def places(batch: int, rng: torch.Generator) -> Tensor:
    low, extent = torch.tensor([0.05, -0.5, -0.5]), torch.tensor([0.2, 1.0, 1.0])
    return (low + extent * torch.rand(batch, STEPS, 3, generator=rng)).to(DEVICE)


def plain(floats: Tensor, where: Tensor) -> Tensor:
    """A spatial transformer at its best: one grid_sample over resident floats in [0, 1], its grid built directly."""
    unit = (torch.arange(SIZE, device=where.device) + 0.5) * (2 / SIZE) - 1
    s, x, y = where.unsqueeze(-1).unbind(-2)  # (B, T, 1)
    cols, rows = (centre + s * unit for centre in (x, y))  # (B, T, L)
    grid = torch.stack(torch.broadcast_tensors(cols.unsqueeze(-2), rows.unsqueeze(-1)), -1)  # (B, T, L, L, 2)
    # The glimpses of an image below each other: one call serves them all.
    return F.grid_sample(floats, grid.flatten(1, 2), "bilinear", "border", align_corners=False)


BENCHMARKS = {  # name: what makes the rows of a profile, what shows them
    "sampler": (
        lambda profile: sampler(),
        lambda rows: text_table(rows, "name side channels threads seconds bytes resident ratio low high disk_bytes"),
    ),
    "cost": (cost, cost_text),
    "epoch": (epoch, lambda rows: text_table(rows, "task precision batch seconds epoch_seconds ratio")),
    "canvases": (canvases, lambda rows: text_table(rows, "task batch seconds bytes ratio low high memory_ratio")),
}


def command(options: Namespace) -> None:
    """``vsacc bench``."""
    profile = resolve_profile(options.profile)
    if options.out:
        check_out(options.out, lambda old: old["benchmark"] == options.benchmark)
    run, show = BENCHMARKS[options.benchmark]
    made, rows = provenance(), run(profile)
    print(show(rows))
    if options.out:
        write_atomic(options.out, json.dumps({"benchmark": options.benchmark, **made, "rows": rows}, indent=1) + "\n")
