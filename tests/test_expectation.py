"""Estimates of an expectation against the expectation itself, summed over every ordered sample."""

import pytest
import torch
from torch import Tensor

from vsacc.systems.enumeration import mean_estimate, ordered_samples, probabilities
from vsacc.systems.expectation import expectation, sample, weights

SCHEMES = pytest.mark.parametrize("replacement", [False, True])
SIZES = [(3, 1), (4, 2), (5, 3), (6, 4), (4, 4)]  # K, N


def make_problem(positions: int, seed: int = 0, width: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (K,), features (K, F) and the slope of a loss that is linear in F, (F,)."""
    rng = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(shape, dtype=torch.float64, generator=rng) for shape in [(positions,), (positions, width), (width,)]
    )


def true_value(logits: Tensor, features: Tensor) -> Tensor:
    return logits.softmax(0) @ features


def slopes(value, problem: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
    """Gradients of <value, slope> with respect to the logits and the features."""
    logits, features, slope = problem
    inputs = [logits.clone().requires_grad_(), features.clone().requires_grad_()]
    return list(torch.autograd.grad(value(*inputs) @ slope, inputs))


def test_every_ordered_sample_once():
    assert len(ordered_samples(5, 3, True)) == 125
    samples = ordered_samples(5, 3, False)
    assert len(samples.unique(dim=0)) == len(samples) == 60
    assert all(len(set(row)) == 3 for row in samples.tolist())


@SCHEMES
def test_probabilities_by_hand(replacement):
    a = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    drawn = torch.tensor([[2, 0], [0, 1]])
    by_hand = [0.2 * 0.5, 0.5 * 0.3] if replacement else [0.2 * 0.5 / 0.8, 0.5 * 0.3 / 0.5]
    torch.testing.assert_close(probabilities(a, drawn, replacement), a.new_tensor(by_hand))
    assert probabilities(a, ordered_samples(3, 2, replacement), replacement).sum().item() == pytest.approx(1)


@SCHEMES
@pytest.mark.parametrize("positions, count", SIZES)
def test_forward_is_unbiased(positions, count, replacement):
    logits, features, _ = make_problem(positions)
    mean = mean_estimate(logits, features, count, replacement)
    torch.testing.assert_close(mean, true_value(logits, features), rtol=0, atol=1e-12)


@SCHEMES
@pytest.mark.parametrize("positions, count", SIZES)
@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_unbiased(positions, count, replacement, seed):
    problem = make_problem(positions, seed)
    estimated = slopes(lambda logits, features: mean_estimate(logits, features, count, replacement), problem)
    for one, true in zip(estimated, slopes(true_value, problem), strict=True):
        torch.testing.assert_close(one, true, rtol=0, atol=1e-10)


def as_coded(features: Tensor, p: Tensor) -> Tensor:
    """The authors' d F / d a_i, (N, F), draw by draw."""
    rows = []
    for i in range(len(p)):
        left = 1 - p[:i].sum()
        term = (p[:i, None] * features[:i]).sum(0) + left * features[i]
        rows.append((term * left / p[i] + features[:i].sum(0) - i * features[i]) / len(p))
    return torch.stack(rows)


def test_the_reference_gradient_is_what_was_coded():
    logits, features, slope = make_problem(6)
    for drawn in ordered_samples(6, 4, False)[::37]:
        log_p = logits.log_softmax(0)[drawn].requires_grad_()
        value = expectation(features[drawn][None], log_p[None], False, "reference") @ slope
        expected = log_p.exp() * (as_coded(features[drawn], log_p.exp()) @ slope)  # per log a_i
        torch.testing.assert_close(torch.autograd.grad(value.sum(), log_p)[0], expected)


@pytest.mark.parametrize(
    "positions, count, cosine, ratio", [(3, 1, 1.0, 1.0), (4, 2, 0.95, 0.47), (5, 3, 0.76, 0.25), (6, 4, 0.30, 0.22)]
)
def test_the_reference_gradient_is_biased(positions, count, cosine, ratio):
    """Its mean over all samples against the true gradient of the logits, over 20 problems with one feature: it points
    elsewhere and is several times too short, the more so the more of the attention is drawn."""
    rows = []
    for seed in range(20):
        problem = make_problem(positions, seed, width=1)
        mean, _ = slopes(lambda a, f: mean_estimate(a, f, count, False, "reference"), problem)
        true, _ = slopes(true_value, problem)
        rows.append([torch.cosine_similarity(mean, true, 0), mean.norm() / true.norm()])
    assert torch.tensor(rows).mean(0).tolist() == pytest.approx([cosine, ratio], abs=0.006)


@SCHEMES
@pytest.mark.parametrize("gradient", ["exact", "reference"])
def test_gradient_of_the_features_by_differences(replacement, gradient):
    logits, features, _ = make_problem(4)
    log_p = logits.log_softmax(0)[ordered_samples(4, 3, False)]
    drawn = features[ordered_samples(4, 3, False)].requires_grad_()
    assert torch.autograd.gradcheck(lambda f: expectation(f, log_p, replacement, gradient), drawn)


def test_all_positions_drawn_is_not_yet_the_expectation():
    """Only the last term of the average knows all shares; the others stand the newest draw for the rest."""
    logits, features, _ = make_problem(4)
    log_a, samples = logits.log_softmax(0), ordered_samples(4, 4, False)
    error = expectation(features[samples], log_a[samples], False) - true_value(logits, features)
    assert error.abs().amax() > 0.1
    p, f = log_a.exp()[samples], features[samples]
    last = (p[:, :3, None] * f[:, :3]).sum(1) + (1 - p[:, :3].sum(1))[:, None] * f[:, 3]
    torch.testing.assert_close(last, true_value(logits, features).expand_as(last))


@SCHEMES
def test_draws_come_as_often_as_they_should(replacement):
    """Chi-square of ordered samples of 3 out of 4 against their probabilities; its 99.9 % point for 63 (23) degrees of
    freedom is 103 (50)."""
    log_a, total = torch.tensor([0.55, 0.25, 0.15, 0.05]).log(), 40_000
    drawn = sample(log_a.expand(total, -1), 3, replacement, torch.Generator().manual_seed(0))
    samples = ordered_samples(4, 3, replacement)
    code = torch.tensor([16, 4, 1])
    seen = (drawn @ code).bincount(minlength=64)[samples @ code].double()
    expected = total * probabilities(log_a.double().exp(), samples, replacement)
    assert seen.sum() == total
    assert ((seen - expected) ** 2 / expected).sum() < (103 if replacement else 50)


@SCHEMES
def test_draws_are_a_function_of_the_generator(replacement):
    log_a = make_problem(50)[0].log_softmax(0).expand(3, -1)
    one, other = (sample(log_a, 5, replacement, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one, other) and one.shape == (3, 5) and one.dtype == torch.long


def test_no_position_twice():
    log_a = torch.full((4, 30), 1 / 30).log()
    assert all(len(set(row)) == 30 for row in sample(log_a, 30, False).tolist())
    with pytest.raises(ValueError, match="31 positions cannot be drawn without replacement from 30"):
        sample(log_a, 31, False)


@SCHEMES
@pytest.mark.parametrize("gradient", ["exact", "reference"])
def test_sharp_attention_stays_finite(replacement, gradient):
    """32,400 positions, all but one of probability 0 in float32, and features in bfloat16."""
    logits = torch.zeros(2, 32_400)
    logits[:, 77] = 150.0
    logits.requires_grad_()
    log_a = logits.log_softmax(1)
    drawn = sample(log_a, 10, replacement)
    assert (drawn[:, 0] == 77).all() and (replacement or drawn.unique().numel() > 10)
    features = torch.randn(2, 10, 8, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = expectation(features, log_a.gather(1, drawn), replacement, gradient)
    value.sum().backward()
    assert value.dtype == torch.float32
    assert all(tensor.isfinite().all() for tensor in (value, logits.grad, features.grad))
    if not replacement:
        torch.testing.assert_close(value, features[:, 0].float(), rtol=1e-5, atol=1e-5)


def test_weights_by_hand():
    weight, rest = weights(torch.tensor([[0.5, 0.3, 0.1]]).log(), False)
    torch.testing.assert_close(rest, torch.tensor([[1.0, 0.5, 0.2]]))
    torch.testing.assert_close(3 * weight, torch.tensor([[2.0, 0.8, 0.2]]))
    assert (weights(torch.full((1, 3), 0.4).log(), False)[1] >= 0).all()  # shares that rounding lets pass 1


def test_unknown_gradient():
    with pytest.raises(ValueError, match="exact, reference, not 'other'"):
        expectation(torch.zeros(1, 2, 3), torch.zeros(1, 2), False, "other")
