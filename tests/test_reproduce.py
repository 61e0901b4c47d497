"""Filling the tables: rows are made once, in order, within a budget, and are the same after whatever interruption."""

import json
import math
import os
import shutil
import sys
import time
from argparse import Namespace
from functools import partial

import pytest
import torch
from tiny_runs import apart, tiny_plan, told

from vsacc.local.paths import UserError
from vsacc.studies import runs
from vsacc.studies.plan import Planned, read_rows, states
from vsacc.studies.runs import make_row, reproduce, run_all, select, summary
from vsacc.training import fit as train
from vsacc.training.jobs import make_job
from vsacc.training.weights import job_of, load

THREE = ("saccader", "random", "proxy_only")


@pytest.fixture
def folder(tmp_path, monkeypatch, digits):
    monkeypatch.setattr(train, "RUNS", tmp_path / "runs")
    return tmp_path


def found(plan, folder):
    return [*states(plan, read_rows(folder / "rows")).values()]


def test_rows_are_made_once_and_in_order(folder, capsys):
    plan, rows = tiny_plan(), folder / "rows"
    assert found(plan, folder) == ["to do", "to do"]
    assert run_all(plan, rows) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [planned.name for planned in plan]
    made = read_rows(rows)
    assert [job_of(made[planned.name]) for planned in plan] == [planned.job for planned in plan]
    assert made[plan[0].name]["steps"] == 3 and made[plan[0].name]["threads"] == 1
    assert found(plan, folder) == ["done", "done"]
    assert summary(states([*plan, tiny_plan(seed=1)[0]], made), made) == "Of 3 runs: 2 done, 1 to do."
    assert found(tiny_plan(steps=4, systems=["saccader"]), folder) == ["outdated"]


def test_a_collapse_is_a_row(folder, capsys):
    plan, rows = tiny_plan(learning_rate=1e30, steps=10)[:1], folder / "rows"
    assert run_all(plan, rows, weights=folder / "weights") == 0
    (row,) = read_rows(rows).values()
    assert row["stopped"].startswith("training stopped at step") and "lower the learning rate" in row["stopped"]
    assert {"device", "revision", "parameters"} <= row.keys() and "test_accuracy" not in row
    assert found(plan, folder) == ["stopped"]
    assert "training stopped" in capsys.readouterr().out and not (folder / "weights").exists()


def test_what_fails_leaves_no_row_and_the_others_run(folder, capsys):
    plan, rows = tiny_plan(systems=THREE), folder / "rows"

    def fail(run):
        if run.job.model == "saccader":
            raise UserError("there are no digits.")
        if run.job.model == "random":
            raise MemoryError("out of memory\nin many lines")
        return make_row(run)

    assert run_all(plan, rows, fail) == 2
    shown = capsys.readouterr()
    assert "not made: there are no digits." in shown.out and "failed, MemoryError: out of memory\n" in shown.out
    assert shown.err.count("Traceback") == 1
    assert found(plan, folder) == ["to do", "to do", "done"]


def test_time_is_up(folder, monkeypatch):
    """A run that meets its deadline leaves a checkpoint, and ends as one that did not."""
    plan, rows = tiny_plan(steps=40)[:1], folder / "rows"
    with monkeypatch.context() as patch:
        patch.setattr(runs, "fit", lambda job, progress, deadline: train.fit(job, progress=progress, deadline=0.0))
        assert run_all(plan, rows) == 0
    assert found(plan, folder) == ["unfinished"]
    assert run_all(plan, rows) == 0
    interrupted = read_rows(rows)
    for part in ("runs", "rows"):
        shutil.rmtree(folder / part)
    assert run_all(plan, rows) == 0
    assert told(read_rows(rows)) == told(interrupted)


def test_words_are_whole_words():
    plan = tiny_plan() + [Planned(make_job("identification_2528", "quick", s)) for s in ("resnet18", "resnet18_144")]
    assert select(plan, []) == plan
    assert select(plan, ["resnet18", "saccader"]) == [plan[0], plan[2]]
    assert select(plan, ["one_digit-random"]) == select(plan, [plan[1].name]) == [plan[1]]
    with pytest.raises(UserError, match="nothing planned is called 'identification', see vsacc reproduce --list"):
        select(plan, ["identification"])


def test_weights_are_halved_where_they_are_large(folder, monkeypatch):
    (planned, _), kept = tiny_plan(), folder / "weights"
    work = partial(make_row, weights=True)
    path = kept / f"{planned.name}.safetensors"

    def same(dtype):
        opened = load(path).state_dict()
        assert {value.dtype for value in opened.values()} == {torch.float32}
        return all(torch.equal(value, ours[name].to(dtype).to(value)) for name, value in opened.items())

    assert run_all([planned], folder / "rows", work, weights=kept) == 0
    ours = train.fit(planned.job, progress=False).model.state_dict()
    assert same(torch.float32) and not same(torch.bfloat16)
    whole = path.stat().st_size
    monkeypatch.setattr(runs, "LARGEST", whole * 3 // 4)
    assert run_all([planned], folder / "rows", work, weights=kept) == 0
    assert same(torch.bfloat16) and path.stat().st_size < whole * 3 // 4


def test_the_command(folder, monkeypatch, capsys):
    plan = tiny_plan(systems=THREE)
    monkeypatch.setattr(runs, "plan", lambda profile: plan)
    monkeypatch.setattr(runs, "REPORTS", folder / "reports")
    asked = {"profile": "quick", "only": [], "list": False, "budget_minutes": math.inf, "workers": 1}
    asked |= {"scheduler": None, "out": None, "weights": None}

    def command(**changes):
        return reproduce(Namespace(**asked | changes)), capsys.readouterr().out

    code, shown = command(list=True)
    assert code == 0 and shown.endswith("Of 3 runs: 3 to do.\n") and not (folder / "reports").exists()
    assert command(budget_minutes=0.0) == (0, "Of 3 runs: 3 to do.\n")
    code, shown = command(only=["random", "proxy_only"])
    assert code == 0 and shown.endswith("Of 2 runs: 2 done.\n")
    code, shown = command(list=True)
    assert code == 0 and shown.endswith("Of 3 runs: 1 to do, 2 done.\n") and len(shown.splitlines()) == 4
    made = read_rows(rows := folder / "reports" / "quick" / "runs")
    assert len(made) == 2  # never among the committed ones
    since = {"random": ", code changed since", "proxy_only": ", which this checkout does not know"}
    for name, row in made.items():
        (rows / f"{name}.json").write_text(json.dumps(row | {"revision": row["model"]}))
    monkeypatch.setattr("vsacc.studies.plan.code_since", since.get)
    *lines, last = command(list=True)[1].splitlines()
    told = ["to do", *(f"done at {revision}{changed}" for revision, changed in since.items())]
    assert [line.split("  ")[-1].strip() for line in lines] == told
    assert last == "Of 3 runs: 1 to do, 2 done; code changed since 1 of them."
    monkeypatch.setattr(runs, "processes_and_nodes", lambda: (2, 1))
    with pytest.raises(UserError, match="not for torchrun"):
        command()


def die(run):
    time.sleep(0.1)
    os._exit(1)


def test_a_killed_worker_is_one_sentence(folder):
    with pytest.raises(UserError, match="a worker was killed, most likely for memory, start again with fewer workers"):
        run_all(tiny_plan(), folder, die, workers=2)


def test_a_cluster_makes_the_same_rows(folder):
    """Of workers with two threads each, which may not train at once; and what kills them ends the wait for it."""
    dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
    plan, here, there = tiny_plan(systems=THREE), folder / "here", folder / "there"
    assert run_all(plan, here) == 0
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        to = {"scheduler": cluster.scheduler_address}
        far = partial(apart, folder=folder / "far", weights=True)
        assert run_all(plan, there, far, **to, weights=there) == 0
        assert told(read_rows(there)) == told(read_rows(here))
        with pytest.raises(UserError, match="a worker was killed"):
            run_all(plan, there, die, **to)


def test_a_cluster_that_is_not_to_be_had_is_one_sentence(folder, monkeypatch):
    pytest.importorskip("distributed")
    with pytest.raises(UserError, match=r"no Dask worker answers at tcp://nowhere:x \(.*\), start one there"):
        run_all(tiny_plan(), folder, die, scheduler="tcp://nowhere:x")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match="Dask is not installed"):
        run_all(tiny_plan(), folder, die, scheduler="tcp://nowhere:1")
