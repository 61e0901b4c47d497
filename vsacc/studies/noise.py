"""The study of noisy proxies, ``vsacc sweep``: who is trained how, what it is tested under, and what that adds up to.

    vsacc sweep --profile laptop --workers 2
    vsacc sweep --profile paper --scheduler tcp://head:8786

A cell is one training and all tests of the model it gave. It is a function of the cell alone, on a CPU to the last
bit. A finished one is kept under data/runs/sweep, named after everything that its result depends on, and is not
computed again; an interrupted one goes on from its checkpoint.

The noise of the training is pixel dropout, which is how a proxy comes to contain "only a few points" (the paper's
section 5.1.1): each image keeps a share of its pixels between all and 3 %. The other three kinds are never trained
with, so that a model which only learnt to read dropped pixels does not pass for a robust one.
"""

import argparse
import hashlib
import json
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from ..local.paths import REPORTS, RUNS, UserError, check_writable, resolve_profile, write_atomic
from ..local.record import provenance
from ..systems import marks
from ..systems.noise import Corruption, describe
from ..tasks import open_split
from ..training.evaluation import evaluate
from ..training.fit import Stopped, fit, one_thread
from ..training.jobs import Job, make_job
from .runs import Failure, compute, default_workers

CELLS = RUNS / "sweep"
TRAINED_KIND, TRAINED_LEVEL = "dropout", 0.97
TRAINED = {"noise": TRAINED_KIND, "noise_level": TRAINED_LEVEL}
VARIANTS = {  # name: (system, changes to its configuration)
    "saccader, trained clean": ("saccader", {}),
    "saccader, trained with noise": ("saccader", TRAINED),
    "proxy only, trained with noise": ("proxy_only", TRAINED),
    "random glimpses": ("random", {}),
}
_marks = marks()
LOOKS = {  # variant: colour, dashes, marker
    "saccader, trained clean": (_marks["saccader (as published)"].colour, "--", "s"),
    "saccader, trained with noise": (_marks["saccader"].colour, "-", "o"),
    "proxy only, trained with noise": (_marks["proxy_only"].colour, "-", "^"),
    "random glimpses": (_marks["random"].colour, ":", ""),
}
LEVELS = {  # units: vsacc.systems.noise
    "gaussian": (0.1, 0.2, 0.4, 0.8),
    "salt_and_pepper": (0.05, 0.1, 0.2, 0.4),
    "dropout": (0.5, 0.75, 0.9, 0.97, 0.99),
    "downsample": (1.0, 2.0, 3.0),
}
CLEAN = "none"
TESTS = ((CLEAN, 0.0), *((kind, level) for kind, levels in LEVELS.items() for level in levels))

TASKS = {"quick": "one_digit", "laptop": "one_digit", "paper": "identification"}
SEEDS = {"quick": (0,), "laptop": (0, 1, 2), "paper": (0, 1, 2)}
RECIPES = {
    "quick": {"steps": 10, "evaluated": 100},
    # With the task's own weights of the proxy's bound, ten times these, some seeds do not start in so few steps.
    "laptop": {"steps": 500, "evaluated": 1000, "weight_c": 3e-5, "weight_kl": 3e-5},
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

    def kept(self) -> dict | None:
        """The result, where it was computed before."""
        try:
            return json.loads((CELLS / f"{self.name}.json").read_text())
        except (FileNotFoundError, ValueError):
            return None


def grid(profile: str) -> list[Cell]:
    """All cells of a profile ("quick", "laptop" or "paper"), seed by seed."""
    return [
        Cell(name, make_job(TASKS[profile], profile, system, seed, config, RECIPES[profile]), TESTS)
        for seed in SEEDS[profile]
        for name, (system, config) in VARIANTS.items()
    ]


def train_and_test(cell: Cell) -> dict:
    """Train the cell's model, or open it where that was done before, and measure it under every corruption.

    Returns what the cell says of itself, and "tests", a row per corruption: kind, level, accuracy, localised (None
    without glimpses). A training that was given up has "stopped", why, instead of tests.
    """
    job, rows = cell.job, []
    told = {"variant": cell.variant, "seed": job.seed, "job": job.name, "steps": job.recipe.steps}
    with one_thread():
        try:
            run = fit(job, progress=False)
        except Stopped as error:  # a collapse is a result too
            return {**told, "stopped": str(error)}
        test = open_split(job.task, "test", next(run.model.parameters()).device, job.profile)
        batches = list(test.fixed(job.recipe.evaluated))
        for kind, level in cell.tests:
            run.model.noise = Corruption(kind, level, level)
            scores = evaluate(run.model, batches)
            found = scores.localised if scores.localised is None else round(scores.localised, 5)
            rows.append({"kind": kind, "level": level, "accuracy": round(scores.accuracy, 5), "localised": found})
    return {**told, "seconds": round(run.seconds, 1), "tests": rows, "made": run.made}


def run_cells(
    cells: list[Cell], workers: int = 1, scheduler: str | None = None, progress: bool = True, work=train_and_test
) -> list[dict]:
    """The results of the cells, in their order; those not kept yet are computed by ``work``, see :func:`compute`.

    Raises UserError, which names the cell, where one fails.
    """
    results = [cell.kept() for cell in cells]
    todo = [place for place, result in enumerate(results) if result is None]
    check_writable(CELLS)
    with tqdm(total=len(cells), initial=len(cells) - len(todo), desc="cells", disable=not progress) as bar:
        for number, made in compute(work, [cells[place] for place in todo], workers, scheduler):
            cell = cells[todo[number]]
            if isinstance(made, Failure):
                raise UserError(f"{cell.variant}, seed {cell.job.seed} {made.rstrip('.')}.")
            if "stopped" not in made:
                write_atomic(CELLS / f"{cell.name}.json", json.dumps(made, indent=1, allow_nan=False) + "\n")
            results[todo[number]] = made
            bar.update()
    return results


def run_grid(profile: str, workers: int | None = None, scheduler: str | None = None, progress: bool = True) -> dict:
    """The whole study under a profile: its protocol, provenance and "cells", the result of each."""
    split = open_split(TASKS[profile], "test")  # also fetches the data once, before several processes would
    cells, made = grid(profile), provenance()
    return {
        "profile": profile,
        "task": TASKS[profile],
        "protocol": f"{split.protocol}; {cells[0].job.recipe.evaluated} fixed test images",
        "seeds": list(SEEDS[profile]),
        "trained": TRAINED,
        **made,
        "cells": run_cells(cells, workers or default_workers(), scheduler, progress),
    }


def command(options: argparse.Namespace) -> None:
    """``vsacc sweep``."""
    profile = resolve_profile(options.profile)
    if options.list:
        for cell in grid(profile):
            print(f"{'done' if cell.kept() else 'to do':6s} {cell.name:60s} {cell.variant}")
        return
    out = options.out or (REPORTS / "quick" if profile == "quick" else REPORTS) / "noise.json"
    check_writable(out.parent)
    report = run_grid(profile, options.workers, options.scheduler)
    write_atomic(out, json.dumps(report, indent=1, allow_nan=False) + "\n")
    for cell in report["cells"]:
        outcome = cell["stopped"] if "stopped" in cell else f"{cell['tests'][0]['accuracy']:.3f} without noise"
        print(f"{cell['variant']:32s} seed {cell['seed']}: {outcome}")


def curves(cells: list[dict]) -> Curves:
    """The cells' tests by variant and kind, the clean proxy first in each; what stopped is left out."""
    found: Curves = {}
    for cell in cells:
        if "stopped" in cell:
            continue
        of_variant, clean = found.setdefault(cell["variant"], {}), cell["tests"][0]
        for kind in dict.fromkeys(row["kind"] for row in cell["tests"] if row["kind"] != CLEAN):
            rows = [clean, *(row for row in cell["tests"] if row["kind"] == kind)]
            curve = of_variant.setdefault(kind, {"accuracy": [], "localised": []})
            curve["level"] = [row["level"] for row in rows]
            curve["accuracy"].append([row["accuracy"] for row in rows])
            if clean["localised"] is None:
                curve["localised"] = None
            else:
                curve["localised"].append([row["localised"] for row in rows])
    return found


def losses(accuracy: list[list[float]]) -> np.ndarray:
    """Mean accuracy lost to each level of the noise: a list over levels per seed, clean first -> (levels,)."""
    mean = np.mean(accuracy, 0)
    return mean[0] - mean


def verdicts(found: Curves, variant: str, chance: str, side: int) -> list[str]:
    """A sentence per kind: where the variant is robust, where it is not, and where it is no better than ``chance``.

    Args:
        chance: the variant that does not see the proxy. Noise leaves nothing to a model whose mean accuracy over the
            seeds is not above the best seed of this one.
        side: J, to say a level in words.
    """
    sentences = []
    for kind, curve in found[variant].items():
        lost, mean = losses(curve["accuracy"]), np.mean(curve["accuracy"], 0)
        blind = np.max(found[chance][kind]["accuracy"], 0)
        fine, broken = [], []
        for level, loss, value, low in list(zip(curve["level"], lost, mean, blind, strict=True))[1:]:
            text = f"{describe(kind, level, side)} ({100 * value:.0f} %)"
            (fine if loss <= LOSS else broken).append(text + (" = chance" if value <= low else ""))
        sentences.append(
            f"{kind}: robust at {', '.join(fine) or 'no level'}; NOT robust at {', '.join(broken) or 'none tested'}"
        )
    return sentences
