"""The cost benchmark: what it compares is comparable, its ratios are what they say. Nothing timed is asserted."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from vsacc.saccader import Config, Model, Output, Saccader
from vsacc.sampler import build_pyramid, glimpse, proxy
from vsacc.studies import bench, cost, roofline, step_time
from vsacc.studies.cost import AT_ONCE, CLASSES, CONTENDERS, TASK, Size
from vsacc.studies.measure import Cost
from vsacc.studies.roofline import Count, Counted, Peaks, count, least_times, peaks
from vsacc.systems import all_systems, resnet
from vsacc.systems.attention_sampling import AttentionConfig
from vsacc.systems.dram import DramConfig
from vsacc.systems.ram import RamConfig
from vsacc.systems.resnet import CropsConfig, CropsResNet, WholeConfig, WholeResNet

KEYS = {"part", "name", "method", "mode", "side", "channels", "batch", "seconds", "bytes", "ratio"}
TINY = Config(hidden=16, features=12, proxy_widths=(4, 8), crop_widths=(8, 8), glimpses=3)
SMALL = {
    "saccader": TINY,
    "attention_sampling": AttentionConfig(features=12, widths=(4,), crop_widths=(8, 8)),
    "ram": RamConfig(glimpses=2, hidden=16, features=12),
    "dram": DramConfig(glimpses=2, hidden=16, features=12, widths=(8, 8), context_widths=(4, 4)),
}
SIZE = Size(64, (2, 2), (2, 2), (64, 96, 128), (64, 2), 1, 0.0, float("inf"))


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Small networks and few crops."""
    for name, tiny in SMALL.items():
        patch.setitem(all_systems()[name].sizes, "paper", tiny)
    patch.setattr(resnet, "GRID", 2)
    patch.setattr(resnet, "CROP", 1500)
    patch.setattr("torchvision.models.resnet18", lambda num_classes: ResNet(BasicBlock, [1, 1, 1, 1], num_classes))


@pytest.fixture(scope="module")
def rows():
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        patch.setitem(cost.SIZES, "quick", SIZE)
        patch.setattr(roofline, "SIDE", {"cpu": 64, "cuda": 64})
        patch.setattr(roofline, "COPIED", {"cpu": 2**16, "cuda": 2**16})
        patch.setattr(cost, "SMALL", 48)
        patch.setattr(cost, "IN_MEMORY", 100)  # the last side comes from a store
        made = bench.cost("quick")
        return {part: [row for row in made if row["part"] == part] for part in bench.PARTS}


def test_every_system_is_compared_under_the_names_of_table_1(monkeypatch):
    names = ["saccader", "attention sampling", "DRAM", "RAM", "whole image"]
    assert list(CONTENDERS) == [*names, "144 crops, checkpointed", "144 crops, naive"]
    assert [name for name in CONTENDERS if CONTENDERS[name].heavy] == ["whole image", "144 crops, naive"]
    assert CONTENDERS["attention sampling"].make(3, view=64).config.view == 64
    new = replace(all_systems()["ram"], name="new", label="a new one")
    monkeypatch.setattr(cost, "all_systems", lambda: all_systems() | {"new": new})
    assert cost.contenders().keys() - CONTENDERS.keys() == {"a new one"}


def test_rows(rows):
    assert all(row.keys() >= KEYS for part in ("table", "sides", "parts") for row in rows[part])
    assert all(row["seconds"] > 0 and row["bytes"] > 0 for row in rows["table"])
    assert [(row["side"], row["channels"], row["mode"], row["name"]) for row in rows["table"]] == [
        (side, channels, mode, name)
        for side, channels, some in ((64, 3, CONTENDERS), (64, 1, ["saccader"]), (48, 1, AT_ONCE))
        for mode in cost.WORK
        for name in some
    ]
    assert [(row["name"], row["side"], row["store"]) for row in rows["sides"]] == [
        (name, side, side == 128) for side in SIZE.sides for name in (*AT_ONCE, "glimpse")
    ]
    for mode in cost.WORK:
        assert sum(row["share"] or 0 for row in rows["parts"] if row["mode"] == mode) == pytest.approx(1)


def test_every_colour_row_has_a_floor(rows):
    table = [row for row in rows["table"] if row["channels"] == 3]
    for row, timed in zip(rows["floor"], table, strict=True):
        assert all(row[key] == timed[key] for key in ("name", "mode", "side", "seconds"))
        assert row["over"] == row["seconds"] / row["floor"]
        assert row["flops"] > 0 and row["moved"] > timed["resident"] / row["batch"]


def test_memory_of_the_rows(rows):
    """What is exact: memory of weights, and that a saccader's does not grow with the image."""
    table = {(row["name"], row["mode"]): row for row in rows["table"] if row["channels"] == 3}
    for mode, copies in (("inference", 1), ("training", 3)):
        row = table["144 crops, naive", mode]
        assert 0 < row["resident"] - 4 * copies * row["parameters"] < 0.01 * row["resident"]  # batch norm's buffers
        assert row["bytes"] > row["resident"]
    checkpointed, naive = (table[f"144 crops, {way}", "training"]["bytes"] for way in ("checkpointed", "naive"))
    assert checkpointed < naive + 64 * 1024  # at this size both are the weights and their moments
    held = {name: [row["bytes"] for row in rows["sides"] if row["name"] == name] for name in AT_ONCE}
    assert held["whole image"][1] > held["whole image"][0]
    # 64 and 96 pixels have levels of 32 and 48, the most a proxy ever reads: a few kilobytes apart
    for name in ("saccader", "attention sampling", "RAM", "DRAM"):
        assert abs(held[name][1] - held[name][0]) < 64 * 1024


def test_shown(rows):
    text = bench.cost_text([row for part in rows.values() for row in part])
    assert "144 crops, checkpointed" in text and "decoder and KL" in text
    lines = sum(map(len, rows.values())) + len(rows) + len(AT_ONCE) + 1  # a heading for each part, and the exponents
    assert text.count("\n") + 1 == lines


def test_what_does_not_fit_is_not_run_and_images_are_compared_not_batches(monkeypatch):
    shrink(monkeypatch)
    counts = iter([4, 2, 4, 2])
    monkeypatch.setattr(cost, "largest_batch", lambda make, batch, smallest, needed: None if needed else next(counts))
    monkeypatch.setattr(cost, "measure", lambda works, *_: dict.fromkeys(works, Cost(6.0, 80, 1)))
    first, other, absent = cost.table(("saccader", "RAM", "whole image"), 64, 1, (4, 4), SIZE)[3:]
    assert first["seconds"] == 1.5 and first["bytes"] == first["resident"] + 80
    assert (first["ratio"], first["memory_ratio"], first["why"]) == (1, 1, None)
    assert (other["ratio"], other["memory_ratio"]) == (2, 2)
    assert (absent["seconds"], absent["ratio"], absent["memory_ratio"]) == (None, None, None)
    assert absent["why"] == "not run: batch 2 needs more memory than is free"
    assert cost.text_table([absent]).endswith(absent["why"])


def test_what_would_take_too_long_is_not_run(monkeypatch):
    """By the pixels since the last side that was run: 128 from 64 pixels is 4 times the time, 192 is 9 times."""
    shrink(monkeypatch)
    monkeypatch.setattr(cost, "measure", lambda works, *_: dict.fromkeys(works, Cost(2.0, 10, 1)))
    rows = cost.against_side(SIZE._replace(sides=(64, 128, 192), limit=7.0))
    why = {(row["name"], row["side"]): row["why"] for row in rows if row["why"]}
    assert why == {
        (name, side): f"not run: may take {seconds} s"
        for side, seconds in ((128, 8), (192, 18))
        for name in ("whole image", "144 crops, naive")
    }


def test_slopes_of_rows():
    rows = [
        {"name": name, "side": side, "seconds": side**power, "bytes": 50 + 2 * side, "resident": 50}
        for name, power in (("flat", 0), ("pixels", 2))
        for side in (10, 20, 40)
    ]
    absent = {"name": "pixels", "side": 80, "seconds": None, "bytes": None, "resident": 50}
    fitted = cost.slopes([*rows, absent])
    assert fitted["flat"]["seconds"] == pytest.approx(0, abs=1e-9)
    assert fitted["pixels"] == pytest.approx({"seconds": 2, "bytes": 1})
    assert cost.slopes(rows[:2]) == {"flat": {"seconds": None, "bytes": None}}


@pytest.mark.parametrize("config", [TINY, replace(TINY, posterior="dense", likelihood="pooled", inhibition=False)])
@pytest.mark.parametrize("training", [False, True])
def test_the_parts_make_the_model(config, training):
    """Chained, the parts that are timed give exactly what the model gives in one piece."""
    torch.manual_seed(0)
    model = Saccader(config, TASK.question).train(training)
    images = build_pyramid(torch.randint(0, 256, (2, 1, 100, 100), dtype=torch.uint8))
    with torch.set_grad_enabled(training):
        parts = {name: run for name, (run, *_) in step_time.split(model, images).items()}
        torch.manual_seed(1)
        whole = model(images)
        torch.manual_seed(1)
        where, *latent = parts["VRNN"]()
        o = parts["sampler"](where)
        read = parts["crop network"](o)
        terms = {}
        if training:
            log_c, kl = parts["decoder and KL"](*latent)
            terms = {"log_c": log_c.sum(0), "kl": kl.sum(0)}
        logits = parts["likelihood"](read.unflatten(0, o.shape[:2]))
    torch.testing.assert_close(where, whole.where)
    torch.testing.assert_close(o, whole.glimpses)
    torch.testing.assert_close(terms, whole.terms)
    torch.testing.assert_close(logits, whole.after)


def test_a_part_runs_backward_and_leaves_no_gradient_and_a_step_moves_the_weights():
    """Every weight of the model is reached by the backward pass of some part."""
    model = Saccader(TINY, TASK.question)
    images = build_pyramid(torch.randint(0, 256, (2, 1, 100, 100), dtype=torch.uint8))
    reached = set()
    for parameter in model.parameters():
        parameter.register_hook(lambda grad, parameter=parameter: reached.add(parameter))
    with torch.no_grad():
        parts = step_time.split(model, images)
    for part in parts.values():
        step_time.forward_backward(model, *part)
    assert reached == set(model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())
    step = cost.training(model, images)
    before = model.crop[-2].weight.clone()
    step()
    assert not torch.equal(model.crop[-2].weight, before)
    assert all(parameter.grad is None for parameter in model.parameters())


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


@pytest.mark.parametrize(("made", "config"), [(WholeResNet, WholeConfig()), (CropsResNet, CropsConfig(chunk=None))])
def test_a_resnet_is_counted_without_being_run(monkeypatch, made, config):
    """Shapes alone give the same counts as pixels do."""
    shrink(monkeypatch)
    model, twin = made(config, TASK.question), made(config, TASK.question)
    shapes = count(model, "training", 64, 1)
    monkeypatch.setattr(roofline, made.__name__, Stack)  # now nobody takes it for a ResNet
    assert count(twin, "training", 64, 1) == shapes
    assert [next(each.parameters()).device.type for each in (model, twin)] == ["meta", "cpu"]


def test_checkpointing_runs_the_crops_once_more(monkeypatch):
    shrink(monkeypatch)
    ahead, naive, chunks, few = (
        count(CropsResNet(CropsConfig(1, chunk), TASK.question), mode, 64, 1)
        for chunk in (None, 2)
        for mode in ("inference", "training")
    )
    assert chunks == ahead
    assert few.flops - naive.flops == pytest.approx(ahead.flops, rel=0.02)  # less the layers after the last norm
    assert few.read - LOGITS == 2 * (naive.read - LOGITS)


def test_what_looks_at_a_few_places_has_as_much_to_do_at_any_side():
    small, large = (count(Saccader(TINY, TASK.question), "inference", side, 1) for side in (256, 4096))
    assert small == large
    more = count(Saccader(replace(TINY, glimpses=5), TASK.question), "inference", 256, 1)
    assert more.read - small.read == 2 * 8 * 32**2


@pytest.mark.parametrize(
    ("flops", "moved", "floor", "bound"), [(400, 10, 4.0, "operations"), (400, 100, 10.0, "bytes")]
)
def test_the_floor_is_the_longer_of_two_times(monkeypatch, flops, moved, floor, bound):
    monkeypatch.setattr(roofline, "count", lambda *_: Count(flops, moved - 4, 16))
    known = {"name": "saccader", "method": "saccader", "mode": "inference", "side": 16, "channels": 1, "batch": 4}
    (row,) = least_times([known | {"seconds": 40.0}, known | {"seconds": None}], Peaks(100, 10))
    assert (row["floor"], row["bound"], row["moved"]) == (floor, bound, moved)  # a batch shares what is resident
    assert row["over"] == 40 / floor and row["intensity"] == flops / moved
    # Under a roof of min(peak, intensity x bandwidth), the distance to it is the same factor.
    assert min(100, row["intensity"] * 10) / (flops / 40) == pytest.approx(row["over"])


def test_peaks(monkeypatch):
    """The clock says one second for every call: the peaks are the operations and the bytes themselves."""
    precision, done = torch.get_float32_matmul_precision(), []
    few = {"SIDE": dict.fromkeys(("cpu", "cuda"), 32), "COPIED": dict.fromkeys(("cpu", "cuda"), 1024), "ROUNDS": 2}
    for name, value in (few | {"seconds_of": lambda work: done.append(work()) or 1.0}).items():
        monkeypatch.setattr(roofline, name, value)
    assert peaks() == (2 * 32**3, 2 * 1024)
    assert torch.equal(done[0], done[1]) and done[0].shape == (32, 32) and done[-1].eq(1).all()
    assert torch.get_float32_matmul_precision() == precision


def test_rows_as_text():
    shared = {"mode": "inference", "channels": 3, "batch": 2, "parameters": 7_000_000, "bytes": 300e6, "why": None}
    ran = {"name": "saccader", "seconds": 1.5, "epoch_seconds": 3600.0, "ratio": 150.0, "memory_ratio": 3.0} | shared
    absent = {"name": "whole image"} | shared | {"batch": None, "why": "not run: no memory"}
    heading, first, last = cost.text_table([ran, absent]).splitlines()
    assert heading.split()[-4:] == ["x", "time", "x", "memory"] and len(heading) == len(first)
    assert first.split() == "saccader inference 3 2 7 300 1,500 1 150 3".split()
    assert last.endswith("not run: no memory")
