"""Training: it learns, resumes bit-equal after a kill, and stops with a sentence when it cannot end well."""

import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from vsacc.local.paths import ROOT, UserError
from vsacc.training import fit as train
from vsacc.training import recipes
from vsacc.training.fit import check_health, fit, learning_rate, main
from vsacc.training.recipes import make_job

TINY = {"hidden": 16, "features": 16, "proxy_widths": (4, 8), "crop_widths": (16, 16), "size": 16}


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch, digits):
    monkeypatch.setattr(train, "RUNS", tmp_path / "runs")
    return tmp_path / "runs"


def tiny_job(steps, **recipe):
    return make_job("one_digit", "quick", config=TINY, recipe={"steps": steps, "batch": 16, "evaluated": 100, **recipe})


def weights(run):
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


def test_the_bound_rises():
    config = TINY | {"scale": (0.7, 1.0, 1.0)}  # sees it all: where to look is not the question here
    recipe = {"steps": 80, "batch": 32, "learning_rate": 1e-2}
    run = fit(make_job("one_digit", "quick", config=config, recipe=recipe), progress=False)
    first, last = (
        torch.tensor([row["log_y"] for row in part]).mean() for part in (run.history[:10], run.history[-10:])
    )
    assert last > first + 0.3
    assert run.history[-1]["log_c"] > run.history[0]["log_c"] + 100


def test_same_seed_same_weights_other_seed_other_weights():
    job = tiny_job(3)
    assert torch.equal(weights(fit(job, resume=False, progress=False)), weights(fit(job, resume=False, progress=False)))
    other = make_job("one_digit", "quick", seed=1, config=TINY, recipe={"steps": 3, "batch": 16})
    assert not torch.equal(weights(fit(job, progress=False)), weights(fit(other, progress=False)))


@pytest.mark.parametrize("stop", [1, 7, 11])
def test_interrupted_is_bit_equal_to_uninterrupted(stop):
    job = tiny_job(12)
    whole = fit(job, resume=False, progress=False)
    assert fit(job, resume=False, progress=False, stop_after=stop).history[-1]["step"] == stop
    resumed = fit(job, progress=False)
    assert torch.equal(weights(whole), weights(resumed))
    assert [row["step"] for row in resumed.history] == [row["step"] for row in whole.history]
    assert resumed.history[-1]["loss"] == whole.history[-1]["loss"]


def test_a_finished_job_returns_at_once(monkeypatch):
    job = tiny_job(4)
    first = fit(job, progress=False)
    monkeypatch.setattr(train, "train_step", None)  # would fail if it trained again
    again = fit(job, progress=False)
    assert torch.equal(weights(first), weights(again)) and first.history == again.history


KILLED = """
import sys
sys.path.insert(0, "tests")
from conftest import plain_digits
from pathlib import Path
from test_train import tiny_job
from vsacc.tasks import base as tasks
from vsacc.training import fit as train
train.RUNS, train.CHECKPOINT_EVERY, tasks.load_digits = Path(sys.argv[1]), 0.0, lambda split: plain_digits()
train.fit(tiny_job(150), progress=False)
"""


def test_kill_minus_9_then_resume(runs):
    """Killed at an arbitrary step, while checkpoints are being written all the time."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(runs)], cwd=ROOT)
    checkpoint = runs / tiny_job(150).name / "checkpoint.pt"
    while not checkpoint.exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    resumed = fit(tiny_job(150), progress=False)
    assert 0 < torch.load(checkpoint)["seconds"]
    assert torch.equal(weights(resumed), weights(fit(tiny_job(150), resume=False, progress=False)))


def test_a_broken_checkpoint_is_one_sentence(runs):
    job = tiny_job(2)
    folder = runs / job.name
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="start without resume"):
        fit(job, progress=False)


def test_nan_stops_the_training(monkeypatch):
    job = tiny_job(10, learning_rate=1e30)
    with pytest.raises(UserError, match=r"training stopped at step .* lower the learning rate"):
        fit(job, progress=False)


def test_collapse_stops_the_training():
    job = make_job("identification", "laptop")
    row = {"step": job.recipe.steps, "loss": 1.0, "spread": 0.03, "scale": 0.4, "log_y": -1.0, "log_c": -1.0, "kl": 1.0}
    with pytest.raises(UserError, match=r"looked at in the same places \(spread 0.030, mean scale 0.40\)"):
        check_health(row, job)
    check_health(row | {"step": 500}, job)  # early on this is normal
    check_health(row | {"spread": 0.3}, job)


def test_learning_rate_is_one_cycle():
    recipe = recipes.Recipe(steps=1000)
    rates = [learning_rate(recipe, step) for step in range(1000)]
    assert max(rates) == pytest.approx(recipe.learning_rate, rel=1e-3)
    assert rates.index(max(rates)) in (149, 150)
    assert 0 < rates[-1] < 1e-5 and 0 < rates[0] < 0.05 * recipe.learning_rate


def run_main(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["vsacc.training.fit", *map(str, arguments)])
    main()


def test_command_writes_result_and_weights(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(recipes.CONFIGS[recipes.Config], "quick", recipes.Config(**TINY))
    monkeypatch.setitem(recipes.RECIPES["one_digit"], "quick", recipes.Recipe(steps=2, batch=8, evaluated=100))
    out = tmp_path / "deep" / "result.json"
    run_main(monkeypatch, "--task", "one_digit", "--profile", "quick", "--seed", 3, "--out", out)
    row = json.loads(out.read_text())
    wanted = {"task", "model", "profile", "seed", "seconds", "steps", "parameters", "test_accuracy", "localised"}
    assert wanted | {"revision", "torch", "device", "protocol"} <= row.keys()
    assert (row["seed"], row["steps"]) == (3, 2)
    assert 0 <= row["test_accuracy"] <= 1
    assert out.with_suffix(".safetensors").exists()
    assert "test_accuracy" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--task", "nonsense"], "task 'nonsense' is unknown, choose one of one_digit, identification, sum"),
        (["--task", "sum", "--profile", "fast"], "profile 'fast' is unknown"),
        (["--task", "sum", "--model", "oracle"], "model 'oracle' is unknown"),
    ],
)
def test_wrong_names(monkeypatch, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        run_main(monkeypatch, *arguments)


def test_unwritable_out_is_found_before_training(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(train, "fit", None)
    with pytest.raises(UserError, match="cannot be written"):
        run_main(monkeypatch, "--task", "sum", "--profile", "quick", "--out", tmp_path / "file" / "result.json")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_the_best_validated_weights_are_kept(monkeypatch):
    """Accuracies 0.2, 0.9, 0.9, 0.1 are seen at steps 12, 14, 16, 18 of 20: the weights of step 16 come back."""
    job, seen = tiny_job(20, validations=10), []

    def evaluation(model, batches):
        accuracy = [0.2, 0.9, 0.9, 0.1, 0.1][len(seen)]
        seen.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
        return SimpleNamespace(accuracy=accuracy)

    monkeypatch.setattr(train, "evaluate", evaluation)
    run = fit(job, progress=False)
    validated = {row["step"]: row["validation"] for row in run.history if "validation" in row}
    assert validated == {12: 0.2, 14: 0.9, 16: 0.9, 18: 0.1, 20: 0.1}
    assert torch.equal(weights(run), seen[2]) and not torch.equal(seen[2], seen[1])
    assert torch.equal(weights(fit(job, progress=False)), seen[2])  # and after a resume


def test_training_on_digits_needs_no_decoders_of_photographs():
    """A machine for training has torch, torchvision and lightning, and need not have more than that to start."""
    asked = "import sys, vsacc.training.fit; print(*{'imagecodecs', 'rawpy', 'simplejpeg', 'tifffile', 'joblib'} & {*sys.modules})"
    told = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.split() == []
