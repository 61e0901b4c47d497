"""The README's table of results, written from the rows in reports/runs: ``vsacc refresh --only readme``."""

import re
from itertools import groupby

from ..local.paths import CHECKOUT, UserError, write_atomic
from ..studies.plan import Planned, job_of, plan, read_rows
from ..studies.table1 import NOT_RUN, count, markdown, percent
from ..systems import find_system

PART = re.compile(r"(<!-- results -->\n).*?(<!-- end of results -->)", re.DOTALL)
COLUMNS = (
    "task",
    "model",
    "profile",
    "parameters",
    "glimpses",
    "images",
    "seeds",
    "accuracy",
    "found",
    "minutes",
    "device",
)
HEADLINES = {  # task, model and profile of what is shown even while nobody has run it
    (task, "saccader", "paper", "") for task in ("identification", "identification_2528", "sum", "megapixel")
}


def key(run: Planned) -> tuple[str, str, str, str]:
    """What a line of the table is about: everything but the seed."""
    return run.job.task, run.job.model, run.job.profile, run.variant


def table(rows: dict[str, dict]) -> str:
    """A line for every cell of the plans that was run with some seed, by task; a headline that was not says so."""
    planned = sorted((run for profile in ("laptop", "desk", "paper") for run in plan(profile)), key=key)
    lines = [line(*what, [run for run in runs if run.name in rows], rows) for what, runs in groupby(planned, key)]
    return markdown(COLUMNS, filter(None, lines), left=len(COLUMNS))


def line(task: str, model: str, profile: str, variant: str, runs: list[Planned], rows: dict[str, dict]) -> list[str]:
    """Of the seeds that were run, one after another; [] where there are none and it is no headline."""
    if not runs:
        headline = (task, model, profile, variant) in HEADLINES
        return [task, model, profile, *[""] * 4, NOT_RUN, "", "", ""] if headline else []
    model += f", {variant.replace('_', ' ')}" if variant else ""
    have = [rows[run.name] for run in runs]
    if any("stand-in" in row.get("protocol", "") for row in have):
        task += " (stand-in)"  # no number made from one may go without the word
    if any(job_of(rows[run.name]) != run.job for run in runs):
        profile += ", another configuration"
    seconds = [row["seconds"] for row in have if "seconds" in row]
    return [
        task,
        model,
        profile,
        f"{have[0]['parameters'] / 1e6:.2f} M",
        str(find_system(runs[0].job.model).glimpses(have[0]["config"]) or ""),
        f"{have[0]['recipe']['steps'] * have[0]['recipe']['batch']:,}",
        ", ".join(str(row["seed"]) for row in have),
        shares(["stopped" if "stopped" in row else row["test_accuracy"] for row in have]),
        shares([row["localised"] for row in have if row.get("localised") is not None]),
        f"{sum(seconds) / len(seconds) / 60:.1f}" if seconds else "",
        "; ".join({f"{row['device']}, {count(row['threads'], 'thread')}": None for row in have}),
    ]


def shares(values: list[float | str]) -> str:
    """Shares as percentages, or words in their place, one after another."""
    told = " / ".join(value if isinstance(value, str) else percent(value) for value in values)
    return told + " %" if any(isinstance(value, float) for value in values) else told


def render(text: str, rows: dict[str, dict]) -> str:
    """``text`` with the part between the markers made anew. Raises UserError where there are no markers."""
    if not PART.search(text):
        raise UserError("README.md has lost its '<!-- results -->' ... '<!-- end of results -->' lines, restore them.")
    return PART.sub(lambda found: found[1] + table(rows) + found[2], text)


def write() -> None:
    """Renew the table in the checkout's README."""
    readme = CHECKOUT / "README.md"
    write_atomic(readme, render(readme.read_text(), read_rows()))
