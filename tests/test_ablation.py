"""Every variant of the ablation can be built, trained and recorded."""

import json
import sys

from vsacc.studies import ablation
from vsacc.training import fit as train
from vsacc.training import recipes


def test_all_variants_run(monkeypatch, tmp_path, digits):
    tiny = recipes.Config(hidden=8, features=8, proxy_widths=(4, 4), crop_widths=(8, 8), size=16)
    monkeypatch.setitem(recipes.CONFIGS[recipes.Config], "quick", tiny)
    monkeypatch.setitem(recipes.RECIPES["one_digit"], "quick", recipes.Recipe(steps=2, batch=8, evaluated=100))
    monkeypatch.setattr(train, "RUNS", tmp_path)
    out = tmp_path / "ablation.json"
    monkeypatch.setattr(sys, "argv", ["vsacc.studies.ablation", "--profile", "quick", "--out", str(out)])
    ablation.main()
    record = json.loads(out.read_text())
    assert list(record["rows"]) == list(ablation.VARIANTS)
    assert all(0 <= row["test_accuracy"] <= 1 and row["steps"] == 2 for row in record["rows"].values())
    assert {"revision", "device", "seed", "task"} <= record.keys()


def test_each_variant_is_another_job():
    jobs = {
        train.make_job("one_digit", "quick", config=config, recipe=recipe).name
        for config, recipe in ablation.VARIANTS.values()
    }
    assert len(jobs) == len(ablation.VARIANTS)
