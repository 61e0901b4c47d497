"""What a budget of glimpses buys, ``vsacc budget``: nothing is trained, the committed weights are opened.

Of every row "part" says what it is of: "glimpses", accuracy with more or fewer glimpses than in the training; "sides",
of the same test images enlarged; "seconds", of one image in a batch, in evaluation, against the side.
"""

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from tqdm.auto import tqdm

from ..local.paths import REPORTS, WEIGHTS, check_writable, write_atomic
from ..local.record import provenance
from ..saccader import Model
from ..systems import find_system
from ..tasks import Batch, open_split
from ..training.evaluation import evaluate, wilson
from ..training.weights import load, read_card
from .cost import inference
from .measure import measure
from .table1 import markdown, number

TASKS = ("one_digit", "identification")
GLIMPSES = (1, 2, 3, 4, 6, 8)
SIDES = (100, 200, 400, 800, 1264, 2528)
IMAGES = {"glimpses": 1000, "sides": 200}  # of the fixed test set
TIMED, ROUNDS = 10, 9  # images of a batch, timed calls


def trained(task: str) -> dict[str, Model]:
    """System -> the model of its committed weights: seed 0, trained on clean proxies."""
    cards = {path.stem: read_card(path) for path in sorted(WEIGHTS.glob(f"{task}-*seed0.safetensors"))}
    clean = {stem: card for stem, card in cards.items() if not card["config"].get("noise_level")}
    return {card["model"]: load(stem) for stem, card in clean.items() if card["task"] == task}


def own_glimpses(name: str, model: Model) -> int | None:
    """T of the training of a system's model, None where it takes no glimpse."""
    return model.config.glimpses if "{}" in find_system(name).reads else None


def measure_task(task: str, device: str) -> Iterator[dict]:
    """All rows of a task."""
    split = open_split(task, "test", device)
    models = {name: model.to(device) for name, model in trained(task).items()}
    batches = list(split.fixed(IMAGES["glimpses"]))
    for name, model in models.items():
        own = own_glimpses(name, model)
        for glimpses in sorted({*GLIMPSES, own}) if own else (None,):
            yield row("glimpses", task, name, model, batches, glimpses)
    for side in SIDES:
        large = replace(split, side=side)
        enlarged = list(large.fixed(IMAGES["sides"]))  # once for all models: it takes longer than to look
        images = large.draw(TIMED, 0, 0).images
        costs = measure({name: inference(model, images) for name, model in models.items()}, ROUNDS)
        for name, model in models.items():
            yield row("sides", task, name, model, enlarged, own_glimpses(name, model)) | {"side": side}
            yield {"part": "seconds", "task": task, "model": name, "side": side, "seconds": costs[name].seconds / TIMED}


def row(part: str, task: str, name: str, model: Model, batches: Iterable[Batch], glimpses: int | None) -> dict:
    """What is measured of a model at one setting; "trained" is its own number of glimpses."""
    scores = evaluate(model, batches, glimpses=glimpses)
    return {
        "part": part, "task": task, "model": name, "glimpses": glimpses, "trained": own_glimpses(name, model),
        "images": len(scores.labels), "accuracy": round(scores.accuracy, 5),
        "localised": scores.localised and round(scores.localised, 5),
    }  # fmt: skip


def command(options: argparse.Namespace) -> None:
    """``vsacc budget``."""
    out = options.out or REPORTS / "budget.json"
    check_writable(out.parent)
    device, made = "cuda" if torch.cuda.is_available() else "cpu", provenance()
    rows = [row for task in TASKS for row in tqdm(measure_task(task, device), desc=task)]
    write_atomic(out, json.dumps({**made, "seed": 0, "rows": rows}, indent=1, allow_nan=False) + "\n")
    for row in rows:
        print("  ".join(str(value) for value in row.values()))


def part_of(rows: list[dict], part: str) -> list[dict]:
    """The rows of one part, accuracies with their 95 % interval as "low" and "high"."""
    found = [dict(row) for row in rows if row["part"] == part]
    for row in found:
        if "accuracy" in row:
            row["low"], row["high"] = wilson(round(row["accuracy"] * row["images"]), row["images"])
    return found


def table(rows: list[dict], key: str, value: str = "accuracy", unit: float = 100) -> str:
    """``value`` times ``unit`` against ``key``, "glimpses" or "side", with intervals where there are some: a line for
    each task and system, what it was trained with in bold."""
    rows = [row for row in rows if row[key] is not None]
    places, lines = sorted({row[key] for row in rows}), {}
    for row in rows:
        cells = lines.setdefault((row["task"], row["model"]), dict.fromkeys(places, ""))
        bold = "**" * (row[key] == row.get("trained"))
        cells[row[key]] = f"{bold}{number(row[value], unit)}{bold}"
        if "low" in row:
            cells[row[key]] += f" ({number(row['low'], unit)} to {number(row['high'], unit)})"
    told = [[task, f"`{model}`", *cells.values()] for (task, model), cells in lines.items()]
    return markdown(["task", "system", *map(str, places)], told, left=2)
