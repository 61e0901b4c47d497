"""The moving digit: boxes that fit the pixels, straight motion that bounces, hidden bands."""

import torch

from conftest import plain_digits
from vsacc.tasks.mnist import Digits
from vsacc.tasks.moving_digit import BAND, FRAMES, ROOM, SPEED, MovingSplit, bands, bounce

BANK = plain_digits(20)  # solid sprites: digit k is a square of grey level 20 k + 30


def pixels_of(batch):
    """Boxes in whole pixels, (B, F, 4)."""
    return ((batch.boxes[:, :, 0] + 1) * 50).round().long()


def test_boxes_hold_the_digit_and_nothing_else_moves():
    """What differs between two frames lies inside their two boxes; outside all boxes the canvas stands still."""
    batch = MovingSplit(BANK).draw(32, 1, 0)
    frames, edges = batch.images.level(0)[:, :, 0].int(), pixels_of(batch)
    assert batch.boxes.shape == (32, FRAMES, 1, 4) and edges.min() >= 0 and edges.max() <= 100
    assert ((edges[..., 2:] - edges[..., :2]) == 28).all()
    for video, boxes in zip(frames, edges.tolist(), strict=True):
        digit = torch.zeros(FRAMES, 100, 100, dtype=torch.bool)
        for inside, (x0, y0, x1, y1) in zip(digit, boxes, strict=True):
            inside[y0:y1, x0:x1] = True
        ground = video.masked_fill(digit, 999).amin(0)  # from a frame in which the place was free
        assert torch.equal(video[~digit], ground.expand_as(video)[~digit])
        level = (video - ground)[digit & (ground < 999) & (video < 255)]
        assert len(level.unique()) == 2 and level.min() == 0  # the digit's grey, or nothing where it is hidden


def test_a_band_is_hidden_in_every_frame():
    """On a canvas whose patches are black, what is left of the sprite can be counted."""
    quiet = Digits(BANK.images[:2] * torch.tensor([0, 1], dtype=torch.uint8).view(2, 1, 1), BANK.labels[:2])
    batch = MovingSplit(quiet).draw(64, 2, 0)  # of zeros and ones, the zeros black
    lit = (batch.images.level(0)[batch.labels == 1][:, :, 0] >= 50).flatten(2).sum(2)
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


def test_speed_is_as_documented():
    """Between frames without a wall: constant, and from the slowest to the fastest."""
    corner = pixels_of(MovingSplit(BANK).draw(500, 3, 0))[..., :2].double()
    free = ((corner > 0) & (corner < ROOM)).all(-1).all(-1)
    step = corner.diff(dim=1)
    straight = free & ((step - step[:, :1]).abs().amax((1, 2)) <= 1)
    speed = (corner[:, -1] - corner[:, 0]).norm(dim=-1)[straight] / (FRAMES - 1)
    assert straight.sum() > 50
    assert SPEED[0] - 0.4 < speed.min() < SPEED[0] + 1 and SPEED[1] - 1.5 < speed.max() < SPEED[1] + 0.4
