"""Training: it learns, resumes bit-equal, and stops with a sentence when it cannot end well."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from conftest import fingerprint
from vsacc.__main__ import main
from vsacc.local.paths import UserError
from vsacc.saccader import Saccader
from vsacc.tasks import Recipe
from vsacc.training import fit as train
from vsacc.training.fit import fit, learning_rate, stop_if_lost
from vsacc.training.jobs import make_job

TINY = {"hidden": 16, "features": 16, "proxy_widths": (4, 8), "crop_widths": (16, 16), "size": 16}


@pytest.fixture(autouse=True)
def runs(tmp_path, monkeypatch, digits):
    monkeypatch.setattr(train, "RUNS", tmp_path / "runs")
    return tmp_path / "runs"


def tiny_job(steps, seed=0, **recipe):
    recipe = {"steps": steps, "batch": 16, "evaluated": 100, **recipe}
    return make_job("one_digit", "quick", seed=seed, config=TINY, recipe=recipe)


def trained(job, resume=False, **options):
    """The run, and the hash of its weights."""
    run = fit(job, resume=resume, progress=False, **options)
    return run, fingerprint(run.model)


def test_the_bound_rises():
    config = TINY | {"scale": (0.7, 1.0, 1.0)}  # sees it all: where to look is not the question here
    recipe = {"steps": 80, "batch": 32, "learning_rate": 1e-2}
    history = fit(make_job("one_digit", "quick", config=config, recipe=recipe), progress=False).history
    first, last = (sum(row["log_y"] for row in part) / 10 for part in (history[:10], history[-10:]))
    assert last > first + 0.3
    assert history[-1]["log_c"] > history[0]["log_c"] + 100


def test_same_seed_same_weights_other_seed_other_weights():
    (_, one), (_, again), (_, other) = (trained(tiny_job(3, seed)) for seed in (0, 0, 1))
    assert one == again != other


@pytest.mark.parametrize("stop", [1, 7, 11])
def test_interrupted_is_bit_equal_to_uninterrupted(stop, monkeypatch):
    job = tiny_job(12)
    whole, expected = trained(job)
    for step in range(stop):
        assert trained(job, resume=step > 0, deadline=0.0)[0].history[-1]["step"] == step + 1
    resumed, found = trained(job, resume=True)
    assert found == expected
    assert [row["step"] for row in resumed.history] == [row["step"] for row in whole.history]
    assert resumed.history[-1]["loss"] == whole.history[-1]["loss"]
    monkeypatch.setattr(train, "train_step", None)  # would fail if it trained again
    again, found = trained(job, resume=True)
    assert found == expected and again.history == resumed.history


def test_a_broken_checkpoint_is_one_sentence(runs):
    folder = runs / tiny_job(2).name
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="delete that folder"):
        trained(tiny_job(2), resume=True)


def test_nan_stops_the_training():
    with pytest.raises(train.Stopped, match=r"training stopped at step .* lower the learning rate"):
        trained(tiny_job(10, learning_rate=1e30))


def test_collapse_stops_the_training():
    recipe = Recipe(steps=4500)
    row = {"step": 4500, "loss": 1.0, "spread": 0.03, "scale": 0.4, "log_y": -1.0, "log_c": -1.0, "kl": 1.0}
    with pytest.raises(train.Stopped, match=r"looked at in the same places \(spread 0.030, mean scale 0.40\)"):
        stop_if_lost(row, recipe)
    with pytest.raises(train.Stopped):
        stop_if_lost(row | {"step": 450}, Recipe(steps=500))  # a short training's too
    stop_if_lost(row | {"step": 500}, recipe)  # early on this is normal
    stop_if_lost(row | {"spread": 0.3}, recipe)


def test_learning_rate_is_one_cycle():
    recipe = Recipe(steps=1000)
    rates = [learning_rate(recipe, step) for step in range(1000)]
    assert max(rates) == pytest.approx(recipe.learning_rate, rel=1e-3)
    assert rates.index(max(rates)) in (149, 150)
    assert 0 < rates[-1] < 1e-5 and 0 < rates[0] < 0.05 * recipe.learning_rate


def run_command(line):
    """The exit code of ``vsacc train``."""
    with pytest.raises(SystemExit) as left:
        main(["train", *map(str, line)])
    return left.value.code


def test_command_writes_result_and_weights(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(train, "make_job", lambda task, profile, system, seed: tiny_job(2, seed))
    out = tmp_path / "deep" / "result.json"
    assert not run_command(["--task", "one_digit", "--seed", 3, "--out", out])
    row = json.loads(out.read_text())
    wanted = {
        "task",
        "model",
        "profile",
        "seconds",
        "parameters",
        "localised",
        "revision",
        "torch",
        "device",
        "protocol",
    }
    assert wanted <= row.keys() and (row["seed"], row["steps"]) == (3, 2)
    assert 0 <= row["test_accuracy"] <= 1
    assert out.with_suffix(".safetensors").exists()
    told = capsys.readouterr().out
    assert "validation_accuracy" in told and "test_accuracy" not in told  # a choice may rest on what is told
    assert 0 <= row["validation_accuracy"] <= 1 and 0 <= row["ece"] <= 1


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--task nonsense", "task 'nonsense' is unknown, choose one of one_digit, identification, sum"),
        ("--task sum --profile fast", "profile 'fast' is unknown"),
        ("--task sum --system oracle", "system 'oracle' is unknown"),
        ("--task moving_digit --system resnet18", "resnet18 looks at still images and cannot learn from videos"),
        ("--task sum --profile quick --out FILE/result.json", "cannot be written"),
    ],
)
def test_what_cannot_be_is_found_before_training(monkeypatch, tmp_path, capsys, line, sentence):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(train, "fit", None)
    assert run_command(line.replace("FILE", str(tmp_path / "file")).split()) == 2
    told = capsys.readouterr().err
    assert sentence in told and told.count("\n") == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_the_best_validated_weights_are_kept(monkeypatch):
    """Accuracies 0.2, 0.9, 0.9, 0.1 are seen at steps 12, 14, 16, 18 of 20: the weights of step 16 come back."""
    job, seen = tiny_job(20, validations=5), []

    def evaluation(model, batches):
        seen.append(fingerprint(model))
        return SimpleNamespace(accuracy=[0.2, 0.9, 0.9, 0.1, 0.1][len(seen) - 1])

    monkeypatch.setattr(train, "evaluate", evaluation)
    run, found = trained(job)
    validated = {row["step"]: row["validation"] for row in run.history if "validation" in row}
    assert validated == {12: 0.2, 14: 0.9, 16: 0.9, 18: 0.1, 20: 0.1}
    assert seen[1] != seen[2] == found == trained(job, resume=True)[1]  # and after a resume


@pytest.mark.parametrize("steps, validations", [(20, 10), (23, 4), (7, 3), (250, 10)])
def test_validations_are_as_many_as_asked_for_evenly_over_the_second_half(monkeypatch, steps, validations):
    monkeypatch.setattr(train, "evaluate", lambda *_: SimpleNamespace(accuracy=0.5))
    monkeypatch.setattr(train, "train_step", lambda *_: torch.zeros(7))
    history = trained(tiny_job(steps, validations=validations))[0].history
    found = [row["step"] for row in history if "validation" in row]
    assert len(found) == validations and found[0] > steps / 2 and found[-1] == steps
    gaps = {later - earlier for earlier, later in zip([steps - steps // 2 - steps % 2, *found], found, strict=False)}
    assert max(gaps) - min(gaps) <= 1


def test_numbers_of_glimpses_are_drawn_anew_each_step(digits, monkeypatch, tmp_path):
    monkeypatch.setattr(train, "RUNS", tmp_path)
    drawn = []
    real = Saccader.forward
    monkeypatch.setattr(Saccader, "forward", lambda self, images, n=None: drawn.append(n) or real(self, images, n))
    config, recipe = TINY | {"likelihood": "placed", "crop": "fine", "crop_widths": (8, 8)}, {"steps": 24, "batch": 2}
    job = make_job("identification", "quick", config=config, recipe=recipe | {"looks": (2, 2, 5), "early": (0.2, 1.0)})
    first, drawn[:] = train.fit(job, progress=False).model.state_dict(), ()
    again = train.fit(job, resume=False, progress=False).model.state_dict()
    assert len(drawn) == 24 and set(drawn) == {2, 5} and drawn.count(2) > drawn.count(5)
    assert all(first[name].equal(again[name]) for name in first)


@pytest.mark.parametrize("system", ["saccader", "attention_sampling", "ram", "proxy_only"])
def test_batches_of_one_image_train_and_are_written(tmp_path, system):
    job = make_job("one_digit", "quick", system, recipe={"steps": 2, "batch": 1, "evaluated": 100})
    row = train.result(fit(job, progress=False))
    assert json.loads(json.dumps(row, allow_nan=False))["steps"] == 2


def test_a_run_is_for_one_process_at_a_time(runs):
    """Four processes that start the same run at the same instant: one trains, the others open what it left."""
    code = f"""
import pathlib, torch
from conftest import fingerprint, plain_digits
from vsacc.tasks import cluttered
from vsacc.training import fit as train
import test_train
cluttered.load_digits = lambda split: plain_digits()
train.RUNS = pathlib.Path({str(runs)!r})
made = []
step = train.train_step
train.train_step = lambda *given: made.append(0) or step(*given)
run, found = test_train.trained(test_train.tiny_job(5), resume=True)
print(len(made), found)
"""
    start = [sys.executable, "-c", code]
    four = [subprocess.Popen(start, stdout=subprocess.PIPE, cwd=Path(__file__).parent, text=True) for _ in range(4)]
    told = sorted(process.communicate()[0].split() for process in four)
    assert [steps for steps, _ in told] == ["0", "0", "0", "5"] and len({found for _, found in told}) == 1


def test_a_folder_without_room_is_found_before_the_first_step(runs, monkeypatch):
    monkeypatch.setattr(train, "train_step", None)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"has 0\.0 GB free and needs 0\.1, make room or set VSACC_DATA"):
        trained(tiny_job(2))
    runs.rename(runs.with_name("gone"))
    runs.write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        trained(tiny_job(2))


def test_a_disk_that_fills_up_is_one_sentence(monkeypatch):
    def full(self, path, state):
        raise RuntimeError("[enforce fail] unexpected pos 64 vs 0")

    monkeypatch.setattr("lightning_fabric.Fabric.save", full)
    with pytest.raises(UserError, match=r"the checkpoint .* cannot be written \(.* make room and start again"):
        trained(tiny_job(2))


@pytest.mark.parametrize("there", ["other.json", "note.json", "folder.json", "name.txt"])
def test_out_loses_nothing(monkeypatch, tmp_path, capsys, there):
    monkeypatch.setattr(train, "make_job", lambda task, profile, system, seed: tiny_job(1, int(seed)))
    out = tmp_path / there
    if there == "other.json":
        assert not run_command(["--task", "one_digit", "--seed", 3, "--out", out])
        assert not run_command(["--task", "one_digit", "--seed", 3, "--out", out])  # the same again
    elif there == "folder.json":
        out.mkdir()
    else:
        out.write_text("shopping")
    before = out.is_dir() or out.read_bytes()
    monkeypatch.setattr(train, "fit", None)
    capsys.readouterr()
    assert run_command(["--task", "one_digit", "--seed", 4, "--out", out]) == 2
    assert (out.is_dir() or out.read_bytes()) == before and capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("seed", ["-1", "99999999999999999999", "abc", "1.5"])
def test_a_seed_that_is_none_is_one_sentence(capsys, seed):
    assert run_command(["--task", "one_digit", f"--seed={seed}"]) == 2
    assert capsys.readouterr().err == f"vsacc: seed '{seed}' is not a whole number from 0 to 4294967295, give one.\n"
