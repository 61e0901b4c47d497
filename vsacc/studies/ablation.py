"""What each choice buys: the laptop's task again and again, one choice changed at a time.

    python -m vsacc.studies.ablation --out reports/ablation.json

Runs that were made before are not made again, so an interrupted ablation goes on where it stopped.
"""

import argparse
import json
from pathlib import Path

from ..local.paths import REPORTS, UserError, check_writable, one_sentence_exit, write_atomic
from ..local.record import provenance
from ..training.fit import fit, result
from ..training.recipes import make_job

STEPS = 500
VARIANTS = {  # name: (changes to the config, changes to the recipe)
    "ours": ({}, {}),
    "dense posterior": ({"posterior": "dense"}, {}),
    "pooled likelihood": ({"likelihood": "pooled"}, {}),
    "precise places from the start": ({"sigma": (0.02, 0.021)}, {}),
    "tight frames from the start": ({"scale": (0.2, 0.3, 0.3)}, {}),
    "Eq. 6 at weight 1": ({}, {"weight_c": 1.0, "weight_kl": 1.0}),
    "product of ELBO and CE": ({}, {"weight_c": 1.0, "weight_kl": 5.0, "form": "product"}),
    "all of the paper's": (
        {
            "posterior": "dense",
            "likelihood": "pooled",
            "inhibition": False,
            "sigma": (0.02, 0.021),
            "scale": (0.2, 0.3, 0.3),
        },
        {"weight_c": 1.0, "weight_kl": 1.0},
    ),
}
KEYS = ("steps", "seconds", "test_accuracy", "localised", "scale", "history")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m vsacc.studies.ablation", description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="one_digit")
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=REPORTS / "ablation.json")
    options = parser.parse_args()
    check_writable(options.out.parent)
    rows, made = {}, provenance()
    for name, (config, recipe) in VARIANTS.items():
        recipe = {"steps": STEPS, **recipe} if options.profile == "laptop" else recipe
        job = make_job(options.task, options.profile, seed=options.seed, config=config, recipe=recipe)
        try:
            row = result(fit(job))
            rows[name] = {"config": config, "recipe": recipe, **{key: row[key] for key in KEYS}}
        except UserError as error:  # a collapse is a result too
            rows[name] = {"config": config, "recipe": recipe, "stopped": str(error)}
        record = {"task": options.task, "profile": options.profile, "seed": options.seed, **made, "rows": rows}
        write_atomic(options.out, json.dumps(record, indent=1, allow_nan=False) + "\n")
        outcome = rows[name].get("test_accuracy", rows[name].get("stopped"))
        print(f"{name:24s} {outcome}", flush=True)


if __name__ == "__main__":
    one_sentence_exit(main)
