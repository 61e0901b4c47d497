"""The moving digit: boxes that fit the pixels, straight motion that bounces, hidden bands, determinism."""

import pytest
import torch

from vsacc.tasks.base import TEST_SEED, MovingSplit, kind_of
from vsacc.tasks.mnist import Digits
from vsacc.tasks.moving import BAND, FRAMES, ROOM, SPEED, bands, bounce, make_batch


@pytest.fixture
def bank():
    """Solid sprites, brighter than what two patches add up to where there is no digit: all patches come from a 0."""
    labels = torch.arange(10).repeat(5)
    return Digits((labels * 20 + 30).to(torch.uint8).view(-1, 1, 1).expand(-1, 28, 28).contiguous(), labels)


def pixels_of(batch):
    """Boxes in whole pixels, (B, F, 4)."""
    return ((batch.boxes[:, :, 0] + 1) * 50).round().long()


def test_boxes_hold_the_digit_and_nothing_else_moves(bank):
    """What differs between two frames lies inside their two boxes; outside all boxes the canvas stands still."""
    batch = make_batch(bank, 32, seed=1)
    frames, edges = batch.images.level(0)[:, :, 0].int(), pixels_of(batch)
    assert edges.min() >= 0 and edges.max() <= 100
    assert ((edges[..., 2:] - edges[..., :2]) == 28).all()
    for video, boxes in zip(frames, edges.tolist(), strict=True):
        digit = torch.zeros(FRAMES, 100, 100, dtype=torch.bool)
        for inside, (x0, y0, x1, y1) in zip(digit, boxes, strict=True):
            inside[y0:y1, x0:x1] = True
        ground = video.masked_fill(digit, 999).amin(0)  # from a frame in which the place was free
        assert torch.equal(video[~digit], ground.expand_as(video)[~digit])
        level = (video - ground)[digit & (ground < 999) & (video < 255)]
        assert len(level.unique()) == 2 and level.min() == 0  # the digit's grey, or nothing where it is hidden


def test_a_band_is_hidden_in_every_frame(bank):
    """On a canvas whose patches are black, what is left of the sprite can be counted."""
    dark = Digits(bank.images * (bank.labels > 0).view(-1, 1, 1), bank.labels)
    quiet = Digits(dark.images[[0, 1]], dark.labels[[0, 1]])  # of zeros and ones, the zeros black
    batch = make_batch(quiet, 64, seed=2)
    ones = batch.labels == 1
    lit = (batch.images.level(0)[ones][:, :, 0] >= 50).flatten(2).sum(2)
    assert (lit >= 28 * (28 - BAND)).all() and (lit <= 28 * (28 - BAND) + 8 * 64).all()


def test_bands_by_hand():
    hidden = bands(torch.tensor([[2, 0]]), torch.tensor([[False, True]]))[0]
    assert hidden[0, 2 : 2 + BAND].all() and hidden[0].sum() == 28 * BAND  # rows
    assert hidden[1, :, :BAND].all() and hidden[1].sum() == 28 * BAND  # columns


def test_it_goes_straight_and_bounces():
    """Against a walk in small steps that turns round at the walls."""
    rng = torch.Generator().manual_seed(0)
    start = ROOM * torch.rand(200, 2, generator=rng)
    velocity = 2 * SPEED[1] * (torch.rand(200, 2, generator=rng) - 0.5)
    place, going = start.double(), velocity.double() / 1000
    walked = [place]
    for _ in range(FRAMES - 1):
        for _ in range(1000):
            place = place + going
            going = torch.where((place < 0) | (place > ROOM), -going, going)
        walked.append(place)
    assert (bounce(start, velocity) - torch.stack(walked, 1)).abs().max() < 0.53  # rounding, and a small step


def test_speed_is_as_documented(bank):
    """Between frames without a wall: constant, and from the slowest to the fastest."""
    corner = pixels_of(make_batch(bank, 500, seed=3))[..., :2].double()
    free = ((corner > 0) & (corner < ROOM)).all(-1).all(-1)
    step = corner.diff(dim=1)
    straight = free & ((step - step[:, :1]).abs().amax((1, 2)) <= 1)
    speed = (corner[:, -1] - corner[:, 0]).norm(dim=-1)[straight] / (FRAMES - 1)
    assert straight.sum() > 50
    assert SPEED[0] - 0.4 < speed.min() < SPEED[0] + 1 and SPEED[1] - 1.5 < speed.max() < SPEED[1] + 0.4


def test_a_batch_is_a_function_of_seed_and_index(bank):
    first, again = (make_batch(bank, 8, seed=5, index=2) for _ in range(2))
    assert torch.equal(first.images.flat, again.images.flat) and torch.equal(first.boxes, again.boxes)
    for other in (make_batch(bank, 8, seed=5, index=3), make_batch(bank, 8, seed=6, index=2)):
        assert not torch.equal(first.images.flat, other.images.flat)


def test_the_fixed_set_is_cut_to_the_count(digits):
    split = MovingSplit(digits)
    batches = list(split.fixed(130))
    whole = split.draw(100, TEST_SEED, 1)
    assert [batch.images.shape for batch in batches] == [(100, 1), (30, 1)]
    assert batches[1].images.level(0).equal(whole.images.level(0)[:30])
    assert batches[1].boxes.shape == (30, FRAMES, 1, 4)
    assert kind_of("moving_digit").classes == tuple("0123456789")
