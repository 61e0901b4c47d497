"""Cluttered digits: labels, boxes, distractors, larger canvases."""

import pytest
import torch
from torch.nn import functional as F

from conftest import plain_digits
from vsacc.tasks import find_task, open_split
from vsacc.tasks.cluttered import CANVAS, NEAR, Clutter, ClutteredSplit
from vsacc.tasks.mnist import Digits

BANK = plain_digits(20)  # digit k is a square of grey level 20 k + 30
ONE = Clutter(digits=1, distractors=8, classes=10, label="digit")


def naive_label(kind, digits):
    """The label of (a, b) by counting through the unordered pairs."""
    pairs = [(a, b) for a in range(10) for b in range(a, 10)]
    return {"digit": digits[0], "sum": sum(digits), "pair": pairs.index(tuple(sorted((*digits, *digits)[:2])))}[kind]


@pytest.mark.parametrize("name", ["one_digit", "identification", "sum", "identification_2528"])
def test_labels(digits, name):
    clutter, question = open_split(name, "train").clutter, find_task(name).question
    batch = ClutteredSplit(clutter, digits).draw(200, 3, 0)
    assert batch.labels.tolist() == [naive_label(clutter.label, row) for row in batch.objects.tolist()]
    assert batch.objects.shape == (200, clutter.digits) and question.labels.shape == (10,) * clutter.digits
    assert (
        question.labels.unique().tolist() == list(range(clutter.classes)) and len(question.classes) == clutter.classes
    )
    assert torch.equal(question.labels[tuple(batch.objects.T)], batch.labels)
    assert torch.equal(question.labels, question.labels.movedim(0, -1))  # pairs have no order
    called = {"digit": "7", "sum": "13", "pair": "67"}[clutter.label]
    assert question.classes[naive_label(clutter.label, [7, 6])] == called


def test_boxes_hold_the_digits():
    batch = ClutteredSplit(Clutter(digits=2, distractors=0, classes=55, label="pair"), BANK).draw(64, 1, 0)
    edges = ((batch.boxes + 1) * CANVAS / 2).round().long()  # x0, y0, x1, y1 in pixels
    assert edges.min() >= 0 and edges.max() <= CANVAS
    expected = torch.zeros(64, CANVAS, CANVAS)
    for image, boxes, digits in zip(expected, edges.tolist(), batch.objects.tolist(), strict=True):
        for (x0, y0, x1, y1), digit in zip(boxes, digits, strict=True):
            assert (x1 - x0, y1 - y0) == (28, 28)
            image[y0:y1, x0:x1] += digit * 20 + 30
    assert torch.equal(batch.images.level(0)[:, 0].float(), expected.clamp(max=255))


def test_distractors_are_patches_of_digits():
    quiet = Clutter(digits=1, distractors=0, classes=10, label="digit")
    digits, busy = (ClutteredSplit(clutter, BANK).draw(64, 1, 0).images.level(0).int() for clutter in (quiet, ONE))
    assert (busy >= digits).all()  # same digits at the same places: their draws come first
    added = (busy > digits).flatten(1).sum(1)
    assert (added > 0).all() and (added <= 8 * 64).all()
    level = (busy - digits)[(digits == 0) & (busy > 0)]  # where patches do not overlap, they show a digit's grey
    assert torch.isin(level[level < 256], torch.arange(10) * 20 + 30).float().mean() > 0.8


@pytest.mark.parametrize("how", ["draw", "fixed"])
def test_larger_canvas_is_the_same_image_enlarged(how):
    splits = [ClutteredSplit(ONE, BANK, side) for side in (CANVAS, 400)]
    small, large = (split.draw(4, 0, 0) if how == "draw" else next(split.fixed(4)) for split in splits)
    assert large.images.sizes[0] == (400, 400)
    torch.testing.assert_close(small[1:], large[1:])
    blurred = F.interpolate(small.images.level(0).float(), (400, 400), mode="bilinear")
    down = F.avg_pool2d(large.images.level(0).float(), 4)
    torch.testing.assert_close(down, F.avg_pool2d(blurred, 4), atol=0.6, rtol=0)


def test_digits_are_added_and_clipped():
    bank = Digits(torch.full((10, 28, 28), 200, dtype=torch.uint8), torch.arange(10))
    batch = ClutteredSplit(Clutter(digits=2, distractors=0, classes=19, label="sum"), bank).draw(256, 0, 0)
    assert batch.images.level(0).unique().tolist() == [0, 200, 255]  # 255 where two digits overlap


def test_near_digits_are_drawn_for_training_alone(digits):
    apart = Clutter(digits=2, distractors=0, classes=55, label="pair")
    beside = Clutter(digits=2, distractors=0, classes=55, label="pair", near=0.5)
    plain, near = (ClutteredSplit(clutter, digits).draw(2000, 1, 0) for clutter in (apart, beside))
    assert torch.equal(plain.objects, near.objects) and torch.equal(plain.boxes[:, 0], near.boxes[:, 0])
    moved = (plain.boxes[:, 1] != near.boxes[:, 1]).any(-1)
    assert 0.45 < moved.float().mean() < 0.55
    gap = (near.boxes[:, 0] - near.boxes[:, 1]).abs().amax(-1) * CANVAS / 2
    assert gap[moved].max() <= NEAR + 1e-3 and near.boxes.abs().max() <= 1
    for task in ("identification", "sum", "identification_2528"):
        trained, measured = open_split(task, "train"), [open_split(task, name) for name in ("validation", "test")]
        assert all(split.clutter.near == 0 and "near" not in split.protocol for split in measured)
        assert trained.clutter.near == 0 or "near the first" in trained.protocol
