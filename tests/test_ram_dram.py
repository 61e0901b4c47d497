"""RAM, DRAM and REINFORCE: the eye against hand-cut crops, what may reach what, and the policy's gradient against
enumeration over a few places and against quadrature over all of them."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.distributions import Normal
from torch.nn import functional as F

from conftest import noise
from vsacc.loss import correct, lower_bound, score_function
from vsacc.reading import Question
from vsacc.sampler import as_pyramid, build_pyramid, glimpse, proxy
from vsacc.systems.dram import Dram, DramConfig
from vsacc.systems.gaze import GaussianPolicy, Retina, Spatial
from vsacc.systems.ram import Ram, RamConfig

FIVE = Question(torch.arange(5), tuple("abcde"))
TINY_RAM = RamConfig(glimpses=2, size=4, hidden=16, features=8, sigma=(0.3, 0.3))
TINY_DRAM = DramConfig(
    glimpses=1, size=8, finest=0.3, proxy=16, hidden=16, features=8, widths=(8, 8), context_widths=(8, 8),
    sigma=(0.3, 0.3),
)  # fmt: skip
IMAGES = noise(3, 1, 64, 64)


def ram(emission: str = "dense", **changes) -> Ram:
    torch.manual_seed(0)
    return Ram(replace(TINY_RAM, emission=emission, **changes), FIVE)


def dram(emission: str = "spatial", **changes) -> Dram:
    torch.manual_seed(0)
    return Dram(replace(TINY_DRAM, emission=emission, **changes), FIVE)


MODELS = pytest.mark.parametrize(
    "make", [ram, partial(ram, "spatial"), dram, partial(dram, "dense")], ids=["ram", "ram2", "dram", "dram2"]
)


def test_the_retina_is_hand_cut_crops():
    """RAM's own sizes on a canvas: 12 pixels as they are, 24 averaged by 2 x 2, 48 by 4 x 4."""
    side, row, col = 128, 40, 72  # centre of the eye, in pixels
    images, retina = noise(2, 3, side, side), Retina(size=12, finest=12 / side, scales=3)
    place = torch.tensor([[2 * col / side - 1, 2 * row / side - 1]]).expand(2, 2)
    seen = retina.see(build_pyramid(images, smallest=16), place)  # (2, 3, 3, 12, 12)
    for k, blocks in enumerate((1, 2, 4)):
        half = 6 * blocks
        crop = images[..., row - half : row + half, col - half : col + half] / 255
        expected = F.avg_pool2d(crop, blocks)
        torch.testing.assert_close(seen[:, k], expected, rtol=0, atol=1e-6 + 1.1 * k / 255)  # levels are rounded
    where = Retina(size=4, finest=0.12, scales=3).where(torch.tensor([[0.1, -0.3]]))  # whatever the resolution
    torch.testing.assert_close(where, torch.tensor([[[0.12, 0.1, -0.3], [0.24, 0.1, -0.3], [0.48, 0.1, -0.3]]]))


def test_no_gradient_reaches_a_place_through_the_retina():
    place = torch.zeros(3, 2, requires_grad=True)
    assert glimpse(IMAGES, Retina(4, 0.2, 2).where(place), 4).requires_grad  # the sampler would let it
    assert not Retina(4, 0.2, 2).see(as_pyramid(IMAGES), place).requires_grad


@MODELS
@pytest.mark.parametrize("form", [as_pyramid, build_pyramid], ids=["flat", "pyramid"])
def test_contract(make, form):
    """Chance in training, none in evaluation."""
    model, images = make(channels=3, glimpses=2), form(noise(3, 3, 64, 64))
    for steps, output in ((2, model(images)), (3, model(images, glimpses=3))):
        assert output.logits.shape == (3, 5) and output.where.shape == (3, steps, 3)
        choices = (3, steps - isinstance(model, Ram))  # the first place of RAM is not one
        assert {name: term.shape for name, term in output.terms.items()} == {"log_pi": choices, "baseline": choices}
        assert (output.where[..., 0] == model.config.finest).all() and output.where[..., 1:].abs().max() <= 1
        torch.testing.assert_close(output.glimpses, glimpse(images, output.where, model.config.size))
    assert not torch.equal(model(images).where, model(images).where)
    one, other = model.eval()(images), model(images)
    assert torch.equal(one.where, other.where) and torch.equal(one.logits, other.logits)


def test_one_glimpse_of_ram_chooses_nothing():
    output = ram()(IMAGES, glimpses=1)
    assert output.terms == {}
    lower_bound(output.logits, torch.arange(3), output.terms).loss.backward()


def test_the_eye_of_ram_narrows_to_its_own_size():
    model = ram(widened=4.0)
    for progress, wide in ((0.0, 4), (0.25, 2), (0.5, 1), (1.0, 1)):
        model.anneal(progress)
        assert model(IMAGES).where[0, 0, 0].item() == pytest.approx(0.12 * wide)


def test_the_first_place_of_ram_is_uniform_and_its_mean_in_evaluation():
    model, images = ram(), noise(2000, 1, 16, 16)
    places = model(images, glimpses=1).where[:, 0, 1:]
    torch.testing.assert_close(places.var(0), torch.full((2,), 1 / 3), rtol=0.1, atol=0)
    assert places.abs().max() <= 1
    assert (model.eval()(images, glimpses=1).where[:, 0, 1:] == 0).all()


@MODELS
def test_sigma_goes_from_broad_to_narrow_over_the_first_half(make):
    model = make(sigma=(0.1, 0.4))
    for progress, sigma in ((0.0, 0.4), (0.25, 0.2), (0.5, 0.1), (1.0, 0.1)):
        model.anneal(progress)
        assert model.policy.sigma.item() == pytest.approx(sigma)


@MODELS
def test_what_teaches_what(make):
    """The sampler is differentiable in where; yet what the logits and pixels depend on, a place does not learn from.
    The score function trains what decides places and nothing else, and the baseline shapes nothing but itself."""
    model = make(glimpses=3)
    deciding = [model.emit, *(getattr(model, name) for name in ("periphery", "context", "begin", "upper")
                              if hasattr(model, name))]  # fmt: skip
    places, value = ({p for part in parts for p in part.parameters()} for parts in (deciding, [model.policy.value]))
    output = model(IMAGES)

    def taught(loss: torch.Tensor) -> set:
        model.zero_grad()
        loss.backward(retain_graph=True)
        return {p for p in model.parameters() if p.grad is not None and p.grad.abs().sum() > 0}

    seen = output.logits.square().sum() + output.glimpses.sum() + output.where.sum()
    assert taught(seen) == set(model.parameters()) - places - value
    assert taught(output.terms["log_pi"].sum()) == places
    assert taught(output.terms["baseline"].sum()) == value
    assert taught(lower_bound(output.logits, torch.arange(3), output.terms).loss) == set(model.parameters())


def test_the_context_of_dram_cannot_answer():
    """Whatever the context sees, only its places reach the class: held still, they leave nothing of it."""
    model, other = dram("dense", glimpses=2).eval(), IMAGES.clone()
    torch.nn.init.zeros_(model.emit.linear.weight)
    other[..., :4, :] = 255 - other[..., :4, :]  # outside both squares, which reach 0.6 of the half side
    assert not torch.equal(*(model.begin(model.context(proxy(images, 16))) for images in (IMAGES, other)))
    torch.testing.assert_close(model(IMAGES).logits, model(other).logits, rtol=0, atol=0)


@MODELS
def test_places_are_not_rounded_by_mixed_precision(make):
    with torch.autocast("cpu", torch.bfloat16):
        output = make(glimpses=3)(IMAGES)
        loss = lower_bound(output.logits, torch.arange(3), output.terms).loss
    assert output.where.dtype == output.terms["log_pi"].dtype == output.terms["baseline"].dtype == torch.float32
    loss.backward()


# The policy


def test_log_pi_is_that_of_the_normal_distribution(monkeypatch):
    torch.manual_seed(0)
    mean, state, eps = torch.randn(4, 2).tanh().requires_grad_(), torch.randn(4, 6), torch.randn(4, 2)
    eps[0] = 40  # a draw far outside the image
    monkeypatch.setattr("vsacc.systems.gaze.torch.randn_like", lambda mean: eps)
    policy = GaussianPolicy(6, (0.2, 0.2))
    choice = policy(mean, state)
    drawn = (mean + 0.2 * eps).detach()
    expected = Normal(mean, 0.2).log_prob(drawn).sum(-1)
    torch.testing.assert_close(choice.log_pi, expected)
    torch.testing.assert_close(*(torch.autograd.grad(log_pi.sum(), mean)[0] for log_pi in (choice.log_pi, expected)))
    torch.testing.assert_close(choice.place, drawn.clamp(-1, 1))
    torch.testing.assert_close(choice.baseline, policy.value(state).squeeze(-1))
    assert not choice.place.requires_grad and (choice.place[0] == 1).all()


def test_an_idle_policy_moves_by_chance_alone():
    policy, mean = GaussianPolicy(6, (0.1, 0.4), idle=0.2), torch.zeros(4, 2, requires_grad=True)
    for progress, learns in ((0.0, False), (0.19, False), (0.2, True), (1.0, True)):
        policy.anneal(progress)
        (slope,) = torch.autograd.grad(policy(mean, torch.zeros(4, 6)).log_pi.sum(), mean)
        assert slope.any() == learns


def test_spatial_emission_is_the_expected_place():
    torch.manual_seed(0)
    emit, features, state = Spatial(6, 3, 4), torch.randn(2, 3, 4, 4), torch.randn(2, 6)
    weights = torch.zeros(2, 4, 4)
    for row in range(4):
        for col in range(4):
            cell = (features[:, :, row, col] + emit.ask(state)).relu()
            weights[:, row, col] = (cell @ emit.saliency.weight.flatten() + emit.saliency.bias).exp()
    weights = weights / weights.sum((1, 2), keepdim=True)
    centre = torch.tensor([-0.75, -0.25, 0.25, 0.75])
    expected = torch.stack([(weights.sum(1) * centre).sum(1), (weights.sum(2) * centre).sum(1)], 1)
    torch.testing.assert_close(emit(features, state), expected)


def expected_reward(model: Ram, images: torch.Tensor, label: int, cells: int = 80) -> torch.Tensor:
    """E[R] of two glimpses, the first at the centre, by quadrature: the reward on a grid of second places, weighted by
    the mass that the policy gives each cell. No density, no sample, no surrogate."""
    image, centre = as_pyramid(images[:1]), torch.zeros(1, 2, dtype=torch.float64)
    eye = Retina(4, model.config.finest, model.config.scales)
    state = model.observe(eye.see(image, centre), centre, torch.zeros(1, 16, dtype=torch.float64)).detach()
    mean = model.emit(state)[0]
    edges = torch.linspace(-1, 1, cells + 1, dtype=torch.float64)
    nodes = torch.cat([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]])  # all beyond a border lands on it
    places = torch.cartesian_prod(nodes, nodes)
    with torch.no_grad():
        count = len(places)
        squares = eye.see(as_pyramid(images[:1].expand(count, -1, -1, -1)), places)
        logits = model.action(model.observe(squares, places, state.expand(count, -1)))
        reward = correct(logits, torch.full((count,), label)).double().view(cells + 2, cells + 2)
    below = torch.stack([Normal(m, model.policy.sigma).cdf(edges) for m in mean])
    mass = torch.cat([below[:, :1], below.diff(dim=1), 1 - below[:, -1:]], 1)  # (2, cells + 2)
    return mass[0] @ reward @ mass[1]


def test_the_gaussian_policys_gradient_against_quadrature(monkeypatch):
    """Through the whole model and objective, over noise that covers the Gaussian evenly instead of at random."""
    model, side = ram().double(), 90
    images = noise(1, 1, 16, 16).expand(side**2, -1, -1, -1)
    monkeypatch.setattr(model, "first", lambda state: state.new_zeros(len(state), 2))
    quantiles = Normal(0.0, 1.0).icdf((torch.arange(side, dtype=torch.float64) + 0.5) / side)
    eps = torch.cartesian_prod(quantiles, quantiles)
    monkeypatch.setattr("vsacc.systems.gaze.torch.randn_like", lambda mean: eps)
    with torch.no_grad():  # a mean off the centre, a baseline, and an answer that depends on the place
        model.emit.linear.bias.copy_(torch.tensor([3.0, -4.0]))
        model.policy.value.bias.fill_(0.3)
        model.action.bias.sub_(model(images).logits.median(0).values)

    output = model(images)
    label = output.logits.argmax(-1).bincount().argmax().item()
    labels = torch.full((side**2,), label)
    hit = correct(output.logits, labels).double().mean()
    assert 0.2 < hit < 0.8
    loss = lower_bound(output.logits, labels, output.terms).loss
    found = torch.autograd.grad(-loss, list(model.emit.parameters()))
    value = expected_reward(model, images, label)
    torch.testing.assert_close(value, hit, rtol=0.02, atol=0)
    for one, other in zip(found, torch.autograd.grad(value, list(model.emit.parameters())), strict=True):
        assert other.abs().max() > 1e-3
        torch.testing.assert_close(one, other, rtol=0.03, atol=0.03 * other.abs().max().item())


# The score function


def test_the_surrogates_expected_gradient_is_that_of_the_expected_reward():
    """Two choices among four places, the second by what the first was, every pair weighted by its probability. With any
    baseline of what came before a choice; not with one that knows the choice, which the oracle can tell."""
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first, second = draw(4).requires_grad_(), draw(4, 4).requires_grad_()
    reward, at_start, after_one = (draw(16) > 0).double(), draw(1).expand(16), draw(4)
    one, two = torch.cartesian_prod(torch.arange(4), torch.arange(4)).T
    log_pi = torch.stack([first.log_softmax(-1)[one], second.log_softmax(-1)[one, two]], 1)  # (16, 2)
    chance = log_pi.sum(1).exp()

    def gradient(value: torch.Tensor) -> torch.Tensor:
        return torch.cat([g.flatten() for g in torch.autograd.grad(value, (first, second), retain_graph=True)])

    true = gradient((chance * reward).sum())
    assert true[:4].abs().max() > 1e-2 and true[4:].abs().max() > 1e-2
    for scale, known, unbiased in ((0.0, one, True), (1.0, one, True), (-7.0, one, True), (1.0, two, False)):
        value = score_function(reward, log_pi, scale * torch.stack([at_start, after_one[known]], 1))
        error = (gradient((chance.detach() * value).sum()) - true).abs().max()
        assert error < 1e-12 if unbiased else error > 1e-2


def test_the_baseline_is_fitted_to_the_reward_by_least_squares():
    reward, baseline = torch.tensor([1.0, 0.0, 1.0]), torch.tensor([[0.2, 0.9], [0.5, 0.1], [1.0, 0.0]])
    baseline.requires_grad_()
    log_pi = torch.randn(3, 2, requires_grad=True)
    score_function(reward, log_pi, baseline).sum().backward()
    torch.testing.assert_close(baseline.grad, 2 * (reward[:, None] - baseline.detach()))
    torch.testing.assert_close(log_pi.grad, reward[:, None] - baseline.detach())


def test_the_objective_rewards_what_is_answered_rightly():
    """Cross-entropy trains the logits alone, the reward of each image the choices that were made for it."""
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0]], requires_grad=True)
    labels = torch.tensor([0, 1])
    terms = {"log_pi": torch.zeros(2, 3, requires_grad=True), "baseline": torch.full((2, 3), 0.25, requires_grad=True)}
    lower_bound(logits, labels, terms).loss.backward()
    torch.testing.assert_close(terms["log_pi"].grad, -torch.tensor([[0.75] * 3, [-0.25] * 3]) / 2)
    torch.testing.assert_close(logits.grad, (logits.detach().softmax(-1) - torch.eye(2)[labels]) / 2)
