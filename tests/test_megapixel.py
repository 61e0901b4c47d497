"""Megapixel MNIST: the protocol counted, pictures against a naive renderer, answers against a loop over digits."""

import math

import numpy as np
import pytest
import torch

from vsacc.loss import log_likelihood, lower_bound
from vsacc.saccader import Config
from vsacc.sampler import build_pyramid, glimpse
from vsacc.systems.models import build_model
from vsacc.tasks.base import MegapixelSplit, kind_of, megapixel, open_split
from vsacc.tasks.megapixel import COUNTS, SPRITE, TASKS, Task, draw_digits, labels_of, make_scenes
from vsacc.tasks.megapixel_render import render
from vsacc.tasks.mnist import Digits
from vsacc.training.evaluation import evaluate

TINY = Config(
    glimpses=3, size=32, proxy=16, hidden=8, features=8, proxy_widths=(4, 8), crop_widths=(8, 8), likelihood="pooled"
)


@pytest.fixture(scope="module")
def bank():
    """Digits of noise, told apart by every pixel; the classes are not equally many."""
    rng = torch.Generator().manual_seed(1)
    labels = torch.arange(10).repeat_interleave(torch.arange(3, 13))[torch.randperm(75, generator=rng)]
    return Digits(torch.randint(0, 256, (75, 28, 28), generator=rng, dtype=torch.uint8), labels)


def open_bank(task: Task, bank: Digits, split: str = "train", count: int | None = None) -> MegapixelSplit:
    scenes, patterns = make_scenes(task, split, bank.labels)
    return MegapixelSplit(task, bank, patterns, scenes.take(torch.arange(len(scenes.digits))[:count]))


def drawn_naively(split: MegapixelSplit, row: int) -> np.ndarray:
    """One canvas, pasted with slices."""
    canvas = np.zeros((split.task.side, split.task.side), np.uint8)
    scene = split.scenes.take(torch.tensor(row))
    for sprites, chosen, corners in (
        (split.digits.images, scene.digits, scene.digit_corners),
        (split.patterns, scene.scribbles, scene.scribble_corners),
    ):
        for number, (top, left) in zip(chosen.tolist(), corners.tolist(), strict=True):
            canvas[top : top + 28, left : left + 28] = sprites[number].numpy()
    return canvas


@pytest.mark.parametrize("name", ["megapixel", "megapixel_easy"])
def test_three_of_five_digits_share_the_label_and_none_overlap(bank, name):
    scenes, _ = make_scenes(TASKS[name], "train", bank.labels)
    digits = bank.labels[scenes.digits.long()]
    assert digits.shape == (5000, 5)
    label = labels_of("majority", digits, scenes.digit_corners)
    assert ((digits == label[:, None]).sum(1) == 3).all()
    side = TASKS[name].side
    corners = scenes.digit_corners.int()
    assert corners.min() >= 0 and corners.max() <= side - 28
    first, second = torch.triu_indices(5, 5, 1)
    apart = (corners[:, first] - corners[:, second]).abs() >= 28
    assert apart.any(-1).all()
    places = scenes.scribble_corners
    assert places.shape == (5000, TASKS[name].scribbles, 2)
    if len(places[0]):
        assert places.min() == 28 and places.max() == side - 28 - 1


def test_classes_and_digits_are_drawn_evenly(bank):
    """The label is uniform over the ten classes; the two others over all digits that are not of its class."""
    rng = torch.Generator().manual_seed(0)
    count = 200_000
    rows = draw_digits(bank.labels, count, rng)
    label = bank.labels[rows[:, 0]]
    expected = torch.full((10,), count / 10)
    assert (label.bincount() - expected).abs().max() < 5 * math.sqrt(count * 0.09)
    of_three = rows[label == 3]
    alike = (bank.labels == 3).nonzero().flatten()
    share = of_three[:, :3].flatten().bincount(minlength=75) / (3 * len(of_three))
    assert share[alike].sum() == pytest.approx(1) and (share[alike] - 1 / len(alike)).abs().max() < 0.01
    other = of_three[:, 3:].flatten().bincount(minlength=75) / (2 * len(of_three))
    rest = bank.labels != 3
    assert other[~rest].sum() == 0 and (other[rest] - 1 / int(rest.sum())).abs().max() < 0.003


def test_pictures_are_those_of_a_naive_renderer(bank):
    split = open_bank(TASKS["megapixel"], bank, count=3)
    batch = split.take(torch.tensor([2, 0]))
    for image, row in zip(batch.images.level(0), (2, 0), strict=True):
        assert np.array_equal(image[0].numpy(), drawn_naively(split, row))


@pytest.mark.parametrize("side", [28, 61, 64, 333])
def test_pyramids_are_those_of_the_whole_canvas(side):
    """Also at the borders, where levels of odd sides repeat their last pixels, and where sprites overlap."""
    rng = torch.Generator().manual_seed(side)
    sprites = torch.randint(0, 256, (3, 9, 28, 28), generator=rng, dtype=torch.uint8)
    corners = torch.randint(0, side - 27, (3, 9, 2), generator=rng)
    corners[:, 0], corners[:, 1] = 0, side - 28
    canvas = torch.zeros(3, 1, side, side, dtype=torch.uint8)
    for image, row, places in zip(canvas, sprites, corners.tolist(), strict=True):
        for sprite, (top, left) in zip(row, places, strict=True):
            image[0, top : top + 28, left : left + 28] = sprite
    expected, pyramid = build_pyramid(canvas), render(side, sprites, corners)
    assert pyramid.sizes == expected.sizes and pyramid.flat.equal(expected.flat)


def test_boxes_hold_the_digits_and_glimpses_of_them_their_pixels(bank):
    split = open_bank(TASKS["megapixel_easy"], bank, count=20)
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
    scenes, _ = make_scenes(TASKS["megapixel"], "train", bank.labels)
    gap = scenes.digit_corners[:, :, None].int() - scenes.scribble_corners[:, None].int()  # (N, 5, 50, 2)
    hidden = (gap.abs() < SPRITE).all(-1).any(-1).float().mean().item()
    assert hidden == pytest.approx(1 - (1 - (55 / 1460) ** 2) ** 50, abs=0.01) == pytest.approx(1 / 14, abs=0.01)


def test_scribbles_are_two_strokes_from_corners(bank):
    _, patterns = make_scenes(TASKS["megapixel"], "train", bank.labels)
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
    scenes, _ = make_scenes(TASKS["megapixel"], "test", bank.labels)
    digits = bank.labels[scenes.digits.long()]
    shuffle = torch.rand(digits.shape, generator=torch.Generator().manual_seed(0)).argsort(1)
    digits = digits.gather(1, shuffle)  # the answer must not depend on the order that digits are kept in
    expected = []
    for row, corners in zip(digits.tolist(), scenes.digit_corners.tolist(), strict=True):
        topmost = min(range(5), key=lambda i: corners[i][0])
        answer = {
            "majority": [d for d in row if row.count(d) == 3][:1],
            "max": [sorted(row)[-1]],
            "top": [row[topmost]],
            "multi": [d in row for d in range(10)],
        }[label]
        expected.append(answer if label == "multi" else answer[0])
    assert labels_of(label, digits, scenes.digit_corners).tolist() == expected


def test_the_four_questions_are_asked_of_the_same_images(digits):
    batches = [open_split(f"megapixel{end}", "test").draw(3, 5, 1) for end in ("", "_max", "_top", "_multi")]
    for batch in batches[1:]:
        assert batch.images.flat.equal(batches[0].images.flat) and batch.boxes.equal(batches[0].boxes)
    assert [batch.labels.shape for batch in batches] == [(3,), (3,), (3,), (3, 10)]
    assert batches[3].labels.dtype == torch.bool
    assert all(batches[3].labels[i, label] for batch in batches[:3] for i, label in enumerate(batch.labels))


def test_images_are_a_function_of_the_row_alone(bank):
    """Whatever the batch they are drawn in; the splits differ."""
    whole = open_bank(TASKS["megapixel_easy"], bank).take(torch.arange(12))
    again = open_bank(TASKS["megapixel_easy"], bank)
    for rows in torch.arange(12).split(5):
        part = again.take(rows)
        assert part.images.flat.equal(whole.images.flat[rows])
        assert part.labels.equal(whole.labels[rows]) and part.boxes.equal(whole.boxes[rows])
    others = [open_bank(TASKS["megapixel_easy"], bank, split).scenes.digit_corners[:12] for split in COUNTS]
    assert not others[0].equal(others[1]) and not others[1].equal(others[2])


def test_an_epoch_shows_every_image_once(bank):
    split = open_bank(TASKS["megapixel_easy"], bank, count=30)
    names = {tuple(box): row for row, box in enumerate(split.take(torch.arange(30)).boxes.flatten(1).tolist())}
    rows = [names[tuple(box)] for i in range(5) for box in split.draw(12, 3, i).boxes.flatten(1).tolist()]
    assert sorted(rows[:30]) == sorted(rows[30:]) == list(range(30)) and rows[:30] != rows[30:]
    fixed = torch.cat([batch.boxes for batch in split.fixed()])
    assert fixed.equal(split.take(torch.arange(30)).boxes)


def test_an_image_is_kept_in_less_than_a_kilobyte(bank):
    scenes, _ = make_scenes(TASKS["megapixel"], "train", bank.labels)
    assert sum(part.numel() * part.element_size() for part in scenes) / len(scenes.digits) == 20 + 20 + 50 + 200


@pytest.mark.parametrize("model", ["saccader", "proxy_only", "random"])
@pytest.mark.parametrize("likelihood", ["pooled", "set"])
def test_many_questions_from_images_to_accuracy(bank, model, likelihood):
    torch.manual_seed(0)
    split, kind = open_bank(Task(side=160, scribbles=3, label="multi"), bank, count=50), kind_of("megapixel_multi")
    net = build_model(model, Config(**vars(TINY) | {"likelihood": likelihood}), kind)
    batch = split.draw(8, 0, 0)
    output = net(batch.images)
    assert output.logits.shape == batch.labels.shape == (8, 10)
    bound = lower_bound(output.logits, batch.labels, output.terms)
    bound.loss.backward()
    assert all(part.grad is not None and part.grad.isfinite().all() for part in net.parameters())
    chance = output.logits.sigmoid()
    yes = torch.where(batch.labels, chance, 1 - chance).log().sum(1)
    torch.testing.assert_close(log_likelihood(output.logits, batch.labels), yes, rtol=1e-4, atol=1e-4)
    scores = evaluate(net, split.fixed())
    right = (scores.predictions == scores.labels).all(1).float().mean().item()
    assert scores.predictions.shape == (50, 10) and scores.accuracy == pytest.approx(right)


def test_the_tasks_have_ten_classes(digits):
    for name in megapixel.TASKS:
        kind, split = kind_of(name), open_split(name, "validation")
        assert kind.classes == tuple("0123456789") and kind.many == (name == "megapixel_multi")
        assert len(split) == 1000 and f"label {TASKS[name].label}" in split.protocol
