"""The toy against itself: integrals, samples and finite differences must tell the same story."""

import math
from dataclasses import replace

import pytest
import torch

from vsacc.sampler import proxy
from vsacc.studies import toy
from vsacc.studies.toy import LABEL, PRIOR, normal
from vsacc.vrnn import Normal, kl_normal

NEAR = normal([0.35, -0.1], 0.1)  # on the bar's shoulder
COUNT = 8192


@pytest.fixture(scope="module")
def model():
    return toy.make_toy()


@pytest.fixture
def dice():
    return torch.Generator().manual_seed(3)


def random_q(count: int, seed: int = 0) -> list[Normal]:
    """Gaussians that fit the default grid."""
    draws = torch.rand(count, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return [Normal(1.6 * row[:2] - 0.8, 0.05 * 7 ** row[2:]) for row in draws]


def errors(samples: torch.Tensor, truth: torch.Tensor | float) -> torch.Tensor:
    """Distance of the samples' mean from the truth, in standard errors."""
    return (samples.mean(0) - truth).abs() / (samples.std(0) / len(samples) ** 0.5)


def test_the_classifier_reads_every_direction():
    x, y = (toy.SCALE * axis for axis in toy.pixel_centres(toy.SIZE))
    bars = torch.stack([toy.draw_bar(x, y, k) for k in range(toy.CLASSES)])
    assert toy.classify(bars).argmax(1).tolist() == list(range(toy.CLASSES))


def test_only_the_bar_tells_the_label(model):
    places = torch.tensor([toy.BAR, toy.DISC, toy.RING, (1.5, 1.5)], dtype=torch.float64)
    at_bar, at_disc, at_ring, nowhere = toy.look(model.image, places).softmax(-1)[:, LABEL]
    assert at_bar > 0.9 and at_disc < 0.5 and at_ring < 0.5
    assert nowhere == pytest.approx(1 / toy.CLASSES)


def test_the_decoder_is_a_density_and_likes_bright_places(model):
    places = torch.tensor([toy.BAR, (0.6, 0.6)], dtype=torch.float64)
    at_bar, nowhere = toy.log_proxy(model.image, places, 0.15)
    x, y = toy.pixel_centres(toy.PROXY)
    blob = 0.6 * torch.exp(-0.5 * ((x - toy.BAR[0]) ** 2 + (y - toy.BAR[1]) ** 2) / toy.BLOB**2)
    c = proxy(model.image, toy.PROXY)[0, 0]
    assert at_bar.item() == pytest.approx(torch.distributions.Normal(blob, 0.15).log_prob(c).sum().item())
    assert at_bar > nowhere + 10


def test_integrals(model):
    assert toy.log_integral(model, model.log_prior).item() == pytest.approx(0, abs=1e-10)
    assert toy.log_integral(model, toy.log_posterior(model)).item() == pytest.approx(0, abs=1e-10)
    for q in random_q(10):
        assert toy.divergence(model, q, model.log_prior).item() == pytest.approx(kl_normal(q, PRIOR).item(), abs=1e-9)
    finer = toy.make_toy(points=301)
    assert toy.log_likelihood(model).item() == pytest.approx(toy.log_likelihood(finer).item(), abs=1e-3)


def test_the_gap_is_the_kl_to_the_true_posterior(model):
    exact, posterior = toy.log_likelihood(model), toy.log_posterior(model)
    for q in random_q(100):
        bound = toy.expectation(model, q, model.log_y) - kl_normal(q, PRIOR)
        assert bound < exact
        assert (exact - bound).item() == pytest.approx(toy.divergence(model, q, posterior).item(), abs=1e-8)
        assert toy.bound(model, q).item() == pytest.approx(bound.item(), abs=1e-8)
    # and there is none where glimpses tell nothing
    blind = replace(model, logits=torch.zeros_like(model.logits))  # the posterior is the prior, a Gaussian
    assert toy.bound(blind, PRIOR).item() == pytest.approx(toy.log_likelihood(blind).item(), abs=1e-9)
    assert toy.log_likelihood(blind).item() == pytest.approx(-math.log(toy.CLASSES), abs=1e-9)


def test_sampled_bounds_agree_with_quadrature_rise_with_k_and_stay_below(model, dice):
    for q in (NEAR, PRIOR):
        assert errors(toy.log_weights(model, q, COUNT, dice), toy.bound(model, q)) < 4
    exact = toy.log_likelihood(model)
    log_w = toy.log_weights(model, PRIOR, 8 * COUNT, dice)
    rows = [toy.k_sample(log_w, k) for k in (1, 4, 16, 64)]
    means = torch.stack([row.mean() for row in rows])
    assert (means.diff() > 0).all()
    assert all(row.mean() < exact + 4 * row.std() / len(row) ** 0.5 for row in rows)
    assert exact - means[-1] < 0.02 < exact - means[0]  # with the prior as q the gap closes fast
    assert torch.equal(rows[0], log_w)
    assert torch.allclose(toy.k_sample(torch.full((10,), -2.5), 5), torch.full((2,), -2.5))


def test_exact_gradient_by_finite_differences(model):
    flat = torch.cat([NEAR.mean, NEAR.sigma.log()])

    def bound(values):
        return toy.bound(model, Normal(values[:2], values[2:].exp()))

    steps = 1e-5 * torch.eye(4, dtype=torch.float64)
    slopes = torch.stack([(bound(flat + step) - bound(flat - step)) / 2e-5 for step in steps])
    assert torch.allclose(toy.exact_gradient(model, NEAR), slopes, atol=1e-6)


def test_gradients_are_unbiased(model, dice):
    for q in (NEAR, normal(0.0, 0.3)):
        exact = toy.exact_gradient(model, q)
        assert (errors(toy.pathwise_gradient(model, q, COUNT, dice), exact) < 4).all()
        for baseline in (0.0, -1.5):
            assert (errors(toy.score_gradient(model, q, COUNT, dice, baseline), exact) < 4).all()


def spread(model, q, dice) -> list[float]:
    """Variance of the slope in the mean: pathwise, score function, score function with its mean reward as baseline."""
    reward = toy.expectation(model, q, model.log_y).item()
    rows = [toy.pathwise_gradient(model, q, COUNT, dice)]
    rows += [toy.score_gradient(model, q, COUNT, dice, baseline) for baseline in (0.0, reward)]
    return [row[:, :2].var(0).sum().item() for row in rows]


def test_pathwise_wins_while_q_is_narrow_and_loses_where_it_is_broad(model, dice):
    pathwise, score, with_baseline = spread(model, NEAR, dice)
    assert 1.5 * pathwise < with_baseline < score
    pathwise, score, with_baseline = spread(model, normal([0.35, -0.1], 0.4), dice)
    assert with_baseline < score < pathwise / 1.5


def test_eq_5_and_the_bound_on_the_joint_likelihood(model):
    for sigma_c in (0.1, 0.4):
        known, log_c = toy.given_proxy(model, sigma_c)
        log_c_given_z = toy.log_proxy(model.image, model.grid, sigma_c)
        assert toy.log_integral(model, known.log_prior).item() == pytest.approx(0, abs=1e-9)
        for q in random_q(10):
            elbo = toy.expectation(model, q, log_c_given_z) - kl_normal(q, PRIOR)
            eq5 = -toy.divergence(model, q, known.log_prior)
            assert eq5.item() == pytest.approx((elbo - log_c).item(), abs=1e-7)
            eq6 = toy.expectation(model, q, model.log_y) + elbo
            gap = toy.log_likelihood(known) + log_c - eq6
            assert gap.item() == pytest.approx(toy.divergence(model, q, toy.log_posterior(known)).item(), abs=1e-7)


def test_eq_6_is_no_bound_on_the_label_where_p_of_c_is_a_density(model):
    known, log_c = toy.given_proxy(model, 0.15)
    eq6 = toy.bound(known, normal(list(toy.BAR), 0.05)) + log_c
    assert log_c > 0 and eq6 > 0 > toy.log_likelihood(known)
    assert eq6 - toy.PROXY**2 * math.log(255) < toy.log_likelihood(known)


def test_pairs_against_a_double_sum():
    tiny = toy.make_toy(points=9, reach=1.2)
    q1, q2 = normal(0.1, 0.5), normal([-0.2, 0.1], 0.6)
    belief = torch.stack([(tiny.logits + row).softmax(-1)[:, LABEL] for row in tiny.logits])  # (z_1, z_2)
    prior = tiny.log_prior.exp() * tiny.cell
    assert toy.pair_log_likelihood(tiny).item() == pytest.approx((prior @ belief @ prior).log().item())
    share = [toy.log_density(q, tiny.grid).exp() * tiny.cell for q in (q1, q2)]
    kl = sum(toy.divergence(tiny, q, tiny.log_prior) for q in (q1, q2))
    assert toy.pair_bound(tiny, q1, q2).item() == pytest.approx((share[0] @ belief.log() @ share[1] - kl).item())


def test_two_saccades_and_one_label(dice):
    coarse = toy.make_toy(points=33, reach=2.0)
    single, pair = toy.log_likelihood(coarse), toy.pair_log_likelihood(coarse)
    assert single < pair < 0
    for q in (PRIOR, normal(list(toy.BAR), 0.2)):
        assert toy.pair_bound(coarse, q, PRIOR) < pair
    z = toy.draw(PRIOR, 2 * COUNT, dice)[0]
    logits = toy.look(coarse.image, z).view(COUNT, 2, -1).sum(1)
    assert errors(logits.softmax(-1)[:, LABEL], pair.exp()) < 4


def test_which_sums_over_saccades_are_likelihoods(model):
    second = replace(model, log_prior=toy.log_density(normal([0.4, -0.1], 0.25), model.grid))
    log_a = torch.stack([toy.log_likelihood(model), toy.log_likelihood(second)])
    bounds = torch.stack([toy.bound(model, NEAR), toy.bound(second, NEAR)])
    assert bounds.sum() <= log_a.sum()  # copies
    assert bounds.mean() <= log_a.mean() <= log_a.exp().mean().log() < 0  # a mixture
    assert log_a.repeat(3).logsumexp(0) > 0  # Eq. 1 as printed, six saccades: no probability
