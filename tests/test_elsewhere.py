"""A saccader made to look elsewhere: the same reader, other places."""

import pytest
import torch

from vsacc.saccader import Config, Saccader
from vsacc.sampler import build_pyramid
from vsacc.systems.elsewhere import Elsewhere, scatter, stay

WHERE = torch.rand(64, 3, 3, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.1


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = Config(hidden=16, features=12, proxy_widths=(4, 8), crop_widths=(8, 8), glimpses=3)
    return Saccader(config, torch.arange(10)).eval()


@pytest.fixture
def images():
    rng = torch.Generator().manual_seed(0)
    return build_pyramid(torch.randint(0, 256, (4, 1, 70, 70), dtype=torch.uint8, generator=rng))


def test_looking_where_it_would_look_changes_nothing(model, images):
    expected, output = model(images), Elsewhere(model, lambda where: where)(images)
    for part, other in zip(output[:3], expected[:3], strict=True):
        torch.testing.assert_close(part, other)


@pytest.mark.parametrize("glimpses", [1, 3])
def test_staying(model, images, glimpses):
    """With one glimpse there is nothing to keep; with more, all of them show what the first one shows."""
    expected, output = model(images, glimpses), Elsewhere(model, stay)(images, glimpses)
    torch.testing.assert_close(output.where, expected.where[:, :1].expand(-1, glimpses, -1))
    torch.testing.assert_close(output.glimpses, expected.glimpses[:, :1].expand(-1, glimpses, -1, -1, -1))
    assert output.logits.equal(expected.logits) == (glimpses == 1)


def test_scattered_frames_lie_inside_the_image():
    places = scatter(WHERE)
    assert places[..., 0].equal(WHERE[..., 0])
    assert (places[..., 1:].abs() + places[..., :1] <= 1 + 1e-6).all()
    assert places[..., 1:].flatten(0, 1).std(0).min() > 0.3
    assert places.equal(scatter(WHERE))
