"""The cost benchmark: what it compares is comparable, its ratios and words are what they say. Nothing timed is asserted."""

from dataclasses import replace

import pytest
import torch
from torchvision.models.resnet import BasicBlock, ResNet

from vsacc.saccader import Config, Saccader
from vsacc.sampler import build_pyramid
from vsacc.studies import bench, cost, cost_scaling, roofline, step_time
from vsacc.studies.cost import AT_ONCE, CONTENDERS, TASK, Size
from vsacc.studies.measure import Cost
from vsacc.systems import all_systems, resnet
from vsacc.systems.attention_sampling import AttentionConfig
from vsacc.systems.dram import DramConfig
from vsacc.systems.ram import RamConfig

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
        patch.setattr(cost_scaling, "IN_MEMORY", 100)  # the last side comes from a store
        return bench.cost("quick")


def test_every_system_is_compared_under_the_names_of_table_1(monkeypatch):
    assert list(CONTENDERS)[0] == "saccader" and {each.system.name for each in CONTENDERS.values()} == {
        *SMALL, "resnet18", "resnet18_144",
    }  # fmt: skip
    assert {"attention sampling", "RAM", "DRAM", "whole image", "144 crops, checkpointed"} < set(CONTENDERS)
    assert [name for name in CONTENDERS if CONTENDERS[name].heavy] == ["whole image", "144 crops, naive"]
    assert CONTENDERS["attention sampling"].make(3, view=64).config.view == 64
    new = replace(all_systems()["ram"], name="new", label="a new one")
    monkeypatch.setattr(cost, "all_systems", lambda: all_systems() | {"new": new})
    assert cost.contenders().keys() - CONTENDERS.keys() == {"a new one"}


def test_rows(rows):
    assert all(row.keys() >= KEYS for row in rows if row["part"] != "floor")
    assert all(row["seconds"] > 0 and row["bytes"] > 0 for row in rows if row["part"] == "table")
    expected = [
        (side, channels, mode, name)
        for side, channels, some in ((64, 3, CONTENDERS), (64, 1, ["saccader"]), (48, 1, AT_ONCE))
        for mode in ("inference", "training")
        for name in some
    ]
    table = bench.of_part(rows, "table")
    assert [(row["side"], row["channels"], row["mode"], row["name"]) for row in table] == expected
    sides = bench.of_part(rows, "sides")
    assert [(row["side"], row["store"]) for row in sides[:: len(AT_ONCE) + 1]] == [
        (64, False), (96, False), (128, True),
    ]  # fmt: skip
    assert {row["name"] for row in sides} == {*AT_ONCE, "glimpse"}
    for mode in ("inference", "training"):
        shares = [row["share"] for row in bench.of_part(rows, "parts") if row["mode"] == mode and row["share"]]
        assert sum(shares) == pytest.approx(1)


def test_every_colour_row_has_a_floor(rows):
    table = [row for row in bench.of_part(rows, "table") if row["channels"] == 3]
    for row, timed in zip(bench.of_part(rows, "floor"), table, strict=True):
        assert all(row[key] == timed[key] for key in ("name", "mode", "side", "seconds"))
        assert row["over"] == row["seconds"] / row["floor"]
        assert row["flops"] > 0 and row["moved"] > timed["resident"] / row["batch"]


def test_memory_of_the_rows(rows):
    """What is exact: memory of weights, and that a saccader's does not grow with the image."""
    large = [row for row in bench.of_part(rows, "table") if row["side"] == 64]
    table = {(row["name"], row["mode"], row["channels"]): row for row in large}
    for mode, copies in (("inference", 1), ("training", 3)):
        row = table["144 crops, naive", mode, 3]
        assert 0 < row["resident"] - 4 * copies * row["parameters"] < 0.01 * row["resident"]  # batch norm's buffers
        assert row["bytes"] > row["resident"]
    crops = [table[f"144 crops, {way}", "training", 3]["bytes"] for way in ("checkpointed", "naive")]
    assert crops[0] <= crops[1]
    in_memory = [row for row in bench.of_part(rows, "sides") if not row["store"]]
    held = {name: [row["bytes"] for row in in_memory if row["name"] == name] for name in AT_ONCE}
    assert held["whole image"][1] > held["whole image"][0]
    # 64 and 96 pixels have levels of 32 and 48, the most a proxy ever reads: a few kilobytes apart
    for name in ("saccader", "attention sampling", "RAM", "DRAM"):
        assert abs(held[name][1] - held[name][0]) < 64 * 1024


def test_shown(rows):
    text = bench.cost_text(rows)
    assert "144 crops, checkpointed" in text and "decoder and KL" in text
    assert text.count("\n") + 1 == len(rows) + 4 + len(AT_ONCE) + 1  # and four headings, and the exponents
    heading, first, *_ = cost.text_table(bench.of_part(rows, "floor"), roofline.ROOFLINE).splitlines()
    assert len(heading) == len(first) and heading.split()[2:4] == ["GFLOP", "MB"]


def test_ratios_by_hand():
    def row(seconds, batch, total):
        return {"seconds": seconds, "batch": batch, "bytes": total, "resident": 100}

    first, other, absent = cost.with_ratios([row(0.5, 2, 140), row(3.0, 1, 700), row(None, None, None)])
    assert (first["ratio"], first["memory_ratio"]) == (1, 1)
    assert (other["ratio"], other["memory_ratio"]) == (6, 30)  # 600 bytes an image against 20
    assert (absent["ratio"], absent["memory_ratio"]) == (None, None)


def test_what_does_not_fit_is_not_run(monkeypatch):
    shrink(monkeypatch)
    monkeypatch.setattr("vsacc.studies.measure.free_bytes", lambda: 0.0)
    made = cost.table(CONTENDERS, 64, 1, (2, 2), SIZE)
    rows = {row["name"]: row for row in made if row["mode"] == "training"}
    assert rows["saccader"]["seconds"] and rows["144 crops, checkpointed"]["seconds"]
    for name in ("144 crops, naive", "whole image"):
        assert rows[name]["seconds"] is None and rows[name]["ratio"] is None
        assert rows[name]["why"] == "not run: batch 2 needs more memory than is free"
        assert cost.text_table([rows[name]]).endswith(rows[name]["why"])


def test_what_would_take_too_long_is_not_run(monkeypatch):
    assert cost_scaling.reason(None, 10**6, 1.0) is None
    monkeypatch.setattr(cost_scaling, "free_bytes", lambda: 1000.0)
    last = (100, Cost(2.0, 10, 1))
    assert cost_scaling.reason(last, 200, 9.0) is None  # 4 times the pixels: 8 s, 40 bytes
    assert cost_scaling.reason(last, 200, 7.0) == "not run: may take 8 s"
    assert "GB" in cost_scaling.reason(last, 1000, 1e9)  # 1000 bytes, of which 800 may be used


def test_slopes_of_rows():
    rows = [
        {"name": name, "side": side, "seconds": side**power, "bytes": 50 + 2 * side, "resident": 50}
        for name, power in (("flat", 0), ("pixels", 2))
        for side in (10, 20, 40)
    ]
    absent = {"name": "pixels", "side": 80, "seconds": None, "bytes": None, "resident": 50}
    fitted = cost_scaling.slopes([*rows, absent])
    assert fitted["flat"]["seconds"] == pytest.approx(0, abs=1e-9)
    assert fitted["pixels"] == pytest.approx({"seconds": 2, "bytes": 1})
    assert cost_scaling.slopes(rows[:2]) == {"flat": {"seconds": None, "bytes": None}}


@pytest.mark.parametrize("config", [TINY, replace(TINY, posterior="dense", likelihood="pooled", inhibition=False)])
@pytest.mark.parametrize("training", [False, True])
def test_the_parts_make_the_model(config, training):
    """Chained, the parts that are timed give exactly what the model gives in one piece."""
    torch.manual_seed(0)
    model = Saccader(config, TASK.question).train(training)
    images = build_pyramid(torch.randint(0, 256, (2, 1, 100, 100), dtype=torch.uint8))
    with torch.no_grad():
        parts = {name: run for name, (run, *_) in step_time.split(model, images).items()}
        torch.manual_seed(1)
        whole = model(images)
        torch.manual_seed(1)
        where, *latent = parts["VRNN"]()
        o = parts["sampler"](where)
        read = parts["crop network"](o)
        log_c, kl = parts["decoder and KL"](*latent)
        logits = parts["likelihood"](read.unflatten(0, o.shape[:2]))
    torch.testing.assert_close(where, whole.where)
    torch.testing.assert_close(o, whole.glimpses)
    torch.testing.assert_close(log_c.sum(0), whole.terms["log_c"])
    torch.testing.assert_close(kl.sum(0), whole.terms["kl"])
    torch.testing.assert_close(logits, whole.logits)


def test_a_part_runs_backward_and_leaves_no_gradient():
    """Every weight of the model is reached by the backward pass of some part."""
    model = Saccader(TINY, TASK.question)
    images = build_pyramid(torch.randint(0, 256, (2, 1, 100, 100), dtype=torch.uint8))
    reached = set()
    for parameter in model.parameters():
        parameter.register_hook(lambda grad, parameter=parameter: reached.add(parameter))
    with torch.no_grad():
        parts = step_time.split(model, images)
    for part in parts.values():
        step_time.forward_backward(model, *part)()
    assert reached == set(model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_training_step_moves_the_weights():
    model = Saccader(TINY, TASK.question)
    step = cost.training(model, build_pyramid(torch.randint(0, 256, (2, 1, 64, 64), dtype=torch.uint8)))
    before = model.crop[-2].weight.clone()
    step()
    assert not torch.equal(model.crop[-2].weight, before)
    assert all(parameter.grad is None for parameter in model.parameters())


def row(name, mode, seconds, ratio=1.0, **more):
    figures = {"channels": 3, "batch": 2, "parameters": 7_000_000, "bytes": 300e6, "memory_ratio": 3.0, "why": None}
    return {"name": name, "mode": mode, "seconds": seconds, "epoch_seconds": 3600.0, "ratio": ratio, **figures, **more}


TABLE = [
    row("saccader", "inference", 0.01),
    row("saccader", "training", 0.02),
    row("whole image", "inference", 1.5, 150.0),
    row("whole image", "training", None, None, why="not run: no memory"),
]


def test_rows_as_text():
    heading, first, _, third, last = cost.text_table(TABLE).splitlines()
    assert heading.split()[-4:] == ["x", "time", "x", "memory"] and len(heading.rstrip()) == len(first)
    assert third.split() == ["whole", "image", *"inference 3 2 7 300 1,500 1 150 3".split()]
    assert last.endswith("not run: no memory")


def test_against_the_saccader():
    assert cost.against_the_saccader(TABLE).splitlines()[2:] == [
        "- *whole image*: inference **150 times** the time and 3 times the memory beyond weights; "
        "training not run: no memory."
    ]


def test_beside_the_paper():
    printed = {"saccader": (7e6, 2e9, 40.0), "whole image": (11e6, 6e9, 60.0)}
    text = cost.beside_the_paper(TABLE, printed, "whole image")
    assert "1.5 times the time and 3 times the memory in the paper" in text
    assert text.endswith("here not run: no memory.")
    run = cost.beside_the_paper([row("whole image", "training", 2.0, 8.0)], printed, "whole image")
    assert run.endswith("; here **8 times** the time and 3 times the memory beyond weights.")
