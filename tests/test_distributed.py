"""Two processes on gloo do what one does: started by torchrun, killed, started again the way srun does."""

import json
import os
import signal
import socket
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from test_parallel import slurm
from tiny_runs import TINY

from conftest import plain_digits
from vsacc.local.paths import CHECKOUT
from vsacc.loss import lower_bound
from vsacc.tasks import cluttered, derive, open_split
from vsacc.training import fit as train
from vsacc.training.evaluation import evaluate
from vsacc.training.jobs import make_job
from vsacc.training.processes import rank_and_world
from vsacc.training.weights import load

RECIPE = {"batch": 16, "clip": 0.1, "evaluated": 250}  # clipped at every step
DIES = 7  # the step before which a process is killed


def job_of(name):
    """plain: a model that draws nothing; drawing: one that samples; killed: one with parameters that it does not use,
    because it looks once and its LSTM's last state is nobody's."""
    model, glimpses = {"plain": ("proxy_only", 2), "drawing": ("saccader", 2), "killed": ("saccader", 1)}[name]
    return make_job("one_digit", "quick", model, 5, TINY | {"glimpses": glimpses}, RECIPE | {"steps": 10})


def run_job(name, runs, **options):
    train.RUNS = runs
    return train.fit(job_of(name), progress=False, precision="32-true", **options)


def measure(model, count):
    """(Evaluation, images that this process's model saw)."""
    seen = []
    handle = model.register_forward_hook(lambda module, args, output: seen.append(len(output.logits)))
    scores = evaluate(model, open_split("one_digit", "test").fixed(count))
    handle.remove()
    return scores._asdict(), sum(seen)


def first_life(folder):
    """Of two processes: whole trainings, one half of another, and one that a process does not survive."""
    keep = {name: run_job(name, folder / "runs").model.state_dict() for name in ("plain", "drawing")}
    for _ in range(4):  # steps
        run_job("plain", folder / "two_then_one", deadline=0.0)
    rank, _ = rank_and_world()
    torch.save(keep, folder / f"first-{rank}.pt")
    train.CHECKPOINT_EVERY, take_step = 0.0, train.train_step

    def step_or_die(*arguments):
        if rank == 1 and arguments[-1] == DIES:
            os.kill(os.getpid(), signal.SIGKILL)
        return take_step(*arguments)

    train.train_step = step_or_die
    run_job("killed", folder / "runs")


def second_life(folder):
    """Of two processes: go on where others stopped, measure, and run the command."""
    killed, halved = run_job("killed", folder / "runs"), run_job("plain", folder / "one_then_two")
    rank, _ = rank_and_world()
    keep = {"killed": killed.model.state_dict(), "halved": halved.model.state_dict(), "history": halved.history}
    model = train.build(job_of("drawing"))
    model.vrnn.scale_top.fill_(0.3 + 0.2 * rank)  # a buffer: that of process 0 counts
    keep["measured"] = {count: measure(model, count) for count in (250, 60)}
    torch.save(keep, folder / f"second-{rank}.pt")
    job = make_job("one_digit", "quick", config=TINY, recipe={"steps": 2, "batch": 8, "evaluated": 250})
    train.make_job = lambda *_: job
    out = folder / f"out-{rank}" / "result.json"
    named = {"task": "one_digit", "photographs": None, "profile": "quick", "system": "saccader", "seed": 0}
    train.command(Namespace(**named, out=out, resume=False))


@pytest.fixture(scope="module", autouse=True)
def bank():
    """On one thread of the CPU, like the processes: Adam makes much of what rounding makes of a small gradient."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluttered, "load_digits", lambda split: plain_digits())
        patch.setattr(train, "RUNS", None)
        patch.setattr(torch.cuda, "is_available", lambda: False)
        patch.setenv("LT_ACCELERATOR", "cpu")  # Lightning's own, for a machine that has other ones
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, bank):
    """Both lives, one after the other; what they leave."""
    folder = tmp_path_factory.mktemp("lives")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "TORCHELASTIC_"))}
    clean |= {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    clean["GLOO_SOCKET_IFNAME"] = "lo" if sys.platform == "linux" else "lo0"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2"]

    def start(*command, **variables):
        command = [sys.executable, *command, str(folder)]
        return subprocess.Popen(command, cwd=CHECKOUT, env=clean | variables, stderr=subprocess.PIPE, text=True)

    first = start(*torchrun, __file__, "first_life")
    for _ in range(4):  # steps, meanwhile
        run_job("plain", folder / "one_then_two", deadline=0.0)
    _, told = first.communicate()
    assert first.returncode == 1 and "Signal 9 (SIGKILL)" in told, told
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    second = [
        start(__file__, "second_life", **where, **slurm(2, 1), SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank))
        for rank in range(2)
    ]
    try:
        for process in second:
            _, told = process.communicate()
            assert process.returncode == 0, told
    finally:
        for process in second:
            process.kill()  # it would wait for the other one
    return folder


def left(folder, life):
    """What the processes of a life kept, the same for both."""
    return [torch.load(folder / f"{life}-{rank}.pt") for rank in range(2)]


def distance(weights, others):
    """Relative, of all weights as one vector."""
    a, b = (torch.cat([value.flatten().double() for value in state.values()]) for state in (weights, others))
    return ((a - b).norm() / b.norm()).item()


def twin(job, world=2):
    """The weights that ``world`` processes should end with, by one that computes every part, with its own noise."""
    recipe, model, split = job.recipe, train.build(job).train(), open_split(job.task, "train")
    adam = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.99), weight_decay=recipe.weight_decay, fused=True)
    for step in range(recipe.steps):
        adam.param_groups[0]["lr"] = train.learning_rate(recipe, step)
        model.anneal(step / recipe.steps)
        adam.zero_grad()
        for rank in range(world):
            size = recipe.batch // world
            images, labels, *_ = split.draw(recipe.batch, job.seed, step, slice(rank * size, (rank + 1) * size))
            torch.manual_seed(derive(job.seed, step, train.NOISE, rank))
            output = model(images)
            bound = lower_bound(output.logits, labels, output.terms, recipe.weight_c, recipe.weight_kl)
            (bound.loss / world).backward()
        for part in model.children():
            norm = torch.nn.utils.clip_grad_norm_(part.parameters(), recipe.clip)
            assert norm > 0
        adam.step()
    return model.state_dict()


def test_two_processes_end_where_one_does_that_draws_what_both_draw(folder, tmp_path):
    plain, other = (run_job(name, tmp_path).model.state_dict() for name in ("plain", "drawing"))
    averaged = twin(job_of("drawing"))
    for kept in left(folder, "first"):
        assert distance(kept["plain"], plain) < 1e-6
        assert distance(kept["drawing"], averaged) < 1e-6
    assert distance(train.build(job_of("plain")).state_dict(), plain) > 1e-3  # it did train
    assert distance(other, averaged) > 1e-4  # one process alone has other noise


def test_a_process_is_killed_and_the_run_goes_on_under_srun(folder):
    checkpoint = torch.load(folder / "runs" / job_of("killed").name / "checkpoint.pt")
    assert checkpoint["step"] == 10 and checkpoint["made"]["device"].startswith("2 x ")
    expected = twin(job_of("killed"))
    for kept in left(folder, "second"):
        assert distance(kept["killed"], expected) < 1e-6


def test_a_run_may_go_on_with_another_number_of_processes(folder, tmp_path):
    one = run_job("plain", tmp_path)
    two_then_one = run_job("plain", folder / "two_then_one")
    assert [row["step"] for row in two_then_one.history] == list(range(1, 11))
    assert distance(two_then_one.model.state_dict(), one.model.state_dict()) < 1e-6
    for kept in left(folder, "second"):
        assert distance(kept["halved"], one.model.state_dict()) < 1e-6
        for row, same in zip(kept["history"], one.history, strict=True):  # it tells of whole batches
            assert row["loss"] == pytest.approx(same["loss"], rel=1e-5) and row["accuracy"] == same["accuracy"]


@pytest.mark.parametrize(("count", "shares"), [(250, (150, 100)), (60, (60, 0))])
def test_every_image_is_measured_once(folder, count, shares):
    expected, _ = measure(train.build(job_of("drawing")), count)
    for kept, share in zip(left(folder, "second"), shares, strict=True):
        scores, seen = kept["measured"][count]
        assert seen == share and len(scores["labels"]) == count
        for name, value in expected.items():
            torch.testing.assert_close(scores[name], value)


def test_the_command_writes_once_and_tells_of_all(folder):
    assert not (folder / "out-1" / "result.json").exists()
    row = json.loads((folder / "out-0" / "result.json").read_text())
    assert row["steps"] == 2 and row["device"].startswith("2 x ")
    scores, _ = measure(load(folder / "out-0" / "result.safetensors"), 250)
    assert row["test_accuracy"] == round(scores["accuracy"], 5)
    assert row["log_y"] == pytest.approx(scores["log_y"], abs=2e-4)


if __name__ == "__main__":
    torch.set_num_threads(1)
    cluttered.load_digits = lambda split: plain_digits()
    {"first_life": first_life, "second_life": second_life}[sys.argv[1]](Path(sys.argv[2]))
