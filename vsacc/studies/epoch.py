"""How long an epoch of training takes: in which precision, and whether compiling the model pays.

Each contender is the training itself (:func:`vsacc.training.fit.train_step` on images drawn on the device), STEPS steps of it
without waiting for the device in between, timed in turn. An epoch is as many images as the paper's.
"""

from itertools import product
from typing import NamedTuple

from ..local.paths import resolve_profile
from ..tasks.base import Split, open_split
from ..training.fit import set_up, train_step
from ..training.processes import launch
from ..training.recipes import Job, make_job
from .measure import Work, measure
from .published import EPOCH

STEPS = 5  # of training in one timed call
PRECISIONS = ("32-true", "bf16-mixed")


class Size(NamedTuple):
    """tasks: name and batch, None for the recipe's; compiled: whether to try that too, which takes minutes a model on
    a CPU; rounds: timed calls of each contender."""

    tasks: tuple[tuple[str, int | None], ...]
    compiled: tuple[bool, ...]
    rounds: int


SIZES = {
    "quick": Size((("identification", 4),), (False,), 1),
    "laptop": Size((("identification", 128), ("identification_2528", 8)), (False,), 5),
    "paper": Size((("identification", None), ("identification_2528", None)), (False, True), 20),
}


def epoch(profile: str = "auto", progress: bool = True) -> list[dict]:
    """A row per task and contender; where one cannot run here, its seconds are None and "why" says so."""
    profile = resolve_profile(profile)
    size, rows = SIZES[profile], []
    for task, batch in size.tasks:
        job = make_job(task, profile, recipe={"batch": batch} if batch else None)
        data = open_split(task, "train", launch("32-true").device, profile)
        works, failed = {}, {}
        contenders = list(product(PRECISIONS, size.compiled))
        for contender in contenders:
            works[contender] = training(job, data, *contender)
            try:
                works[contender]()  # compiles, and tells whether this machine can
            except Exception as error:  # no compiler, an unsupported type: torch raises many kinds
                del works[contender]
                failed[contender] = f"{type(error).__name__}: {' '.join(str(error).split())[:100]}"
        costs = measure(works, size.rounds, title=task if progress else None)
        images, first = STEPS * job.recipe.batch, next(iter(costs.values()), None)
        for contender in contenders:
            row = {"task": task, "profile": profile, "precision": contender[0], "compiled": contender[1]}
            row |= {"batch": job.recipe.batch, "seconds": None, "why": failed.get(contender)}
            if cost := costs.get(contender):
                row |= {"seconds": cost.seconds / images, "bytes": cost.bytes, "ratio": cost.seconds / first.seconds}
                row |= {"epoch_seconds": EPOCH * row["seconds"], "calls": cost.calls}
            rows.append(row)
    return rows


def training(job: Job, data: Split, precision: str, compiled: bool) -> Work:
    """STEPS steps of the job from its initial weights on; each call goes on from the last."""
    fabric = launch(precision)
    model, optimizer = set_up(fabric, job)
    if compiled:
        model.module.compile()

    def work() -> None:
        for number in range(STEPS):
            batch = data.draw(job.recipe.batch, job.seed, number)
            train_step(fabric, model, optimizer, job.recipe, batch, job.seed, number)

    return work


def show(rows: list[dict]) -> str:
    lines = [f"{'':22s}{'precision':>12s}{'compiled':>10s}{'batch':>7s}{'ms/image':>11s}{'epoch, s':>10s}{'ratio':>8s}"]
    for row in rows:
        start = f"{row['task']:22s}{row['precision']:>12s}{'yes' if row['compiled'] else 'no':>10s}{row['batch']:7d}"
        if row["seconds"] is None:
            lines.append(f"{start}  {row['why']}")
        else:
            lines.append(f"{start}{1e3 * row['seconds']:11.3f}{row['epoch_seconds']:10.1f}{row['ratio']:8.2f}")
    return "\n".join(lines)
