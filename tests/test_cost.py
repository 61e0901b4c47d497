"""The cost benchmark: what it compares is comparable, its ratios are what they say. Nothing timed is asserted."""

from dataclasses import replace

import pytest
import torch
from torchvision.models.resnet import BasicBlock, ResNet

from vsacc.saccader import Config, Saccader
from vsacc.sampler import build_pyramid
from vsacc.studies import cost as benchmark
from vsacc.studies import cost_scaling as cost_sides
from vsacc.studies import cost_table
from vsacc.studies import parts as cost_parts
from vsacc.studies import roofline as cost_floor
from vsacc.studies.measure import Cost
from vsacc.systems import resnet
from vsacc.systems.attention_sampling import AttentionConfig
from vsacc.systems.dram import DramConfig
from vsacc.systems.ram import RamConfig
from vsacc.training import recipes

KEYS = {"part", "name", "method", "mode", "side", "channels", "batch", "seconds", "bytes", "ratio"}
TINY = Config(hidden=16, features=12, proxy_widths=(4, 8), crop_widths=(8, 8), glimpses=3)
OTHERS = {
    AttentionConfig: AttentionConfig(features=12, widths=(4,), crop_widths=(8, 8)),
    RamConfig: RamConfig(glimpses=2, hidden=16, features=12),
    DramConfig: DramConfig(glimpses=2, hidden=16, features=12, widths=(8, 8), context_widths=(4, 4)),
}


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Small networks and few crops."""
    for made, tiny in {Config: TINY, **OTHERS}.items():
        patch.setitem(recipes.CONFIGS, made, {"paper": tiny})
    patch.setattr(resnet, "GRID", 2)
    patch.setattr(resnet, "CROP", 1500)
    patch.setattr("torchvision.models.resnet18", lambda num_classes: ResNet(BasicBlock, [1, 1, 1, 1], num_classes))


@pytest.fixture(scope="module")
def rows():
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        patch.setitem(
            benchmark.SIZES, "quick", benchmark.Size(64, (2, 2), (2, 2), (64, 96, 128), (64, 2), 1, 0.0, float("inf"))
        )
        patch.setattr(cost_floor, "SIDE", {"cpu": 64, "cuda": 64})
        patch.setattr(cost_floor, "COPIED", {"cpu": 2**16, "cuda": 2**16})
        patch.setattr(benchmark, "SMALL", 48)
        patch.setattr(cost_sides, "IN_MEMORY", 100)  # the last side comes from a store
        return benchmark.cost("quick")


def test_rows(rows):
    assert all(row.keys() >= KEYS for row in rows if row["part"] != "floor")
    assert all(row["seconds"] > 0 and row["bytes"] > 0 for row in rows if row["part"] == "table")
    table, names = benchmark.of_part(rows, "table"), list(cost_table.CONTENDERS)
    small = [name for name in names if name != "144 crops, checkpointed"]
    expected = [
        (side, channels, mode, name)
        for side, channels, some in ((64, 3, names), (64, 1, ["saccader"]), (48, 1, small))
        for mode in ("inference", "training")
        for name in some
    ]
    assert [(row["side"], row["channels"], row["mode"], row["name"]) for row in table] == expected
    sides = benchmark.of_part(rows, "sides")
    count = len(cost_sides.NAMES) + 1
    assert [(row["side"], row["store"]) for row in sides[::count]] == [(64, False), (96, False), (128, True)]
    assert {row["name"] for row in sides} == {*cost_sides.NAMES, "glimpse"}
    for mode in ("inference", "training"):
        shares = [row["share"] for row in benchmark.of_part(rows, "parts") if row["mode"] == mode and row["share"]]
        assert sum(shares) == pytest.approx(1)


def test_every_colour_row_has_a_floor(rows):
    table = [row for row in benchmark.of_part(rows, "table") if row["channels"] == 3]
    floors = benchmark.of_part(rows, "floor")
    assert [(row["name"], row["mode"], row["side"]) for row in floors] == [
        (row["name"], row["mode"], row["side"]) for row in table
    ]
    for row, timed in zip(floors, table, strict=True):
        assert row["seconds"] == timed["seconds"] and row["over"] == row["seconds"] / row["floor"]
        assert row["flops"] > 0 and row["moved"] > timed["resident"] / row["batch"]


def test_memory_of_the_rows(rows):
    """What is exact: memory of weights, and that a saccader's does not grow with the image."""
    large = [row for row in benchmark.of_part(rows, "table") if row["side"] == 64]
    table = {(row["name"], row["mode"], row["channels"]): row for row in large}
    for mode, copies in (("inference", 1), ("training", 3)):
        row = table["144 crops, naive", mode, 3]
        assert 0 < row["resident"] - 4 * copies * row["parameters"] < 0.01 * row["resident"]  # batch norm's buffers
        assert row["bytes"] > row["resident"]
    crops = [table[f"144 crops, {way}", "training", 3]["bytes"] for way in ("checkpointed", "naive")]
    assert crops[0] <= crops[1]
    in_memory = [row for row in benchmark.of_part(rows, "sides") if not row["store"]]
    held = {name: [row["bytes"] for row in in_memory if row["name"] == name] for name in cost_sides.NAMES}
    assert held["whole image"][1] > held["whole image"][0]
    # 64 and 96 pixels have levels of 32 and 48, the most a proxy ever reads: a few kilobytes apart
    for name in ("saccader", "attention sampling", "RAM", "DRAM"):
        assert abs(held[name][1] - held[name][0]) < 64 * 1024


def test_shown(rows):
    text = benchmark.show(rows)
    assert "144 crops, checkpointed" in text and "decoder and KL" in text
    exponents = len(cost_sides.NAMES) + 1
    assert text.count("\n") == len(rows) + exponents + 2  # and three headings, of which the first begins no new line
    assert text.count("GFLOP") == 1


def test_ratios_by_hand():
    def row(seconds, batch, total):
        return {"seconds": seconds, "batch": batch, "bytes": total, "resident": 100}

    first, other, absent = cost_table.with_ratios([row(0.5, 2, 140), row(3.0, 1, 700), row(None, None, None)])
    assert (first["ratio"], first["memory_ratio"]) == (1, 1)
    assert (other["ratio"], other["memory_ratio"]) == (6, 30)  # 600 bytes an image against 20
    assert (absent["ratio"], absent["memory_ratio"]) == (None, None)


def test_what_does_not_fit_is_not_run(monkeypatch):
    shrink(monkeypatch)
    monkeypatch.setattr("vsacc.studies.measure.free_bytes", lambda: 0.0)
    images = cost_table.random_images(2, 1, 64, "cpu")
    rows = {row["name"]: row for row in cost_table.contest("training", images, list(cost_table.CONTENDERS), 1, 0.0)}
    assert rows["saccader"]["seconds"] and rows["144 crops, checkpointed"]["seconds"]
    for name in ("144 crops, naive", "whole image"):
        assert rows[name]["seconds"] is None and rows[name]["ratio"] is None
        assert rows[name]["why"] == "not run: batch 2 needs more memory than is free"
        assert rows[name]["why"] in benchmark.show([rows[name] | {"part": "table"}])


def test_what_would_take_too_long_is_not_run(monkeypatch):
    assert cost_sides.reason(None, 10**6, 1.0) is None
    monkeypatch.setattr(cost_sides, "free_bytes", lambda: 1000.0)
    last = (100, Cost(2.0, 10, 1))
    assert cost_sides.reason(last, 200, 9.0) is None  # 4 times the pixels: 8 s, 40 bytes
    assert cost_sides.reason(last, 200, 7.0) == "not run: may take 8 s"
    assert "GB" in cost_sides.reason(last, 1000, 1e9)  # 1000 bytes, of which 800 may be used


def test_slopes_of_rows():
    rows = [
        {"name": name, "side": side, "seconds": side**power, "bytes": 50 + 2 * side, "resident": 50}
        for name, power in (("flat", 0), ("pixels", 2))
        for side in (10, 20, 40)
    ]
    rows.append({"name": "pixels", "side": 80, "seconds": None, "bytes": None, "resident": 50})
    fitted = cost_sides.slopes(rows)
    assert fitted["flat"]["seconds"] == pytest.approx(0, abs=1e-9)
    assert fitted["pixels"]["seconds"] == pytest.approx(2)
    assert fitted["pixels"]["bytes"] == pytest.approx(1)


@pytest.mark.parametrize("config", [TINY, replace(TINY, posterior="dense", likelihood="pooled", inhibition=False)])
def test_the_parts_make_the_model(config):
    """Chained, the parts that are timed give exactly what the model gives in one piece."""
    torch.manual_seed(0)
    model = Saccader(config, cost_table.KIND.labels).eval()
    images = build_pyramid(torch.randint(0, 256, (2, 1, 100, 100), dtype=torch.uint8))
    with torch.no_grad():
        whole, parts = model(images), cost_parts.split(model, images)
        where, *latent = parts["VRNN"].run()
        o = parts["sampler"].run(where)
        read = parts["crop network"].run(o)
        log_c, kl = parts["decoder and KL"].run(*latent)
        logits = parts["likelihood"].run(read.unflatten(0, o.shape[:2]))
    torch.testing.assert_close(where, whole.where)
    torch.testing.assert_close(o, whole.glimpses)
    torch.testing.assert_close(log_c.sum(0), whole.terms["log_c"])
    torch.testing.assert_close(kl.sum(0), whole.terms["kl"])
    torch.testing.assert_close(logits, whole.logits)


def test_a_part_runs_backward_and_leaves_no_gradient():
    """Every weight of the model is reached by the backward pass of some part."""
    model = Saccader(TINY, cost_table.KIND.labels)
    images = build_pyramid(torch.randint(0, 256, (2, 1, 100, 100), dtype=torch.uint8))
    reached = set()
    for parameter in model.parameters():
        parameter.register_hook(lambda grad, parameter=parameter: reached.add(parameter))
    with torch.no_grad():
        parts = cost_parts.split(model, images)
    for part in parts.values():
        cost_parts.forward_backward(part, model)()
    assert reached == set(model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_training_step_moves_the_weights():
    model = Saccader(TINY, cost_table.KIND.labels)
    step = cost_table.training(model, build_pyramid(torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)))
    before = model.crop[-2].weight.clone()
    step()
    assert not torch.equal(model.crop[-2].weight, before)
    assert all(parameter.grad is None for parameter in model.parameters())
