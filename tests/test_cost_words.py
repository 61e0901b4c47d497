"""Tables and sentences of the cost benchmark say what the numbers say."""

from vsacc.studies import cost_words as words


def row(name, mode, seconds, ratio=1.0, **more):
    figures = {"channels": 3, "batch": 2, "parameters": 7_000_000, "bytes": 300e6, "memory_ratio": 3.0, "why": None}
    return {"name": name, "mode": mode, "seconds": seconds, "epoch_seconds": 3600.0, "ratio": ratio, **figures, **more}


def floor(name, mode, flops, seconds, over, bound):
    known = {"flops": flops, "moved": 1e6, "intensity": flops / 1e6, "floor": seconds / over, "bound": bound}
    known |= {"peak_flops": 5e10, "peak_bandwidth": 1e10}
    return {"name": name, "mode": mode, "seconds": seconds, "over": over, **known}


TABLE = [
    row("saccader", "inference", 0.01),
    row("saccader", "training", 0.02),
    row("whole image", "inference", 1.5, 150.0),
    row("whole image", "training", None, None, why="not run: no memory"),
]


def test_table():
    heading, first, _, third, last = words.table_text(TABLE).splitlines()
    assert heading.split()[-4:] == ["x", "time", "x", "memory"] and len(heading) == len(first)
    assert third.split() == ["whole", "image", *"inference 3 2 7,000,000 300.0 1500.0 1.00 150 3".split()]
    assert last.endswith("3 not run: no memory")


def test_against_the_saccader():
    told = words.against_the_saccader(TABLE).splitlines()
    assert told[2:] == [
        "- *whole image*: inference **150 times** the time and 3 times the memory beyond weights; "
        "training not run: no memory."
    ]


def test_beside_the_paper():
    printed = {"saccader": (7e6, 2e9, 40.0), "whole image": (11e6, 6e9, 60.0)}
    text = words.beside_the_paper(TABLE, printed, "whole image")
    assert "1.5 times the time and 3 times the memory in the paper" in text and text.endswith(
        "here not run: no memory."
    )
    run = words.beside_the_paper([row("whole image", "training", 2.0, 8.0)], printed, "whole image")
    assert run.endswith("; here **8 times** the time and 3 times the memory beyond weights.")


FLOORS = [
    floor("saccader", "inference", 4e8, 0.02, 2.5, "operations"),
    floor("RAM", "inference", 1e6, 0.01, 50.0, "bytes"),
    floor("whole image", "inference", 4e11, 10.0, 1.25, "operations"),
    floor("saccader", "training", 1.2e9, 0.1, 4.0, "bytes"),
    floor("RAM", "training", 3e6, 0.03, 60.0, "bytes"),
]


def test_read_floors():
    machine, inference, training = words.read_floors(FLOORS).splitlines()
    assert "50 GFLOP/s and 10 GB/s; below 5 operations a byte" in machine
    assert "nearest to its floor is *whole image* (1.25 times), farthest from it *RAM* (50 times)" in inference
    assert "2.5 times its floor, which operations set" in inference
    assert inference.endswith("The *whole image*: 1,000 times its operations, 500 times its time.")
    assert "4 times its floor, which bytes set" in training and "whole image" not in training


def test_floors_as_columns():
    heading, first, *_ = words.floor_text(FLOORS).splitlines()
    assert len(heading) == len(first)
    assert first.split() == ["saccader", "inference", "0.4", "1", "400", "8", "20", "2.5"]
