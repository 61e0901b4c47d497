"""What is to be run, as data: every system on every task, the most valuable rows first.

The paper's Table 1 asks for one task at two sizes; the profile "paper" adds the sum of two digits and megapixel MNIST,
the task of attention sampling. The profile "laptop" has the sizes that a CPU trains in minutes. "quick" runs a few
steps of every pair of the other two, to see that all of it works.
"""

from typing import NamedTuple

from ..training.recipes import AS_PUBLISHED, Job, make_job
from .rows import row_name

SEEDS = 3
VARIANTS = {  # name: changes to the configuration and to the recipe
    "": ({}, {}),
    # All that the paper chose otherwise: Eq. 6 with its own weights too.
    "as_published": (
        {name: getattr(AS_PUBLISHED, name) for name in ("posterior", "likelihood", "inhibition")},
        {"weight_c": 1.0, "weight_kl": 1.0},
    ),
    # The gradient of the code of attention sampling's authors: notebook 07.
    "reference_gradient": ({"gradient": "reference"}, {}),
}
PEERS = ("attention_sampling", "dram", "ram")


class Cell(NamedTuple):
    """A cell of the table; it is run with the seeds 0, 1, ... below ``seeds``."""

    task: str
    model: str
    variant: str = ""
    seeds: int = SEEDS


PAPER = (
    Cell("identification", "saccader"),
    Cell("identification_2528", "saccader"),
    Cell("megapixel", "attention_sampling"),
    Cell("megapixel", "saccader"),
    Cell("sum", "saccader"),
    *(Cell("identification", model) for model in ("resnet18", *PEERS)),
    Cell("identification", "saccader", "as_published"),
    Cell("identification_2528", "resnet18_144"),
    Cell("identification_2528", "resnet18"),
    *(Cell("identification_2528", model) for model in PEERS),
    Cell("identification_2528", "saccader", "as_published"),
    *(Cell("sum", model) for model in ("resnet18", *PEERS)),
    Cell("sum", "saccader", "as_published"),
    *(Cell("megapixel", model) for model in ("resnet18_144", "dram", "ram")),
    Cell("megapixel", "saccader", "as_published"),
)
LAPTOP = (
    Cell("identification", "saccader"),
    *(Cell("mit5k", model) for model in ("saccader", "proxy_only", "resnet18_144")),
    *(Cell("one_digit", model) for model in ("saccader", *PEERS, "resnet18", "proxy_only", "random")),
    *(Cell("megapixel_easy", model) for model in ("attention_sampling", "saccader", "proxy_only", "random")),
    Cell("megapixel_easy", "attention_sampling", "reference_gradient"),
    *(Cell("identification", model, seeds=1) for model in (*PEERS, "resnet18", "random")),
    *(Cell("mit5k", model) for model in (*PEERS, "random")),
)
CELLS = {"paper": PAPER, "laptop": LAPTOP}
CELLS["quick"] = tuple({cell._replace(seeds=1): None for cell in (*LAPTOP, *PAPER)})  # each once, in their order
QUICK = {"steps": 2, "batch": 4, "evaluated": 20, "validations": 0}


class Planned(NamedTuple):
    """A run of the plan. minutes: of its training, where they are known, on one thread of a 2.8 GHz CPU."""

    job: Job
    variant: str = ""
    minutes: float | None = None

    @property
    def name(self) -> str:
        """Of its row."""
        return row_name(self.job, self.variant)


def plan(profile: str) -> list[Planned]:
    """All runs of a profile ("quick", "laptop" or "paper") in their order: every cell with seed 0, then with 1..."""
    cells = CELLS[profile]
    return [
        Planned(planned_job(profile, cell, seed), cell.variant, MINUTES.get((profile, cell.task, cell.model)))
        for seed in range(SEEDS)
        for cell in cells
        if seed < cell.seeds
    ]


def planned_job(profile: str, cell: Cell, seed: int) -> Job:
    config, recipe = VARIANTS[cell.variant]
    job = make_job(cell.task, profile, cell.model, seed, config, recipe)
    if profile != "quick":
        return job
    short = {name: min(value, getattr(job.recipe, name) or value) for name, value in QUICK.items()}
    return make_job(cell.task, profile, cell.model, seed, config, recipe | short)


MINUTES = {  # by profile, task and model; what another seed took says more, where there is its row
    ("laptop", "identification", "saccader"): 18,
    ("laptop", "identification", "attention_sampling"): 11,
    ("laptop", "identification", "dram"): 10,
    ("laptop", "identification", "ram"): 13,
    ("laptop", "identification", "resnet18"): 14,
    ("laptop", "identification", "random"): 7,
    ("laptop", "mit5k", "saccader"): 4.5,
    ("laptop", "mit5k", "proxy_only"): 0.5,
    ("laptop", "mit5k", "resnet18_144"): 5.5,
    ("laptop", "mit5k", "attention_sampling"): 2.1,
    ("laptop", "mit5k", "dram"): 1.9,
    ("laptop", "mit5k", "ram"): 1.6,
    ("laptop", "mit5k", "random"): 1.7,
    ("laptop", "one_digit", "saccader"): 6.5,
    ("laptop", "one_digit", "attention_sampling"): 3.5,
    ("laptop", "one_digit", "dram"): 11,
    ("laptop", "one_digit", "ram"): 14,
    ("laptop", "one_digit", "resnet18"): 7.5,
    ("laptop", "one_digit", "proxy_only"): 0.9,
    ("laptop", "one_digit", "random"): 1.6,
    ("laptop", "megapixel_easy", "attention_sampling"): 5,
    ("laptop", "megapixel_easy", "saccader"): 10.5,
    ("laptop", "megapixel_easy", "proxy_only"): 1.5,
    ("laptop", "megapixel_easy", "random"): 2.1,
}
