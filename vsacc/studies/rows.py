"""Finished runs as rows: one JSON file a run, which holds what was run and what came of it."""

import json
from pathlib import Path

from ..local.paths import ROOT, UserError
from ..systems.models import read_config
from ..training.recipes import Job, Recipe

ROWS = ROOT / "reports" / "runs"  # those that are committed


def row_name(job: Job, variant: str = "") -> str:
    """The file name, without its suffix, of a job's row: task-model-profile-seedN, and the variant where it is one."""
    return f"{job.task}-{job.model}-{job.profile}-seed{job.seed}" + (f"-{variant}" if variant else "")


def read_rows(folder: Path = ROWS) -> dict[str, dict]:
    """All rows of a folder by name, in the names' order; none where there is no folder.

    Raises UserError where one is not readable.
    """
    rows = {}
    for path in sorted(folder.glob("*.json")):
        try:
            rows[path.stem] = json.loads(path.read_text())
        except ValueError as error:
            raise UserError(f"{path.name} is not a readable row ({error}), delete it or fetch it again.") from None
    return rows


def job_of(row: dict) -> Job | None:
    """The job that a row, or the card of weights, is the result of; None where this version has no such job.

    What a row does not name, because it is older than the choice, has its default: the choice that there was.
    """
    try:
        config, recipe = read_config(row["model"], row["config"]), Recipe(**row["recipe"])
        return Job(row["task"], row["model"], row["profile"], row["seed"], config, recipe)
    except (KeyError, TypeError, UserError):
        return None
