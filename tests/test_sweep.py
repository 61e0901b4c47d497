"""The study's grid: kept cells, the same results in one process and in two, its report, its verdicts and its figure."""

import json
from argparse import Namespace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import TINY

from conftest import plain_digits
from vsacc.figures.training import noise_curves
from vsacc.local.paths import UserError
from vsacc.studies import noise
from vsacc.studies.noise import LEVELS, LOOKS, TESTS, VARIANTS, Cell, command, curves, grid, losses, run_cells, verdicts
from vsacc.studies.plan import read_rows
from vsacc.studies.runs import Made
from vsacc.systems.noise import KINDS
from vsacc.training import fit as train
from vsacc.training.jobs import make_job

FEW = (("none", 0.0), ("gaussian", 0.8), ("dropout", 0.97))


def apart(cell: Cell, runs: Path) -> Made:
    """A cell computed in whichever process, on stand-in digits and with its checkpoints under ``runs``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vsacc.tasks.cluttered.load_digits", lambda split: plain_digits())
        patch.setattr(train, "RUNS", runs)
        return noise.train_and_test(cell)


def tiny_cells(**recipe):
    recipe = {"steps": 3, "batch": 16, "evaluated": 100, **recipe}
    return [
        Cell(name, make_job("one_digit", "quick", system, 0, TINY | change, recipe), FEW)
        for name, (system, change, *_) in VARIANTS.items()
    ]


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(noise, "CELLS", tmp_path / "sweep")
    monkeypatch.setattr(train, "RUNS", tmp_path / "runs")
    return tmp_path


def without_times(result):
    return {key: value for key, value in result.items() if key not in ("seconds", "made")}


def test_two_processes_give_what_one_gives(folder, monkeypatch):
    cells = tiny_cells()[1:]
    alone = run_cells(cells, 1, work=partial(apart, runs=folder / "alone"))
    monkeypatch.setattr(noise, "CELLS", folder / "other")
    shared = run_cells(cells, 2, work=partial(apart, runs=folder / "shared"))
    assert [without_times(row) for row in shared] == [without_times(row) for row in alone]
    for cell in cells:  # and the weights behind them, to the last bit
        one, other = (
            torch.load(folder / runs / cell.job.name / "checkpoint.pt")["model"] for runs in ("alone", "shared")
        )
        assert all(torch.equal(one[name], other[name]) for name in one)
    by_variant = {row["variant"]: row["tests"] for row in alone}
    assert [row["kind"] for row in by_variant["random glimpses"]] == ["none", "gaussian", "dropout"]
    assert len({row["accuracy"] for row in by_variant["random glimpses"]}) == 1  # noise cannot touch it
    assert by_variant["proxy only, trained with noise"][0]["localised"] is None
    assert all(0 <= row["accuracy"] <= 1 for rows in by_variant.values() for row in rows)


def test_a_kept_cell_is_not_computed_again(folder):
    cells, computed = tiny_cells(), []

    def work(cell):
        computed.append(cell.name)
        return Made("", {"variant": cell.variant, "tests": [len(computed)]})

    first = run_cells(cells[:2], work=work)
    assert read_rows(folder / "sweep").keys() == {cell.name for cell in cells[:2]}
    both = run_cells(cells, work=work)
    assert both[:2] == first and computed == [cell.name for cell in cells]


def test_a_collapse_is_a_result(folder, digits):
    cells = tiny_cells(learning_rate=1e30, steps=10)[:1]
    (result,) = run_cells(cells)
    assert result["stopped"].startswith("training stopped") and "tests" not in result
    assert "revision" in result["made"]
    assert read_rows(folder / "sweep") == {cells[0].name: result}


def test_an_error_of_a_cell_is_told_and_the_others_are_computed(folder, capsys):
    def fail(cell):
        if cell.variant == "random glimpses":
            raise UserError("the checkpoint cannot be read.")
        return Made("", {"variant": cell.variant})

    cells = tiny_cells()
    with pytest.raises(UserError, match="1 of 4 cells failed"):
        run_cells(cells, work=fail)
    assert f"{cells[-1].name}: not made: the checkpoint cannot be read." in capsys.readouterr().out
    assert read_rows(folder / "sweep").keys() == {cell.name for cell in cells[:-1]}


def test_every_difference_has_its_own_name():
    cells = [*tiny_cells(), *tiny_cells(steps=4), *(cell._replace(tests=FEW[:2]) for cell in tiny_cells())]
    assert len({cell.name for cell in cells}) == len(cells)


@pytest.mark.parametrize("profile", ["quick", "laptop", "paper"])
def test_the_grid(profile):
    cells = grid(profile)
    assert len({cell.name for cell in cells}) == len(cells)
    assert {cell.variant for cell in cells} == set(VARIANTS) == set(LOOKS)
    assert set(LEVELS) == set(KINDS) and TESTS[0] == ("none", 0.0)
    trained = {cell.variant: cell.job.config.noise for cell in cells}
    assert [kind != "none" for kind in trained.values()] == ["with noise" in name for name in trained]
    if profile != "quick":
        assert len({cell.job.seed for cell in cells}) >= 3
    assert {cell.job.task for cell in cells} == {"identification" if profile == "paper" else "one_digit"}


def test_threads_are_given_back():
    before = torch.get_num_threads()
    with train.one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_the_command(folder, monkeypatch, digits, capsys):
    cells, out = tiny_cells(), folder / "noise.json"
    monkeypatch.setattr(noise, "grid", lambda profile: cells)

    def told(**options):
        command(Namespace(**{"profile": "quick", "workers": 1, "scheduler": None, "list": False, "out": out} | options))
        return capsys.readouterr().out

    assert told(list=True).count("to do") == 4 and not out.exists()
    assert told().count("without noise") == 4
    made = {json.loads(path.read_text())["made"]["revision"] for path in (folder / "sweep").glob("*.json")}
    assert told(list=True).count(f"done at {made.pop()}") == 4 and not made
    report = json.loads(out.read_text())
    assert [row["variant"] for row in report["cells"]] == list(VARIANTS)
    assert {"revision", "device", "seeds", "task", "protocol", "trained"} <= report.keys()


def cell(variant, seed, *tests):
    rows = [{"kind": k, "level": level, "accuracy": a, "localised": found} for k, level, a, found in tests]
    return {"variant": variant, "seed": seed, "tests": rows}


CELLS = [
    cell("a", 0, ("none", 0.0, 0.90, 1.0), ("gaussian", 0.2, 0.88, 0.9), ("gaussian", 0.8, 0.5, 0.4)),
    cell("a", 1, ("none", 0.0, 0.94, 1.0), ("gaussian", 0.2, 0.87, 0.9), ("gaussian", 0.8, 0.3, 0.4)),
    {"variant": "a", "seed": 2, "stopped": "the bound is nan"},
    cell("chance", 0, ("none", 0.0, 0.42, None), ("gaussian", 0.2, 0.42, None), ("gaussian", 0.8, 0.42, None)),
]


def test_curves_begin_clean_and_leave_out_what_stopped():
    found = curves(CELLS)
    assert found["a"]["gaussian"]["level"] == [0.0, 0.2, 0.8]
    assert found["a"]["gaussian"]["accuracy"] == [[0.90, 0.88, 0.5], [0.94, 0.87, 0.3]]
    assert found["a"]["gaussian"]["localised"] == [[1.0, 0.9, 0.4]] * 2
    assert found["chance"]["gaussian"]["localised"] is None


def test_the_verdict_says_where_a_model_is_not_robust():
    found = curves(CELLS)
    np.testing.assert_allclose(losses(found["a"]["gaussian"]["accuracy"]), [0, 0.045, 0.52])
    assert verdicts(found, "a", "chance", 32) == [
        "gaussian: robust at σ 0.2 (88 %); NOT robust at σ 0.8 (40 %) = chance"
    ]
    found["a"]["gaussian"]["accuracy"] = [[0.9, 0.8, 0.7]]
    assert verdicts(found, "a", "chance", 32) == [
        "gaussian: robust at no level; NOT robust at σ 0.2 (80 %), σ 0.8 (70 %)"
    ]


def test_the_picture_draws_means_and_bands():
    names = list(LOOKS)
    levels = {"level": [0.0, 0.5, 0.99], "accuracy": [[0.9, 0.8, 0.2], [0.7, 0.6, 0.4]], "localised": None}
    found = {names[0]: {"dropout": {**levels, "localised": levels["accuracy"]}}, names[3]: {"dropout": levels}}
    figure = noise_curves(found, {"dropout": ["clean", "a", "b"]}, "dropout", 0.97, LOOKS)
    top, bottom = figure.axes
    assert len(top.lines) == 2 and len(bottom.lines) == 1
    np.testing.assert_allclose(top.lines[0].get_ydata(), [0.8, 0.7, 0.3])
    band = top.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(0.2) and band.max() == pytest.approx(0.9)
    shade = top.patches[0]
    assert (shade.get_x(), shade.get_width()) == (0, 1)  # trained until 0.97: the levels 0 and 0.5
