"""Training: it learns, resumes bit-equal, and stops with a sentence when it cannot end well."""

import json
from types import SimpleNamespace

import pytest

from conftest import fingerprint
from vsacc.__main__ import main
from vsacc.local.paths import UserError
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
    assert "test_accuracy" in capsys.readouterr().out


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
    job, seen = tiny_job(20, validations=10), []

    def evaluation(model, batches):
        seen.append(fingerprint(model))
        return SimpleNamespace(accuracy=[0.2, 0.9, 0.9, 0.1, 0.1][len(seen) - 1])

    monkeypatch.setattr(train, "evaluate", evaluation)
    run, found = trained(job)
    validated = {row["step"]: row["validation"] for row in run.history if "validation" in row}
    assert validated == {12: 0.2, 14: 0.9, 16: 0.9, 18: 0.1, 20: 0.1}
    assert seen[1] != seen[2] == found == trained(job, resume=True)[1]  # and after a resume
