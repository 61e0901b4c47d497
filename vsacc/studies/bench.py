"""``vsacc bench``: time and memory, measured side by side in one run, printed as ratios.

Cost has four tables of rows in one list, told apart by "part": "table", the right half of Table 1; "floor", how far
above the machine's limits its times lie; "sides", against the image's side; "parts", where the time of a saccader goes.
"""

import json
from argparse import Namespace

from ..local.paths import check_writable, resolve_profile, write_atomic
from ..local.record import provenance
from .cost import SIZES, TABLE, large, small, text_table
from .cost_scaling import against_side, sampler, slopes
from .roofline import ROOFLINE, least_times, peaks
from .step_time import epoch, time_shares

SHARES = "name mode side batch seconds bytes ratio share"
PARTS = {"table": TABLE, "floor": ROOFLINE, "sides": SHARES, "parts": SHARES}  # and their columns of text
SAMPLER, EPOCH = "name side seconds bytes resident ratio", "task precision compiled batch seconds epoch_seconds ratio"


def cost(profile: str = "auto") -> list[dict]:
    """All rows of a profile."""
    size = SIZES[resolve_profile(profile)]
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


BENCHMARKS = {  # name: what makes the rows of a profile, what shows them
    "sampler": (lambda profile: sampler(), lambda rows: text_table(rows, SAMPLER)),
    "cost": (cost, cost_text),
    "epoch": (epoch, lambda rows: text_table(rows, EPOCH)),
}


def command(options: Namespace) -> None:
    """``vsacc bench``."""
    profile = resolve_profile(options.profile)
    if options.out:
        check_writable(options.out.parent)
    run, show = BENCHMARKS[options.benchmark]
    made, rows = provenance(), run(profile)
    print(show(rows))
    if options.out:
        write_atomic(options.out, json.dumps({**made, "rows": rows}, indent=1) + "\n")
