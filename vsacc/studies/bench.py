"""``vsacc bench``: time and memory, measured side by side in one run, printed as ratios.

Cost has four tables of rows in one list, told apart by "part": "table", the right half of Table 1; "floor", how far
above the machine's limits its times lie; "sides", against the image's side; "parts", where the time of a saccader goes.
"""

import json
from argparse import Namespace
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from ..local.paths import check_out, resolve_profile, write_atomic
from ..local.record import provenance
from ..sampler import build_pyramid, glimpse
from .cost import SIZES, TABLE, against_side, large, slopes, small, stored, text_table
from .measure import DEVICE, measure
from .roofline import ROOFLINE, least_times, peaks
from .step_time import epoch, forward_backward, time_shares

SHARES = "name mode side batch seconds bytes ratio share"
PARTS = {"table": TABLE, "floor": ROOFLINE, "sides": SHARES, "parts": SHARES}  # and their columns of text
# Of the sampler: images, glimpses an image and side of a glimpse; sides in memory and on disk, timed calls.
BATCH, STEPS, SIZE = 4, 4, 32
SIDES, ROUNDS, STORED, STORED_ROUNDS = (256, 512, 1024, 2048, 4096, 8192), 7, (512, 20_000), 150
OURS, MAPPED = "glimpse, pyramid", "glimpse, store on disk"


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
    """Glimpses forward and backward, against cast-to-float + grid_sample: a row per contender and side, and one for
    each side on disk; seconds and bytes are those of a batch."""
    rng = torch.Generator().manual_seed(0)
    low, extent = torch.tensor([0.05, -0.5, -0.5]), torch.tensor([0.2, 1.0, 1.0])
    where = (low + extent * torch.rand(BATCH, STEPS, 3, generator=rng)).to(DEVICE)
    step = partial(forward_backward, nn.Identity())  # a sampler has no weights
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
        costs = measure({name: partial(step, look, where) for name, (look, _) in contenders.items()}, ROUNDS)
        made += [(name, side, BATCH, costs[name], kept, costs[OURS]) for name, (_, kept) in contenders.items()]
    with ExitStack() as stack:  # one small and one huge image, both mapped from a store, in turn
        images = {side: stack.enter_context(stored(side)) for side in STORED}
        works = {side: partial(step, partial(glimpse, each, size=SIZE), where[:1]) for side, each in images.items()}
        costs = measure(works, STORED_ROUNDS)
    made += [(MAPPED, side, 1, cost, 0, costs[STORED[0]]) for side, cost in costs.items()]
    return [
        {"name": name, "side": side, "batch": batch, "glimpses": STEPS, "size": SIZE, "seconds": cost.seconds}
        | {"bytes": cost.bytes, "resident": kept, "ratio": cost.seconds / first.seconds}
        for name, side, batch, cost, kept, first in made
    ]


def plain(floats: Tensor, where: Tensor) -> Tensor:
    """What a spatial transformer usually is: affine_grid and grid_sample over float images in [0, 1]."""
    s, x, y = where.flatten(0, 1).T
    zero = torch.zeros_like(s)
    theta = torch.stack([torch.stack([s, zero, x], -1), torch.stack([zero, s, y], -1)], 1)
    grid = F.affine_grid(theta, [len(s), 1, SIZE, SIZE], align_corners=False)
    grid = grid.view(len(floats), -1, SIZE, 2)  # the glimpses of an image below each other: one call serves them all
    return F.grid_sample(floats, grid, "bilinear", "border", align_corners=False)


BENCHMARKS = {  # name: what makes the rows of a profile, what shows them
    "sampler": (lambda profile: sampler(), lambda rows: text_table(rows, "name side seconds bytes resident ratio")),
    "cost": (cost, cost_text),
    "epoch": (epoch, lambda rows: text_table(rows, "task precision batch seconds epoch_seconds ratio")),
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
