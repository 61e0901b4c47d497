"""Runs that take a second, for the tests of what makes rows: in any process, on stand-in digits."""

import json
from pathlib import Path

import pytest

from conftest import plain_digits
from vsacc.studies.plan import Planned
from vsacc.studies.runs import Made, make_row
from vsacc.training import fit as train
from vsacc.training.jobs import make_job

TINY = {"hidden": 8, "features": 8, "proxy_widths": (4, 4), "crop_widths": (8, 8), "size": 16}


def tiny_plan(steps=3, systems=("saccader", "random"), seed=0, **recipe):
    recipe = {"steps": steps, "batch": 8, "evaluated": 50, **recipe}
    return [Planned(make_job("one_digit", "quick", system, seed, TINY, recipe)) for system in systems]


def apart(run: Planned, folder: Path, **options) -> Made | None:
    """A run made in whichever process, on stand-in digits, with checkpoints all the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vsacc.tasks.cluttered.load_digits", lambda split: plain_digits())
        patch.setattr(train, "RUNS", folder / "runs")
        patch.setattr(train, "CHECKPOINT_EVERY", 0.0)
        return make_row(run, **options)


def told(rows):
    """Rows without what may differ between two runs of the same: times and provenance."""
    rows = json.loads(json.dumps(rows))
    for row in rows.values():
        for key in ("seconds", "revision", "evaluated_at", "date", "device", "threads", "torch"):
            row.pop(key, None)
        for entry in row.get("history", ()):
            del entry["seconds"]
    return rows
