"""Rows to tables and sentences: means by hand, gaps named, a stand-in never beside a photograph without the word."""

import json

import pytest

from vsacc.studies import budget, table1
from vsacc.studies.cost import PRINTED
from vsacc.studies.plan import Planned, row_name
from vsacc.studies.table1 import PAPER, PAPER_COST_100, PEERS, group
from vsacc.training.jobs import make_job


def row(task="one_digit", model="saccader", profile="laptop", seed=0, accuracy=0.9, **more):
    row = {"task": task, "model": model, "profile": profile, "seed": seed, "seconds": 120.0, "steps": 500}
    row |= {"parameters": 750_000, "test_accuracy": accuracy, "protocol": "cluttered MNIST", "config": {"glimpses": 2}}
    row |= {"recipe": {"batch": 128}}
    return row | more


def planned(task="one_digit", system="saccader", profile="laptop", seeds=1):
    return [Planned(make_job(task, profile, system, seed)) for seed in range(seeds)]


def named(*rows, variant=""):
    """As read_rows gives them."""
    return {row_name(make_job(r["task"], r["profile"], r["model"], r["seed"]), variant): r for r in rows}


def stopped(**more):
    return {key: value for key, value in row(**more).items() if key != "test_accuracy"} | {"stopped": "no bound"}


def measured(part, model, accuracy, **more):
    row = {"part": part, "task": "one_digit", "model": model, "glimpses": 2, "trained": 2, "images": 300}
    return row | {"accuracy": accuracy, "localised": None} | more


SEEDS = named(*(row(seed=seed, accuracy=accuracy) for seed, accuracy in enumerate((0.9, 0.96, 0.93))))


def test_a_group_is_a_mean_and_a_range_over_the_seeds_that_were_planned():
    (found,) = group(SEEDS, [])
    assert found.mean == pytest.approx(0.93) and found.values == [0.9, 0.96, 0.93]
    assert str(found) == "93.0 (90.0 to 96.0, 3 seeds)"
    assert (found.steps, found.seconds, found.parameters) == (500, [120.0] * 3, 750_000)
    some, none = group(SEEDS, planned(seeds=4) + planned("sum", "ram", "paper"))
    assert some.waiting == {3} and str(some) == "93.0 (90.0 to 96.0, 3 of 4 seeds)"
    assert none.mean is None and str(none) == "not run"
    assert table1.missing([some, none]) == "Of 5 planned runs, 3 were made and 2 not; 0 stopped early."


def test_a_run_that_stopped_is_a_result():
    rows = named(row(model="resnet18", accuracy=0.5), stopped(model="resnet18", seed=1), stopped(model="random"))
    some, none = group(rows, planned(system="resnet18", seeds=2))
    assert str(some) == "50.0 (1 seed, 1 stopped)" and not some.waiting and str(none) == "1 stopped"
    assert table1.missing([some, none]).endswith("2 stopped early.")


def test_variants_are_systems_of_their_own():
    rows = SEEDS | named(row(accuracy=0.1), variant="as_published")
    found = {each.system: each.values for each in group(rows, [])}
    assert found == {"saccader": [0.9, 0.96, 0.93], "saccader (as published)": [0.1]}


def test_a_stand_in_says_so_everywhere():
    rows = named(row(task="mit5k", protocol="stand-in for MIT-Adobe FiveK, drawn"), row())
    groups = group(rows, [])
    assert table1.titles(groups) == {"mit5k": "mit5k (stand-in)", "one_digit": "one_digit"}
    assert list(table1.by_task(groups)) == ["mit5k (stand-in)", "one_digit"]
    assert "mit5k (stand-in)" in table1.systems_table(groups, "laptop").splitlines()[0]
    assert "| 62.7 ± 0.03 | not run | not run | stand-in: 90.0 (1 seed) |" in table1.accuracy_table(groups)
    assert (
        table1.compared(groups, "laptop").splitlines()[2].startswith("| mit5k (stand-in) | `saccader` 90.0 | not run |")
    )


def test_the_accuracies_of_table_1():
    rows = named(row("identification", accuracy=0.88), row("identification", profile="paper", accuracy=0.96))
    lines = table1.accuracy_table(group(rows, [])).splitlines()
    assert len(lines) == 2 + len(PAPER) == 14
    ours = "| 95.42 ± 0.002 | 96.0 (1 seed): +0.6, 0.75 M | not run | 88.0 (1 seed): -7.4, 0.75 M |"
    assert lines[-1] == f"| 100 | identification | variational saccading | `saccader` {ours}"
    assert sum("not run | not run" in line for line in lines) == 11


def test_published_numbers_come_from_their_tasks():
    tasks = ["mit5k", "identification_2528", "sum", "identification"]  # in the order of the paper's table
    assert list(dict.fromkeys(task for task, _ in PAPER)) == tasks and len(PEERS) == 13
    assert all(0 < published.accuracy < 1 for _, published in (*PAPER, *PEERS))
    assert {name: values[0] for name, values in PAPER_COST_100.items()}["saccader"] == PRINTED["saccader"][0]


def cost(name, mode, seconds, **more):
    row = {"part": "table", "name": name, "mode": mode, "side": 2528, "channels": 3, "batch": 2, "seconds": seconds}
    return row | {"parameters": 5e6, "bytes": 9e6, "resident": 1e6, "ratio": 2 * (seconds or 0) or None} | more


def test_the_costs_of_table_1():
    printed = {"saccader": (7.4e6, 160e6, 60.0), "crops": (11e6, 320e6, 180.0)}
    costs = [cost("saccader", mode, 0.5) for mode in ("training", "inference")]
    costs += [cost("saccader", "training", 9.0, channels=1), cost("whole", "training", None, bytes=None)]
    lines = [line.split(" | ") for line in table1.cost_table(costs, printed, 2528).splitlines()]
    columns = [[line[column].strip(" |") for line in lines[2:]] for column in (2, 3, 4)]
    assert columns[0] == ["7.4", "1", "1", "1", "11", "2", "3", "3"] + ["not in the paper"] * 4
    assert columns[1] == ["5", "4", "500", "1", *["not run"] * 4, "5", *["not run"] * 3]
    assert columns[2] == ["5", "4", "500", "1"] + ["not run"] * 8


@pytest.mark.parametrize(("value", "text"), [(12345.6, "12,300"), (0.98765, "0.988"), (2, "2"), (None, "not run")])
def test_numbers_have_three_digits(value, text):
    assert table1.number(value) == text


def test_systems_are_compared_by_their_seeds():
    rows = SEEDS | named(
        *(row(model="resnet18", seed=seed, accuracy=0.91) for seed in (0, 1)),
        *(row(model="random", seed=seed, accuracy=accuracy) for seed, accuracy in enumerate((0.3, 0.5))),
        *(row(model="proxy_only", seed=seed, accuracy=accuracy) for seed, accuracy in enumerate((0.4, 0.9))),
    )
    groups = group(rows, planned("sum"))
    (line,) = table1.compared(groups, "laptop").splitlines()[2:]
    assert line == "| one_digit | `saccader` 93.0 | `resnet18` 91.0 | no | 0.2 |"
    assert len(table1.compared(groups, "paper").splitlines()) == 2


def test_tables_of_systems_and_of_peers():
    rows = SEEDS | named(row("megapixel", "resnet18_144", "paper", accuracy=0.5, config={}), row("megapixel"))
    groups = group(rows, [])
    assert table1.systems_table(groups, "paper").splitlines()[2] == "| `resnet18_144` | 50.0 (1 seed) |"
    given = "500 steps, 64,000 images, 2.0 min, 2 glimpses"
    assert f"| `saccader` | {given} | {given} |" in table1.training_table(groups, "laptop")
    peers = table1.peers_table(groups)
    assert "| megapixel | `resnet18_144` | every pixel | 50.0 (1 seed) | here, profile paper |" in peers
    assert "| megapixel | `saccader` | coarse view + 2 glimpses | 90.0 (1 seed) | here, profile laptop |" in peers
    assert "one_digit" not in peers and len(peers.splitlines()) == 2 + len(PEERS) + 2


def test_parts_of_a_budget_have_intervals():
    rows = [measured("sides", "saccader", 0.5, images=100, side=100), {"part": "seconds", "seconds": 1.0}]
    (side,) = budget.part_of(rows, "sides")
    assert (side["low"], side["high"]) == pytest.approx((0.4038, 0.5962), abs=1e-4)  # Wilson's, by hand
    assert budget.part_of(rows, "seconds") == [rows[1]]


def test_accuracies_against_glimpses():
    curve = [measured("glimpses", "saccader", a, glimpses=t) for t, a in ((1, 0.5), (2, 0.9), (4, 0.95), (8, 0.8))]
    whole = measured("glimpses", "resnet18", 0.7, glimpses=None, trained=None)
    head, _, line = budget.table([*curve, whole], "glimpses").splitlines()
    assert head == "| task | system | 1 | 2 | 4 | 8 |"
    assert line == "| one_digit | `saccader` | 50 | **90** | 95 | 80 |"


SIDES = budget.part_of(
    [
        measured("sides", model, accuracy, side=side)
        for model, accuracies in {"saccader": (0.9, 0.89), "resnet18": (0.95, 0.2), "ram": (0.6, 0.6)}.items()
        for side, accuracy in zip((100, 2528), accuracies, strict=True)
    ],
    "sides",
)
SECONDS = [
    {"part": "seconds", "task": "one_digit", "model": model, "side": side, "seconds": taken}
    for model, times in {"saccader": (0.002, 0.0021), "resnet18": (0.004, 0.4), "ram": (0.003, 0.003)}.items()
    for side, taken in zip((100, 2528), times, strict=True)
]


def test_larger_images():
    lines = budget.table(SIDES, "side").splitlines()
    assert lines[0] == "| task | system | 100 | 2528 |"
    assert lines[2] == "| one_digit | `saccader` | 90 (86.1 to 92.9) | 89 (85 to 92.1) |"
    assert budget.table(SECONDS, "side", "seconds", 1e3).splitlines()[2] == "| one_digit | `saccader` | 2 | 2.1 |"


def test_nothing_run_is_no_error():
    groups = group({}, [run for profile in table1.PROFILES for run in planned("identification", profile=profile)])
    assert "not run" in table1.systems_table(groups, "paper") and table1.by_task(groups) == {}
    assert len(budget.table([], "side").splitlines()) == 2
    assert json.dumps(budget.part_of([], "sides")) == "[]"
    assert "not run" in table1.cost_table([], PRINTED, 2528)
