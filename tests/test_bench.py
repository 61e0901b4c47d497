"""The benchmark's bookkeeping; its seconds are for people to read, never for a test."""

import json
from argparse import Namespace

import pytest
import torch

from vsacc.sampler import glimpse
from vsacc.studies import bench, step_time


@pytest.fixture
def run(tmp_path, capsys):
    """(benchmark, profile) -> the rows that it wrote, and what it printed."""

    def run(benchmark, profile="quick"):
        out = tmp_path / "rows.json"
        bench.command(Namespace(benchmark=benchmark, profile=profile, out=out))
        return json.loads(out.read_text())["rows"], capsys.readouterr().out

    return run


def test_sampler_rows(run, monkeypatch):
    for name, value in {"SIDES": (128, 512), "ROUNDS": 1, "STORED": (64, 300), "STORED_ROUNDS": 1}.items():
        monkeypatch.setattr(bench, name, value)
    rows, printed = run("sampler")
    assert {"name", "side", "batch", "seconds", "bytes", "ratio"} <= rows[0].keys()
    by = {(row["name"], row["side"]): row for row in rows}
    ours, cast = "glimpse, pyramid", "cast + grid_sample"
    assert by[ours, 128]["ratio"] == by[ours, 512]["ratio"] == 1
    assert by[ours, 128]["bytes"] == by[ours, 512]["bytes"]  # memory of a glimpse does not grow with the image
    assert by[cast, 512]["bytes"] >= 4 * 512 * 512 * bench.BATCH  # a float copy of the images, at least
    small, large = (by[bench.MAPPED, side] for side in (64, 300))
    assert small["ratio"] == 1 and large["ratio"] == large["seconds"] / small["seconds"]
    assert large["bytes"] == small["bytes"]
    assert ours in printed


def test_contenders_see_the_same():
    """The two sides of the comparison do the same work: the same pixels come out."""
    images = torch.randint(0, 256, (bench.BATCH, 1, 64, 64), dtype=torch.uint8)
    where = torch.rand(bench.BATCH, bench.STEPS, 3) * 0.4 + 0.05
    theirs = bench.plain(images.float() / 255, where)  # (B, 1, T * L, L)
    ours = glimpse(images, where, bench.SIZE)  # (B, T, 1, L, L)
    torch.testing.assert_close(theirs.unflatten(2, (bench.STEPS, -1)).transpose(1, 2), ours)


def test_cost_goes_through_the_same_command(run, monkeypatch):
    monkeypatch.setitem(bench.BENCHMARKS, "cost", (lambda profile: [{"asked": profile}], str))
    assert run("cost", "laptop") == ([{"asked": "laptop"}], "[{'asked': 'laptop'}]\n")


def test_an_epoch_of_training(run, digits, monkeypatch):
    """Seconds of STEPS whole steps, in both precisions."""
    steps, real = [], step_time.train_step
    monkeypatch.setattr(step_time, "train_step", lambda *given: steps.append(given) or real(*given))
    monkeypatch.setattr(step_time, "STEPS", 2)
    (whole, half), printed = run("epoch")
    assert (whole["precision"], half["precision"]) == ("32-true", "bf16-mixed")
    assert whole["ratio"] == 1 and whole["epoch_seconds"] == pytest.approx(60_000 * whole["seconds"])
    assert half["seconds"] / whole["seconds"] == pytest.approx(half["ratio"])
    assert len(steps) % 2 == 0 and len(steps) >= 4  # two precisions, a call or more of each
    assert "bf16-mixed" in printed
