"""Fill the tables: the runs of a profile's plan in their order, each finished one a JSON row in reports/runs.

    python -m vsacc.studies.reproduce --profile laptop --workers 2
    python -m vsacc.studies.reproduce --profile paper --budget-minutes 50
    python -m vsacc.studies.reproduce --profile paper --list

Stopped in whatever way, the same command goes on: finished rows are not made again, the others go on from their
checkpoints, and on a CPU the rows are the same to the last bit. Several GPUs take a run each.
"""

import argparse
import json
import math
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from tqdm.auto import tqdm

from ..local.paths import REPORTS, UserError, check_writable, one_sentence_exit, resolve_profile, write_atomic
from ..local.record import provenance
from ..tasks.base import open_split
from ..training.fit import build, fit, result
from ..training.health import Stopped
from ..training.processes import processes_and_nodes
from ..training.weights import save_weights
from .noise_grid import one_thread
from .plan import Planned, plan
from .pool import default_workers, open_pool
from .rows import read_rows
from .standing import FINISHED, Standing, standing

LARGEST = 15 * 2**20  # bytes of a file of weights


def make_row(planned: Planned, deadline: float, out: Path, weights: Path | None, progress: bool) -> dict | None:
    """Train and measure one run, on one thread, and write its row and, into ``weights``, its weights.

    Returns the row; None where time.monotonic() passed ``deadline`` before the end, and a checkpoint is left.
    """
    job = planned.job
    with one_thread():
        try:
            run = fit(job, progress=progress, deadline=deadline)
            if run.history[-1]["step"] < job.recipe.steps:
                return None
            row = result(run)
        except Stopped as error:  # a collapse is a result too
            row = {
                "task": job.task, "model": job.model, "profile": job.profile, "seed": job.seed, "stopped": str(error),
                "parameters": sum(p.numel() for p in build(job).parameters()), **provenance(),
                "config": asdict(job.config), "recipe": asdict(job.recipe),
            }  # fmt: skip
    if weights and "stopped" not in row:
        keep_weights(run.model, row, weights / f"{planned.name}.safetensors")
    write_atomic(out / f"{planned.name}.json", json.dumps(row, indent=1, allow_nan=False) + "\n")
    return row


def keep_weights(model: torch.nn.Module, row: dict, path: Path) -> None:
    """As they are, or as bfloat16 where they would be larger than LARGEST; not where even these would."""
    size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    if size <= LARGEST:
        save_weights(model, row, path)
    elif size / 2 <= LARGEST:
        save_weights(model, row, path, torch.bfloat16)
    else:
        print(f"{path.stem}: no weights kept, {size / 2**21:.0f} MiB as bfloat16 is more than {LARGEST >> 20}.")


def choose(todo: Sequence[Standing], left: float, budget: float) -> Standing | None:
    """The first run that may start with ``left`` minutes of ``budget``, None where none may.

    One that takes longer than is left waits for the next time, unless no budget of this size would do: that one can
    only be made in parts.
    """
    if left <= 0:
        return None
    return next((s for s in todo if s.minutes is None or s.minutes <= left or s.minutes > budget), None)


def run_all(
    todo: Sequence[Standing], work: Callable[[Planned, float], dict | None], workers: int = 1, budget: float = math.inf
) -> int:
    """Run ``work`` on each, in their order as far as the ``budget`` of minutes goes, and tell of each as it ends.

    Returns how many failed; an error of one does not keep the others from running.
    """
    todo, running, failed = list(todo), {}, 0
    deadline = time.monotonic() + 60 * budget
    with open_pool(workers) as pool, tqdm(total=len(todo), desc="runs", disable=workers == 1) as bar:
        while True:
            while len(running) < workers and (next_one := choose(todo, (deadline - time.monotonic()) / 60, budget)):
                todo.remove(next_one)
                running[pool.submit(work, next_one.planned, deadline)] = next_one.planned.name
            if not running:
                return failed
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name, error = running.pop(future), future.exception()
                failed += error is not None
                tqdm.write(f"{name}: {outcome(error, None if error else future.result())}")
                bar.update()


def outcome(error: BaseException | None, row: dict | None) -> str:
    """One line of what came of a run; of an error that is nobody's mistake, the traceback too."""
    if isinstance(error, BrokenProcessPool):
        raise UserError("a worker was killed, most likely for memory, start again with fewer --workers.") from None
    if error is not None and not isinstance(error, UserError):
        traceback.print_exception(error)
        return f"failed, {type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    if error is not None:
        return f"not made: {error}"
    if row is None:
        return "time is up, its checkpoint is kept"
    return row.get("stopped") or f"accuracy {row['test_accuracy']:.4f}, {row['seconds'] / 60:.1f} minutes"


def select(planned: Sequence[Planned], only: Sequence[str]) -> list[Planned]:
    """Those whose name has one of the words of ``only``, which may be several joined by hyphens: "ram", not "dram".

    Raises UserError for a word that no name has.
    """
    words = {word: [run for run in planned if f"-{word}-" in f"-{run.name}-"] for word in only}
    for word, found in words.items():
        if not found:
            names = ", ".join(sorted({name for run in planned for name in (run.job.task, run.job.model)}))
            raise UserError(f"nothing planned is called {word!r}, choose from: {names}.")
    return [run for run in planned if not only or any(run in found for found in words.values())]


def summary(standings: Sequence[Standing]) -> str:
    """One line of what is left."""
    left = [s for s in standings if s.state not in (*FINISHED, "outdated")]
    outdated = [s.planned.name for s in standings if s.state == "outdated"]
    told = f"all {len(standings)} runs are done"
    if left:
        known = [s.minutes for s in left if s.minutes is not None]
        unknown = f" and {len(left) - len(known)} of unknown length" if len(known) < len(left) else ""
        told = f"{len(left)} of {len(standings)} runs are left, {sum(known):.0f} minutes{unknown}; start again to go on"
    elif outdated:
        told = f"{len(standings) - len(outdated)} of {len(standings)} runs are done"
    if outdated:
        told += f"; of another configuration, delete to make them anew: {', '.join(outdated)}"
    return told + "."


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m vsacc.studies.reproduce", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="auto", help="quick, laptop, paper or auto")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="tasks, models or whole rows, by name")
    parser.add_argument("--list", action="store_true", help="show every run and where it stands")
    parser.add_argument("--budget-minutes", type=float, default=math.inf, metavar="M", help="stop, to go on later")
    parser.add_argument("--workers", type=int, help="runs at once; one for each GPU unless given, else for each core")
    parser.add_argument("--out", type=Path, help="where the rows go; reports/runs unless given")
    parser.add_argument("--weights", type=Path, metavar="DIR", help="keep the weights of what is finished there")
    options = parser.parse_args()
    if processes_and_nodes() != (1, 1):
        raise UserError("a plan is not for torchrun, --workers gives each GPU a run of its own.")
    profile = resolve_profile(options.profile)
    out = options.out or (REPORTS / "quick" if profile == "quick" else REPORTS) / "runs"
    planned = select(plan(profile), options.only)

    def standings() -> list[Standing]:
        rows = read_rows(out)
        return [standing(run, rows) for run in planned]

    if options.list:
        print(*(listed := standings()), summary(listed), sep="\n")
        return 0
    for folder in filter(None, (out, options.weights)):
        check_writable(folder)
    todo = [s for s in standings() if s.state in ("unfinished", "to do")]
    workers = min(options.workers or default_workers(), max(1, len(todo)))
    if workers > 1:
        for task in {s.planned.job.task for s in todo}:
            open_split(task, "test", profile=profile)  # fetches or makes the data once, before several would
    work = partial(make_row, out=out, weights=options.weights, progress=workers == 1)
    failed = run_all(todo, work, workers, options.budget_minutes)
    print(summary(standings()))
    return int(failed > 0)


if __name__ == "__main__":
    one_sentence_exit(main)
