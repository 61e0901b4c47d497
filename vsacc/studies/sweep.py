"""Run the study of noisy proxies (vsacc.studies.noise_grid) here, in processes or on a cluster, with the same results.

    python -m vsacc.studies.sweep --profile laptop --workers 2
    python -m vsacc.studies.sweep --profile laptop --list
    DASK_SCHEDULER_ADDRESS=tcp://head:8786 python -m vsacc.studies.sweep --profile paper --engine dask

Every finished cell is kept under data/runs/sweep, named after everything that its result depends on, and is not
computed again; an interrupted one goes on from its checkpoint. The machines of a cluster need vsacc and MNIST, and no
common disk.
"""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path

import joblib
import torch
from tqdm.auto import tqdm

from ..local.paths import REPORTS, RUNS, UserError, check_writable, one_sentence_exit, resolve_profile, write_atomic
from ..local.record import provenance
from ..tasks.base import open_split
from .noise_grid import SEEDS, TASKS, TRAINED, Cell, grid, train_and_test

CELLS = RUNS / "sweep"
ENGINES = ("local", "dask")


def kept(cell: Cell) -> dict | None:
    """The result of a cell that was computed before, or None."""
    try:
        return json.loads((CELLS / f"{cell.name}.json").read_text())
    except (FileNotFoundError, ValueError):
        return None


def run_cells(
    cells: list[Cell],
    workers: int = 1,
    engine: str = "local",
    progress: bool = True,
    work: Callable[[Cell], dict] = train_and_test,
) -> list[dict]:
    """The results of the cells, in their order; those not kept yet are computed by ``work``.

    Args:
        workers: processes of this machine; 1 computes in this one. Dask's are as many as its cluster has.
        engine: "local", or "dask" for the cluster that the environment's DASK_SCHEDULER_ADDRESS names.

    Raises UserError for an unknown engine or a cluster that is not to be had.
    """
    results = {cell.name: kept(cell) for cell in cells}
    todo = [cell for cell in cells if results[cell.name] is None]
    check_writable(CELLS)

    def named(cell: Cell) -> tuple[str, dict]:
        return cell.name, work(cell)

    with (
        open_engine(engine, workers),
        tqdm(total=len(results), initial=len(results) - len(todo), desc="cells", disable=not progress) as bar,
    ):
        done = joblib.Parallel(return_as="generator_unordered")(joblib.delayed(named)(cell) for cell in todo)
        for name, result in done:
            if "stopped" not in result:
                write_atomic(CELLS / f"{name}.json", json.dumps(result, indent=1, allow_nan=False) + "\n")
            results[name] = result
            bar.update()
    return list(results.values())


def open_engine(engine: str, workers: int) -> joblib.parallel_config:
    """The context in which joblib's tasks run on an engine."""
    if engine not in ENGINES:
        raise UserError(f"engine {engine!r} is unknown, choose {' or '.join(ENGINES)}.")
    if engine == "local":
        return joblib.parallel_config("loky", n_jobs=workers)
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    if not address:
        raise UserError("DASK_SCHEDULER_ADDRESS is not set, name the scheduler as in tcp://head:8786.")
    try:
        return joblib.parallel_config("dask", scheduler_host=address)
    except (ImportError, ValueError):
        raise UserError("Dask is not installed, get it with pip install -e '.[cluster]'.") from None
    except OSError as error:
        raise UserError(f"no Dask scheduler answers at {address} ({type(error).__name__}), start one there.") from None


def default_workers() -> int:
    """One on a GPU, which a training fills; else one for each core."""
    return 1 if torch.cuda.is_available() else joblib.cpu_count()


def run_grid(profile: str, workers: int | None = None, engine: str = "local", progress: bool = True) -> dict:
    """The whole study under a profile: its protocol, provenance and "cells", the result of each."""
    split = open_split(TASKS[profile], "test")  # also fetches the data once, before several processes would
    cells, made = grid(profile), provenance()
    results = run_cells(cells, workers or default_workers(), engine, progress)
    return {
        "profile": profile,
        "task": TASKS[profile],
        "protocol": f"{split.protocol}; {cells[0].job.recipe.evaluated} fixed test images",
        "seeds": list(SEEDS[profile]),
        "trained": TRAINED,
        **made,
        "cells": results,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m vsacc.studies.sweep", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="auto", help="quick, laptop, paper or auto")
    parser.add_argument("--workers", type=int, help="processes; one for each core unless given, one on a GPU")
    parser.add_argument("--engine", default="local", help="local, or dask for the cluster of DASK_SCHEDULER_ADDRESS")
    parser.add_argument("--list", action="store_true", help="show the cells and which of them are done")
    parser.add_argument("--out", type=Path, help="where the results go; reports/noise.json unless given")
    options = parser.parse_args()
    profile = resolve_profile(options.profile)
    if options.list:
        for cell in grid(profile):
            print(f"{'done' if kept(cell) else 'to do':6s} {cell.name:60s} {cell.variant}")
        return
    out = options.out or (REPORTS / "quick" if profile == "quick" else REPORTS) / "noise.json"
    check_writable(out.parent)
    report = run_grid(profile, options.workers, options.engine)
    write_atomic(out, json.dumps(report, indent=1, allow_nan=False) + "\n")
    for cell in report["cells"]:
        outcome = cell["stopped"] if "stopped" in cell else f"{cell['tests'][0]['accuracy']:.3f} without noise"
        print(f"{cell['variant']:32s} seed {cell['seed']}: {outcome}")


if __name__ == "__main__":
    one_sentence_exit(main)
