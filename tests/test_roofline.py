"""The roofline: operations and bytes of a small stack counted by hand, the arithmetic and what is said of it."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from vsacc.saccader import Config, Model, Output, Saccader
from vsacc.sampler import build_pyramid, glimpse, proxy
from vsacc.studies import roofline
from vsacc.studies.cost import CLASSES, TASK
from vsacc.studies.roofline import Count, Counted, Peaks, count, least_times, nearest_and_farthest, peaks
from vsacc.systems.resnet import CropsConfig, CropsResNet, WholeConfig, WholeResNet

LOGITS = 4 * CLASSES  # bytes an image


class Stack(Model):
    """A 3 x 3 convolution of 8 x 8 pixels of one channel to 2, and a linear layer on the 128 values."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 2, 3, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128, CLASSES))

    def forward(self, images):
        return Output(self.layers(proxy(images, 8)), None, None, {})


CONVOLUTION, LINEAR = 2 * 64 * 2 * 9, 2 * 128 * CLASSES
AVERAGE = 2 * (8 * 16 * 16 + 8 * 16 * 8)  # 16 x 16 pixels to 8 x 8, one axis after the other
WEIGHTS = 4 * (2 * 9 + 2 + 128 * CLASSES + CLASSES)


def test_operations_and_bytes_by_hand():
    ahead = count(Stack(), "inference", 16, 1)
    assert ahead == (CONVOLUTION + LINEAR + AVERAGE, 16 * 16 + LOGITS, WEIGHTS)
    # Backward, a layer has as many operations for its weights and as many for its input; pixels want no gradient.
    both = count(Stack(), "training", 16, 1)
    assert both.flops == 2 * CONVOLUTION + 3 * LINEAR + AVERAGE
    assert both.read == ahead.read
    assert both.resident == 2 * 3 * WEIGHTS  # weights and two moments, there and back


def test_a_glimpse_reads_as_many_bytes_as_its_docstring_says():
    images = Counted(*build_pyramid(torch.zeros(2, 3, 256, 256, dtype=torch.uint8)))
    glimpse(images, torch.tensor([[[0.3, 0, 0], [0.9, 0.1, 0]]] * 2), 16)
    assert images.read == 2 * 2 * 8 * 16**2 * 3


@pytest.fixture
def small_resnets(monkeypatch):
    """Four crops, and a block a stage."""
    monkeypatch.setattr("vsacc.systems.resnet.GRID", 2)
    monkeypatch.setattr("vsacc.systems.resnet.CROP", 1500)
    monkeypatch.setattr("torchvision.models.resnet18", lambda num_classes: ResNet(BasicBlock, [1] * 4, num_classes))


@pytest.mark.parametrize(("made", "config"), [(WholeResNet, WholeConfig()), (CropsResNet, CropsConfig(chunk=None))])
def test_a_resnet_is_counted_without_being_run(small_resnets, monkeypatch, made, config):
    """Shapes alone give the same counts as pixels do."""
    model, twin = made(config, TASK.question), made(config, TASK.question)
    shapes = count(model, "training", 64, 1)
    monkeypatch.setattr(roofline, made.__name__, Stack)  # now nobody takes it for a ResNet
    assert count(twin, "training", 64, 1) == shapes
    assert [next(each.parameters()).device.type for each in (model, twin)] == ["meta", "cpu"]


def test_checkpointing_runs_the_crops_once_more(small_resnets):
    ahead, naive, chunks, few = (
        count(CropsResNet(CropsConfig(1, chunk), TASK.question), mode, 64, 1)
        for chunk in (None, 2)
        for mode in ("inference", "training")
    )
    assert chunks == ahead
    assert few.flops - naive.flops == pytest.approx(ahead.flops, rel=0.02)  # less the layers after the last norm
    assert few.read - LOGITS == 2 * (naive.read - LOGITS)


def test_what_looks_at_a_few_places_has_as_much_to_do_at_any_side():
    tiny = Config(hidden=16, features=12, proxy_widths=(4, 8), crop_widths=(8, 8))
    small, large = (count(Saccader(tiny, TASK.question), "inference", side, 1) for side in (256, 4096))
    assert small == large
    more = count(Saccader(replace(tiny, glimpses=4), TASK.question), "inference", 256, 1)
    assert more.read - small.read == 2 * 8 * 32**2


ROW = {"name": "saccader", "method": "saccader", "mode": "inference", "side": 16, "channels": 1}


@pytest.mark.parametrize(
    ("flops", "moved", "floor", "bound"), [(400, 10, 4.0, "operations"), (400, 100, 10.0, "bytes")]
)
def test_the_floor_is_the_longer_of_two_times(monkeypatch, flops, moved, floor, bound):
    monkeypatch.setattr(roofline, "count", lambda *_: Count(flops, moved - 4, 16))
    not_run, (row,) = ROW | {"seconds": None}, least_times([ROW | {"batch": 4, "seconds": 40.0}], Peaks(100, 10))
    assert least_times([not_run], Peaks(100, 10)) == []
    assert (row["floor"], row["bound"], row["moved"]) == (floor, bound, moved)  # a batch shares what is resident
    assert row["over"] == 40 / floor and row["intensity"] == flops / moved
    # Under a roof of min(peak, intensity x bandwidth), the distance to it is the same factor.
    assert min(100, row["intensity"] * 10) / (flops / 40) == pytest.approx(row["over"])


def test_peaks(monkeypatch):
    """The clock says one second for every call: the peaks are the operations and the bytes themselves."""
    monkeypatch.setattr(roofline, "SIDE", {"cpu": 32, "cuda": 32})
    monkeypatch.setattr(roofline, "COPIED", {"cpu": 1024, "cuda": 1024})
    precision, done = torch.get_float32_matmul_precision(), []
    monkeypatch.setattr(roofline, "seconds_of", lambda work: done.append(work()) or 1.0)
    monkeypatch.setattr(roofline, "ROUNDS", 2)
    assert peaks() == (2 * 32**3, 2 * 1024)
    assert torch.equal(done[0], done[1]) and done[0].shape == (32, 32) and done[-1].eq(1).all()
    assert torch.get_float32_matmul_precision() == precision


def floor(name, mode, flops, seconds, over, bound):
    known = {"flops": flops, "moved": 1e6, "intensity": flops / 1e6, "floor": seconds / over, "bound": bound}
    known |= {"peak_flops": 5e10, "peak_bandwidth": 1e10}
    return {"name": name, "mode": mode, "seconds": seconds, "over": over, **known}


FLOORS = [
    floor("saccader", "inference", 4e8, 0.02, 2.5, "operations"),
    floor("RAM", "inference", 1e6, 0.01, 50.0, "bytes"),
    floor("whole image", "inference", 4e11, 10.0, 1.25, "operations"),
    floor("saccader", "training", 1.2e9, 0.1, 4.0, "bytes"),
    floor("RAM", "training", 3e6, 0.03, 60.0, "bytes"),
]


def test_nearest_and_farthest():
    machine, inference, training = nearest_and_farthest(FLOORS).splitlines()
    assert "50 GFLOP/s and 10 GB/s; below 5 operations a byte" in machine
    assert "nearest to its floor is *whole image* (1.25 times), farthest from it *RAM* (50 times)" in inference
    assert "2.5 times its floor, which operations set" in inference
    assert inference.endswith("The *whole image*: 1,000 times its operations, 500 times its time.")
    assert "4 times its floor, which bytes set" in training and "whole image" not in training
