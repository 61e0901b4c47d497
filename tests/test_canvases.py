"""Videos: a container in which glimpse i is cut from frame i, and the saccader over it."""

from dataclasses import replace

import pytest
import torch

from vsacc.images.canvases import Video, build_video
from vsacc.loss import lower_bound
from vsacc.reading import Question
from vsacc.saccader import Config, Model, Output, Saccader
from vsacc.sampler import build_pyramid, glimpse, proxy
from vsacc.systems import find_system
from vsacc.tasks import Batch
from vsacc.training.evaluation import evaluate

FRAMES = 3
TINY = Config(
    hidden=16, features=12, proxy_widths=(4, 8), crop_widths=(8, 8), glimpses=FRAMES, inhibition=False, channels=2,
)  # fmt: skip
DIGITS = Question(torch.arange(10), tuple("0123456789"))


@pytest.fixture
def frames():
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, FRAMES, 2, 70, 101), dtype=torch.uint8, generator=rng)


@pytest.fixture(params=[{}, {"posterior": "dense"}, {"likelihood": "pooled"}], ids=str)
def model(request):
    torch.manual_seed(0)
    return Saccader(replace(TINY, **request.param), DIGITS)


def still(frames):
    """A video in which nothing moves."""
    return build_video(frames[:, :1].expand_as(frames))


def test_a_glimpse_is_cut_from_its_own_frame(frames):
    """Of every frame by itself, at scales that read different levels of its pyramid."""
    video = build_video(frames)
    where = torch.rand(4, FRAMES, 3) * torch.tensor([0.8, 1, 1]) + torch.tensor([0.1, -0.5, -0.5])
    seen, small = glimpse(video, where, 16), proxy(video, 16)
    for i in range(FRAMES):
        alone = build_pyramid(frames[:, i])
        assert seen[:, i].equal(glimpse(alone, where[:, i], 16)) and small[:, i].equal(proxy(alone, 16))
    for level, (height, width) in enumerate(video.sizes):
        assert video.level(level).shape == (4, FRAMES, 2, height, width)
    assert video.level(0).equal(frames) and video.shape == (4, 2)
    assert glimpse(video, where[:, :2], 16).equal(seen[:, :2])
    with pytest.raises(ValueError, match="4 glimpses do not fit a video of 3 frames"):
        glimpse(video, torch.rand(4, FRAMES + 1, 3), 8)


def test_a_video_in_which_nothing_moves_is_a_still_image(model, frames):
    for training in (True, False):
        model.train(training)
        torch.manual_seed(1)
        expected = model(build_pyramid(frames[:, 0]))
        torch.manual_seed(1)
        torch.testing.assert_close(model(still(frames)), expected)


def test_a_step_sees_its_frame_and_those_before(model, frames):
    """Another last frame changes the last glimpse alone, another first one changes them all; and one may stop early."""
    model.eval()
    seen, part = model(build_video(frames)), model(build_video(frames), glimpses=2)
    torch.testing.assert_close(part.where, seen.where[:, :2])
    torch.testing.assert_close(part.logits, model(build_video(frames[:, :2]), glimpses=2).logits)
    for changed in range(FRAMES):
        other = frames.clone()
        other[:, changed] = 255 - other[:, changed]
        output = model(build_video(other))
        differs = [not output.where[:, i].equal(seen.where[:, i]) for i in range(FRAMES)]
        assert differs == [i >= changed for i in range(FRAMES)]
        assert [not output.glimpses[:, i].equal(seen.glimpses[:, i]) for i in range(FRAMES)] == differs


def test_every_parameter_learns_from_a_video(model, frames):
    output = model(build_video(frames))
    lower_bound(output.logits, torch.tensor([0, 3, 5, 9]), output.terms).loss.backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert set(idle) <= {"vrnn.inhibit"}  # switched off
    model.zero_grad()
    model(build_video(frames)).glimpses[:, -1].square().sum().backward()  # through h_{i-1} into the recurrence
    assert model.vrnn.cell.weight_hh.grad.abs().sum() > 0 and model.vrnn.cell.weight_ih.grad.abs().sum() > 0


def test_random_glimpses_look_at_every_frame_and_noise_is_drawn_for_each(frames):
    video = build_video(frames)
    output = find_system("random").build(TINY, DIGITS)(video)
    torch.testing.assert_close(output.glimpses, glimpse(video, output.where, 32))
    model = find_system("saccader").build(replace(TINY, noise="dropout", noise_level=0.9), DIGITS)
    c, views = model.see(still(frames), FRAMES)
    assert c.shape == (FRAMES, 4, 2, 32, 32) and len(views) == FRAMES and not c[0].equal(c[1])


def test_evaluation_holds_glimpses_against_the_boxes_of_their_own_frames():
    """The same box in two frames: the first glimpse holds its centre (.1, .1), the second looks elsewhere."""
    where = torch.tensor([[[0.2, 0.0, 0.0], [0.1, 0.5, 0.5]]])  # boxes [-.2, .2]^2, then [.4, .6]^2
    boxes = torch.tensor([[[[-0.1, -0.1, 0.3, 0.3]], [[-0.1, -0.1, 0.3, 0.3]], [[0.0, 0.0, 0.1, 0.1]]]])

    class Oracle(Model):
        def forward(self, images):
            return Output(torch.tensor([[0.0, 1.0]]), where, None, {})

    video = Video(torch.zeros(1, 3, 1, 16, dtype=torch.uint8), ((4, 4),))
    scores = evaluate(Oracle(), [Batch(video, torch.tensor([1]), boxes)])
    assert scores.found.tolist() == [[[True], [False]]] and scores.localised == 0.5
    assert scores.iou == pytest.approx(0.09 / 0.23 / 2)
