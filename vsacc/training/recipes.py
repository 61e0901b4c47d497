"""What a run is made of, as data: task, model sizes and training recipe of every profile."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace

from ..local.paths import UserError, resolve_profile
from ..saccader import Config
from ..systems.attention_sampling import AttentionConfig
from ..systems.dram import DramConfig
from ..systems.models import MODELS, Plain
from ..systems.ram import RamConfig
from ..tasks.base import kind_of


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
MEGAPIXEL = ("megapixel", "megapixel_max", "megapixel_top", "megapixel_multi")
CONFIGS = {  # by the class of the model's configuration
    Config: {"quick": SMALL, "laptop": SMALL, "paper": PAPER_SIZE},
    AttentionConfig: {
        **dict.fromkeys(("quick", "laptop"), AttentionConfig()),
        "paper": AttentionConfig(glimpses=4, features=256, crop_widths=(64, 128, 256), crop_depth=3),
    },
    RamConfig: {
        **dict.fromkeys(("quick", "laptop"), RamConfig(emission="spatial", widened=1.5, sigma=(0.1, 0.2), idle=0.1)),
        "paper": RamConfig(),
    },
    DramConfig: {
        **dict.fromkeys(("quick", "laptop"), DramConfig()),
        "paper": DramConfig(6, hidden=512, features=512, emission="dense", sigma=(0.1, 0.1), idle=0.0),
    },
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
    "identification_2528": {
        "quick": Recipe(steps=4, batch=4, evaluated=20),
        "laptop": Recipe(steps=1500, batch=16, evaluated=1000),
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
    "speed_limits": {
        "quick": Recipe(steps=20, batch=16, evaluated=None),
        "laptop": Recipe(steps=1200, batch=32, evaluated=None),
        # 500 epochs of 747 frames in batches of 32, as published.
        "paper": Recipe(steps=11_700, batch=32, learning_rate=1e-3, evaluated=None),
    },
    "colon": {
        "quick": Recipe(steps=20, batch=16, evaluated=None, validations=2),
        "laptop": Recipe(steps=600, batch=16, learning_rate=1e-3, evaluated=None, validations=10),
        "paper": Recipe(steps=5_000, batch=16, learning_rate=1e-3, evaluated=None, validations=20),
    },
    "moving_digit": {
        "quick": Recipe(steps=20, batch=16, evaluated=200),
        # A bound of five proxies where the others have two of one: the weights make up for it.
        "laptop": Recipe(steps=900, batch=64, weight_c=1e-4, weight_kl=1e-4),
        "paper": Recipe(steps=20_000, batch=256, learning_rate=1e-3, weight_c=1e-4, weight_kl=1e-4),
    },
    "megapixel_easy": {
        "quick": Recipe(steps=20, batch=16, evaluated=200),
        "laptop": Recipe(steps=1200, batch=64, evaluated=None),
        # 500 epochs of 5000 images in batches of 128, as published.
        "paper": Recipe(steps=19_500, learning_rate=1e-3, evaluated=None),
    },
    # 1500 x 1500: a laptop shows that it runs, in too few steps to learn anything.
    **{
        task: {
            "quick": Recipe(steps=6, batch=8, evaluated=40),
            "laptop": Recipe(steps=150, batch=32, evaluated=None),
            "paper": Recipe(steps=19_500, learning_rate=1e-3, evaluated=None),
        }
        for task in MEGAPIXEL
    },
}
CONFIG_CHANGES = {  # by task and class of configuration, and of some by profile
    # Patches in proportion, where the image's own pixels are finer than what there is to see.
    ("identification", AttentionConfig): {"glimpses": 4},
    ("identification_2528", AttentionConfig): {"glimpses": 4, "scale": 0.32},
    # With three patches, or at four times the learning rate, it does not start.
    ("mit5k", AttentionConfig): {"glimpses": 8, "size": 48, "scale": 0.3, "grey": 0.5, "entropy": 0.01},
    ("sum", AttentionConfig): {"glimpses": 4},
    # The published patches: 100 pixels of a frame 1280 wide, and 27 of 500.
    ("speed_limits", AttentionConfig): {"glimpses": 5, "size": 48, "scale": 0.08, "view": 64, "grey": 0.5},
    ("colon", AttentionConfig): {"glimpses": 10, "size": 32, "view": 64, "grey": 0.5},
    # In cells of 16 pixels, some four to a digit, draws without replacement miss fewer of the five digits; in the
    # published cells of 5 pixels they miss as many as draws with replacement do.
    ("megapixel_easy", AttentionConfig): {"glimpses": 10, "size": 48, "bright": 1.5, "jitter": True},
    **{(task, AttentionConfig): {"glimpses": 10, "size": 48, "view": 96, "bright": 1.5} for task in MEGAPIXEL},
    **{  # as published, but for the bright start: without it, theirs learns nothing in the first 210 of 500 epochs
        (task, AttentionConfig, "paper"): {"size": 50, "view": 180, "reader": "published", "features": 32}
        for task in MEGAPIXEL
    },
    ("mit5k", RamConfig): {"glimpses": 4, "size": 24, "grey": 0.5},
    ("mit5k", DramConfig): {"glimpses": 3, "size": 32, "finest": 0.25, "grey": 0.5},
    # A sign of the stand-in fills a glimpse of scale .04 to .09; the published ones .02 to .08.
    ("speed_limits", Config): {"glimpses": 3, "size": 48, "proxy": 64, "grey": 0.5, "scale": (0.06, 0.12, 0.3)},
    # The published patches of 27 pixels are glimpses of scale .054.
    ("colon", Config): {"glimpses": 10, "size": 48, "grey": 0.5, "likelihood": "pooled", "scale": (0.05, 0.1, 0.3)},
    ("mit5k", Config): {"glimpses": 3, "size": 48, "grey": 0.5, "scale": (0.25, 0.35, 0.5)},
    # A look at each frame, always at the same digit. From narrower frames it does not start: they show parts of parts.
    ("moving_digit", Config): {"glimpses": 5, "inhibition": False, "scale": (0.2, 0.3, 0.9)},
    # A digit fills a glimpse of scale 28 / 500 or 28 / 1500. Places must scatter by little more, or broad looks never
    # meet one. Each glimpse reads for itself: the mixture of what they say is largest where most of them agree.
    ("megapixel_easy", Config): dict(glimpses=5, proxy=64, scale=(0.08, 0.1, 0.16), sigma=(0.01, 0.05), bright=8.0),
    **{
        (task, Config): dict(glimpses=6, proxy=96, scale=(0.025, 0.04, 0.08), sigma=(0.005, 0.04), bright=8.0)
        for task in MEGAPIXEL
    },
}
RECIPE_CHANGES = {  # by task and model
    # On a CPU a step of a whole ResNet takes as long as many of the others': the same wall time.
    ("one_digit", "resnet18"): {"laptop": {"steps": 300, "batch": 32, "learning_rate": 1e-3}},
    ("identification", "resnet18"): {"laptop": {"steps": 600, "batch": 32, "learning_rate": 1e-3}},
    # Five proxies of 64 x 64 in the bound: the weights make up for the pixels.
    **{
        (task, "saccader"): {profile: {"weight_c": 3e-5, "weight_kl": 3e-5} for profile in ("quick", "laptop", "paper")}
        for task in ("megapixel_easy", *MEGAPIXEL)
    },
    ("one_digit", "ram"): {"laptop": {"steps": 4500, "batch": 64}},
    ("mit5k", "attention_sampling"): {"laptop": {"learning_rate": 5e-4}},
    ("megapixel_easy", "attention_sampling"): {"laptop": {"steps": 1800, "batch": 32}},
    ("identification", "attention_sampling"): {"laptop": {"steps": 2500}},
    ("one_digit", "dram"): {"laptop": {"steps": 4500, "batch": 64}},
    ("identification", "ram"): {"laptop": {"steps": 4500, "batch": 64}},
    ("identification", "dram"): {"laptop": {"steps": 4500, "batch": 64}},
    # Full-resolution activations: as many images as a GPU of 80 GB holds, for at least the others' wall time.
    ("identification_2528", "resnet18"): {
        "quick": {"steps": 1, "batch": 2, "evaluated": 2},
        "laptop": {"steps": 100, "batch": 2, "evaluated": 100},
        "paper": {"steps": 6_000, "batch": 32},
    },
    ("identification_2528", "resnet18_144"): {
        "quick": {"steps": 1, "batch": 2, "evaluated": 2},
        "laptop": {"steps": 30, "batch": 2, "evaluated": 100},
        "paper": {"steps": 6_000, "batch": 32},
    },
    ("megapixel", "resnet18_144"): {
        "quick": {"steps": 1, "batch": 2, "evaluated": 2},
        "laptop": {"steps": 10, "batch": 2, "evaluated": 100},
        "paper": {"steps": 8_000, "batch": 32},
    },
    # A step of 144 crops takes as long as many of the others': the same images for at least the same wall time.
    ("mit5k", "resnet18_144"): {
        "quick": {"steps": 1, "batch": 2, "validations": 0},
        "laptop": {"steps": 30, "batch": 4, "learning_rate": 1e-3, "validations": 0},
        "paper": {"steps": 2_000, "batch": 8},
    },
}
CONFIG_CHANGES |= {  # the same images enlarged
    ("identification_2528", *others): change
    for (task, *others), change in CONFIG_CHANGES.items()
    if task == "identification"
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
    changes = CONFIG_CHANGES.get((task, made), {}) | CONFIG_CHANGES.get((task, made, profile), {})
    sizes = replace(CONFIGS[made][profile], **changes)
    training = replace(RECIPES[task][profile], **RECIPE_CHANGES.get((task, model), {}).get(profile, {}))
    return Job(
        task,
        model,
        profile,
        seed,
        replace(sizes, channels=kind.channels, **config or {}),
        replace(training, **recipe or {}),
    )
