"""What each choice buys, ``vsacc ablation``: one changed at a time; an interrupted one goes on where it stopped."""

import argparse
import json

from ..local.paths import REPORTS, check_out, resolve_profile, write_atomic
from ..local.record import provenance
from ..systems.saccader import COARSE, ONCE, SACCADER
from ..training.fit import Stopped, fit, result
from ..training.jobs import make_job

STEPS = {"one_digit": 500, "identification": 1500}  # of the profile laptop: enough to start; else as the task has it
PUBLISHED, WEIGHTS, _ = SACCADER.variants["as_published"]
VARIANTS = {  # name: (changes to the config, changes to the recipe)
    "ours": ({}, {}),
    "dense posterior": ({"posterior": "dense"}, {}),
    "pooled likelihood": ({"likelihood": "pooled"}, {}),
    "no inhibition of return": ({"inhibition": False}, {}),
    "h is told what it read": ({"feedback": "reader"}, {}),
    "precise places from the start": ({"sigma": (0.02, 0.021)}, {}),
    "tight frames from the start": ({"scale": (0.2, 0.3, 0.3)}, {}),
    "Eq. 6 at weight 1": ({}, WEIGHTS),
    "product of ELBO and CE": ({}, {"weight_c": 1.0, "weight_kl": 5.0, "form": "product"}),
    "all of the paper's": (PUBLISHED, WEIGHTS),
}
KEYS = ("steps", "seconds", "validation_accuracy", "test_accuracy", "localised", "scale", "history")


def command(options: argparse.Namespace) -> None:
    """``vsacc ablation``."""
    profile, out = resolve_profile(options.profile), options.out or REPORTS / "ablation.json"
    check_out(out, lambda old: old["task"] == options.task and old["rows"].keys() <= VARIANTS.keys())
    record = {"task": options.task, "profile": profile, "seed": options.seed, **provenance(), "rows": {}}
    small = ({}, {})
    if profile == "laptop" and options.task in STEPS:  # how it looks is compared, with a small reader
        small = COARSE, {**ONCE, "steps": STEPS[options.task]}
    for name, (config, recipe) in VARIANTS.items():
        job = make_job(options.task, profile, seed=options.seed, config=small[0] | config, recipe=small[1] | recipe)
        try:
            row = result(fit(job))
            told = {key: row[key] for key in KEYS}
        except Stopped as error:  # a collapse is a result too
            told = {"stopped": str(error)}
        record["rows"][name] = {"config": config, "recipe": recipe, **told}
        write_atomic(out, json.dumps(record, indent=1, allow_nan=False) + "\n")
        print(f"{name:24s} {told.get('test_accuracy', told.get('stopped'))}", flush=True)
