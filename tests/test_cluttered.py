"""The generators: labels, boxes, determinism, disjoint digits."""

import pytest
import torch
from torch.nn import functional as F

from vsacc.tasks.cluttered import CANVAS, TASKS, Task, label_of, label_table, make_batch
from vsacc.tasks.mnist import Digits


@pytest.fixture
def bank():
    """Digits whose every pixel says which digit it is: k * 20 + 30."""
    labels = torch.arange(10).repeat(5)
    return Digits((labels * 20 + 30).to(torch.uint8).view(-1, 1, 1).expand(-1, 28, 28).contiguous(), labels)


def naive_labels(task, digits):
    """The label of (a, b) by counting through the unordered pairs."""
    pairs = [(a, b) for a in range(10) for b in range(a, 10)]
    kinds = {"digit": lambda d: d[0], "sum": sum, "pair": lambda d: pairs.index(tuple(sorted(d)))}
    return [kinds[task.label](d) for d in digits.tolist()]


@pytest.mark.parametrize("name", TASKS)
def test_labels(name, bank):
    task = TASKS[name]
    batch = make_batch(task, bank, 200, seed=3)
    assert batch.labels.tolist() == naive_labels(task, batch.digits)
    assert batch.digits.shape == (200, task.digits)
    table = label_table(task)
    assert table.shape == (10,) * task.digits
    assert table.unique().tolist() == list(range(task.classes))
    assert torch.equal(table[tuple(batch.digits.T)], batch.labels)


def test_unordered_pairs_have_no_order():
    digits = torch.cartesian_prod(torch.arange(10), torch.arange(10))
    task = TASKS["identification"]
    assert torch.equal(label_of(task, digits), label_of(task, digits.flip(1)))


def test_boxes_hold_the_digits(bank):
    task = Task(digits=2, distractors=0, classes=55, label="pair")
    batch = make_batch(task, bank, 64, seed=1)
    images = batch.images.level(0)
    edges = ((batch.boxes + 1) * CANVAS / 2).round().long()  # x0, y0, x1, y1 in pixels
    assert edges.min() >= 0 and edges.max() <= CANVAS
    expected = torch.zeros(64, CANVAS, CANVAS)
    for image, boxes, digits in zip(expected, edges.tolist(), batch.digits.tolist(), strict=True):
        for (x0, y0, x1, y1), digit in zip(boxes, digits, strict=True):
            assert (x1 - x0, y1 - y0) == (28, 28)
            image[y0:y1, x0:x1] += digit * 20 + 30
    assert torch.equal(images[:, 0].float(), expected.clamp(max=255))


def test_distractors_are_patches_of_digits(bank):
    quiet = Task(digits=1, distractors=0, classes=10, label="digit")
    digits = make_batch(quiet, bank, 64, seed=1).images.level(0).int()
    busy = make_batch(TASKS["one_digit"], bank, 64, seed=1).images.level(0).int()
    assert (busy >= digits).all()  # same digits at the same places: their draws come first
    added = (busy > digits).flatten(1).sum(1)
    assert (added > 0).all() and (added <= 8 * 64).all()
    level = (busy - digits)[(digits == 0) & (busy > 0)]  # where patches do not overlap, they show a digit's grey
    assert torch.isin(level[level < 256], torch.arange(10) * 20 + 30).float().mean() > 0.8


def test_a_batch_is_a_function_of_seed_and_index(bank):
    task = TASKS["identification"]
    first, again = (make_batch(task, bank, 16, seed=5, index=2) for _ in range(2))
    assert torch.equal(first.images.flat, again.images.flat) and torch.equal(first.labels, again.labels)
    for other in (make_batch(task, bank, 16, seed=5, index=3), make_batch(task, bank, 16, seed=6, index=2)):
        assert not torch.equal(first.images.flat, other.images.flat)


def test_larger_canvas_is_the_same_image_enlarged(bank):
    task = TASKS["one_digit"]
    small, large = (make_batch(task, bank, 4, seed=0, side=side) for side in (CANVAS, 400))
    assert large.images.sizes[0] == (400, 400)
    torch.testing.assert_close(small.boxes, large.boxes)
    down = F.avg_pool2d(large.images.level(0).float(), 4)
    blurred = F.interpolate(small.images.level(0).float(), (400, 400), mode="bilinear")
    torch.testing.assert_close(down, F.avg_pool2d(blurred, 4), atol=0.6, rtol=0)


def test_digits_are_added_and_clipped():
    bank = Digits(torch.full((10, 28, 28), 200, dtype=torch.uint8), torch.arange(10))
    batch = make_batch(TASKS["sum"], bank, 256, seed=0)
    values = batch.images.level(0).unique().tolist()
    assert values == [0, 200, 255]  # 255 where two digits overlap
