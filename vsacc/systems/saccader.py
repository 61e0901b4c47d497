"""Variational saccading as a system: its sizes, what each task changes, and the paper's own choices as a variant."""

from ..reading import Question
from ..saccader import Config, Model, Saccader
from . import ORANGE, VERMILION, System, Variant
from .noise import Corruption

MEGAPIXEL = ("megapixel", "megapixel_max", "megapixel_top", "megapixel_multi")
PAPER_SIZE = Config(
    glimpses=4, hidden=320, features=256, proxy_widths=(64, 64, 64), crop_widths=(64, 128, 256), crop_depth=3,
)  # fmt: skip
SIZES = {"quick": Config(), "laptop": Config(), "desk": Config(), "paper": PAPER_SIZE}
# On a laptop digits are read by a finer network, which knows where it looked and practises on looks that went astray.
FINE = dict(
    glimpses=3, crop="fine", crop_widths=(32, 64, 128), crop_depth=1, features=192, likelihood="placed",
    astray=0.3, zoom=0.7,
)  # fmt: skip
LOOKS = dict(looks=(2, 2, 2, 4), early=(0.2, 1.0), learning_rate=4e-3, weight_c=3e-5, weight_kl=3e-5)
# What both replace, for studies that compare how a model looks, not how well it reads, in a minute each.
COARSE = {name: getattr(Config(), name) for name in FINE}
ONCE = dict(looks=(), early=(), learning_rate=2e-3, weight_c=3e-4, weight_kl=3e-4)
PRACTICE = {
    ("identification", "laptop"): {"steps": 4500, **LOOKS},
    ("identification", "desk"): {"steps": 11_000, **LOOKS, "learning_rate": 3e-3},
    ("megapixel_easy", "laptop"): {"steps": 2600, "looks": (3, 5, 5, 6), "early": (0.2, 1.0), "learning_rate": 3e-3},
    ("one_digit", "laptop"): {"steps": 2300, **LOOKS, "looks": (1, 2, 2, 3), "early": (0.5, 1.0)},
}
CHANGES = {
    ("identification", "laptop"): FINE,
    ("identification", "desk"): FINE | dict(crop_widths=(40, 80, 160), crop_depth=2, features=224),
    ("one_digit", "laptop"): FINE | dict(zoom=0.0),  # wide frames show little of one digit among clutter
    ("megapixel_easy", "laptop"): FINE | dict(glimpses=7, zoom=0.0, astray=0.2),
    # The published signs fill a glimpse of scale .02 to .08.
    "speed_limits": {"glimpses": 3, "size": 48, "proxy": 64, "grey": 0.5, "scale": (0.06, 0.12, 0.3)},
    # The published patches of 27 pixels are glimpses of scale .054.
    "colon": {"glimpses": 10, "size": 48, "grey": 0.5, "likelihood": "pooled", "scale": (0.05, 0.1, 0.3)},
    "mit5k": {"glimpses": 3, "size": 48, "grey": 0.5, "scale": (0.25, 0.35, 0.5)},
    # A look at each frame, always at the same digit, in frames that are wide at first: narrow ones show parts of parts.
    "moving_digit": {"glimpses": 5, "inhibition": False, "scale": (0.2, 0.3, 0.9)},
    # A digit fills a glimpse of scale 28 / 500 or 28 / 1500. Places must scatter by little more, or broad looks never
    # meet one. Each glimpse reads for itself: the mixture of what they say is largest where most of them agree.
    "megapixel_easy": dict(glimpses=5, proxy=64, scale=(0.08, 0.1, 0.16), sigma=(0.01, 0.05), bright=8.0),
    **{
        task: dict(glimpses=6, proxy=96, scale=(0.025, 0.04, 0.08), sigma=(0.005, 0.04), bright=8.0)
        for task in MEGAPIXEL
    },
}


def make(config: Config, question: Question) -> Model:
    model = Saccader(config, question)
    model.noise = Corruption(config.noise, 0.0, config.noise_level)
    return model


SACCADER = System(
    name="saccader",
    label="saccader",
    says="A recurrent latent decides from the proxy where to look; the class is read from the glimpses.",
    reads="coarse view + {} glimpses",
    colour=VERMILION,
    marker="o",
    config=Config,
    make=make,
    sizes=SIZES,
    changes=CHANGES,
    # Proxies of four times the pixels or more in the bound: the weights make up for them.
    recipes={key: {"weight_c": 3e-05, "weight_kl": 3e-05} for key in ("megapixel_easy", *MEGAPIXEL)} | PRACTICE,
    # The paper's own choices (its section 4 and its code): dense posterior, summed features, no memory of places, sigma
    # learned from the start, and Eq. 6 with its own weights.
    variants={
        "as_published": Variant(
            {"posterior": "dense", "likelihood": "pooled", "inhibition": False, "annealed": False},
            {"weight_c": 1.0, "weight_kl": 1.0},
            ORANGE,
        )
    },
    videos=True,
)
