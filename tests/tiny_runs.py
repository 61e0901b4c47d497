"""Runs that take a second, for the tests of what makes rows: in any process, on stand-in digits."""

import json
from pathlib import Path

import pytest
import torch

from vsacc.studies.plan import Planned
from vsacc.studies.reproduce import make_row
from vsacc.studies.rows import read_rows
from vsacc.studies.standing import standing
from vsacc.tasks import base as tasks
from vsacc.tasks.mnist import Digits
from vsacc.training import fit as train
from vsacc.training.recipes import make_job

TINY = {"hidden": 8, "features": 8, "proxy_widths": (4, 4), "crop_widths": (8, 8), "size": 16}


def tiny_plan(steps=3, models=("saccader", "random"), **recipe):
    recipe = {"steps": steps, "batch": 8, "evaluated": 50, **recipe}
    return [Planned(make_job("one_digit", "quick", model, 0, TINY, recipe)) for model in models]


def squares() -> Digits:
    """Digit k is a square of grey level 25 k + 30."""
    labels = torch.arange(10).repeat(30)
    return Digits((labels * 25 + 30).to(torch.uint8).view(-1, 1, 1).expand(-1, 28, 28).contiguous(), labels)


def apart(planned: Planned, deadline: float, folder: Path) -> dict | None:
    """A run made in whichever process, on stand-in digits, with checkpoints all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "load_digits", lambda split: squares())
        patch.setattr(train, "RUNS", folder / "runs")
        patch.setattr(train, "CHECKPOINT_EVERY", 0.0)
        return make_row(planned, deadline, folder / "rows", None, progress=False)


def standings(plan, folder):
    rows = read_rows(folder)
    return [standing(planned, rows) for planned in plan]


def told(rows):
    """Rows without what may differ between two runs of the same: times and provenance."""
    rows = json.loads(json.dumps(rows))
    for row in rows.values():
        for key in ("seconds", "revision", "evaluated_at", "date", "device", "threads", "torch"):
            row.pop(key, None)
        for entry in row.get("history", ()):
            del entry["seconds"]
    return rows
