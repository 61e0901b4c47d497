"""Sixty quick steps of every system on one digit give, bit for bit, the weights that they gave when somebody last meant
to change them: whatever else changes what is learned shows here."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from conftest import fingerprint
from vsacc.tasks import mnist
from vsacc.training import fit as train
from vsacc.training.jobs import make_job

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())


@pytest.fixture(scope="module", autouse=True)
def reproducing():
    """Sums of floats are rounded differently on other processors and by other versions of torch: there is nothing to
    compare where a small training from fixed weights does not come out as it did on the machine of the hashes."""
    with train.one_thread():
        torch.manual_seed(0)
        net = nn.Sequential(
            *(nn.Conv2d(1, 64, 7, 2, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)),
            *(nn.Conv2d(64, 128, 2, 2), nn.GroupNorm(4, 128), nn.Tanh(), nn.Flatten()),
            *(nn.Linear(128 * 64, 128), nn.Sigmoid(), nn.Linear(128, 10)),
        ).to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(net.parameters(), betas=(0.9, 0.99))
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(net(torch.randn(32, 1, 64, 64)), torch.arange(32) % 10).backward()
            optimizer.step()
        if fingerprint(net) != GOLDEN["reference"]:
            pytest.skip(f"sums are not rounded as in {GOLDEN['made with']}")
        yield


@pytest.mark.parametrize("system", GOLDEN["systems"])
def test_weights_are_those_of_before(system, tmp_path, monkeypatch):
    pytest.importorskip("numba")  # plain torch rounds the last bit of a glimpse another way
    if not all((mnist.FOLDER / name).exists() for name in mnist.FILES):
        pytest.skip("MNIST is not here, vsacc prepare mnist fetches it")
    monkeypatch.setattr(train, "RUNS", tmp_path)
    recipe, expected = GOLDEN["systems"][system]
    run = train.fit(make_job("one_digit", "quick", system, recipe=recipe), progress=False, precision="32-true")
    assert fingerprint(run.model) == expected
