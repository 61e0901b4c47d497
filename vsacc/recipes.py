"""What a run is made of, as data: task, model sizes and training recipe of every profile."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from .model import Config
from .models import MODELS, Plain
from .paths import UserError, resolve_profile
from .tasks import kind_of


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
    evaluated: int | None = 10_000  # test images, None for all
    validations: int = 0  # on the validation split, evenly over the second half; the best one's weights are kept


@dataclass(frozen=True)
class Job:
    """One training run, and the whole of what its result depends on."""

    task: str
    model: str
    profile: str
    seed: int
    config: Config | Plain
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
CONFIGS = {  # by the class of the model's configuration
    Config: {"quick": SMALL, "laptop": SMALL, "paper": PAPER_SIZE},
    Plain: dict.fromkeys(("quick", "laptop", "paper"), Plain()),
}
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
    "mit5k": {
        "quick": Recipe(steps=20, batch=16, evaluated=None, validations=2),
        "laptop": Recipe(steps=600, batch=64, evaluated=None, validations=10),
        "paper": Recipe(steps=10_000, batch=160, learning_rate=1e-3, evaluated=None, validations=20),
    },
}
CONFIG_CHANGES = {  # by task and class of configuration
    ("mit5k", Config): {"glimpses": 3, "size": 48, "grey": 0.5, "scale": (0.25, 0.35, 0.5)},
}
RECIPE_CHANGES = {  # by task and model
    # A step of 144 crops takes as long as many of the others': the same images for at least the same wall time.
    ("mit5k", "resnet18_144"): {
        "quick": {"steps": 1, "batch": 2, "validations": 0},
        "laptop": {"steps": 30, "batch": 4, "learning_rate": 1e-3, "validations": 0},
        "paper": {"steps": 2_000, "batch": 8},
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
    profile, kind = resolve_profile(profile), kind_of(task)
    if model not in MODELS:
        raise UserError(f"model {model!r} is unknown, choose one of {', '.join(MODELS)}.")
    made = MODELS[model][0]
    sizes = replace(CONFIGS[made][profile], **CONFIG_CHANGES.get((task, made), {}))
    training = replace(RECIPES[task][profile], **RECIPE_CHANGES.get((task, model), {}).get(profile, {}))
    return Job(
        task,
        model,
        profile,
        seed,
        replace(sizes, channels=kind.channels, **config or {}),
        replace(training, **recipe or {}),
    )
