"""What a run is made of, as data: task, model sizes and training recipe of every profile."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from .datasets.cluttered import TASKS
from .model import Config
from .paths import UserError, resolve_profile


@dataclass(frozen=True)
class Recipe:
    """How a model is trained."""

    steps: int
    batch: int = 128
    learning_rate: float = 2e-3  # peak of a one-cycle schedule
    warmup: float = 0.15  # share of the steps spent rising to it
    weight_decay: float = 1e-4
    clip: float = 1.0  # largest norm of the gradient of each part of the model
    weight_c: float = 3e-4  # of log p(c | z, h) in the bound: Eq. 6 has 1
    weight_kl: float = 3e-4  # of the KL in the bound: Eq. 6 has 1
    form: str = "sum"  # or "product", the authors' code
    evaluated: int = 10_000  # test images


@dataclass(frozen=True)
class Job:
    """One training run, and the whole of what its result depends on."""

    task: str
    model: str
    profile: str
    seed: int
    config: Config
    recipe: Recipe

    @property
    def name(self) -> str:
        """Readable, and different for every difference in the job."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:8]
        return f"{self.task}-{self.model}-{self.profile}-seed{self.seed}-{digest}"


SMALL = Config()
PAPER_SIZE = Config(
    glimpses=4, hidden=320, features=256, proxy_widths=(64, 64, 64), crop_widths=(64, 128, 256), crop_depth=3,
)  # fmt: skip
# The paper's own choices (its section 4 and its code): dense posterior, summed features, no memory of places.
AS_PUBLISHED = replace(PAPER_SIZE, posterior="dense", likelihood="pooled", inhibition=False)

QUICK = Recipe(steps=60, batch=32, evaluated=500)
CONFIGS = {"quick": SMALL, "laptop": SMALL, "paper": PAPER_SIZE}
RECIPES = {
    "one_digit": {
        "quick": QUICK,
        "laptop": Recipe(steps=1500),
        "paper": Recipe(steps=20_000, batch=256, learning_rate=1e-3),
    },
    "identification": {
        "quick": QUICK,
        "laptop": Recipe(steps=4500),
        "paper": Recipe(steps=60_000, batch=256, learning_rate=1e-3),
    },
    "sum": {
        "quick": QUICK,
        "laptop": Recipe(steps=4500),
        "paper": Recipe(steps=60_000, batch=256, learning_rate=1e-3),
    },
}


def make_job(
    task: str,
    profile: str = "auto",
    model: str = "saccader",
    seed: int = 0,
    config: dict | None = None,
    recipe: dict | None = None,
) -> Job:
    """The job of a task under a profile; ``config`` and ``recipe`` name fields to change.

    Raises UserError for an unknown task, model or profile.
    """
    profile = resolve_profile(profile)
    if task not in TASKS:
        raise UserError(f"task {task!r} is unknown, choose one of {', '.join(TASKS)}.")
    if model != "saccader":
        raise UserError(f"model {model!r} is unknown, choose saccader.")
    return Job(
        task,
        model,
        profile,
        seed,
        replace(CONFIGS[profile], **config or {}),
        replace(RECIPES[task][profile], **recipe or {}),
    )
