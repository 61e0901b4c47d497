"""What a budget of glimpses buys, ``vsacc budget``: accuracy against their number and the image's side, and the time.

The committed weights are opened, nothing is trained. Three tables of rows in one list, told apart by "part":

"glimpses"  accuracy when a model takes more or fewer glimpses than in its training;
"sides"     the same test images enlarged, at the number of glimpses of the training;
"seconds"   of one image in a batch, in evaluation, against the side; all models in turn.
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
from .table1 import NOT_RUN, count, listed, number, percent

TASKS = ("one_digit", "identification")
GLIMPSES = (1, 2, 3, 4, 6, 8)
SIDES = (100, 200, 400, 800, 1264, 2528)
IMAGES = {"glimpses": 1000, "sides": 200}  # of the fixed test set
TIMED, ROUNDS = 10, 9  # images of a batch, timed calls

Rows = list[dict]


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


def part_of(rows: Rows, part: str) -> Rows:
    """The rows of one part, accuracies with their 95 % interval as "low" and "high"."""
    found = [dict(row) for row in rows if row["part"] == part]
    for row in found:
        if "accuracy" in row:
            row["low"], row["high"] = wilson(round(row["accuracy"] * row["images"]), row["images"])
    return found


def curves(rows: Rows) -> dict[tuple[str, str], Rows]:
    """The rows by (task, model)."""
    found: dict[tuple[str, str], Rows] = {}
    for row in rows:
        found.setdefault((row["task"], row["model"]), []).append(row)
    return found


def more_glimpses(rows: Rows) -> list[str]:
    """What one glimpse, as many as in the training, and the best number of them reach."""
    said = []
    for (task, model), curve in curves(rows).items():
        by_count = {row["glimpses"]: row for row in curve}
        own = by_count.get(curve[0]["trained"])
        if own is None or own["glimpses"] is None:
            continue
        few, best = by_count[min(by_count)], max(curve, key=lambda row: row["accuracy"])
        most = by_count[max(by_count)]
        said.append(
            f"**{task}**, *{model}*: {percent(few['accuracy'])} with {count(few['glimpses'], 'glimpse')}, "
            f"{percent(own['accuracy'])} with the {own['glimpses']} of its training, "
            f"{percent(most['accuracy'])} with {most['glimpses']}; best with {best['glimpses']}."
        )
    return said


def larger_images(sides: Rows, seconds: Rows) -> list[str]:
    """What accuracy and time do from the smallest side to the largest."""
    said, times = [], curves(seconds)
    for (task, model), curve in curves(sides).items():
        small, large = (pick(curve, key=lambda row: row["side"]) for pick in (min, max))
        taken = {row["side"]: row["seconds"] for row in times.get((task, model), [])}
        overlap = small["low"] <= large["high"] and large["low"] <= small["high"]
        timed = {small["side"], large["side"]} <= taken.keys()
        ratio = number(taken[large["side"]] / taken[small["side"]]) if timed else NOT_RUN
        said.append(
            f"**{task}**, *{model}*: {percent(small['accuracy'])} at {small['side']}, {percent(large['accuracy'])} at "
            f"{large['side']} (95 % intervals {'overlap' if overlap else 'do not overlap'}), time x {ratio}."
        )
    return said


def front(sides: Rows, seconds: Rows) -> list[str]:
    """At the smallest and the largest side of each task: whom nobody beats in both time and accuracy."""
    said = []
    taken = {(row["task"], row["model"], row["side"]): row["seconds"] for row in seconds}
    for task in dict.fromkeys(row["task"] for row in sides):
        measured = {row["side"] for row in sides if row["task"] == task}
        for side in sorted({min(measured), max(measured)}):
            here = {
                row["model"]: (taken[task, row["model"], side], -row["accuracy"])
                for row in sides
                if (row["task"], row["side"]) == (task, side) and (task, row["model"], side) in taken
            }
            best = [m for m, at in here.items() if not any(dominates(other, at) for other in here.values())]
            told = [f"*{m}* ({1e3 * here[m][0]:.3g} ms, {percent(-here[m][1])})" for m in sorted(best, key=here.get)]
            said.append(f"**{task}** at {side} x {side}: of {len(here)} systems nobody beats {listed(told)} in both.")
    return said


def dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Both are (seconds, minus accuracy): is ``one`` at least as good in both, and better in one of them?"""
    return one[0] <= other[0] and one[1] <= other[1] and one != other
