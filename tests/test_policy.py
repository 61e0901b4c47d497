"""The policy of RAM and DRAM: its density, where its mean comes from, and its gradient against quadrature."""

import torch
from torch.distributions import Normal

from vsacc.loss import correct, lower_bound
from vsacc.sampler import as_pyramid
from vsacc.systems.emission import Spatial
from vsacc.systems.policy import Policy
from vsacc.systems.ram import Ram, RamConfig
from vsacc.systems.retina import Retina


def make_image(side: int = 16) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (1, 1, side, side), dtype=torch.uint8, generator=rng)


def test_log_pi_is_that_of_the_normal_distribution(monkeypatch):
    torch.manual_seed(0)
    mean, state, noise = torch.randn(4, 2).tanh().requires_grad_(), torch.randn(4, 6), torch.randn(4, 2)
    noise[0] = 40  # a draw far outside the image
    monkeypatch.setattr("vsacc.systems.policy.torch.randn_like", lambda mean: noise)
    policy = Policy(6, (0.2, 0.2))
    choice = policy(mean, state)
    drawn = (mean + 0.2 * noise).detach()
    expected = Normal(mean, 0.2).log_prob(drawn).sum(-1)
    torch.testing.assert_close(choice.log_pi, expected)
    gradients = (torch.autograd.grad(log_pi.sum(), mean)[0] for log_pi in (choice.log_pi, expected))
    torch.testing.assert_close(*gradients)
    torch.testing.assert_close(choice.place, drawn.clamp(-1, 1))
    torch.testing.assert_close(choice.baseline, policy.value(state).squeeze(-1))
    assert not choice.place.requires_grad and (choice.place[0] == 1).all()


def test_an_idle_policy_moves_by_chance_alone():
    policy, mean = Policy(6, (0.1, 0.4), idle=0.2), torch.zeros(4, 2, requires_grad=True)
    moved = []
    for progress in (0.0, 0.19, 0.2, 1.0):
        policy.anneal(progress)
        moved.append(torch.autograd.grad(policy(mean, torch.zeros(4, 6)).log_pi.sum(), mean)[0].abs().sum() > 0)
    assert moved == [False, False, True, True]


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
    torch.manual_seed(0)
    model, side = Ram(RamConfig(glimpses=2, size=4, hidden=16, features=8, sigma=(0.3, 0.3)), 5).double(), 90
    images = make_image().expand(side**2, -1, -1, -1)
    monkeypatch.setattr(model, "first", lambda state: state.new_zeros(len(state), 2))
    quantiles = Normal(0.0, 1.0).icdf((torch.arange(side, dtype=torch.float64) + 0.5) / side)
    noise = torch.cartesian_prod(quantiles, quantiles)
    monkeypatch.setattr("vsacc.systems.policy.torch.randn_like", lambda mean: noise)
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
