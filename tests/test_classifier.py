"""The likelihoods against enumeration over which glimpse holds which object."""

import itertools

import pytest
import torch

from vsacc.reading import AnyLikelihood, PooledLikelihood, SetLikelihood, crop_network
from vsacc.tasks.cluttered import TASKS, label_table


def enumerate_pairs(seen, gate, table):
    """p(y): the sum over pairs of glimpses and what they show of p(pair) p(a | o_i) p(b | o_j) [label(a, b) = y]."""
    pairs = list(itertools.combinations(range(len(gate)), 2))
    weights = torch.stack([gate[i] + gate[j] for i, j in pairs]).softmax(0)
    result = torch.zeros(int(table.max()) + 1, dtype=seen.dtype)
    for weight, (i, j) in zip(weights, pairs, strict=True):
        for a, b in itertools.product(range(10), repeat=2):
            result[table[a, b]] += weight * seen[i, a] * seen[j, b]
    return result


@pytest.mark.parametrize("task", ["identification", "sum"])
@pytest.mark.parametrize("steps", [2, 3, 4])
def test_set_likelihood_is_the_enumeration(task, steps):
    torch.manual_seed(0)
    table = label_table(TASKS[task])
    likelihood = SetLikelihood(16, table).double()
    features = torch.randn(5, steps, 16, dtype=torch.float64)
    scores = likelihood.read(features)
    expected = [enumerate_pairs(s[:, :-1].softmax(-1), s[:, -1], table) for s in scores.detach()]
    torch.testing.assert_close(likelihood(features).exp(), torch.stack(expected))


def test_set_likelihood_of_one_object_is_a_mixture_over_glimpses():
    torch.manual_seed(0)
    likelihood = SetLikelihood(16, torch.arange(10)).double()
    features = torch.randn(5, 3, 16, dtype=torch.float64)
    scores = likelihood.read(features)
    expected = (scores[..., -1:].softmax(1) * scores[..., :-1].softmax(-1)).sum(1)
    torch.testing.assert_close(likelihood(features).exp(), expected)


def test_one_glimpse_leaves_the_other_object_open():
    torch.manual_seed(0)
    likelihood = SetLikelihood(16, label_table(TASKS["sum"])).double()
    features = torch.randn(4, 1, 16, dtype=torch.float64)
    seen = likelihood.read(features)[:, 0, :-1].softmax(-1)
    expected = torch.zeros(4, 19, dtype=torch.float64)
    for a, b in itertools.product(range(10), repeat=2):
        expected[:, a + b] += seen[:, a] / 10
    torch.testing.assert_close(likelihood(features).exp(), expected)


@pytest.mark.parametrize("kind", ["set", "pooled"])
def test_the_order_of_the_glimpses_does_not_matter(kind):
    torch.manual_seed(0)
    table = label_table(TASKS["identification"])
    likelihood = SetLikelihood(16, table) if kind == "set" else PooledLikelihood(16, 55)
    features = torch.randn(3, 4, 16)
    logits = likelihood(features)
    torch.testing.assert_close(logits, likelihood(features.flip(1)))
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(3))


def test_an_object_is_there_where_some_glimpse_shows_it():
    """Against the sum over all 2^T cases of which glimpses show it."""
    torch.manual_seed(0)
    likelihood = AnyLikelihood(16, 10).double()
    features = torch.randn(5, 3, 16, dtype=torch.float64)
    shows = likelihood.read(features).sigmoid()  # (5, 3, 10)
    expected = torch.zeros(5, 10, dtype=torch.float64)
    for case in itertools.product((False, True), repeat=3):
        chance = torch.where(torch.tensor(case)[:, None], shows, 1 - shows).prod(1)
        expected += any(case) * chance
    torch.testing.assert_close(likelihood(features).sigmoid(), expected)


@pytest.mark.parametrize("score", [-200.0, 200.0])
def test_however_sure_the_odds_are_finite(score):
    likelihood = AnyLikelihood(1, 10)
    torch.nn.init.constant_(likelihood.read.weight, score)
    odds = likelihood(torch.ones(1, 2, 1))
    odds.sum().backward()
    assert odds.isfinite().all() and likelihood.read.weight.grad.isfinite().all()
    assert (odds * score > 0).all()


def test_log_odds_of_many_questions_are_not_normalised():
    torch.manual_seed(0)
    likelihood, features = PooledLikelihood(16, 10, many=True), torch.randn(5, 3, 16)
    torch.testing.assert_close(likelihood(features), likelihood.dense(features.mean(1)))


def test_no_likelihood_underflows():
    """However sure of a wrong class, the gradient still pulls back."""
    likelihood = SetLikelihood(2, label_table(TASKS["identification"]))
    features = torch.full((1, 2, 2), 1e4, requires_grad=True)
    logits = likelihood(features)
    assert logits.isfinite().all()


def test_labels_of_three_objects_are_refused():
    with pytest.raises(ValueError, match="one or two"):
        SetLikelihood(4, torch.zeros(2, 2, 2, dtype=torch.long))


@pytest.mark.parametrize(("size", "widths", "depth"), [(32, (48, 96), 0), (64, (8, 16, 32), 2)])
def test_crop_network_shapes(size, widths, depth):
    network = crop_network(3, size, widths, depth, 20)
    assert network(torch.rand(5, 3, size, size)).shape == (5, 20)


def test_probabilities_keep_their_precision_under_autocast():
    torch.manual_seed(0)
    likelihood = SetLikelihood(16, label_table(TASKS["identification"]))
    likelihood.read.weight.data.mul_(20)  # sure of what it sees
    with torch.autocast("cpu", torch.bfloat16):
        logits = likelihood(torch.randn(64, 2, 16))
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(64), atol=1e-5, rtol=0)
