"""The VRNN: its samples, where it attends, what widening does; its densities stand beside the loop in test_saccader."""

import pytest
import torch

from vsacc.vrnn import VRNN, Normal, light


def test_samples_are_pathwise_and_their_sigma_is_that_of_the_kl():
    torch.manual_seed(0)
    q = Normal(torch.zeros(200_000, 3, requires_grad=True), torch.tensor([0.1, 1.0, 3.0]).repeat(200_000, 1))
    z = Normal(q.mean, q.sigma.requires_grad_()).sample()
    torch.testing.assert_close(z.std(0), q.sigma[0], rtol=0.02, atol=0)
    z.sum().backward()
    torch.testing.assert_close(q.mean.grad, torch.ones_like(z))
    torch.testing.assert_close(q.sigma.grad, (z / q.sigma).detach())


@pytest.fixture(params=["spatial", "dense"])
def vrnn(request):
    torch.manual_seed(0)
    return VRNN(posterior=request.param)


@pytest.fixture
def proxy():
    return torch.rand(6, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def test_places_and_sigma_are_in_range(vrnn, proxy):
    q = vrnn.posterior(vrnn.observe(proxy * 50), vrnn.start(6))
    assert q.mean[:, 1:].abs().max() <= 1
    assert q.sigma.min() >= vrnn.sigma[0] and q.sigma.max() <= vrnn.sigma[1]
    where = vrnn.where(torch.randn(6, 3) * 10)
    assert where[:, 0].min() >= vrnn.scale[0] and where[:, 0].max() <= vrnn.scale[1] + 1e-6


def test_widening_raises_the_smallest_sigma_and_the_largest_scale(vrnn, proxy):
    features, state = vrnn.observe(proxy), vrnn.start(6)
    share = (vrnn.posterior(features, state).sigma - 0.02) / 0.38  # of the way from the smallest to the largest
    far = torch.full((1, 3), 50.0)  # z_s so large that s is at its top
    for amount, low, top in ((1.0, 0.4, 0.6), (0.5, 0.02 * 20**0.5, 0.45), (0.0, 0.02, 0.3)):
        vrnn.widen(amount)
        torch.testing.assert_close(vrnn.posterior(features, state).sigma, low + (0.4 - low) * share)
        assert vrnn.where(far)[0, 0] == pytest.approx(top) and vrnn.where(-far)[0, 0] == pytest.approx(0.2)


def test_a_latent_is_that_of_its_place_or_of_the_nearest_that_can_be_drawn():
    vrnn = VRNN(scale=(0.2, 0.3, 0.6))
    where = torch.tensor([[0.21, 0.5, -0.9], [0.29, -1.0, 1.0], [0.1, 0.0, 0.0], [0.9, 0.0, 0.0]])
    expected = torch.cat([where[:, :1].clamp(0.2001, 0.2999), where[:, 1:]], 1)
    torch.testing.assert_close(vrnn.where(vrnn.latent(where)), expected)


def test_attention_moves_with_the_image():
    """The map is fully convolutional: 4 proxy pixels to the right and down are 2 of its cells."""
    torch.manual_seed(0)
    vrnn = VRNN(posterior="spatial")
    proxy = torch.zeros(2, 1, 32, 32)
    proxy[0, 0, 12:18, 12:18] = 1
    proxy[1] = proxy[0].roll((4, 4), (1, 2))
    first, moved = vrnn.salience(vrnn.observe(proxy), vrnn.start(2))
    here, there = first[3:11, 3:11], moved[5:13, 5:13]  # clear of the padding
    assert here.std() > 0.05  # it does react to the square
    assert (here - there - (here - there).mean()).std() < 0.02 * here.std()  # only the norm's statistics differ


def test_between_two_equally_good_places_it_takes_one(proxy, monkeypatch):
    """An expectation over the whole map looks halfway between the two squares, where there is nothing."""
    vrnn = VRNN()
    logits = torch.zeros(6, 16, 16)
    logits[:, 3:5, 3:5] = logits[:, 11:13, 11:13] = 20.0
    monkeypatch.setattr(vrnn, "salience", lambda features, state: logits)
    for training, expected in ((True, 0.0), (False, -0.5)):
        place = vrnn.train(training).posterior(vrnn.observe(proxy), vrnn.start(6)).mean[:, 1:]
        torch.testing.assert_close(place, torch.full((6, 2), expected), atol=0.01, rtol=0)


def test_a_bright_start_looks_at_one_thing_after_the_other():
    """Before any training, and in training too: the brighter of two squares, then the other one."""
    torch.manual_seed(0)
    vrnn = VRNN(scale=(0.1, 0.2, 0.3), bright=8.0)
    proxy = torch.zeros(2, 1, 32, 32)
    proxy[:, :, 8:12, 8:12], proxy[:, :, 20:24, 24:28] = 1.0, 0.8
    features, state = vrnn.observe(proxy), vrnn.start(2)
    for x, y in ((-0.375, -0.375), (0.625, 0.375)):
        q = vrnn.posterior(features, state)
        torch.testing.assert_close(q.mean[:, 1:], torch.tensor([[x, y]]).expand(2, 2), atol=0.04, rtol=0)
        state = vrnn.recur(features, q.mean, state)


def test_light_is_relative_to_the_brightest_place():
    proxy = torch.zeros(2, 3, 16, 16)
    proxy[0, :, 4:8, 4:8] = 0.1
    along = torch.tensor([1, 2, 2, 1]) / 2  # 3 x 3 boxes over 2 x 2 cells
    torch.testing.assert_close(light(proxy)[0, 1:5, 1:5], along * along[:, None])
    assert not light(proxy)[1].any()  # a black image has no brightest place


def test_inhibition_of_return_turns_away_from_visited_places(proxy):
    torch.manual_seed(0)
    vrnn = VRNN(inhibition=True)
    features, state = vrnn.observe(proxy), vrnn.start(6)
    visited = vrnn.recur(features, torch.tensor([[0.0, 0.5, 0.5]]).expand(6, 3), state)
    before = vrnn.salience(features, visited._replace(visited=state.visited))
    after = vrnn.salience(features, visited)
    corner = (slice(None), slice(10, 14), slice(10, 14))  # around (0.5, 0.5)
    assert (after[corner] < before[corner] - 0.3).all()
    torch.testing.assert_close(after[:, :4, :4], before[:, :4, :4])  # far away nothing changes


def test_the_proxy_has_a_probability(vrnn):
    """Even a decoder that is sure and right cannot exceed probability one."""
    vrnn.log_sigma_c.data.fill_(-20.0)
    z, hidden = torch.randn(6, 3), vrnn.start(6).hidden
    assert vrnn.log_proxy(vrnn.decode(z, hidden), z, hidden).max() < 0


def test_side_and_posterior_are_checked():
    with pytest.raises(ValueError, match="multiple of 8"):
        VRNN(side=20)
    with pytest.raises(ValueError, match="posterior"):
        VRNN(posterior="sideways")


def test_places_keep_their_precision_under_autocast(proxy):
    torch.manual_seed(0)
    vrnn = VRNN()
    vrnn.saliency.weight.data.mul_(50)
    with torch.autocast("cpu", torch.bfloat16):
        features, state = vrnn.observe(proxy), vrnn.start(6)
        place = vrnn.posterior(features, state).mean[:, 1:]
        share = vrnn.attend(features, state)
    expected = torch.einsum("bij,ijk->bk", share.double(), vrnn.grid.double())
    torch.testing.assert_close(place.double(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("posterior", ["spatial", "dense"])
def test_a_place_may_lie_between_those_that_bfloat16_has(proxy, posterior):
    vrnn = VRNN(posterior=posterior)
    with torch.autocast("cpu", torch.bfloat16):
        features, state = vrnn.observe(proxy), vrnn.start(6)
        choices = [vrnn.posterior(features, state), vrnn.prior(torch.rand(6, 128))]
    for value in (part for choice in choices for part in choice):
        assert value.dtype == torch.float32 and not torch.equal(value, value.bfloat16().float())
