"""Every variant of the ablation can be built, trained and recorded."""

import json
from argparse import Namespace
from dataclasses import replace

import pytest
from tiny_runs import TINY

from vsacc.local.paths import UserError
from vsacc.studies import ablation
from vsacc.studies.ablation import VARIANTS, command
from vsacc.training import fit as train


def test_all_variants_run(monkeypatch, tmp_path, digits):
    jobs = {ablation.make_job("one_digit", "quick", config=c, recipe=r).name for c, r in VARIANTS.values()}
    assert len(jobs) == len(VARIANTS)
    fit, out = train.fit, tmp_path / "ablation.json"

    def few_steps(job):
        recipe = replace(job.recipe, steps=2, batch=8, evaluated=100)
        return fit(replace(job, config=replace(job.config, **TINY), recipe=recipe), progress=False)

    monkeypatch.setattr(train, "RUNS", tmp_path)
    monkeypatch.setattr(ablation, "fit", few_steps)
    command(Namespace(task="one_digit", profile="quick", seed=0, out=out))
    record = json.loads(out.read_text())
    assert list(record["rows"]) == list(VARIANTS)
    assert all(0 <= row["test_accuracy"] <= 1 and row["steps"] == 2 for row in record["rows"].values())
    assert {"revision", "device", "seed", "task"} <= record.keys()


@pytest.mark.parametrize("error", [train.Stopped("no bound"), UserError("no digits")])
def test_a_collapse_is_a_result_and_nothing_else_is(monkeypatch, tmp_path, error):
    def fail(job):
        raise error

    monkeypatch.setattr(ablation, "fit", fail)
    options = Namespace(task="one_digit", profile="quick", seed=0, out=tmp_path / "ablation.json")
    if isinstance(error, train.Stopped):
        command(options)
        assert json.loads(options.out.read_text())["rows"]["ours"]["stopped"] == "no bound"
    else:
        with pytest.raises(UserError, match="no digits"):
            command(options)
