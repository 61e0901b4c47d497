"""The plan: every cell once, the first seeds first, and where its runs stand; large images are small ones enlarged."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from tiny_runs import tiny_plan

from vsacc.images.canvases import upscale
from vsacc.local.paths import UserError, resolve_profile
from vsacc.studies.ablation import VARIANTS
from vsacc.studies.plan import CELLS, CONTROLS, LAPTOP, PAPER, QUICK, Cell, expected, plan, planned_job, read_rows
from vsacc.systems import all_systems
from vsacc.systems.saccader import PAPER_SIZE
from vsacc.tasks import all_tasks, open_split
from vsacc.tasks.cluttered import LARGE_BATCH, PAIR
from vsacc.training.jobs import build, make_job

PROFILES = ("quick", "laptop", "paper")


@pytest.mark.parametrize("profile", PROFILES)
def test_every_run_has_its_own_name_and_job_and_the_first_seeds_come_first(profile):
    runs = plan(profile)
    assert len(runs) == sum(cell.seeds for cell in CELLS[profile])
    assert len({run.name for run in runs}) == len({run.job for run in runs}) == len(runs)
    assert all(run.name.startswith(f"{run.job.task}-{run.job.model}-{profile}-seed{run.job.seed}") for run in runs)
    seeds = [run.job.seed for run in runs]
    assert seeds == sorted(seeds)
    assert Counter(seeds)[0] == len(CELLS[profile])


def test_everything_named_exists():
    for cell in (*LAPTOP, *PAPER):
        assert cell.task in all_tasks() and cell.system in (systems := all_systems())
        assert not cell.variant or cell.variant in systems[cell.system].variants


def test_a_task_of_digits_has_all_systems_that_read_digits():
    systems = {"saccader", "attention_sampling", "ram", "dram", "random"}
    for task in ("one_digit", "identification", "mit5k"):
        assert systems <= {cell.system for cell in LAPTOP if cell.task == task}
    for cells in (LAPTOP, PAPER):
        for task in {cell.task for cell in cells}:
            assert set(CONTROLS) <= {cell.system for cell in cells if cell.task == task}


def test_quick_is_a_few_steps_of_every_pair_and_alone_in_that():
    quick = plan("quick")
    asked = {(cell.task, cell.system, cell.variant) for cell in (*LAPTOP, *PAPER)}
    assert {(run.job.task, run.job.model, run.variant) for run in quick} == asked
    assert all(run.job.recipe.steps <= QUICK["steps"] and run.job.recipe.evaluated <= 20 for run in quick)
    assert planned_job("paper", PAPER[0], 1) == make_job(PAPER[0].task, "paper", PAPER[0].system, 1)


def test_as_published_is_what_the_paper_chose():
    runs = {run.name: run for run in plan("paper")}
    ours, theirs = (runs["identification-saccader-paper-seed0" + end] for end in ("", "-as_published"))
    assert theirs.variant == "as_published"
    choices = {"posterior": "dense", "likelihood": "pooled", "inhibition": False, "annealed": False}
    assert theirs.job.config == replace(PAPER_SIZE, **choices)
    assert VARIANTS["all of the paper's"][0] == choices  # the ablation means the same by it
    assert (theirs.job.recipe.weight_c, theirs.job.recipe.weight_kl) == (1.0, 1.0)
    assert ours.job == make_job("identification", "paper") and ours.job.config == PAPER_SIZE


def test_the_expected_minutes_are_the_mean_of_the_cells_seeds():
    (first, other), (third, _) = tiny_plan(), tiny_plan(seed=2, steps=9)
    rows = {run.name: {"seed": run.job.seed, "seconds": seconds} for run, seconds in ((first, 60.0), (third, 180.0))}
    rows |= {f"{first.name}-as_published": {"seed": 0, "seconds": 9.0}, "stopped": {"seed": 0}}
    assert expected(first, rows) == 2.0
    assert expected(other, rows) is expected(first._replace(variant="x"), rows) is None
    assert all(expected(run, read_rows()) for run in plan("laptop"))


def test_identification_2528_is_identification_enlarged(digits):
    small, large = (open_split(task, "test") for task in ("identification", "identification_2528"))
    assert small.clutter == large.clutter == replace(PAIR, near=0.0) and large.side == 2528
    assert "2528 x 2528" in large.protocol and "100 x 100" in small.protocol
    batches = list(replace(large, side=128).fixed(103))  # a few at a time, over the end of what is drawn at once
    assert [len(batch.labels) for batch in batches] == [LARGE_BATCH] * 10 + [3]
    wanted = list(small.fixed(103))
    for field in ("labels", "boxes"):
        ours, theirs = (torch.cat([getattr(batch, field) for batch in some]) for some in (batches, wanted))
        assert torch.equal(ours, theirs)
    assert torch.equal(batches[-1].images.level(0), upscale(wanted[-1].images.level(0), 128))
    drawn, wanted = large.draw(2, 5, 7), small.draw(2, 5, 7)
    assert torch.equal(drawn.images.level(0), upscale(wanted.images.level(0), 2528))


def test_the_desk_is_for_trainings_that_say_how():
    for run in plan("desk"):
        slow, fast = run.job, planned_job("laptop", Cell(run.job.task, run.job.model), run.job.seed)
        assert slow.recipe.steps > 2 * fast.recipe.steps and slow.recipe.evaluated == fast.recipe.evaluated
        assert sum(p.numel() for p in build(slow).parameters()) <= 3e6
    for task, system in (("mit5k", "saccader"), ("identification", "dram")):
        with pytest.raises(UserError, match=f"{system} has no profile desk on {task}, choose one of"):
            make_job(task, "desk", system)
    with pytest.raises(UserError, match="'desk' is unknown here"):
        resolve_profile("desk")
