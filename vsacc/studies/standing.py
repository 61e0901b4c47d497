"""Where a planned run stands: done, stopped, unfinished or to do, and how long it will still take."""

from typing import NamedTuple

import torch

from ..training import fit as train
from .plan import Planned
from .rows import job_of

FINISHED = ("done", "stopped")


class Standing(NamedTuple):
    """state: "done"; "stopped", a training that was given up, which is a result too; "outdated", there is a row of
    another configuration; "unfinished", there is a checkpoint; or "to do".
    minutes: of training that are left, None where unknown. row: the run's row. step: of the checkpoint."""

    planned: Planned
    state: str
    minutes: float | None = None
    row: dict | None = None
    step: int = 0

    def __str__(self) -> str:
        state, left, reached = self.state, "", ""
        if self.row is not None and "test_accuracy" in self.row:
            reached = f"{100 * self.row['test_accuracy']:.1f} %"
        if state == "unfinished":
            state = f"unfinished, step {self.step} of {self.planned.job.recipe.steps}"
        if self.state not in (*FINISHED, "outdated"):
            left = "? min" if self.minutes is None else f"{self.minutes:.1f} min"
        return f"{self.planned.name:56s} {state:34s} {left:>10s} {reached:>8s}".rstrip()


def standing(planned: Planned, rows: dict[str, dict]) -> Standing:
    """Of one run, given the rows that there are by name."""
    row, steps = rows.get(planned.name), planned.job.recipe.steps
    if row is not None:
        same = job_of(row) == planned.job
        return Standing(planned, ("stopped" if "stopped" in row else "done") if same else "outdated", 0.0, row)
    step, seconds = checkpointed(planned)
    if step:
        return Standing(planned, "unfinished", seconds / step * (steps - step) / 60, step=step)
    return Standing(planned, "to do", expected(planned, rows))


def expected(planned: Planned, rows: dict[str, dict]) -> float | None:
    """Minutes of training: what the same run took with another seed, else what the plan says."""
    for row in rows.values():
        if "seconds" in row and job_of({**row, "seed": planned.job.seed}) == planned.job:
            return row["seconds"] / 60
    return planned.minutes


def checkpointed(planned: Planned) -> tuple[int, float]:
    """Steps and seconds of training in a run's checkpoint, 0 where there is none to be read."""
    path = train.RUNS / planned.job.name / "checkpoint.pt"
    try:
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return held["step"], held["seconds"]
    except Exception:  # none, or one of another version: torch raises many kinds, and fit says which
        return 0, 0.0
