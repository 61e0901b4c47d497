"""A plan's runs in processes that are killed, in a bare copy of the source, and on a GPU each."""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from tiny_runs import apart, tiny_plan, told

from vsacc.local.paths import CHECKOUT
from vsacc.studies import runs
from vsacc.studies.plan import read_rows
from vsacc.studies.runs import in_processes, run_all

KILLED = """
import sys
sys.path.insert(0, "tests")
from functools import partial
from pathlib import Path
from tiny_runs import apart, tiny_plan
from vsacc.studies.runs import run_all
run_all(tiny_plan(25), Path(sys.argv[1]) / "rows", partial(apart, folder=Path(sys.argv[1])), workers=2)
"""


def test_killed_and_started_again_ends_with_the_same_rows(tmp_path):
    """A worker ends with its parent, which is killed at an arbitrary step; its run goes on in another process."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "killed")], cwd=CHECKOUT)
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
        folder = tmp_path / part
        assert run_all(tiny_plan(25), folder / "rows", partial(apart, folder=folder)) == 0
    rows = read_rows(tmp_path / "killed" / "rows")
    assert len(rows) == 2 and told(rows) == told(read_rows(tmp_path / "whole" / "rows"))


def alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def my_gpu(item):
    time.sleep(0.5)
    return os.environ["CUDA_VISIBLE_DEVICES"]


def test_workers_take_a_gpu_each(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-8")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert runs.gpus() == ["4", "GPU-8"] and runs.default_workers() == 2
    assert {gpu for _, gpu in in_processes(my_gpu, tiny_plan() * 2, 2)} == {"4", "GPU-8"}
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert runs.gpus() == ["0", "1"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert runs.gpus() == [] and runs.default_workers() == os.cpu_count()


def test_a_worker_in_the_place_of_another_takes_its_gpu(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    watched, taken = [], []  # what is watched holds a worker's seat
    thread = SimpleNamespace(start=lambda: None)
    monkeypatch.setattr(
        runs, "threading", SimpleNamespace(Thread=lambda target, daemon: watched.append(target) or thread)
    )
    for leaving in (False, False, False, True):
        if leaving:
            del watched[1]
        runs.begin(os.getppid(), str(tmp_path), 3, ["4", "GPU-8"])
        taken.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert taken == ["4", "GPU-8", "4", "GPU-8"]


PLAIN = """
import sys
absent = "imagecodecs rawpy simplejpeg tifffile joblib safetensors jupyterlab ipywidgets IPython papermill"
sys.modules |= dict.fromkeys(absent.split())
import torch
from vsacc.tasks import cluttered
from vsacc.tasks.mnist import Digits
from vsacc.__main__ import main
labels = torch.arange(10).repeat(30)
cluttered.load_digits = lambda split: Digits(labels.to(torch.uint8).view(-1, 1, 1).repeat(1, 28, 28), labels)
main("reproduce --profile quick --workers 1 --only one_digit-saccader one_digit-random --out rows".split())
"""


def test_a_copy_of_the_source_and_plain_torch_are_enough(tmp_path):
    """No git, no Jupyter, no decoders of photographs, no safetensors: what a rented GPU comes with."""
    shutil.copytree(CHECKOUT / "vsacc", tmp_path / "vsacc", ignore=shutil.ignore_patterns("__pycache__"))
    environment = os.environ | {"VSACC_DATA": "data", "VSACC_REVISION": "abc1234", "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", PLAIN], cwd=tmp_path, env=environment, check=True, capture_output=True)
    rows = read_rows(tmp_path / "rows")
    assert len(rows) == 2 and {row["revision"] for row in rows.values()} == {"abc1234"}
    assert not (tmp_path / "reports").exists() and (tmp_path / "data" / "runs").exists()
