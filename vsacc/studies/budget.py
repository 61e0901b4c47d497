"""What a budget of glimpses buys: accuracy against their number and against the image's side, and the time it takes.

    python -m vsacc.studies.budget --out reports/budget.json

The committed weights are opened, nothing is trained. Three tables of rows in one list, told apart by "part":

"glimpses"  accuracy when a model takes more or fewer glimpses than in its training;
"sides"     the same test images enlarged, at the number of glimpses of the training;
"seconds"   of one image in a batch, in evaluation, against the side; all models in turn.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from tqdm.auto import tqdm

from ..local.paths import REPORTS, WEIGHTS, check_writable, one_sentence_exit, write_atomic
from ..local.record import provenance
from ..saccader import Model
from ..tasks.base import Batch, open_split
from ..training.evaluation import evaluate
from ..training.weights import open_trained, read_card
from .cost_table import inference
from .measure import measure

TASKS = ("one_digit", "identification")
GLIMPSES = (1, 2, 3, 4, 6, 8)
SIDES = (100, 200, 400, 800, 1264, 2528)
IMAGES = {"glimpses": 1000, "sides": 200}  # of the fixed test set
TIMED, ROUNDS = 10, 9  # images of a batch, timed calls


def trained(task: str) -> dict[str, str]:
    """Model -> name of its committed weights: seed 0, trained on clean proxies."""
    cards = {path.stem: read_card(path) for path in sorted(WEIGHTS.glob(f"{task}-*seed0.safetensors"))}
    clean = {stem: card for stem, card in cards.items() if not card["config"].get("noise_level")}
    return {card["model"]: stem for stem, card in clean.items() if card["task"] == task}


def own_glimpses(model: Model) -> int | None:
    """T of the model's training, None where it takes no glimpse."""
    return getattr(getattr(model, "config", None), "glimpses", None)


def measure_task(task: str, device: str) -> Iterator[dict]:
    """All rows of a task."""
    split = open_split(task, "test", device)
    models = {name: open_trained(stem)[0].to(device) for name, stem in trained(task).items()}
    batches = list(split.fixed(IMAGES["glimpses"]))
    for name, model in models.items():
        own = own_glimpses(model)
        for count in sorted({*GLIMPSES, own}) if own else (None,):
            yield row("glimpses", task, name, model, batches, count)
    for side in SIDES:
        large = replace(split, side=side)
        enlarged = list(large.fixed(IMAGES["sides"]))  # once for all models: it takes longer than to look
        images = large.draw(TIMED, 0, 0).images
        costs = measure({name: inference(model, images) for name, model in models.items()}, ROUNDS)
        for name, model in models.items():
            yield row("sides", task, name, model, enlarged, own_glimpses(model)) | {"side": side}
            yield {"part": "seconds", "task": task, "model": name, "side": side, "seconds": costs[name].seconds / TIMED}


def row(part: str, task: str, name: str, model: Model, batches: Iterable[Batch], glimpses: int | None) -> dict:
    """What is measured of a model at one setting; "trained" is its own number of glimpses."""
    scores = evaluate(model, batches, **({} if glimpses is None else {"glimpses": glimpses}))
    return {
        "part": part, "task": task, "model": name, "glimpses": glimpses, "trained": own_glimpses(model),
        "images": len(scores.labels), "accuracy": round(scores.accuracy, 5),
        "localised": scores.localised and round(scores.localised, 5),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m vsacc.studies.budget", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=REPORTS / "budget.json")
    options = parser.parse_args()
    check_writable(options.out.parent)
    device, made = "cuda" if torch.cuda.is_available() else "cpu", provenance()
    rows = [row for task in TASKS for row in tqdm(measure_task(task, device), desc=task)]
    write_atomic(options.out, json.dumps({**made, "seed": 0, "rows": rows}, indent=1, allow_nan=False) + "\n")
    for row in rows:
        print("  ".join(str(value) for value in row.values()))


if __name__ == "__main__":
    one_sentence_exit(main)
