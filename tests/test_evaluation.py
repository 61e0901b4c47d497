"""Localisation by hand, and what evaluation makes of a model's answers."""

from statistics import NormalDist

import pytest
import torch
from torch.nn import functional as F

from vsacc.saccader import Model, Output
from vsacc.tasks import TEST_SEED, Batch, open_split
from vsacc.training.evaluation import (
    best_iou,
    calibration_error,
    centre_inside,
    centres_of,
    evaluate,
    fit_temperatures,
    spread,
    wilson,
)

WHERE = torch.tensor([[[0.2, 0.0, 0.0], [0.1, 0.5, 0.5]]])  # boxes [-.2, .2]^2 and [.4, .6]^2


def test_localisation_and_spread_by_hand():
    boxes = torch.tensor([[[-0.1, -0.1, 0.5, 0.5], [-0.1, -0.1, 0.3, 0.3], [0.4, -0.2, 0.6, 0.2]]])
    # centres (.2, .2): on the edge counts; (.1, .1): inside; (.5, 0): inside neither
    assert centre_inside(WHERE, boxes).tolist() == [[True, True, False]]
    boxes = torch.tensor([[[-0.2, -0.2, 0.2, 0.2], [0.5, 0.4, 0.7, 0.6], [0.8, 0.8, 0.9, 0.9]]])
    torch.testing.assert_close(best_iou(WHERE, boxes), torch.tensor([[1.0, 1 / 3, 0.0]]))
    assert spread(torch.rand(1, 3, 3).expand(8, 3, 3)) < 1e-6  # all look alike
    torch.testing.assert_close(spread(torch.tensor([[[1.0, -1, -1]], [[1.0, 1, 1]]])), torch.tensor(2**0.5))


class Oracle(Model):
    """Knows the labels of the fixed set; looks at the first digit when ``look`` is set."""

    def __init__(self, split, look):
        super().__init__()
        self.batches, self.look = (split.draw(100, TEST_SEED, index) for index in range(2)), look

    def forward(self, images):
        batch, keep = next(self.batches), images.shape[0]
        logits = F.one_hot(batch.labels[:keep], 55).float() * 9
        logits[::4] = logits[::4].roll(1, -1)  # every fourth is wrong
        centre = centres_of(batch.boxes[:keep, :1])
        where = torch.cat([torch.full_like(centre[..., :1], 0.01), centre], -1)
        return Output(logits, where if self.look else None, None, {})


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("look", [True, False])
def test_evaluate(digits, look, training):
    split = open_split("identification", "test")
    model = Oracle(split, look).train(training)
    scores = evaluate(model, split.fixed(150))
    assert model.training == training  # it leaves the mode as it was
    assert len(scores.labels) == len(scores.predictions) == 150
    assert scores.accuracy == pytest.approx(1 - 38 / 150)  # 25 of the first 100, 13 of the next 50
    if look:
        boxes = next(split.fixed(100)).boxes
        both = (boxes[:, 0] - boxes[:, 1]).abs().amax(1) <= 0.02
        assert 0.5 <= scores.localised <= 0.5 + both.float().mean() + 0.02  # one digit of two, but for overlaps
        assert scores.scale == pytest.approx(0.01)
    else:
        assert scores.localised is scores.iou is scores.scale is scores.found is None


def test_of_many_questions_all_must_be_answered_rightly():
    labels, logits = torch.tensor([[True, False]] * 3), torch.tensor([[2.0, -1.0], [2.0, 1.0], [-0.1, -3.0]])
    model = Model()
    model.forward = lambda images: Output(logits, None, None, {})
    scores = evaluate(model, [Batch(None, labels, None)])
    assert scores.accuracy == pytest.approx(1 / 3) and scores.predictions.equal(logits > 0)


def test_calibration_error_is_the_mean_gap_of_its_bins():
    """Against a loop over the bins; and of an oracle of its own chances, 0 but for the draw."""
    torch.manual_seed(0)
    confidence, drawn = torch.rand(4000), torch.rand(4000)
    for right in (drawn < confidence, drawn < confidence**2):
        expected = 0.0
        for k in range(15):
            here = (confidence > k / 15) & (confidence <= (k + 1) / 15)
            expected += (right[here].float().mean() - confidence[here].mean()).abs() * here.sum() / 4000
        assert calibration_error(confidence, right) == pytest.approx(float(expected), abs=1e-6)
    assert calibration_error(confidence, drawn < confidence) < 0.03 < 0.1 < calibration_error(confidence, right)
    assert calibration_error(torch.ones(4), torch.tensor([True, True, False, True])) == pytest.approx(0.25)
    assert calibration_error(torch.full((2, 2), 0.5), torch.tensor([[True, False], [False, True]])) == 0


@pytest.mark.parametrize("early", [False, True])
def test_temperatures_make_up_for_what_is_said_too_surely(early):
    """Labels drawn from a softmax whose logits are then said two times too large after one glimpse, and three after
    two."""
    torch.manual_seed(0)
    logits = 2 * torch.randn(6000, 5)
    labels = torch.distributions.Categorical(logits=logits).sample()
    model = Model().train()

    def forward(images):
        where = torch.zeros(len(images), 2, 3)
        return Output(3 * images, where, None, {}, torch.stack([2 * images, 3 * images], 1) if early else None)

    model.forward = forward
    halves = [Batch(logits[k::2], labels[k::2], None) for k in (0, 1)]
    found = fit_temperatures(model, halves)
    assert model.training and found == pytest.approx([2, 3] if early else [3], rel=0.06)
    raw = evaluate(model, halves)
    model.temperatures = found
    scores = evaluate(model, halves)
    assert scores.log_y > raw.log_y + 0.1 and scores.accuracy == raw.accuracy and scores.looks is None
    assert scores.ece < 0.03 < raw.ece
    model.temperatures = (2.0, 4.0)
    three = torch.ones(3, 5)
    assert model.calibrated(three, torch.tensor([1, 2, 7]))[:, 0].tolist() == [0.5, 0.25, 0.25]
    assert model.calibrated(three, 1)[:, 0].tolist() == [0.5] * 3


@pytest.mark.parametrize(("right", "total"), [(37, 50), (0, 20), (240, 240)])
def test_wilson_bounds_are_the_shares_that_are_just_not_rejected(right, total):
    """By its definition: at either bound p, the share lies 1.96 standard deviations sqrt(p (1 - p) / n) away."""
    for bound in wilson(right, total):
        sigma = (bound * (1 - bound) / total) ** 0.5
        assert abs(right / total - bound) == pytest.approx(NormalDist().inv_cdf(0.975) * sigma, abs=1e-9)
