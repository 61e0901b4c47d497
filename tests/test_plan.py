"""The plan: every cell once, the first seeds first, and the large images are the small ones enlarged."""

from collections import Counter

import pytest
import torch

from vsacc.sampler import upscale
from vsacc.studies.plan import CELLS, LAPTOP, MINUTES, PAPER, QUICK, plan, planned_job
from vsacc.systems.models import MODELS
from vsacc.tasks.base import KINDS, LARGE_BATCH, ClutteredSplit, open_split
from vsacc.tasks.cluttered import TASKS
from vsacc.training.recipes import AS_PUBLISHED, PAPER_SIZE, make_job

PROFILES = ("quick", "laptop", "paper")


@pytest.mark.parametrize("profile", PROFILES)
def test_every_run_has_its_own_name_and_job(profile):
    runs = plan(profile)
    assert len(runs) == sum(cell.seeds for cell in CELLS[profile])
    assert len({run.name for run in runs}) == len({run.job for run in runs}) == len(runs)
    assert all(run.name.startswith(f"{run.job.task}-{run.job.model}-{profile}-seed{run.job.seed}") for run in runs)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_first_seed_of_everything_comes_first(profile):
    seeds = [run.job.seed for run in plan(profile)]
    assert seeds == sorted(seeds)
    assert Counter(seeds)[0] == len(CELLS[profile])


def test_everything_named_exists():
    for cell in (*LAPTOP, *PAPER):
        assert cell.task in KINDS and cell.model in MODELS
    assert {(profile, cell.task, cell.model) for profile in PROFILES for cell in CELLS[profile]} >= MINUTES.keys()


def test_the_laptop_has_every_system_on_every_task():
    """Where the issue asks for it: a task of digits has all systems that read digits."""
    systems = {"saccader", "attention_sampling", "ram", "dram", "random"}
    for task in ("one_digit", "identification", "mit5k"):
        assert systems <= {cell.model for cell in LAPTOP if cell.task == task}


def test_quick_is_a_few_steps_of_every_pair():
    quick = plan("quick")
    asked = {(cell.task, cell.model, cell.variant) for cell in (*LAPTOP, *PAPER)}
    assert {(run.job.task, run.job.model, run.variant) for run in quick} == asked
    assert all(run.job.recipe.steps <= QUICK["steps"] and run.job.recipe.evaluated <= 20 for run in quick)


def test_as_published_is_what_the_paper_chose():
    run = next(run for run in plan("paper") if run.variant == "as_published" and run.job.task == "identification")
    assert run.name == "identification-saccader-paper-seed0-as_published"
    assert run.job.config == AS_PUBLISHED != PAPER_SIZE
    assert (run.job.recipe.weight_c, run.job.recipe.weight_kl) == (1.0, 1.0)
    ours = next(run for run in plan("paper") if run.name == "identification-saccader-paper-seed0")
    assert ours.job == make_job("identification", "paper")
    assert ours.job.config == PAPER_SIZE


def test_only_quick_is_shortened():
    cell = PAPER[0]
    assert planned_job("paper", cell, 1) == make_job(cell.task, "paper", cell.model, 1)
    assert planned_job("quick", cell, 0).recipe.steps == QUICK["steps"]


def test_identification_2528_is_identification_enlarged(digits):
    small, large = (open_split(task, "test") for task in ("identification", "identification_2528"))
    count = LARGE_BATCH + 1
    batches = list(large.fixed(count))
    assert [len(batch.labels) for batch in batches] == [LARGE_BATCH, 1]
    (wanted,) = small.fixed(count)
    assert torch.equal(torch.cat([batch.labels for batch in batches]), wanted.labels)
    assert torch.equal(torch.cat([batch.boxes for batch in batches]), wanted.boxes)
    assert torch.equal(batches[1].images.level(0), upscale(wanted.images.level(0)[-1:], 2528))
    assert "2528 x 2528" in large.protocol and "100 x 100" in small.protocol
    drawn, wanted = large.draw(2, 5, 7), small.draw(2, 5, 7)
    assert torch.equal(drawn.images.level(0), upscale(wanted.images.level(0), 2528))
    assert torch.equal(drawn.labels, wanted.labels)


def test_the_fixed_set_is_the_same_when_enlarged_a_few_at_a_time(digits):
    split = ClutteredSplit(TASKS["identification"], digits, side=128)
    whole = split.draw(100, 2018, 1)  # the second batch of the test set at once
    parts = [batch for batch in split.fixed(103)][-1]
    assert torch.equal(parts.images.flat, whole.images.flat[:3]) and torch.equal(parts.labels, whole.labels[:3])
