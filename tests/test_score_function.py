"""REINFORCE against enumeration: two choices among a few places, every sequence of them weighted by its probability."""

import pytest
import torch

from vsacc.loss import lower_bound, score_function

PLACES = 4


class Toy:
    """A policy of two steps, the second of which depends on the first; reward and baselines from a table."""

    def __init__(self, dtype: torch.dtype = torch.float64):
        rng = torch.Generator().manual_seed(0)

        def draw(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=rng, dtype=dtype)

        self.first, self.second = draw(PLACES).requires_grad_(), draw(PLACES, PLACES).requires_grad_()
        self.reward = (draw(PLACES, PLACES) > 0).to(dtype)
        self.at_start, self.after_one = draw(1), draw(PLACES)

    def sequences(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Every pair of choices, long (N, 2), its reward (N,) and log pi of both choices (N, 2)."""
        pairs = torch.cartesian_prod(torch.arange(PLACES), torch.arange(PLACES))
        log_first = self.first.log_softmax(-1)[pairs[:, 0]]
        log_second = self.second.log_softmax(-1)[pairs[:, 0], pairs[:, 1]]
        return pairs, self.reward[pairs[:, 0], pairs[:, 1]], torch.stack([log_first, log_second], 1)

    def true_gradient(self) -> tuple[torch.Tensor, ...]:
        """d E[R]: the expectation itself, differentiated."""
        _, reward, log_pi = self.sequences()
        return torch.autograd.grad((log_pi.sum(1).exp() * reward).sum(), (self.first, self.second))

    def surrogate_gradient(self, baseline: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """E[d surrogate]: the probability of a sequence weights its gradient and has none itself."""
        _, reward, log_pi = self.sequences()
        weight = log_pi.sum(1).exp().detach()
        value = (weight * score_function(reward, log_pi, baseline)).sum()
        return torch.autograd.grad(value, (self.first, self.second))


@pytest.mark.parametrize("scale", [0.0, 1.0, -7.0])
def test_the_surrogates_expected_gradient_is_that_of_the_expected_reward(scale):
    """With any baseline of what came before the choice: nothing for the first, the first choice for the second."""
    toy = Toy()
    first = toy.sequences()[0][:, 0]
    baseline = scale * torch.stack([toy.at_start.expand(len(first)), toy.after_one[first]], 1)
    for one, other in zip(toy.surrogate_gradient(baseline), toy.true_gradient(), strict=True):
        assert other.abs().max() > 1e-2
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_a_baseline_that_knows_the_choice_is_biased():
    """The oracle can tell: a baseline that looks at the second choice changes the second's gradient."""
    toy = Toy()
    second = toy.sequences()[0][:, 1]
    baseline = torch.stack([toy.at_start.expand(len(second)), toy.after_one[second]], 1)
    assert (toy.surrogate_gradient(baseline)[1] - toy.true_gradient()[1]).abs().max() > 1e-2


def test_a_good_baseline_takes_variance_away():
    toy = Toy()
    pairs, reward, log_pi = toy.sequences()
    weight = log_pi.sum(1).exp().detach()
    after_one = (toy.second.softmax(-1) * toy.reward).sum(1).detach()  # E[R | first choice]
    best = torch.stack([(weight * reward).sum().expand(len(pairs)), after_one[pairs[:, 0]]], 1)

    def second_moment(baseline: torch.Tensor) -> float:
        rows = score_function(reward, log_pi, baseline)
        squares = [sum(g.square().sum() for g in torch.autograd.grad(row, (toy.first, toy.second), retain_graph=True))
                   for row in rows]  # fmt: skip
        return (weight * torch.stack(squares)).sum().item()

    assert second_moment(best) < 0.8 * second_moment(torch.zeros_like(best))


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
    expected = (logits.detach().softmax(-1) - torch.eye(2)[labels]) / 2
    torch.testing.assert_close(logits.grad, expected)
