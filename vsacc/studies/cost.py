"""What looking costs: the right half of Table 1, how far above the machine's floor it lies, time and memory against
the image's side, and where the time goes.

Four tables of rows in one list, told apart by "part": see :mod:`vsacc.studies.cost_table`, :mod:`vsacc.studies.roofline`,
:mod:`vsacc.studies.cost_scaling` and :mod:`vsacc.studies.parts`. Seconds are per image everywhere, everything is float32, and a row
that was not run has seconds None and says "why". :mod:`vsacc.studies.measure` says what is measured and how.
"""

from typing import NamedTuple

from ..local.paths import resolve_profile
from .cost_scaling import against_side, slopes
from .cost_table import CONTENDERS, table
from .parts import shares
from .roofline import floors, peaks


class Size(NamedTuple):
    """What a profile measures.

    side, batches: of Table 1, in inference and in training; small: batches of its part at ``SMALL``; sides: of the
    comparison of sides; parts: (side, batch) of where the time goes; rounds: timed calls of each work, fewer where they
    take more than ``budget`` seconds together; limit: seconds of a call that is not made, in the comparison of sides.
    """

    side: int
    batches: tuple[int, int]
    small: tuple[int, int]
    sides: tuple[int, ...]
    parts: tuple[int, int]
    rounds: int
    budget: float
    limit: float


SMALL = 100  # side of the paper's images in the second part of its Table 1
SIDES = (512, 1024, 2528, 5056, 10_000, 20_000)
SIZES = {
    "quick": Size(316, (2, 2), (2, 2), (128, 256, 512, 1024, 2048), (316, 8), 2, 0.3, 1.0),
    "laptop": Size(2528, (4, 2), (8, 8), SIDES, (1264, 32), 15, 3.0, 10.0),
    "paper": Size(2528, (160, 160), (160, 160), SIDES, (2528, 160), 20, 30.0, 30.0),
}


def cost(profile: str = "auto") -> list[dict]:
    """All rows of a profile."""
    size = SIZES[resolve_profile(profile)]
    rows = large(size)
    return [
        *rows,
        *small(size),
        *floors([row for row in rows if row["channels"] == 3], peaks()),
        *against_side(size.sides, size.rounds, size.budget, size.limit),
        *shares(*size.parts, size.rounds, size.budget),
    ]


def large(size: Size, progress: bool = True) -> list[dict]:
    """The table of large images: colour for everybody, grey for the saccader too."""
    pace = size.batches, size.rounds, size.budget, progress
    return [*table(size.side, 3, list(CONTENDERS), *pace), *table(size.side, 1, ["saccader"], *pace)]


def small(size: Size, progress: bool = True) -> list[dict]:
    """The table of small images, which are grey and fit into any memory."""
    names = [name for name in CONTENDERS if name != "144 crops, checkpointed"]
    return table(SMALL, 1, names, size.small, size.rounds, size.budget, progress)


def of_part(rows: list[dict], part: str) -> list[dict]:
    """The rows of "table", "floor", "sides" or "parts"."""
    return [row for row in rows if row["part"] == part]


def show(rows: list[dict]) -> str:
    """All rows as text, a table for each part."""
    lines = [f"{'':26s}{'mode':>10s}{'C':>3s}{'side':>7s}{'batch':>6s}{'ms/image':>11s}{'MB':>10s}{'ratio':>9s}"]
    lines += [line(row) for row in rows if row["part"] != "floor"]
    lines.append(f"{'':39s}{'side':>7s}{'batch':>6s}{'ms/image':>11s}{'GFLOP':>10s}{'MB moved':>10s}{'x floor':>9s}")
    lines += [start(row) + floor_figures(row) for row in of_part(rows, "floor")]
    lines.append("exponents of the side:")
    for name, fitted in slopes(of_part(rows, "sides")).items():
        told = [f"{key} {'not fitted' if value is None else f'{value:+.2f}'}" for key, value in fitted.items()]
        lines.append(f"{name:26s}{', '.join(told)}")
    return "\n".join(lines)


def start(row: dict) -> str:
    return f"{row['name']:26s}{row['mode']:>10s}{row['channels']:3d}{row['side']:7d}"


def line(row: dict) -> str:
    if row["seconds"] is None:
        return f"{start(row)}  {row['why']}"
    figures = f"{row['batch']:6d}{1e3 * row['seconds']:11.3f}{row['bytes'] / 1e6:10.1f}{row['ratio']:9.2f}"
    return start(row) + figures + (f"{row['share']:8.1%}" if row.get("share") else "")


def floor_figures(row: dict) -> str:
    figures = f"{row['batch']:6d}{1e3 * row['seconds']:11.3f}{row['flops'] / 1e9:10.3f}{row['moved'] / 1e6:10.2f}"
    return f"{figures}{row['over']:9.1f}"
