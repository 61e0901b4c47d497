"""Megapixel MNIST: the protocol counted, pictures against a naive renderer, answers against a loop over digits."""

import math
from dataclasses import replace

import pytest
import torch

from conftest import noise
from vsacc.images.canvases import render
from vsacc.sampler import build_pyramid, glimpse
from vsacc.tasks import find_task, open_split
from vsacc.tasks.megapixel import COUNTS, SPRITE, MegapixelSplit, Scribbled, draw_digits, labels_of, make_scenes
from vsacc.tasks.mnist import Digits

FULL, EASY = Scribbled(), Scribbled(side=500, scribbles=0)


@pytest.fixture(scope="module")
def bank():
    """Digits of noise, told apart by every pixel; the classes are not equally many."""
    order = torch.randperm(75, generator=torch.Generator().manual_seed(1))
    return Digits(noise(75, 28, 28, seed=1), torch.arange(10).repeat_interleave(torch.arange(3, 13))[order])


def open_bank(canvas: Scribbled, bank: Digits, split: str = "train", count: int | None = None) -> MegapixelSplit:
    scenes, patterns = make_scenes(canvas, split, bank.labels)
    return MegapixelSplit(canvas, bank, patterns, scenes.take(torch.arange(len(scenes.digits))[:count]))


def pasted(side, sprites, corners):
    """One canvas (side, side), sprite by sprite: uint8 (D, 28, 28) at (row, column) corners (D, 2)."""
    canvas = torch.zeros(side, side, dtype=torch.uint8)
    for sprite, (top, left) in zip(sprites, corners.tolist(), strict=True):
        canvas[top : top + 28, left : left + 28] = sprite
    return canvas


@pytest.mark.parametrize("canvas", [FULL, EASY])
def test_three_of_five_digits_share_the_label_and_none_overlap(bank, canvas):
    scenes, _ = make_scenes(canvas, "train", bank.labels)
    digits = bank.labels[scenes.digits.long()]
    assert digits.shape == (5000, 5)
    label = labels_of("majority", digits, scenes.digit_corners)
    assert ((digits == label[:, None]).sum(1) == 3).all()
    corners = scenes.digit_corners.int()
    assert corners.min() >= 0 and corners.max() <= canvas.side - 28
    first, second = torch.triu_indices(5, 5, 1)
    assert ((corners[:, first] - corners[:, second]).abs() >= 28).any(-1).all()
    places = scenes.scribble_corners
    assert places.shape == (5000, canvas.scribbles, 2)
    size = sum(part.numel() * part.element_size() for part in scenes) / 5000
    assert size == 20 + 20 + 5 * canvas.scribbles  # bytes an image
    if canvas.scribbles:
        assert places.min() == 28 and places.max() == canvas.side - 28 - 1


def test_classes_and_digits_are_drawn_evenly(bank):
    """The label is uniform over the ten classes; the two others over all digits that are not of its class."""
    count = 200_000
    rows = draw_digits(bank.labels, count, torch.Generator().manual_seed(0))
    label = bank.labels[rows[:, 0]]
    assert (label.bincount() - count / 10).abs().max() < 5 * math.sqrt(count * 0.09)
    of_three, alike = rows[label == 3], bank.labels == 3
    share = of_three[:, :3].flatten().bincount(minlength=75) / (3 * len(of_three))
    assert share[alike].sum() == pytest.approx(1) and (share[alike] - 1 / int(alike.sum())).abs().max() < 0.01
    other = of_three[:, 3:].flatten().bincount(minlength=75) / (2 * len(of_three))
    assert other[alike].sum() == 0 and (other[~alike] - 1 / int((~alike).sum())).abs().max() < 0.003


def test_pictures_are_those_of_a_naive_renderer(bank):
    split = open_bank(FULL, bank, count=3)
    for image, row in zip(split.take(torch.tensor([2, 0])).images.level(0), (2, 0), strict=True):
        digits, digit_corners, scribbles, scribble_corners = split.scenes.take(torch.tensor(row))
        sprites = [*bank.images[digits.long()], *split.patterns[scribbles.long()]]  # scribbles over digits
        assert image[0].equal(pasted(1500, sprites, torch.cat([digit_corners, scribble_corners])))


@pytest.mark.parametrize("side", [28, 61, 64, 333])
def test_pyramids_are_those_of_the_whole_canvas(side):
    """Also at the borders, where levels of odd sides repeat their last pixels, and where sprites overlap."""
    sprites = noise(3, 9, 28, 28, seed=side)
    corners = torch.randint(0, side - 27, (3, 9, 2), generator=torch.Generator().manual_seed(side))
    corners[:, 0], corners[:, 1] = 0, side - 28
    canvases = [pasted(side, *scene) for scene in zip(sprites, corners, strict=True)]
    expected, pyramid = build_pyramid(torch.stack(canvases).unsqueeze(1)), render(side, sprites, corners)
    assert pyramid.sizes == expected.sizes and pyramid.flat.equal(expected.flat)


def test_boxes_hold_the_digits_and_glimpses_of_them_their_pixels(bank):
    split = open_bank(EASY, bank, count=20)
    batch = split.take(torch.arange(20))
    assert batch.boxes.shape == (20, 5, 4)
    shown = bank.images[split.scenes.digits.long()]  # (20, 5, 28, 28)
    low, high = batch.boxes[..., :2], batch.boxes[..., 2:]
    assert ((high - low) * 250 - 28).abs().max() < 1e-3
    where = torch.cat([(high - low)[..., :1] / 2, (low + high) / 2], -1)  # one glimpse pixel per image pixel
    seen = glimpse(batch.images, where.double(), 28)
    torch.testing.assert_close(seen[:, :, 0] * 255, shown.double(), atol=0.02, rtol=0)
    edges = ((batch.boxes + 1) * 250).round().long()
    for image, boxes, digits in zip(batch.images.level(0), edges.tolist(), shown, strict=True):
        for (x0, y0, x1, y1), digit in zip(boxes, digits, strict=True):
            assert image[0, y0:y1, x0:x1].equal(digit)


def test_scribbles_hide_about_one_digit_in_fourteen(bank):
    scenes, _ = make_scenes(FULL, "train", bank.labels)
    gap = scenes.digit_corners[:, :, None].int() - scenes.scribble_corners[:, None].int()  # (N, 5, 50, 2)
    hidden = (gap.abs() < SPRITE).all(-1).any(-1).float().mean().item()
    assert hidden == pytest.approx(1 - (1 - (55 / 1460) ** 2) ** 50, abs=0.01) == pytest.approx(1 / 14, abs=0.01)


def test_scribbles_are_two_strokes_from_corners(bank):
    _, patterns = make_scenes(FULL, "train", bank.labels)
    assert patterns.shape == (50, 28, 28) and patterns.dtype == torch.uint8
    ink = patterns > 0
    assert 204 <= patterns[ink].min() and patterns[ink].max() <= 255
    assert ink[:, 0, 0].all()  # where the first stroke begins
    # A stroke of 56 points has 28 to 56 pixels, and two of them at most share all of them.
    count = ink.flatten(1).sum(1)
    assert count.min() >= 28 and count.max() <= 112
    assert len(ink.flatten(1).unique(dim=0)) == 50


@pytest.mark.parametrize("label", ["majority", "max", "top", "multi"])
def test_labels_against_counting(bank, label):
    scenes, _ = make_scenes(FULL, "test", bank.labels)
    digits = bank.labels[scenes.digits.long()]
    shuffle = torch.rand(digits.shape, generator=torch.Generator().manual_seed(0)).argsort(1)
    digits = digits.gather(1, shuffle)  # the answer must not depend on the order that digits are kept in
    answer = {
        "majority": lambda row, tops: max(row, key=row.count),
        "max": lambda row, tops: max(row),
        "top": lambda row, tops: row[tops.index(min(tops))],
        "multi": lambda row, tops: [digit in row for digit in range(10)],
    }[label]
    expected = list(map(answer, digits.tolist(), scenes.digit_corners[..., 0].tolist()))
    assert labels_of(label, digits, scenes.digit_corners).tolist() == expected


def test_the_tasks_and_their_four_questions_of_the_same_images(digits):
    names = [f"megapixel{end}" for end in ("", "_max", "_top", "_multi", "_easy")]
    for name, label in zip(names, ("majority", "max", "top", "multi", "majority"), strict=True):
        question, split = find_task(name).question, open_split(name, "validation")
        assert question.classes == tuple("0123456789") and question.many == (name == "megapixel_multi")
        assert split.canvas == replace(EASY if name == "megapixel_easy" else FULL, label=label) and len(split) == 1000
        assert f"label {label}" in split.protocol
    first, *others = (open_split(name, "test").draw(3, 5, 1) for name in names[:4])
    for batch in others:
        assert batch.images.level(0).equal(first.images.level(0)) and batch.boxes.equal(first.boxes)
    there = others[2].labels
    assert there.shape == (3, 10) and there.dtype == torch.bool
    assert all(there[torch.arange(3), batch.labels].all() for batch in (first, *others[:2]))


def test_images_are_a_function_of_the_row_alone(bank):
    """Whatever the batch they are drawn in; the splits differ."""
    whole = open_bank(EASY, bank, count=12)
    again = open_bank(EASY, bank)
    for rows in torch.arange(12).split(5):
        part, same = again.take(rows), whole.take(torch.arange(12))
        assert part.images.level(0).equal(same.images.level(0)[rows])
        assert part.labels.equal(same.labels[rows]) and part.boxes.equal(same.boxes[rows])
    assert torch.cat([batch.boxes for batch in whole.fixed()]).equal(same.boxes)
    others = [open_bank(EASY, bank, split).scenes.digit_corners[:12] for split in COUNTS]
    assert not others[0].equal(others[1]) and not others[1].equal(others[2])
