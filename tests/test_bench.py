"""The benchmark's bookkeeping; its seconds are for people to read, never for a test."""

import json
import os
import subprocess
from argparse import Namespace
from dataclasses import replace

import pytest
import torch

from vsacc.sampler import glimpse
from vsacc.studies import bench, step_time
from vsacc.studies.measure import bytes_from_disk

THREADS = torch.get_num_threads()


@pytest.fixture
def run(tmp_path, capsys):
    """(benchmark, profile) -> the rows that it wrote, and what it printed."""

    def run(benchmark, profile="quick"):
        out = tmp_path / "rows.json"
        bench.command(Namespace(benchmark=benchmark, profile=profile, out=out))
        return json.loads(out.read_text())["rows"], capsys.readouterr().out

    return run


def test_sampler_rows(run, monkeypatch):
    for name, value in {"SIDES": (128, 512), "ROUNDS": 3, "STORED": (300,)}.items():
        monkeypatch.setattr(bench, name, value)
    rows, printed = run("sampler")
    by = {(row["name"], row["side"], row["channels"], row["threads"]): row for row in rows if "ratio" in row}
    assert len(by) == 5 * 2 * 2 * 2
    for (name, side, channels, threads), row in by.items():
        assert row["low"] <= row["ratio"] <= row["high"] and (name != bench.RIVAL or row["low"] == row["high"] == 1)
        assert row["bytes"] == by[name, 128, channels, threads]["bytes"]  # the image has no say in it
        assert row["resident"] >= side**2 * channels * bench.BATCH * (4 if name == bench.RIVAL else 1)
    disk = {row["name"]: row for row in rows if "ratio" not in row}
    assert disk["glimpse, store, warm"]["disk_bytes"] == 0 and all(row["seconds"] > 0 for row in disk.values())
    assert bench.RIVAL in printed and torch.get_num_threads() == THREADS


def test_what_is_forgotten_comes_from_the_disk(tmp_path):
    (tmp_path / "strip").write_bytes(os.urandom(2**20))
    if "tmpfs" in subprocess.run(["stat", "-f", "-c", "%T", tmp_path], capture_output=True, text=True).stdout:
        pytest.skip("these files are never on a disk")
    read = []
    for forgotten in (False, True):
        if forgotten:
            bench.forget(tmp_path)
        before = bytes_from_disk()
        (tmp_path / "strip").read_bytes()
        read.append(bytes_from_disk() - before)
    assert read[0] == 0 and read[1] >= 2**20


def test_a_system_that_cannot_forget_has_no_cold_row(monkeypatch):
    monkeypatch.delattr("os.posix_fadvise", raising=False)
    monkeypatch.setattr(bench, "ROUNDS", 2)
    (row,) = bench.from_disk(70, torch.Generator())
    assert row["name"] == "glimpse, store, warm"


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
    assert (whole["precision"], half["precision"]) == ("32-true", "glimpses in bfloat16")
    assert whole["ratio"] == 1 and whole["epoch_seconds"] == pytest.approx(60_000 * whole["seconds"])
    assert half["seconds"] / whole["seconds"] == pytest.approx(half["ratio"])
    assert len(steps) % 2 == 0 and len(steps) >= 4  # two precisions, a call or more of each
    assert half["precision"] in printed


def test_large_canvases_beside_small_ones(run, digits, monkeypatch):
    """The same configuration, batch and number of steps on both."""
    jobs, real = [], step_time.training_steps
    monkeypatch.setattr(step_time, "training_steps", lambda job, *how: jobs.append(job) or real(job, *how))
    monkeypatch.setattr(step_time, "STEPS", 1)
    rows, printed = run("canvases")
    assert len(rows) == len(jobs) == 2 * len(step_time.SMALL)
    for small, large, one, other in zip(rows[::2], rows[1::2], jobs[::2], jobs[1::2], strict=True):
        assert step_time.SMALL[large["task"]] == small["task"] and large["batch"] == small["batch"]
        assert one == replace(other, task=small["task"])
        assert small["ratio"] == small["memory_ratio"] == 1 and large["low"] <= large["ratio"] <= large["high"]
        assert large["memory_ratio"] == large["bytes"] / small["bytes"] and large["task"] in printed
