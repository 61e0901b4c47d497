"""The benchmark's bookkeeping; its seconds are for people to read, never for a test."""

import json
import sys

import pytest
import torch

from vsacc.local.paths import UserError
from vsacc.studies import bench, epoch


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["vsacc.studies.bench", *map(str, arguments)])
    monkeypatch.setattr(bench, "SIDES", (128, 512))
    monkeypatch.setattr(bench, "ROUNDS", 1)
    monkeypatch.setattr(bench, "STORED", (64, 300))
    monkeypatch.setattr(bench, "STORED_ROUNDS", 1)
    bench.main()


def test_sampler_rows(monkeypatch, tmp_path, capsys):
    out = tmp_path / "rows.json"
    run(monkeypatch, "sampler", "--out", out)
    rows = json.loads(out.read_text())["rows"]
    assert {"name", "side", "batch", "seconds", "bytes", "ratio"} <= rows[0].keys()
    by = {(row["name"], row["side"]): row for row in rows}
    ours, cast = "glimpse, pyramid", "cast + grid_sample"
    assert by[ours, 128]["ratio"] == by[ours, 512]["ratio"] == 1
    assert by[ours, 128]["bytes"] == by[ours, 512]["bytes"]  # memory of a glimpse does not grow with the image
    assert by[cast, 512]["bytes"] >= 4 * 512 * 512 * bench.BATCH  # a float copy of the images, at least
    small, large = (by[bench.MAPPED, side] for side in (64, 300))
    assert small["ratio"] == 1 and large["ratio"] == large["seconds"] / small["seconds"]
    assert large["bytes"] == small["bytes"]
    assert ours in capsys.readouterr().out


def test_contenders_see_the_same(monkeypatch):
    """The two sides of the comparison do the same work: the same pixels come out."""
    images = torch.randint(0, 256, (bench.BATCH, 1, 64, 64), dtype=torch.uint8)
    where = torch.rand(bench.BATCH, bench.STEPS, 3) * 0.4 + 0.05
    theirs = bench.plain(images.float() / 255, where)  # (B, 1, T * L, L)
    ours = bench.glimpse(images, where, bench.SIZE)  # (B, T, 1, L, L)
    torch.testing.assert_close(theirs.unflatten(2, (bench.STEPS, -1)).transpose(1, 2), ours)


def test_cost_goes_through_the_same_command(monkeypatch, tmp_path, capsys):
    rows = [{"name": "saccader", "side": 8}]
    asked = []
    monkeypatch.setitem(bench.BENCHMARKS, "cost", (lambda profile: asked.append(profile) or rows, str))
    run(monkeypatch, "cost", "--profile", "laptop", "--out", tmp_path / "rows.json")
    assert asked == ["laptop"]
    assert json.loads((tmp_path / "rows.json").read_text())["rows"] == rows
    assert "saccader" in capsys.readouterr().out


def test_unknown_benchmark(monkeypatch):
    with pytest.raises(UserError, match="benchmark 'tea' is unknown, choose one of sampler"):
        run(monkeypatch, "tea")


def test_an_epoch_of_training_and_what_cannot_run_here(monkeypatch, tmp_path, capsys):
    """bfloat16 is made to fail: its row says why, and the other's seconds are those of STEPS whole steps."""
    steps, real = [], epoch.train_step

    def train_step(fabric, *rest):
        if "bf16" in type(fabric._precision).__name__ + str(getattr(fabric._precision, "precision", "")):
            raise RuntimeError("no\nbfloat16 here")
        steps.append(rest)
        return real(fabric, *rest)

    monkeypatch.setattr(epoch, "train_step", train_step)
    monkeypatch.setattr(epoch, "STEPS", 2)
    run(monkeypatch, "epoch", "--profile", "quick", "--out", tmp_path / "epoch.json")
    whole, half = json.loads((tmp_path / "epoch.json").read_text())["rows"]
    assert (whole["precision"], half["precision"]) == ("32-true", "bf16-mixed")
    assert half["seconds"] is None and half["why"] == "RuntimeError: no bfloat16 here"
    assert whole["ratio"] == 1 and whole["epoch_seconds"] == pytest.approx(60_000 * whole["seconds"])
    assert len(steps) % 2 == 0 and len(steps) >= 6  # one call to try, one or two to warm up, one timed
    assert "no bfloat16 here" in capsys.readouterr().out
