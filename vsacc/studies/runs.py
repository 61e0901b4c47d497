"""Many runs at once, and ``vsacc reproduce``: a profile's plan in its order, each finished run a JSON row.

    vsacc reproduce --profile laptop --workers 2
    vsacc reproduce --profile paper --budget-minutes 50 --scheduler tcp://head:8786

Stopped in whatever way, the same command goes on: finished rows are not made again, the others go on from their
checkpoints, and on a CPU the rows are the same to the last bit. Several GPUs take a run each. The machines of a cluster
need vsacc and the data, and no disk in common: what they made comes back, and is written here."""

import argparse
import json
import math
import os
import threading
import time
import traceback
from collections import Counter
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
from filelock import FileLock, Timeout
from torch import nn
from tqdm.auto import tqdm

from ..local.paths import REPORTS, TRAININGS, UserError, check_writable, resolve_profile, write_atomic
from ..local.record import provenance
from ..training.fit import Stopped, build, fit, one_thread, result
from ..training.processes import processes_and_nodes
from ..training.weights import save_weights
from .plan import Planned, expected, made_at, plan, read_rows, states

LARGEST = 15 * 2**20  # bytes of a file of weights
IDLE = 10  # seconds until a worker without work ends
ALONE = threading.Lock()  # torch's random numbers and its threads are the process's: it makes one thing at a time


class Made(NamedTuple):
    """What came of a run. told: in words; row: None where it has not come to its end; model: where weights are kept;
    failed: it raised an error, which told says, since an error is not always what another process can read."""

    told: str
    row: dict | None = None
    model: nn.Module | None = None
    failed: bool = False


def attempt(work: Callable[[Any], Made | None], run: Any) -> tuple[str, Made | None]:
    with ALONE:
        try:
            return run.name, work(run)
        except UserError as error:
            return run.name, Made(f"not made: {error}", failed=True)
        except Exception as error:
            traceback.print_exc()
            reason = str(error).partition("\n")[0]
            return run.name, Made(f"failed, {type(error).__name__}: {reason}", failed=True)


def in_processes(work: Callable, todo: Sequence, workers: int) -> Iterator[tuple[str, Made | None]]:
    from joblib import Parallel, delayed, parallel_config  # here: one worker does without

    with TemporaryDirectory(ignore_cleanup_errors=True) as seats:
        start = (os.getpid(), seats, workers, gpus())
        with parallel_config("loky", n_jobs=workers, initializer=begin, initargs=start, idle_worker_timeout=IDLE):
            parallel = Parallel(return_as="generator_unordered", batch_size=1)
        yield from parallel(delayed(attempt)(work, run) for run in todo)


def begin(parent: int, seats: str, workers: int, gpus: list[str]) -> None:
    """What a worker does first: take a GPU, and see to it that it does not outlive the process that started it.
    It locks one file of the folder ``seats`` until it ends: loky may replace a worker, and the new one gets its GPU.
    ``gpus`` go round where the workers are more."""
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


def on_cluster(work: Callable, todo: Sequence, address: str) -> Iterator[tuple[str, Made | None]]:
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
            sent = (client.submit(attempt, work, run, pure=False) for run in todo)
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


def make_row(run: Planned, until: float = math.inf, weights: bool = False, progress: bool = False) -> Made | None:
    """Train and measure a run on one thread, as far as it comes until time.time() is ``until``; None past that."""
    job, left = run.job, until - time.time()
    if left <= 0:
        return None
    with one_thread():
        try:
            made = fit(job, progress=progress, deadline=time.monotonic() + left)
            if made.history[-1]["step"] < job.recipe.steps:
                return Made("time is up, its checkpoint is kept")
            row = result(made)
        except Stopped as error:  # a collapse is a result too
            parameters = sum(p.numel() for p in build(job).parameters())
            row = asdict(job) | {"stopped": str(error), "parameters": parameters} | provenance()
            return Made(str(error), row)
    told = f"accuracy {row['test_accuracy']:.4f}, {row['seconds'] / 60:.1f} minutes"
    return Made(told, row, made.model.cpu() if weights else None)


def run_all(
    todo: Sequence,
    out: Path,
    work: Callable[[Any], Made | None] = make_row,
    workers: int = 1,
    scheduler: str | None = None,
    weights: Path | None = None,
) -> int:
    """Make each of ``todo``, which have names, in their order by ``work``, a function of a module; write its row into
    ``out`` and its weights into ``weights``, as bfloat16 where they would be larger than LARGEST, and tell of it.

    One worker is this process. Several are processes that end with it, each on a GPU of its own if there are several.
    Neither is used where ``scheduler`` is the address of a dask.distributed cluster.

    Returns how many failed; an error of one does not keep the others from running. Raises UserError where a worker was
    killed or the cluster is not to be had."""
    failed, workers = 0, min(workers, len(todo))
    if scheduler:
        found = on_cluster(work, todo, scheduler)
    else:
        found = in_processes(work, todo, workers) if workers > 1 else (attempt(work, run) for run in todo)
    try:
        for name, made in tqdm(found, "runs", len(todo)):
            if made is None:
                continue
            failed += made.failed
            if made.model:
                size = sum(value.nbytes for value in made.model.state_dict().values())
                path = weights / f"{name}.safetensors"
                save_weights(made.model, made.row, path, torch.bfloat16 if size > LARGEST else None)
            if made.row:
                write_atomic(out / f"{name}.json", json.dumps(made.row, indent=1, allow_nan=False) + "\n")
            tqdm.write(f"{name}: {made.told}")
    except BrokenExecutor:
        raise UserError("a worker was killed, most likely for memory, start again with fewer workers.") from None
    return failed


def select(planned: Sequence[Planned], only: Sequence[str]) -> list[Planned]:
    """Those whose name has one of the words of ``only``, which may be several joined by hyphens: "ram", not "dram".
    Raises UserError for a word that no name has."""
    named = {f"-{run.name}-": run for run in planned}
    for word in only:
        if not any(f"-{word}-" in name for name in named):
            raise UserError(f"nothing planned is called {word!r}, see vsacc reproduce --list.")
    return [run for name, run in named.items() if not only or any(f"-{word}-" in name for word in only)]


def summary(found: dict[Planned, str], rows: dict[str, dict]) -> str:
    """One line of where the runs of ``states`` stand, and since how many of their rows the code has changed."""
    told = ", ".join(f"{count} {state}" for state, count in Counter(found.values()).items())
    changed = sum(made_at(rows.get(run.name, {})).endswith("changed since") for run in found)
    return f"Of {len(found)} runs: {told}" + (f"; code changed since {changed} of them." if changed else ".")


def reproduce(options: argparse.Namespace) -> int:
    """``vsacc reproduce``; returns the exit code, 1 where a run failed."""
    if processes_and_nodes() != (1, 1):
        raise UserError("a plan is not for torchrun, --workers gives each GPU a run of its own.")
    profile = resolve_profile(options.profile, TRAININGS)
    out = options.out or (REPORTS / "quick" if profile == "quick" else REPORTS) / "runs"
    planned = select(plan(profile), options.only)
    found = states(planned, rows := read_rows(out))
    if options.list:
        known = read_rows() | rows
        for run, state in found.items():
            minutes = expected(run, known)
            took = "" if minutes is None else f"{minutes:.1f} min"
            print(f"{run.name:66s} {took:>10s}  {state}{made_at(rows.get(run.name, {}))}")
        print(summary(found, rows))
        return 0
    for folder in filter(None, (out, options.weights)):
        check_writable(folder)
    todo = [run for run, state in found.items() if state in ("unfinished", "to do")]
    workers = options.workers or default_workers()
    alone, until = not options.scheduler and min(workers, len(todo)) == 1, time.time() + 60 * options.budget_minutes
    work = partial(make_row, until=until, weights=bool(options.weights), progress=alone)
    failed = run_all(todo, out, work, workers, options.scheduler, options.weights)
    print(summary(states(planned, rows := read_rows(out)), rows))
    return int(failed > 0)
