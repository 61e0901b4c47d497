"""The study of noisy proxies as data: who is trained how, what it is tested under, and what one cell of it computes.

A cell is one training and all tests of the model it gave. It is a function of the cell alone, on a CPU to the last
bit: every cell is computed on one thread, since sums over several would depend on how many there are.

The noise of the training is pixel dropout, which is how a proxy comes to contain "only a few points" (the paper's
section 5.1.1): each image keeps a share of its pixels between all and 3 %. The other three kinds are never trained
with, so that a model which only learnt to read dropped pixels does not pass for a robust one.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from ..local.paths import UserError
from ..systems.noise import Corruption
from ..tasks.base import open_split
from ..training.evaluation import evaluate
from ..training.fit import fit
from ..training.recipes import Job, make_job

TRAINED_KIND, TRAINED_LEVEL = "dropout", 0.97
TRAINED = {"noise": TRAINED_KIND, "noise_level": TRAINED_LEVEL}
VARIANTS = {  # name: (model, changes to its configuration)
    "saccader, trained clean": ("saccader", {}),
    "saccader, trained with noise": ("saccader", TRAINED),
    "proxy only, trained with noise": ("proxy_only", TRAINED),
    "random glimpses": ("random", {}),
}
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
    "laptop": {"steps": 500, "evaluated": 1000, "weight_c": 3e-5, "weight_kl": 3e-5},
    "paper": {"steps": 6000},
}


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
        Cell(name, make_job(TASKS[profile], profile, model, seed, config, RECIPES[profile]), TESTS)
        for seed in SEEDS[profile]
        for name, (model, config) in VARIANTS.items()
    ]


def train_and_test(cell: Cell) -> dict:
    """Train the cell's model, or open it where that was done before, and measure it under every corruption.

    Returns what the cell says of itself, and "tests", a row per corruption: kind, level, accuracy, localised (None
    without glimpses). A training that stopped with a UserError has "stopped", its sentence, instead of tests.
    """
    job = cell.job
    told = {"variant": cell.variant, "seed": job.seed, "job": job.name, "steps": job.recipe.steps}
    with one_thread():
        try:
            run = fit(job, progress=False)
        except UserError as error:  # a collapse is a result too
            return {**told, "stopped": str(error)}
        test = open_split(job.task, "test", next(run.model.parameters()).device, job.profile)
        batches, rows = list(test.fixed(job.recipe.evaluated)), []
        for kind, level in cell.tests:
            run.model.noise = Corruption(kind, level, level)
            scores = evaluate(run.model, batches)
            found = scores.localised if scores.localised is None else round(scores.localised, 5)
            rows.append({"kind": kind, "level": level, "accuracy": round(scores.accuracy, 5), "localised": found})
    return {**told, "seconds": round(run.seconds, 1), "tests": rows, "made": run.made}


@contextmanager
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
