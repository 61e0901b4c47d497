"""The study's grid: kept cells, the same results in one process and in two, its report, its verdicts and its figure."""

import json
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from vsacc.figures.noise import LOOKS, family
from vsacc.figures.noise import curves as picture
from vsacc.local.paths import UserError
from vsacc.studies import noise_grid, sweep
from vsacc.studies.noise_grid import LEVELS, TESTS, VARIANTS, Cell, grid, one_thread, train_and_test
from vsacc.studies.robustness import curves, losses, verdicts
from vsacc.studies.sweep import kept, main, run_cells
from vsacc.systems.noise import KINDS
from vsacc.tasks import base as tasks
from vsacc.tasks.mnist import Digits
from vsacc.training import fit as train
from vsacc.training.recipes import make_job

TINY = {"hidden": 8, "features": 8, "proxy_widths": (4, 4), "crop_widths": (8, 8), "size": 16}
FEW = (("none", 0.0), ("gaussian", 0.8), ("dropout", 0.97))


def squares(split: str) -> Digits:
    """Digit k is a square of grey level 25 k + 30."""
    labels = torch.arange(10).repeat(30)
    return Digits((labels * 25 + 30).to(torch.uint8).view(-1, 1, 1).expand(-1, 28, 28).contiguous(), labels)


def apart(cell: Cell, runs: Path) -> dict:
    """A cell computed in whichever process, on stand-in digits and with its checkpoints under ``runs``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "load_digits", squares)
        patch.setattr(train, "RUNS", runs)
        return train_and_test(cell)


def tiny_cells(**recipe):
    recipe = {"steps": 3, "batch": 16, "evaluated": 100, **recipe}
    return [
        Cell(name, make_job("one_digit", "quick", model, 0, TINY | change, recipe), FEW)
        for name, (model, change) in VARIANTS.items()
    ]


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(sweep, "CELLS", tmp_path / "sweep")
    return tmp_path


def without_times(result):
    return {key: value for key, value in result.items() if key not in ("seconds", "made")}


def test_two_processes_give_what_one_gives(folder, monkeypatch):
    cells = tiny_cells()[1:]
    alone = run_cells(cells, 1, progress=False, work=partial(apart, runs=folder / "alone"))
    monkeypatch.setattr(sweep, "CELLS", folder / "other")
    shared = run_cells(cells, 2, progress=False, work=partial(apart, runs=folder / "shared"))
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
        return {"variant": cell.variant, "tests": [len(computed)]}

    first = run_cells(cells[:2], progress=False, work=work)
    assert [kept(cell) for cell in cells] == [*first, None, None]
    both = run_cells(cells, progress=False, work=work)
    assert both[:2] == first and computed == [cell.name for cell in cells]
    (folder / "sweep" / f"{cells[0].name}.json").write_text('{"torn')
    assert run_cells(cells, progress=False, work=work)[0]["tests"] == [5]


def test_what_stopped_is_told_and_tried_again(folder):
    cells, tried = tiny_cells()[:2], []

    def work(cell):
        tried.append(cell.variant)
        return {"variant": cell.variant, "stopped": "the bound is nan"}

    for _ in range(2):
        assert [row["stopped"] for row in run_cells(cells, progress=False, work=work)] == ["the bound is nan"] * 2
    assert len(tried) == 4


def test_a_training_that_stops_has_no_tests(monkeypatch):
    def stop(job, progress):
        raise UserError("training stopped")

    monkeypatch.setattr(noise_grid, "fit", stop)
    result = train_and_test(tiny_cells()[0])
    assert result["stopped"] == "training stopped" and "tests" not in result


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
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_the_command(folder, monkeypatch, digits, capsys):
    cells = tiny_cells()
    monkeypatch.setattr(train, "RUNS", folder / "runs")
    monkeypatch.setattr(sweep, "grid", lambda profile: cells)
    out = folder / "noise.json"

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["vsacc.studies.sweep", "--profile", "quick", *arguments])
        main()
        return capsys.readouterr().out

    assert command("--list").count("to do") == 4
    command("--workers", "1", "--out", str(out))
    assert command("--list").count("done") == 4
    report = json.loads(out.read_text())
    assert [row["variant"] for row in report["cells"]] == list(VARIANTS)
    assert {"revision", "device", "seeds", "task", "protocol", "trained"} <= report.keys()
    with pytest.raises(UserError, match="engine 'ray' is unknown, choose local or dask"):
        command("--engine", "ray")
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    with pytest.raises(UserError, match="DASK_SCHEDULER_ADDRESS is not set"):
        command("--engine", "dask")
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://nowhere:1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match="Dask is not installed"):
        command("--engine", "dask")


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
    figure = picture(found, {"dropout": ["clean", "a", "b"]}, "dropout", 0.97)
    top, bottom = figure.axes
    assert len(top.lines) == 2 and len(bottom.lines) == 1
    np.testing.assert_allclose(top.lines[0].get_ydata(), [0.8, 0.7, 0.3])
    band = top.collections[0].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(0.2) and band.max() == pytest.approx(0.9)
    shade = top.patches[0]
    assert (shade.get_x(), shade.get_width()) == (0, 1)  # trained until 0.97: the levels 0 and 0.5


def test_the_family_shows_every_kind_and_level():
    proxies = {"gaussian": np.zeros((3, 8, 8)), "dropout": np.ones((2, 8, 8))}
    titles = {"gaussian": ["clean", "a", "b"], "dropout": ["clean", "c"]}
    where = {"dropout": np.full((2, 1, 3), 0.3)}
    figure = family(proxies, titles, np.array([[-0.5, -0.5, 0.1, 0.1]]), where)
    assert isinstance(figure, Figure)
    shown = SimpleNamespace(**{axes.get_title() + str(i): axes for i, axes in enumerate(figure.axes)})
    assert len(shown.c4.patches) == 2 and len(shown.a1.patches) == 1
    np.testing.assert_array_equal(shown.c4.images[0].get_array(), np.ones((8, 8)))
