"""A plan's runs in processes that are killed, in a bare copy of the source, and on a GPU each."""

import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from tiny_runs import apart, tiny_plan, told

from vsacc.local.paths import ROOT
from vsacc.studies import pool
from vsacc.studies.pool import open_pool
from vsacc.studies.rows import read_rows

KILLED = """
import sys
sys.path.insert(0, "tests")
from functools import partial
from pathlib import Path
from tiny_runs import apart, standings, tiny_plan
from vsacc.studies.reproduce import run_all
folder = Path(sys.argv[1])
run_all(standings(tiny_plan(40)[:1], folder / "rows"), partial(apart, folder=folder), workers=2)
"""


def test_killed_and_started_again_ends_with_the_same_rows(tmp_path):
    """A worker ends with its parent, which is killed at an arbitrary step; its run goes on in another process."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "killed")], cwd=ROOT)
    while not list((tmp_path / "killed").rglob("checkpoint.pt")):
        assert process.poll() is None
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")  # not everywhere
    workers = children.read_text().split() if children.exists() else []
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while any(alive(worker) for worker in workers):  # else it would train on beside us
        time.sleep(0.01)
    for part in ("killed", "whole"):
        apart(tiny_plan(40)[0], math.inf, tmp_path / part)
    rows = read_rows(tmp_path / "killed" / "rows")
    assert len(rows) == 1 and told(rows) == told(read_rows(tmp_path / "whole" / "rows"))


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_workers_take_the_gpus_in_turn(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(pool, "ProcessPoolExecutor", lambda workers, context, initializer, initargs: initargs[0])
    monkeypatch.setattr(pool, "end_with_parent", lambda: None)
    places, taken = open_pool(3), []
    for _ in range(3):
        pool.begin(places)
        taken.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert taken == ["4", "7", "4"]


def test_gpus_are_named_as_the_environment_does(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert pool.gpus() == ["0", "1"] and pool.default_workers() == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-8")
    assert pool.gpus() == ["5", "GPU-8"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert pool.gpus() == [] and pool.default_workers() == os.cpu_count()


PLAIN = """
import sys
absent = "imagecodecs rawpy simplejpeg tifffile joblib safetensors jupyterlab ipywidgets IPython papermill nbformat"
sys.modules |= dict.fromkeys(absent.split())
sys.argv = "vsacc.studies.reproduce --profile quick --workers 1 --only one_digit-saccader one_digit-random --out rows".split()
import torch
from vsacc.tasks import base as tasks
from vsacc.tasks.mnist import Digits
from vsacc.studies.reproduce import main
labels = torch.arange(10).repeat(30)
tasks.load_digits = lambda split: Digits(labels.to(torch.uint8).view(-1, 1, 1).repeat(1, 28, 28), labels)
sys.exit(main())
"""


def test_a_copy_of_the_source_and_plain_torch_are_enough(tmp_path):
    """No git, no Jupyter, no decoders of photographs, no safetensors: what a rented GPU comes with."""
    shutil.copytree(ROOT / "vsacc", tmp_path / "vsacc", ignore=shutil.ignore_patterns("__pycache__"))
    environment = os.environ | {"VSACC_DATA": "data", "VSACC_REVISION": "abc1234", "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", PLAIN], cwd=tmp_path, env=environment, check=True, capture_output=True)
    rows = read_rows(tmp_path / "rows")
    assert len(rows) == 2 and {row["revision"] for row in rows.values()} == {"abc1234"}
    assert not (tmp_path / "reports").exists() and (tmp_path / "data" / "runs").exists()
