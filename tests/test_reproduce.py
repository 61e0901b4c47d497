"""Filling the tables: rows are made once, in order, within a budget, and are the same after whatever interruption."""

import math
import shutil
import sys
from functools import partial

import pytest
import torch
from tiny_runs import TINY, standings, tiny_plan, told

from vsacc.local.paths import UserError
from vsacc.studies import reproduce
from vsacc.studies.plan import Planned
from vsacc.studies.reproduce import choose, keep_weights, main, make_row, run_all, select, summary
from vsacc.studies.rows import job_of, read_rows
from vsacc.studies.standing import Standing, standing
from vsacc.training import fit as train
from vsacc.training.recipes import make_job
from vsacc.training.weights import load_into


@pytest.fixture
def folder(tmp_path, monkeypatch, digits):
    monkeypatch.setattr(train, "RUNS", tmp_path / "runs")
    return tmp_path


def work(folder, weights=None):
    return partial(make_row, out=folder / "rows", weights=weights, progress=False)


def test_rows_are_made_once_and_in_order(folder, capsys):
    plan = tiny_plan()
    assert [s.state for s in standings(plan, folder / "rows")] == ["to do", "to do"]
    assert run_all(standings(plan, folder / "rows"), work(folder)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [planned.name for planned in plan]
    rows = read_rows(folder / "rows")
    assert [job_of(rows[planned.name]) for planned in plan] == [planned.job for planned in plan]
    assert rows[plan[0].name]["steps"] == 3 and rows[plan[0].name]["threads"] == 1
    after = standings(plan, folder / "rows")
    assert [s.state for s in after] == ["done", "done"] and summary(after) == "all 2 runs are done."


def test_a_row_of_another_configuration_is_neither_trusted_nor_replaced(folder):
    planned, *_ = tiny_plan(steps=2)
    run_all([standing(planned, {})], work(folder))
    changed = tiny_plan(steps=4, models=["saccader"])
    (found,) = standings(changed, folder / "rows")
    assert found.state == "outdated"
    assert summary([found]).endswith(f"delete to make them anew: {planned.name}.")


def test_a_collapse_is_a_row(folder, capsys):
    plan = tiny_plan(learning_rate=1e30, steps=10)[:1]
    assert run_all(standings(plan, folder / "rows"), work(folder, folder / "weights")) == 0
    (row,) = read_rows(folder / "rows").values()
    assert row["stopped"].startswith("training stopped at step") and "lower the learning rate" in row["stopped"]
    assert {"device", "revision", "parameters"} <= row.keys() and "test_accuracy" not in row
    assert [s.state for s in standings(plan, folder / "rows")] == ["stopped"]
    assert "training stopped" in capsys.readouterr().out and not (folder / "weights").exists()


def test_what_fails_leaves_no_row_and_the_others_run(folder, capsys):
    plan = tiny_plan(models=("saccader", "random", "proxy_only"))

    def fail(planned, deadline):
        if planned.job.model == "saccader":
            raise UserError("there are no digits.")
        if planned.job.model == "random":
            raise MemoryError("out of memory\nin many lines")
        return work(folder)(planned, deadline)

    assert run_all(standings(plan, folder / "rows"), fail) == 2
    shown = capsys.readouterr()
    assert "not made: there are no digits." in shown.out and "failed, MemoryError: out of memory\n" in shown.out
    assert "Traceback" in shown.err
    assert [s.state for s in standings(plan, folder / "rows")] == ["to do", "to do", "done"]


def test_choose():
    (run, _), lengths = tiny_plan(), (2.0, 30.0, None)
    short, long, unknown = (Standing(run, "to do", minutes) for minutes in lengths)
    assert choose([short, long], 10, 10) is short
    assert choose([long, short], 40, 40) is long
    assert choose([long, short], 5, 40) is short  # the long one fits into a fresh budget
    assert choose([long, short], 5, 10) is long  # into none: it can only be made in parts
    assert choose([long], 5, 40) is None
    assert choose([long, unknown], 5, 40) is unknown
    assert choose([short, unknown], 0, 40) is None
    assert choose([long], math.inf, math.inf) is long


def test_time_is_up(folder, capsys):
    """A run that meets its deadline leaves a checkpoint, and ends as one that did not."""
    plan = tiny_plan(steps=40)[:1]
    assert make_row(plan[0], 0.0, folder / "rows", None, False) is None  # the deadline has long passed
    (left,) = standings(plan, folder / "rows")
    assert (left.state, left.step) == ("unfinished", 1)
    assert "step 1 of 40" in str(left) and summary([left]).startswith("1 of 1 runs are left, ")
    assert run_all([left], work(folder)) == 0
    interrupted = read_rows(folder / "rows")
    shutil.rmtree(folder / "runs")
    shutil.rmtree(folder / "rows")
    assert run_all([standing(plan[0], {})], work(folder)) == 0
    assert told(read_rows(folder / "rows")) == told(interrupted)


def test_the_expected_minutes_are_those_of_another_seed(folder):
    (first, _), other = tiny_plan(), make_job("one_digit", "quick", "saccader", 1, TINY, {"steps": 3, "batch": 8})
    row = make_row(first, math.inf, folder / "rows", None, False)
    second = Planned(make_job("one_digit", "quick", "saccader", 1, TINY, {"steps": 3, "batch": 8, "evaluated": 50}))
    rows = {first.name: row | {"seconds": 120.0}}
    assert standing(second, rows).minutes == 2.0
    assert standing(Planned(other, minutes=7.0), rows).minutes == 7.0  # another recipe says nothing


def test_words_are_whole_words():
    plan = tiny_plan() + [
        Planned(make_job("identification_2528", "quick", model)) for model in ("resnet18", "resnet18_144")
    ]
    assert select(plan, []) == plan
    assert select(plan, ["resnet18", "saccader"]) == [plan[0], plan[2]]
    assert select(plan, ["one_digit-random"]) == select(plan, [plan[1].name]) == [plan[1]]
    with pytest.raises(UserError, match="nothing planned is called 'identification', choose from"):
        select(plan, ["identification"])


def test_weights_are_halved_where_they_are_large(folder, monkeypatch, capsys):
    (planned, _), kept = tiny_plan(), folder / "weights"
    row = make_row(planned, math.inf, folder / "rows", kept, False)
    path = kept / f"{planned.name}.safetensors"
    ours = train.fit(planned.job, progress=False).model

    def opened():
        return load_into(train.build(planned.job), planned.job.config, path).state_dict()

    def same(dtype):
        return all(torch.equal(value, ours.state_dict()[name].to(dtype).to(value)) for name, value in opened().items())

    assert same(torch.float32) and not same(torch.bfloat16)
    whole = path.stat().st_size
    monkeypatch.setattr(reproduce, "LARGEST", whole * 3 // 4)
    keep_weights(ours, row, path)
    assert same(torch.bfloat16) and path.stat().st_size < whole * 3 // 4
    assert {value.dtype for value in opened().values()} == {torch.float32}
    path.unlink()
    monkeypatch.setattr(reproduce, "LARGEST", whole // 4)
    keep_weights(ours, row, path)
    assert not path.exists() and "no weights kept" in capsys.readouterr().out


def test_the_command(folder, monkeypatch, capsys):
    plan = tiny_plan(models=("saccader", "random", "proxy_only"))
    monkeypatch.setattr(reproduce, "plan", lambda profile: plan)
    monkeypatch.setattr(reproduce, "REPORTS", folder / "reports")

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["vsacc.studies.reproduce", "--profile", "quick", *arguments])
        return main(), capsys.readouterr().out

    code, shown = command("--list")
    assert code == 0 and shown.count("to do") == 3 and not (folder / "reports").exists()
    code, shown = command("--budget-minutes", "0", "--workers", "1")
    assert (code, shown) == (0, "3 of 3 runs are left, 0 minutes and 3 of unknown length; start again to go on.\n")
    code, shown = command("--only", "random", "proxy_only", "--workers", "1")
    assert code == 0 and shown.endswith("all 2 runs are done.\n")
    code, shown = command("--list")
    assert code == 0 and shown.count("done") == 2 and shown.count("to do") == 1
    assert len(read_rows(folder / "reports" / "quick" / "runs")) == 2  # never among the committed ones
    monkeypatch.setattr(reproduce, "processes_and_nodes", lambda: (2, 1))
    with pytest.raises(UserError, match="not for torchrun"):
        command()
