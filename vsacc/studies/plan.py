"""What is to be run, the most valuable rows first, and where each run stands.

The paper's Table 1 asks for one task at two sizes; the profile "paper" adds the sum of two digits and megapixel MNIST,
the task of attention sampling. The profile "laptop" has the sizes that a CPU trains in minutes, "desk" those of up to
90 minutes of one thread. "quick" runs a few steps of every pair of "laptop" and "paper". A run that came to its end is
a row: one JSON file, with what came of it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from ..local.paths import SHIPPED_REPORTS, UserError
from ..local.record import code_since
from ..systems import find_system
from ..training import fit as training
from ..training.jobs import Job, make_job
from ..training.weights import job_of

ROWS = SHIPPED_REPORTS / "runs"  # those that are committed
SEEDS = 3
PEERS, CONTROLS = ("attention_sampling", "dram", "ram"), ("random", "proxy_only")


class Cell(NamedTuple):
    """A cell of the table; it is run with the seeds 0, 1, ... below ``seeds``."""

    task: str
    system: str
    variant: str = ""
    seeds: int = SEEDS


def cells(task: str, *systems: str, seeds: int = SEEDS) -> list[Cell]:
    """Cells of a task; a variant stands behind its system, "saccader/as_published"."""
    return [Cell(task, *name.partition("/")[::2], seeds) for name in systems]


PUBLISHED = "saccader/as_published"
PAPER = (
    *cells("identification", "saccader"),
    *cells("identification_2528", "saccader"),
    *cells("megapixel", "attention_sampling", "saccader"),
    *cells("sum", "saccader"),
    *cells("identification", "resnet18", *PEERS, PUBLISHED),
    *cells("identification_2528", "resnet18_144", "resnet18", *PEERS, PUBLISHED),
    *cells("sum", "resnet18", *PEERS, PUBLISHED),
    *cells("megapixel", "resnet18_144", "dram", "ram", PUBLISHED),
    *(
        cell
        for task in ("identification", "identification_2528", "sum", "megapixel")
        for cell in cells(task, *CONTROLS)
    ),
)
LAPTOP = (
    *cells("identification", "saccader"),
    *cells("mit5k", "saccader", "proxy_only", "resnet18_144"),
    *cells("one_digit", "saccader", *PEERS, "resnet18", "proxy_only", "random"),
    *cells("megapixel_easy", "attention_sampling", "saccader", "proxy_only", "random"),
    *cells("megapixel_easy", "attention_sampling/reference_gradient"),
    *cells("identification", *PEERS, "resnet18", *CONTROLS, seeds=1),
    *cells("mit5k", *PEERS, "random"),
)
DESK = (*cells("identification", "saccader"),)
CELLS = {"paper": PAPER, "laptop": LAPTOP, "desk": DESK}
CELLS["quick"] = tuple({cell._replace(seeds=1): None for cell in (*LAPTOP, *PAPER)})  # each once, in their order
QUICK = {"steps": 2, "batch": 4, "evaluated": 20, "validations": 0}


class Planned(NamedTuple):
    """A run of the plan."""

    job: Job
    variant: str = ""

    @property
    def name(self) -> str:
        """Of its row."""
        return row_name(self.job, self.variant)


def plan(profile: str) -> list[Planned]:
    """All runs of a profile in their order: every cell with seed 0, then with 1..."""
    return [
        Planned(planned_job(profile, cell, seed), cell.variant)
        for seed in range(SEEDS)
        for cell in CELLS[profile]
        if seed < cell.seeds
    ]


def planned_job(profile: str, cell: Cell, seed: int) -> Job:
    config, recipe, _ = find_system(cell.system).variants[cell.variant] if cell.variant else ({}, {}, "")
    job = make_job(cell.task, profile, cell.system, seed, config, recipe)
    if profile != "quick":
        return job
    short = {name: min(value, getattr(job.recipe, name) or value) for name, value in QUICK.items()}
    return replace(job, recipe=replace(job.recipe, **short))


def row_name(job: Job, variant: str = "") -> str:
    """The file name, without its suffix, of a job's row: task-system-profile-seedN, and the variant where it is one."""
    return f"{job.task}-{job.model}-{job.profile}-seed{job.seed}" + (f"-{variant}" if variant else "")


def read_rows(folder: Path = ROWS) -> dict[str, dict]:
    """All rows of a folder by name, in the names' order; none where there is no folder. Raises UserError where one is
    not readable."""
    rows = {}
    for path in sorted(folder.glob("*.json")):
        try:
            rows[path.stem] = json.loads(path.read_text())
        except ValueError as error:
            raise UserError(f"{path.name} is not a readable row ({error}), delete it or fetch it again.") from None
    return rows


def states(planned: Sequence[Planned], rows: dict[str, dict]) -> dict[Planned, str]:
    """Where each run stands: "done"; "stopped", a training that was given up, which is a result too; "outdated", its
    row is of another configuration, delete it to make it anew; "unfinished", there is a checkpoint; or "to do"."""
    found = {}
    for run in planned:
        if (row := rows.get(run.name)) is not None:
            found[run] = "outdated" if job_of(row) != run.job else "stopped" if "stopped" in row else "done"
        else:
            begun = (training.RUNS / run.job.name / "checkpoint.pt").exists()
            found[run] = "unfinished" if begun else "to do"
    return found


def made_at(row: dict) -> str:
    """What goes on behind a row's state: its revision and what became of the code since, "" where it names none."""
    revision = row.get("made", row).get("revision")
    return f" at {revision}{code_since(revision)}" if revision else ""


def expected(run: Planned, rows: dict[str, dict]) -> float | None:
    """Minutes of training: the mean of what the cell took with any seed, None where nobody has run it."""
    names = [row_name(replace(run.job, seed=seed), run.variant) for seed in range(SEEDS)]
    took = [rows[name]["seconds"] for name in names if "seconds" in rows.get(name, {})]
    return fmean(took) / 60 if took else None
