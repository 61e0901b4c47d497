"""What is measured is what happened; no test depends on how long anything takes."""

import os

import pytest
import torch

from vsacc.studies import measure


def test_peak_bytes_counts_what_is_held_at_once():
    def work():
        torch.empty(1000, dtype=torch.uint8)  # freed at once
        kept = torch.empty(3000, dtype=torch.uint8)
        return kept.numel() + torch.empty(500, dtype=torch.uint8).numel()

    assert 3500 <= measure.peak_bytes(work) < 4400


def test_only_the_work_is_heard_on_stderr(capfd):
    measure.peak_bytes(lambda: os.write(2, b"from the work"))
    os.write(2, b", and after it")
    assert capfd.readouterr().err == "from the work, and after it"


def test_medians_of_calls_in_turn_until_a_budget_ends(monkeypatch):
    scripts = {"a": [9.0, 1.0, 5.0, 2.0], "b": [9.0, 4.0, 4.0, 4.0], "slow": [11.0], "middling": [3.0, 4.0, 6.0]}
    calls = []  # of what seconds_of is scripted for

    def seconds_of(work):
        calls.append(work())
        return scripts[calls[-1]].pop(0)

    monkeypatch.setattr(measure, "seconds_of", seconds_of)
    monkeypatch.setattr(measure, "peak_bytes", lambda work: work() or 7)
    costs = measure.measure({"a": lambda: "a", "b": lambda: "b"}, rounds=3, budget=50)
    assert calls == ["a", "b"] * 4
    assert costs == {"a": (2.0, 7, 3, (1.0, 5.0, 2.0)), "b": (4.0, 7, 3, (4.0, 4.0, 4.0))}
    costs = measure.measure({"slow": lambda: "slow", "middling": lambda: "middling"}, rounds=5, budget=10)
    assert {n: cost[:3] for n, cost in costs.items()} == {
        "slow": (11.0, 7, 1),
        "middling": (5.0, 7, 2),
    }  # the slow one's first call is all there is


def test_a_cpu_is_spared_what_it_cannot_hold(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(measure, "free_bytes", lambda: 1000.0)

    def never(size):
        return lambda: pytest.fail("it was run")

    assert measure.largest_batch(never, 16, 2, 150.0) == 4  # 600 <= 80 % of 1000
    assert measure.largest_batch(never, 16, 2, 500.0) is None


def test_a_gpu_is_asked_by_trying(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    tried = []

    def make(size):
        def work():
            tried.append(size)
            if size > 5:
                raise torch.OutOfMemoryError("CUDA out of memory")

        return work

    assert measure.largest_batch(make, 16, 2, float("inf")) == 4
    assert tried == [16, 8, 4]


def test_free_memory_is_a_share_of_the_machines():
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < measure.free_bytes() <= total or measure.free_bytes() == float("inf")
