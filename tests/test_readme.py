"""No number in the README is typed by hand, and rows and cards of the same run agree."""

import json
from dataclasses import asdict

import pytest

from vsacc.local.paths import CHECKOUT, WEIGHTS, UserError
from vsacc.report.readme import HEADLINES, key, render, table
from vsacc.studies.plan import job_of, plan, read_rows, row_name
from vsacc.training.jobs import make_job

SEEN = {"parameters": 1_230_000, "test_accuracy": 0.9512, "localised": 0.987, "seconds": 90.0, "device": "a CPU"}
SEEN |= {"threads": 2, "protocol": "digits"}


def row(task, model="saccader", profile="laptop", seed=0, **seen):
    job = make_job(task, profile, model, seed)
    made = {"task": task, "model": model, "profile": profile, "seed": seed}
    return {row_name(job): {**made, "config": asdict(job.config), "recipe": asdict(job.recipe), **SEEN, **seen}}


def test_the_readme_says_what_the_rows_say():
    text = (CHECKOUT / "README.md").read_text()
    assert render(text, read_rows()) == text, "run vsacc refresh --only readme"


def test_every_committed_row_is_planned():
    planned = {run.name for profile in ("laptop", "desk", "paper") for run in plan(profile)}
    assert read_rows().keys() <= planned


def test_rows_and_cards_of_the_same_run_agree():
    rows, compared = read_rows(), 0
    by_job = {job_of(row): row for row in rows.values()}
    assert None not in by_job
    for path in WEIGHTS.glob("*.json"):
        card = json.loads(path.read_text())
        job = job_of(card)
        assert job is not None, path.name
        if job in by_job:
            assert by_job[job] == card, path.name
            compared += 1
    assert compared


def test_a_line_holds_every_seed():
    rows = row("one_digit", seed=0) | row("one_digit", seed=2, test_accuracy=0.9, localised=0.98, seconds=30.0)
    lines = table(rows).splitlines()[2:]
    found = [line for line in lines if line.startswith("| one_digit")]
    assert found == [
        "| one_digit | saccader | laptop | 1.23 M | 3 | 294,400 | 0, 2 | 95.1 / 90.0 % | 98.7 / 98.0 % | 1.0 |"
        " a CPU, 2 threads |"
    ]


def test_a_stand_in_a_collapse_and_another_configuration_are_told():
    blind = row("mit5k", "proxy_only", localised=None, protocol="a stand-in for FiveK")
    stopped = row("one_digit", seed=1, stopped="the bound is nan")
    (name, old), *_ = row("identification").items()
    for gone in ("test_accuracy", "localised", "seconds"):
        del stopped["one_digit-saccader-laptop-seed1"][gone]
    old["recipe"]["steps"] += 1
    text = table(blind | stopped | row("one_digit", seed=2) | {name: old})
    assert (
        "| mit5k (stand-in) | proxy_only | laptop | 1.23 M |  | 38,400 | 0 | 95.1 % |  | 1.5 | a CPU, 2 threads |"
        in text
    )
    assert "| one_digit | saccader | laptop | 1.23 M | 3 | 294,400 | 1, 2 | stopped / 95.1 % | 98.7 % | 1.5 |" in text
    assert "| identification | saccader | laptop, another configuration |" in text


def test_headlines_that_nobody_has_run_say_so():
    lines = [line for line in table({}).splitlines() if "not run" in line]
    assert len(lines) == len(HEADLINES)
    assert "| identification | saccader | paper |  |  |  |  | not run |  |  |  |" in lines
    assert HEADLINES <= {key(run) for run in plan("paper")}
    assert "| sum | saccader | paper | 1.23 M |" in table(row("sum", profile="paper"))


def test_rows_of_a_folder(tmp_path):
    assert read_rows(tmp_path / "none") == {}
    (tmp_path / "b.json").write_text('{"seed": 1}')
    (tmp_path / "a.json").write_text('{"seed": 2}')
    assert list(read_rows(tmp_path).items()) == [("a", {"seed": 2}), ("b", {"seed": 1})]
    (tmp_path / "c.json").write_text('{"torn')
    with pytest.raises(UserError, match=r"c\.json is not a readable row"):
        read_rows(tmp_path)


def test_the_job_of_a_row():
    (made,) = row("one_digit", seed=2).values()
    made = json.loads(json.dumps(made))
    assert job_of(made) == make_job("one_digit", "laptop", seed=2)
    del made["config"]["noise"]  # a row from before there was the choice
    assert job_of(made) == make_job("one_digit", "laptop", seed=2)
    assert job_of(made | {"recipe": {**made["recipe"], "steps": 7}}) != make_job("one_digit", "laptop", seed=2)
    assert job_of(made | {"recipe": {"hurry": 1}}) is None
    assert job_of(made | {"model": "oracle"}) is None


def test_lost_markers():
    with pytest.raises(UserError, match="has lost its"):
        render("# A readme", {})
