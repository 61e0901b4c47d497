"""Many runs at once, and ``vsacc reproduce``: a profile's plan in its order, each finished run a JSON row.

    vsacc reproduce --profile laptop --workers 2
    vsacc reproduce --profile paper --budget-minutes 50
    vsacc reproduce --profile paper --list
    vsacc reproduce --profile paper --scheduler tcp://head:8786

Stopped in whatever way, the same command goes on: finished rows are not made again, the others go on from their
checkpoints, and on a CPU the rows are the same to the last bit. Several GPUs take a run each. The machines of a
cluster need vsacc and the data, and no disk in common: what they made comes back, and is written here.
"""

import argparse
import json
import math
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..local.paths import REPORTS, UserError, check_writable, resolve_profile, write_atomic
from ..local.record import provenance
from ..tasks import open_split
from ..training.fit import Stopped, build, fit, one_thread, result
from ..training.jobs import Job
from ..training.processes import processes_and_nodes
from ..training.weights import save_weights
from .plan import Planned, Status, plan, statuses

LARGEST = 15 * 2**20  # bytes of a file of weights
IDLE = 10  # seconds until a worker without work ends
ALONE = threading.Lock()  # torch's random numbers and its threads are the process's: it makes one thing at a time


class Failure(str):
    """What came of a work that raised an error, in words; an error is not always what another process can read."""


def compute(
    work: Callable[[Any], Any], items: Sequence, workers: int = 1, scheduler: str | None = None
) -> Iterator[tuple[int, Any]]:
    """What ``work``, a function of a module, makes of each item, or a :class:`Failure`: (place among the items, result)
    as they come.

    One worker is this process. Several are processes that end with it, each on a GPU of its own if there are several.
    Neither is used where ``scheduler`` is the address of a dask.distributed cluster.

    Raises UserError where a worker was killed or the cluster is not to be had.
    """
    try:
        if scheduler:
            yield from on_cluster(work, items, scheduler)
        elif min(workers, len(items)) > 1:
            yield from in_processes(work, items, min(workers, len(items)))
        else:
            yield from (attempt(work, *numbered) for numbered in enumerate(items))
    except BrokenExecutor:
        raise UserError("a worker was killed, most likely for memory, start again with fewer workers.") from None


def attempt(work: Callable[[Any], Any], place: int, item: Any) -> tuple[int, Any]:
    with ALONE:
        try:
            return place, work(item)
        except UserError as error:
            return place, Failure(f"not made: {error}")
        except Exception as error:
            traceback.print_exc()
            reason = str(error).partition("\n")[0]
            return place, Failure(f"failed, {type(error).__name__}: {reason}")


def in_processes(work: Callable[[Any], Any], items: Sequence, workers: int) -> Iterator[tuple[int, Any]]:
    from joblib import Parallel, delayed, parallel_config  # here: one worker does without

    with TemporaryDirectory(ignore_cleanup_errors=True) as seats:
        start = (os.getpid(), seats, workers, gpus())
        with parallel_config("loky", n_jobs=workers, initializer=begin, initargs=start, idle_worker_timeout=IDLE):
            parallel = Parallel(return_as="generator_unordered", batch_size=1)
        yield from parallel(delayed(attempt)(work, place, item) for place, item in enumerate(items))


def begin(parent: int, seats: str, workers: int, gpus: list[str]) -> None:
    """What a worker does first: take a GPU, and see to it that it does not outlive the process that started it.

    It locks one file of the folder ``seats`` until it ends: loky may replace a worker, and the new one gets its GPU.
    ``gpus`` go round where the workers are more.
    """
    from filelock import FileLock, Timeout

    for seat in cycle(range(workers)):
        lock = FileLock(f"{seats}/{seat}")
        with suppress(Timeout):
            lock.acquire(timeout=0.01)
            break
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[seat % len(gpus)]

    def end_with_parent(_: FileLock = lock) -> None:
        """A worker that goes on after its parent was killed would train what the next command trains too."""
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def on_cluster(work: Callable[[Any], Any], items: Sequence, address: str) -> Iterator[tuple[int, Any]]:
    """On the workers of a cluster. Not by joblib's backend, which waits for ever for what its workers died of."""
    try:
        from distributed import Client, KilledWorker, as_completed
        from distributed.comm import get_address_host_port
    except ImportError:
        raise UserError("Dask is not installed, get it with pip install 'vsacc[cluster]'.") from None
    try:
        get_address_host_port(address)  # a client of a wrong one would keep us waiting in the end
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(1, timeout=IDLE)
            sent = (client.submit(attempt, work, place, item, pure=False) for place, item in enumerate(items))
            yield from (future.result() for future in as_completed(sent, client.loop))
    except KilledWorker as error:
        raise BrokenExecutor from error
    except (OSError, ValueError, CancelledError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"no Dask worker answers at {address} ({reason}), start one there.") from None


def gpus() -> list[str]:
    """The GPUs of this process, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return visible.split(",")[:count] if visible else [str(number) for number in range(count)]


def default_workers() -> int:
    """One for each GPU, which a training fills; else one for each core."""
    return len(gpus()) or os.cpu_count() or 1


class Made(NamedTuple):
    """What came of a run. told: in words; row: None where it has not come to its end; weights: of the model."""

    told: str
    row: dict | None = None
    weights: dict[str, Tensor] | None = None


def make_row(at: Status, until: float, budget: float, weights: bool, progress: bool) -> Made | None:
    """Train and measure one run on one thread until time.time() is ``until``; None where it has to wait for more time.

    One that takes longer than is left waits for the next time, unless no ``budget`` of so many minutes would do: that
    one can only be made in parts.
    """
    job, left = at.run.job, (until - time.time()) / 60
    if left <= 0 or (at.minutes is not None and left < at.minutes <= budget):
        return None
    with one_thread():
        try:
            run = fit(job, progress=progress, deadline=time.monotonic() + 60 * left)
            if run.history[-1]["step"] < job.recipe.steps:
                return Made("time is up, its checkpoint is kept")
            row = result(run)
        except Stopped as error:  # a collapse is a result too
            parameters = sum(p.numel() for p in build(job).parameters())
            row = {
                "task": job.task, "model": job.model, "profile": job.profile, "seed": job.seed, "stopped": str(error),
                "parameters": parameters, **provenance(), "config": asdict(job.config), "recipe": asdict(job.recipe),
            }  # fmt: skip
            return Made(str(error), row)
    kept = {name: value.cpu() for name, value in run.model.state_dict().items()} if weights else None
    return Made(f"accuracy {row['test_accuracy']:.4f}, {row['seconds'] / 60:.1f} minutes", row, kept)


def run_all(
    todo: Sequence[Status],
    out: Path,
    weights: Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    budget: float = math.inf,
    work: Callable[..., Made | None] = make_row,
) -> int:
    """Make each run, in their order as far as the ``budget`` of minutes goes; write its row into ``out`` and its
    weights into ``weights``, and tell of it as it ends.

    Returns how many failed; an error of one does not keep the others from running.
    """
    alone, failed, until = not scheduler and min(workers, len(todo)) == 1, 0, time.time() + 60 * budget
    work = partial(work, until=until, budget=budget, weights=weights is not None, progress=alone)
    with tqdm(total=len(todo), desc="runs", disable=alone) as bar:
        for place, made in compute(work, todo, workers, scheduler):
            run = todo[place].run
            bar.update()
            if isinstance(made, Failure):
                failed += 1
                made = Made(made)
            if made is None:
                continue
            if made.weights:
                keep_weights(run.job, made, weights / f"{run.name}.safetensors")
            if made.row:
                write_atomic(out / f"{run.name}.json", json.dumps(made.row, indent=1, allow_nan=False) + "\n")
            tqdm.write(f"{run.name}: {made.told}")
    return failed


def keep_weights(job: Job, made: Made, path: Path) -> None:
    """As they are, or as bfloat16 where they would be larger than LARGEST; not where even these would."""
    size = sum(value.numel() * value.element_size() for value in made.weights.values())
    if size > 2 * LARGEST:
        print(f"{path.stem}: no weights kept, {size / 2**21:.0f} MiB as bfloat16 is more than {LARGEST >> 20}.")
        return
    model = build(job)
    model.load_state_dict(made.weights)
    save_weights(model, made.row, path, torch.bfloat16 if size > LARGEST else None)


def select(planned: Sequence[Planned], only: Sequence[str]) -> list[Planned]:
    """Those whose name has one of the words of ``only``, which may be several joined by hyphens: "ram", not "dram".

    Raises UserError for a word that no name has.
    """
    found = {word: [run for run in planned if f"-{word}-" in f"-{run.name}-"] for word in only}
    for word in (word for word, runs in found.items() if not runs):
        names = ", ".join(sorted({name for run in planned for name in (run.job.task, run.job.model)}))
        raise UserError(f"nothing planned is called {word!r}, choose from: {names}.")
    return [run for run in planned if not only or any(run in runs for runs in found.values())]


def summary(runs: Sequence[Status]) -> str:
    """One line of what is left."""
    left = [at.minutes for at in runs if at.waiting]
    outdated = [at.run.name for at in runs if at.state == "outdated"]
    if left:
        known = [minutes for minutes in left if minutes is not None]
        unknown = f" and {len(left) - len(known)} of unknown length" if len(known) < len(left) else ""
        told = f"{len(left)} of {len(runs)} runs are left, {sum(known):.0f} minutes{unknown}; start again to go on"
    else:
        told = (
            f"{len(runs) - len(outdated)} of {len(runs)} runs are done"
            if outdated
            else f"all {len(runs)} runs are done"
        )
    return told + f"; of another configuration, delete to make them anew: {', '.join(outdated)}" * bool(outdated) + "."


def reproduce(options: argparse.Namespace) -> int:
    """``vsacc reproduce``; returns the exit code, 1 where a run failed."""
    if processes_and_nodes() != (1, 1):
        raise UserError("a plan is not for torchrun, --workers gives each GPU a run of its own.")
    profile = resolve_profile(options.profile)
    out = options.out or (REPORTS / "quick" if profile == "quick" else REPORTS) / "runs"
    planned = select(plan(profile), options.only)
    if options.list:
        print(*(runs := statuses(planned, out)), summary(runs), sep="\n")
        return 0
    for folder in filter(None, (out, options.weights)):
        check_writable(folder)
    todo = [at for at in statuses(planned, out) if at.waiting]
    workers = options.workers or default_workers()
    if workers > 1 and not options.scheduler:
        for task in {at.run.job.task for at in todo}:
            open_split(task, "test", profile=profile)  # fetches or makes the data once, before several would
    failed = run_all(todo, out, options.weights, workers, options.scheduler, options.budget_minutes)
    print(summary(statuses(planned, out)))
    return int(failed > 0)
