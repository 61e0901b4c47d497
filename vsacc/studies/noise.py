"""The study of noisy proxies, ``vsacc sweep``: who is trained how, what it is tested under, and what that adds up to.

    vsacc sweep --profile laptop --workers 2

A cell is one training and all tests of the model it gave, on a CPU the same to the last bit. A finished one is kept
under data/runs/sweep, an interrupted one goes on from its checkpoint.

The noise of the training is pixel dropout, which is how a proxy comes to contain "only a few points" (the paper's
section 5.1.1): each image keeps a share of its pixels between all and 3 %. The other three kinds are never trained
with, so that a model which only learnt to read dropped pixels does not pass for a robust one.
"""

import argparse
import hashlib
import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..local.paths import REPORTS, RUNS, UserError, check_out, check_writable, resolve_profile, write_atomic
from ..local.record import provenance
from ..systems import marks
from ..systems.noise import Corruption, describe
from ..systems.saccader import COARSE, ONCE
from ..tasks import open_split
from ..training.evaluation import evaluate
from ..training.fit import Stopped, fit, one_thread
from ..training.jobs import Job, make_job
from .plan import made_at, read_rows
from .runs import Made, default_workers, run_all

CELLS = RUNS / "sweep"
TRAINED_KIND, TRAINED_LEVEL = "dropout", 0.97
TRAINED = {"noise": TRAINED_KIND, "noise_level": TRAINED_LEVEL}
VARIANTS = {  # name: (system, changes to its configuration, mark whose colour it has, dashes, marker)
    "saccader, trained clean": ("saccader", {}, "saccader (as published)", "--", "s"),
    "saccader, trained with noise": ("saccader", TRAINED, "saccader", "-", "o"),
    "proxy only, trained with noise": ("proxy_only", TRAINED, "proxy_only", "-", "^"),
    "random glimpses": ("random", {}, "random", ":", ""),
}
LOOKS = {name: (marks()[mark].colour, dashes, marker) for name, (_, _, mark, dashes, marker) in VARIANTS.items()}
LEVELS = {  # units: vsacc.systems.noise
    "gaussian": (0.1, 0.2, 0.4, 0.8),
    "salt_and_pepper": (0.05, 0.1, 0.2, 0.4),
    "dropout": (0.5, 0.75, 0.9, 0.97, 0.99),
    "downsample": (1.0, 2.0, 3.0),
}
TESTS = (("none", 0.0), *((kind, level) for kind, levels in LEVELS.items() for level in levels))

TASKS = {"quick": "one_digit", "laptop": "one_digit", "paper": "identification"}
SEEDS = {"quick": (0,), "laptop": (0, 1, 2), "paper": (0, 1, 2)}
RECIPES = {
    "quick": {"steps": 10, "evaluated": 100},
    # With the task's own weights of the proxy's bound, ten times these, some seeds do not start in so few steps.
    "laptop": ONCE | {"steps": 500, "evaluated": 1000, "weight_c": 3e-5, "weight_kl": 3e-5},
    "paper": {"steps": 6000},
}
LOSS = 0.05  # robust: the mean accuracy over the seeds is at most this far below that on clean proxies

# variant -> kind -> {"level": [0, ...], "accuracy": a list over levels per seed, "localised": the same or None}
Curves = dict[str, dict[str, dict[str, list]]]


class Cell(NamedTuple):
    """tests: (kind, level) of every corruption that the trained model meets."""

    variant: str
    job: Job
    tests: tuple[tuple[str, float], ...]

    @property
    def name(self) -> str:
        """Different for every difference in the training or in the tests."""
        return f"{self.job.name}-{hashlib.sha256(repr(self.tests).encode()).hexdigest()[:8]}"


def grid(profile: str) -> list[Cell]:
    """All cells of a profile ("quick", "laptop" or "paper"), seed by seed."""
    return [
        Cell(name, make_job(TASKS[profile], profile, system, seed, COARSE | config, RECIPES[profile]), TESTS)
        for seed in SEEDS[profile]
        for name, (system, config, *_) in VARIANTS.items()
    ]


def train_and_test(cell: Cell) -> Made:
    """Train the cell's model, or open it where that was done before, and measure it under every corruption: "tests" of
    the row, whose "localised" is None without glimpses. A training that was given up has "stopped", why, instead."""
    job, tests = cell.job, []
    row = {"variant": cell.variant, "seed": job.seed, "job": job.name, "steps": job.recipe.steps}
    with one_thread():
        try:
            run = fit(job, progress=False)
        except Stopped as error:  # a collapse is a result too
            return Made(str(error), row | {"stopped": str(error), "made": provenance()})
        test = open_split(job.task, "test", next(run.model.parameters()).device, job.profile)
        batches = list(test.fixed(job.recipe.evaluated))
        for kind, level in cell.tests:
            run.model.noise = Corruption(kind, level, level)
            scores = evaluate(run.model, batches)
            found = scores.localised and round(scores.localised, 5)
            tests.append({"kind": kind, "level": level, "accuracy": round(scores.accuracy, 5), "localised": found})
    row |= {"seconds": round(run.seconds, 1), "tests": tests, "made": run.made}
    return Made(f"{cell.variant}, accuracy {tests[0]['accuracy']:.3f} without noise", row)


def run_cells(
    cells: list[Cell], workers: int = 1, scheduler: str | None = None, work: Callable[[Cell], Made] = train_and_test
) -> list[dict]:
    """The results of the cells, in their order; those not kept yet are computed by ``work``.

    Raises UserError where one fails.
    """
    check_writable(CELLS)
    kept = read_rows(CELLS)
    todo = [cell for cell in cells if cell.name not in kept]
    if failed := run_all(todo, CELLS, work, workers, scheduler):
        raise UserError(f"{failed} of {len(todo)} cells failed, their errors stand above; mend them and start again.")
    kept = read_rows(CELLS)
    return [kept[cell.name] for cell in cells]


def run_grid(profile: str, workers: int | None = None, scheduler: str | None = None) -> dict:
    """The whole study under a profile: its protocol, provenance and "cells", the result of each."""
    split, cells = open_split(TASKS[profile], "test"), grid(profile)  # fetches the data once, before several would
    report = {"profile": profile, "task": TASKS[profile], "seeds": list(SEEDS[profile]), "trained": TRAINED}
    report |= {"protocol": f"{split.protocol}; {cells[0].job.recipe.evaluated} fixed test images", **provenance()}
    return report | {"cells": run_cells(cells, workers or default_workers(), scheduler)}


def command(options: argparse.Namespace) -> None:
    """``vsacc sweep``."""
    profile = resolve_profile(options.profile)
    if options.list:
        kept = read_rows(CELLS)
        for cell in grid(profile):
            state = "done" + made_at(kept[cell.name]) if cell.name in kept else "to do"
            print(f"{cell.name:60s} {cell.variant:30s} {state}")
        return
    out = options.out or (REPORTS / "quick" if profile == "quick" else REPORTS) / "noise.json"
    check_out(out, lambda old: old["profile"] == profile and "cells" in old)
    report = run_grid(profile, options.workers, options.scheduler)
    write_atomic(out, json.dumps(report, indent=1, allow_nan=False) + "\n")


def curves(cells: list[dict]) -> Curves:
    """The cells' tests by variant and kind, the clean proxy first in each; what stopped is left out."""
    found: Curves = {}
    for cell in (cell for cell in cells if "stopped" not in cell):
        clean, *noisy = cell["tests"]
        for kind in dict.fromkeys(row["kind"] for row in noisy):
            rows = [clean, *(row for row in noisy if row["kind"] == kind)]
            curve = found.setdefault(cell["variant"], {}).setdefault(kind, {"accuracy": [], "localised": []})
            curve["level"] = [row["level"] for row in rows]
            curve["accuracy"].append([row["accuracy"] for row in rows])
            seen = [row["localised"] for row in rows]
            curve["localised"] = None if clean["localised"] is None else [*curve["localised"], seen]
    return found


def losses(accuracy: list[list[float]]) -> np.ndarray:
    """Mean accuracy lost to each level of the noise: a list over levels per seed, clean first -> (levels,)."""
    mean = np.mean(accuracy, 0)
    return mean[0] - mean


def verdicts(found: Curves, variant: str, chance: str, side: int) -> list[str]:
    """A sentence per kind: where the variant is robust, where it is not, and where it is no better than ``chance``, the
    variant that does not see the proxy: where its mean accuracy is not above that one's best seed. side: J."""
    sentences = []
    for kind, curve in found[variant].items():
        lost, mean = losses(curve["accuracy"]), np.mean(curve["accuracy"], 0)
        blind = np.max(found[chance][kind]["accuracy"], 0)
        robust, broken = [], []
        for place, level in enumerate(curve["level"][1:], 1):
            text = f"{describe(kind, level, side)} ({100 * mean[place]:.0f} %)"
            text += " = chance" * bool(mean[place] <= blind[place])
            (robust if lost[place] <= LOSS else broken).append(text)
        sentences.append(
            f"{kind}: robust at {', '.join(robust) or 'no level'}; NOT robust at {', '.join(broken) or 'none'}"
        )
    return sentences
