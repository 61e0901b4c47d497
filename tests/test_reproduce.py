"""Filling the tables: rows are made once, in order, within a budget, and are the same after whatever interruption."""

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
from vsacc.studies.plan import Planned, Status, read_rows, statuses
from vsacc.studies.runs import compute, make_row, reproduce, run_all, select, summary
from vsacc.training import fit as train
from vsacc.training.jobs import make_job
from vsacc.training.weights import job_of, load

THREE = ("saccader", "random", "proxy_only")


@pytest.fixture
def folder(tmp_path, monkeypatch, digits):
    monkeypatch.setattr(train, "RUNS", tmp_path / "runs")
    return tmp_path


def states(plan, folder):
    return [at.state for at in statuses(plan, folder / "rows")]


def test_rows_are_made_once_and_in_order(folder, capsys):
    plan, rows = tiny_plan(), folder / "rows"
    assert states(plan, folder) == ["to do", "to do"]
    assert run_all(statuses(plan, rows), rows) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [planned.name for planned in plan]
    found = read_rows(rows)
    assert [job_of(found[planned.name]) for planned in plan] == [planned.job for planned in plan]
    assert found[plan[0].name]["steps"] == 3 and found[plan[0].name]["threads"] == 1
    assert states(plan, folder) == ["done", "done"] and summary(statuses(plan, rows)) == "2 of 2 runs are done."
    (outdated,) = statuses(tiny_plan(steps=4, systems=["saccader"]), rows)  # neither trusted nor replaced
    assert outdated.state == "outdated"
    assert summary([outdated]).endswith(f"delete to make them anew: {plan[0].name}.")


def test_a_collapse_is_a_row(folder, capsys):
    plan, rows = tiny_plan(learning_rate=1e30, steps=10)[:1], folder / "rows"
    assert run_all(statuses(plan, rows), rows, weights=folder / "weights") == 0
    (row,) = read_rows(rows).values()
    assert row["stopped"].startswith("training stopped at step") and "lower the learning rate" in row["stopped"]
    assert {"device", "revision", "parameters"} <= row.keys() and "test_accuracy" not in row
    assert states(plan, folder) == ["stopped"]
    assert "training stopped" in capsys.readouterr().out and not (folder / "weights").exists()


def test_what_fails_leaves_no_row_and_the_others_run(folder, capsys):
    plan, rows = tiny_plan(systems=THREE), folder / "rows"

    def fail(at):
        if at.run.job.model == "saccader":
            raise UserError("there are no digits.")
        if at.run.job.model == "random":
            raise MemoryError("out of memory\nin many lines")
        return make_row(at)

    assert run_all(statuses(plan, rows), rows, fail) == 2
    shown = capsys.readouterr()
    assert "not made: there are no digits." in shown.out and "failed, MemoryError: out of memory\n" in shown.out
    assert shown.err.count("Traceback") == 1
    assert states(plan, folder) == ["to do", "to do", "done"]


@pytest.mark.parametrize(
    ("minutes", "left", "budget", "starts"),
    [
        (2.0, 10, 10, True),
        (30.0, 40, 40, True),
        (30.0, 5, 40, False),  # it fits into a fresh budget
        (30.0, 5, 10, True),  # into none: it can only be made in parts
        (None, 5, 40, True),
        (None, 0, 40, False),
        (30.0, math.inf, math.inf, True),
    ],
)
def test_what_does_not_fit_waits(folder, monkeypatch, minutes, left, budget, starts):
    def stop(job, progress, deadline):
        assert deadline - time.monotonic() == pytest.approx(60 * left, abs=1)
        raise train.Stopped("it began")

    monkeypatch.setattr(runs, "fit", stop)
    result = make_row(Status(tiny_plan()[0], "to do", minutes), time.time() + 60 * left, budget)
    assert (result.told if result else None) == ("it began" if starts else None)


def test_time_is_up(folder, monkeypatch):
    """A run that meets its deadline leaves a checkpoint, and ends as one that did not."""
    plan, rows = tiny_plan(steps=40)[:1], folder / "rows"
    with monkeypatch.context() as patch:
        patch.setattr(runs, "fit", lambda job, progress, deadline: train.fit(job, progress=progress, deadline=0.0))
        assert run_all(statuses(plan, rows), rows) == 0
    (left,) = statuses(plan, rows)
    assert left.state == "unfinished" and left.minutes > 0
    assert summary([left]).startswith("0 of 1 runs are done; start again for the other 1, 0 minutes")
    assert run_all([left], rows) == 0
    interrupted = read_rows(rows)
    for part in ("runs", "rows"):
        shutil.rmtree(folder / part)
    assert run_all(statuses(plan, rows), rows) == 0
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
    todo, work = [Status(planned, "to do")], partial(make_row, weights=True)
    path = kept / f"{planned.name}.safetensors"

    def same(dtype):
        opened = load(path).state_dict()
        assert {value.dtype for value in opened.values()} == {torch.float32}
        return all(torch.equal(value, ours[name].to(dtype).to(value)) for name, value in opened.items())

    assert run_all(todo, folder / "rows", work, weights=kept) == 0
    ours = train.fit(planned.job, progress=False).model.state_dict()
    assert same(torch.float32) and not same(torch.bfloat16)
    whole = path.stat().st_size
    monkeypatch.setattr(runs, "LARGEST", whole * 3 // 4)
    assert run_all(todo, folder / "rows", work, weights=kept) == 0
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
    assert code == 0 and shown.count("to do") == 3 and not (folder / "reports").exists()
    told = "0 of 3 runs are done; start again for the other 3, 0 minutes as far as is known.\n"
    assert command(budget_minutes=0.0) == (0, told)
    code, shown = command(only=["random", "proxy_only"])
    assert code == 0 and shown.endswith("2 of 2 runs are done.\n")
    code, shown = command(list=True)
    assert code == 0 and shown.count(" done ") == 2 and shown.count("to do") == 1
    assert len(read_rows(folder / "reports" / "quick" / "runs")) == 2  # never among the committed ones
    monkeypatch.setattr(runs, "processes_and_nodes", lambda: (2, 1))
    with pytest.raises(UserError, match="not for torchrun"):
        command()


def die(item):
    time.sleep(0.1)
    os._exit(1)


def test_a_killed_worker_is_one_sentence():
    with pytest.raises(UserError, match="a worker was killed, most likely for memory, start again with fewer workers"):
        list(compute(die, [0, 1], 2))


def test_a_cluster_makes_the_same_rows(folder):
    """Of workers with two threads each, which may not train at once; and what kills them ends the wait for it."""
    dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
    plan, here, there = tiny_plan(systems=THREE), folder / "here", folder / "there"
    assert run_all(statuses(plan, here), here) == 0
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        to = {"scheduler": cluster.scheduler_address}
        far = partial(apart, folder=folder / "far", weights=True)
        assert run_all(statuses(plan, there), there, far, **to, weights=there) == 0
        assert told(read_rows(there)) == told(read_rows(here))
        with pytest.raises(UserError, match="a worker was killed"):
            list(compute(die, [0], **to))


def test_a_cluster_that_is_not_to_be_had_is_one_sentence(monkeypatch):
    pytest.importorskip("distributed")
    with pytest.raises(UserError, match=r"no Dask worker answers at tcp://nowhere:x \(.*\), start one there"):
        list(compute(die, [0], scheduler="tcp://nowhere:x"))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match="Dask is not installed"):
        list(compute(die, [0], scheduler="tcp://nowhere:1"))
