"""Who starts how many processes, what each one's share is, and that their noise differs."""

import pytest
import torch
from lightning_fabric.plugins.environments import SLURMEnvironment

from vsacc.local.paths import UserError
from vsacc.tasks import FiniteSplit, derive
from vsacc.training import fit as train
from vsacc.training.processes import device, launch, part_of, processes_and_nodes


def torchrun(local, world):
    return {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": str(local), "WORLD_SIZE": str(world)}


def slurm(tasks, nodes):
    """What srun sets; none of it asks a SLURM daemon."""
    return {
        "SLURM_STEP_ID": "0", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "train", "SLURM_NODEID": "0",
        "SLURM_NTASKS": str(tasks), "SLURM_NNODES": str(nodes), "SLURM_NTASKS_PER_NODE": str(tasks // nodes),
    }  # fmt: skip


@pytest.mark.parametrize("world", [1, 2, 4])
def test_parts_are_equal_and_make_up_the_batch(world):
    class Numbers(FiniteSplit):
        def __len__(self):
            return 10

        def take(self, places):
            return places

    parts = [part_of(16, rank, world) for rank in range(world)]
    assert torch.equal(torch.cat([Numbers().draw(16, 0, 3, part) for part in parts]), Numbers().draw(16, 0, 3))


@pytest.mark.parametrize(("batch", "world"), [(16, 3), (2, 4), (4, 4)])
def test_unequal_parts_are_one_sentence(batch, world):
    with pytest.raises(UserError, match=f"{world} processes cannot share batches of {batch}"):
        part_of(batch, 0, world)


def test_process_0_has_the_noise_of_a_single_one_and_no_other_has():
    """Committed results were made with (seed, step, purpose)."""
    for seed, step in ((0, 0), (7, 59_999)):
        assert derive(seed, step, train.NOISE, 0) == derive(seed, step, train.NOISE)
    drawn = {derive(0, step, train.NOISE, rank) for step in range(50) for rank in range(8)}
    assert len(drawn) == 400


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (1, 1)),
        ({"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4"}, (1, 1)),  # nobody has started the others
        (torchrun(1, 1), (1, 1)),
        (torchrun(2, 2), (2, 1)),
        (torchrun(4, 8), (4, 2)),
        (slurm(1, 1), (1, 1)),
        (slurm(4, 1), (4, 1)),
        (slurm(8, 2), (4, 2)),
        (slurm(2, 2) | torchrun(4, 8), (4, 2)),  # srun starts one torchrun a node
        ({key: value for key, value in slurm(4, 1).items() if key != "SLURM_STEP_ID"}, (1, 1)),  # a batch script
    ],
)
def test_processes_and_nodes(monkeypatch, variables, expected):
    for name in [*torchrun(1, 1), *slurm(1, 1)]:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert processes_and_nodes() == expected
    if "SLURM_STEP_ID" in variables and "WORLD_SIZE" not in variables:
        SLURMEnvironment().validate_settings(*expected)  # Lightning refuses what does not fit


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (slurm(4, 2) | {"SLURM_NTASKS_PER_NODE": None}, "ask SLURM for --ntasks-per-node=2 instead of --ntasks=4"),
        (torchrun(4, 4), "4 processes on this node see 1 GPU, start one a GPU"),
    ],
)
def test_what_cannot_be_is_one_sentence(monkeypatch, variables, sentence):
    for name, value in variables.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UserError, match=sentence):
        launch()


def test_a_notebook_of_a_job_of_many_tasks_is_one_process(monkeypatch):
    """Its kernel sees SLURM's variables of the whole job, and no srun has started it."""
    alone = {"SLURM_NTASKS": "4", "SLURM_NODELIST": "localhost", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
    for name, value in (slurm(4, 1) | alone).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_STEP_ID")
    monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    assert launch().world_size == 1


def test_one_rule_for_the_device(monkeypatch):
    """Training does not go where notebooks and commands do not: Apple's GPU stays unused."""
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    monkeypatch.setattr("lightning_fabric.accelerators.mps.MPSAccelerator.is_available", lambda: True)
    assert launch().device.type == device() == "cpu"
