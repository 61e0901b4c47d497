"""What a budget of glimpses buys, ``vsacc budget``: nothing is trained, the committed weights are opened.

Of every row "part" says what it is of: "glimpses", accuracy with more or fewer glimpses than in the training; "sides",
of the same test images enlarged, looked at in frames of the same share of the image; "seconds", of one image in a
batch, in evaluation, against the side, its pyramid built beforehand; "stopping", of a saccader, accuracy and seconds of
one image in a batch, looking equally often at each or until a probability is reached."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from tqdm.auto import tqdm

from ..local.paths import REPORTS, WEIGHTS, check_out, write_atomic
from ..local.record import provenance
from ..saccader import Model
from ..sampler import build_pyramid
from ..systems import find_system
from ..tasks import Batch, Split, open_split
from ..training.evaluation import Evaluation, evaluate, wilson
from ..training.processes import device
from ..training.weights import load, read_card
from .cost import inference
from .measure import measure
from .table1 import markdown, number

TASKS = ("one_digit", "identification")
GLIMPSES = (1, 2, 3, 4, 6, 8)
SIDES = (100, 200, 400, 1000, 2528)
IMAGES = 1000  # of the fixed test set
TIMED, ROUNDS = 10, 30  # images of a batch, timed calls
STOPS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)  # probabilities
STOPPED = 5000  # images of the fixed test set on which stopping is measured


def trained(task: str) -> dict[str, Model]:
    """System -> the model of its committed weights: seed 0, trained on clean proxies."""
    cards = {path.stem: read_card(path) for path in sorted(WEIGHTS.glob(f"{task}-*seed0.safetensors"))}
    named = {card["model"]: stem for stem, card in cards.items() if card["task"] == task and plain(stem, card)}
    return {name: load(stem) for name, stem in named.items()}


def plain(stem: str, card: dict) -> bool:
    """Whether weights have no other choice in their name than task, system, profile and seed."""
    return stem.replace(f"-{card['model']}", "") == f"{card['task']}-{card['profile']}-seed{card['seed']}"


def measure_task(task: str, device: str) -> Iterator[dict]:
    """All rows of a task."""
    split = open_split(task, "test", device)
    models = {name: model.to(device) for name, model in trained(task).items()}
    batches = list(split.fixed(IMAGES))
    for name, model in models.items():
        own = find_system(name).glimpses(model.config)
        for glimpses in sorted({*GLIMPSES, own}) if own else (None,):
            scores = evaluate(model, batches, glimpses=glimpses)
            yield scored("glimpses", task, name, model, [scores], glimpses)
        if hasattr(model, "until"):
            yield from stopping(task, model, split)
    for side in SIDES:
        large = replace(split, side=side)
        images = made(large.draw(TIMED, 0, 0)).images
        costs = measure({name: inference(model, images) for name, model in models.items()}, ROUNDS)
        seen = {name: [] for name in models}
        for batch in map(made, large.fixed(IMAGES)):  # once for all models: it takes longer than to look
            for name, model in models.items():
                seen[name].append(evaluate(model, [batch]))
        for name, model in models.items():
            own = find_system(name).glimpses(model.config)
            yield scored("sides", task, name, model, seen[name], own) | {"side": side}
            yield {"part": "seconds", "task": task, "model": name, "side": side, "seconds": costs[name].seconds / TIMED}


def stopping(task: str, model: Model, split: Split) -> Iterator[dict]:
    """Rows of looking equally often, up to four times as often as in the training, and until a probability of ``stop``
    is reached, at most as often as in the training; "looks" is the mean."""
    most, batches = model.config.glimpses, list(split.fixed(STOPPED))
    often = [*range(1, most + 2), 2 * most, 3 * most, 4 * most]
    ways = [(glimpses, None) for glimpses in often] + [(most, stop) for stop in STOPS]
    works = {way: torch.no_grad()(partial(model, batches[0].images, way[0], stop=way[1])) for way in ways}
    costs = measure(works, ROUNDS, title=f"{task}, stopping")
    for glimpses, stop in ways:
        scores = evaluate(model, batches, glimpses=glimpses, stop=stop)
        yield {
            "part": "stopping", "task": task, "model": "saccader", "glimpses": glimpses, "trained": most, "stop": stop,
            "looks": round(scores.looks or glimpses, 4), "images": len(scores.labels),
            "accuracy": round(scores.accuracy, 5), "log_y": round(scores.log_y, 4), "ece": round(scores.ece, 4),
            "seconds": costs[glimpses, stop].seconds / len(batches[0].labels),
        }  # fmt: skip


def made(batch: Batch) -> Batch:
    """The batch with its canvases made: what is timed is looking at a pyramid. And some systems take chances that are
    seeded with grey levels; other levels, a fraction apart, are other chances."""
    return batch._replace(images=build_pyramid(batch.images.level(0)))


def scored(part: str, task: str, name: str, model: Model, seen: list[Evaluation], glimpses: int | None) -> dict:
    """What was measured of a model at one setting, in parts; "trained" is its own number of glimpses."""
    count = [len(scores.labels) for scores in seen]
    localised = None if seen[0].localised is None else np.average([each.localised for each in seen], weights=count)
    return {
        "part": part, "task": task, "model": name, "glimpses": glimpses,
        "trained": find_system(name).glimpses(model.config),
        "images": sum(count), "accuracy": round(np.average([each.accuracy for each in seen], weights=count), 5),
        "localised": localised and round(localised, 5),
    }  # fmt: skip


def command(options: argparse.Namespace) -> None:
    """``vsacc budget``."""
    out = options.out or REPORTS / "budget.json"
    check_out(out, lambda old: old["rows"][0]["part"] == "glimpses")
    made = provenance()
    rows = [row for task in TASKS for row in tqdm(measure_task(task, device()), desc=task)]
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
