"""The likelihoods against enumeration over which glimpse holds which object."""

import itertools

import pytest
import torch

from vsacc.reading import (
    AnyLikelihood,
    PlacedLikelihood,
    PooledLikelihood,
    Question,
    SetLikelihood,
    crop_network,
    fine_network,
    make_likelihood,
)
from vsacc.tasks import find_task

PAIR, SUM = (find_task(name).question.labels for name in ("identification", "sum"))  # long (10, 10)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def features(*shape):
    return torch.randn(*shape, 16, dtype=torch.float64)


def enumerate_pairs(seen, gate, table):
    """p(y): the sum over pairs of glimpses and what they show of p(pair) p(a | o_i) p(b | o_j) [label(a, b) = y]."""
    pairs = list(itertools.combinations(range(len(gate)), 2))
    weights = torch.stack([gate[i] + gate[j] for i, j in pairs]).softmax(0)
    result = torch.zeros(int(table.max()) + 1, dtype=seen.dtype)
    for weight, (i, j) in zip(weights, pairs, strict=True):
        for a, b in itertools.product(range(10), repeat=2):
            result[table[a, b]] += weight * seen[i, a] * seen[j, b]
    return result


@pytest.mark.parametrize("table", [PAIR, SUM], ids=["pair", "sum"])
@pytest.mark.parametrize("steps", [2, 3, 4])
def test_set_likelihood_is_the_enumeration(table, steps):
    likelihood, given = SetLikelihood(16, table).double(), features(5, steps)
    scores = likelihood.read(given).detach()
    expected = [enumerate_pairs(s[:, :-1].softmax(-1), s[:, -1], table) for s in scores]
    torch.testing.assert_close(likelihood(given).exp(), torch.stack(expected))


@pytest.mark.parametrize("table", [PAIR, SUM], ids=["pair", "sum"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_placed_likelihood_starts_as_the_enumeration_with_glimpses_that_show_both(table, steps):
    """Over pairs of glimpses, and over glimpses that show two objects, each unordered pair of them."""
    likelihood, given = PlacedLikelihood(16, table).double(), features(5, steps)
    unordered = list(itertools.combinations_with_replacement(range(10), 2))
    expected = []
    for image in given.detach():
        one, both = likelihood.read(image).detach(), likelihood.both(image).detach()
        pairs = list(itertools.combinations(range(steps), 2))
        weights = torch.cat([torch.stack([one[i, -1] + one[j, -1] for i, j in pairs]) if pairs else one[:0, -1],
                             both[:, -1]]).softmax(0)  # fmt: skip
        result = torch.zeros(int(table.max()) + 1, dtype=given.dtype)
        for weight, (i, j) in zip(weights, pairs, strict=False):
            for a, b in itertools.product(range(10), repeat=2):
                result[table[a, b]] += weight * one[i, :-1].softmax(0)[a] * one[j, :-1].softmax(0)[b]
        for weight, said in zip(weights[len(pairs) :], both[:, :-1].softmax(-1), strict=True):
            for share, (a, b) in zip(said, unordered, strict=True):
                result[table[a, b]] += weight * share
        expected.append(result)
    found = likelihood(given, torch.rand(5, steps, 3, dtype=torch.float64))
    torch.testing.assert_close(found.exp(), torch.stack(expected))


@pytest.mark.parametrize("labels", [PAIR, torch.arange(10)], ids=["pair", "digit"])
def test_placed_likelihood_knows_places_and_no_order(labels):
    likelihood, given, where = PlacedLikelihood(16, labels).double(), features(5, 4), torch.rand(5, 4, 3).double()
    before = likelihood(given, where)
    torch.testing.assert_close(before, likelihood(given, where + 0.1))  # a correction of zero
    torch.nn.init.normal_(likelihood.correct.weight)
    said, order = likelihood(given, where), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(said.logsumexp(-1), torch.zeros(5, dtype=said.dtype), rtol=0, atol=1e-9)
    torch.testing.assert_close(likelihood(given[:, order], where[:, order]), said)
    torch.testing.assert_close(likelihood(given, where + torch.tensor([0, 0.3, -0.2])), said)  # moved together
    assert not torch.allclose(likelihood(given, where * torch.tensor([1, 2.0, 1.0])), said)
    # As many again at the same places: no sum runs away with their number.
    corrected = likelihood.correction(given, where)
    again = likelihood.correction(given.repeat(1, 8, 1), where.repeat(1, 8, 1))
    assert (again - corrected).norm() < corrected.norm()


def test_the_fine_network_sees_strokes_in_detail():
    """Two convolutions before the first halving of its map of L / 2; a constant shift of all features goes."""
    network = fine_network(3, 32, (8, 16, 24), 1, 12)
    maps = []
    for layer in network:
        layer.register_forward_hook(lambda module, given, out: maps.append((type(module).__name__, out.shape[-1])))
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 12)
    assert [side for name, side in maps if name == "Conv2d"] == [16, 16, 8, 4]
    assert isinstance(network[-2], torch.nn.LayerNorm)


def test_set_likelihood_of_one_object_is_a_mixture_over_glimpses():
    likelihood, given = SetLikelihood(16, torch.arange(10)).double(), features(5, 3)
    scores = likelihood.read(given)
    expected = (scores[..., -1:].softmax(1) * scores[..., :-1].softmax(-1)).sum(1)
    torch.testing.assert_close(likelihood(given).exp(), expected)


def test_one_glimpse_leaves_the_other_object_open():
    likelihood, given = SetLikelihood(16, SUM).double(), features(4, 1)
    seen = likelihood.read(given)[:, 0, :-1].softmax(-1)
    expected = torch.zeros(4, 19, dtype=torch.float64)
    for a, b in itertools.product(range(10), repeat=2):
        expected[:, a + b] += seen[:, a] / 10
    torch.testing.assert_close(likelihood(given).exp(), expected)


@pytest.mark.parametrize("many", [False, True])
def test_pooled_likelihood_reads_the_mean(many):
    """Of many questions their log-odds, else log-probabilities."""
    likelihood, given = PooledLikelihood(16, 10, many).double(), features(5, 3)
    scores = likelihood.dense(given.mean(1))
    torch.testing.assert_close(likelihood(given), scores if many else scores.log_softmax(-1))


def test_an_object_is_there_where_some_glimpse_shows_it():
    """Against the sum over all 2^T cases of which glimpses show it."""
    likelihood, given = AnyLikelihood(16, 10).double(), features(5, 3)
    shows = likelihood.read(given).sigmoid()  # (5, 3, 10)
    expected = torch.zeros(5, 10, dtype=torch.float64)
    for case in itertools.product((False, True), repeat=3):
        expected += any(case) * torch.where(torch.tensor(case)[:, None], shows, 1 - shows).prod(1)
    torch.testing.assert_close(likelihood(given).sigmoid(), expected)


@pytest.mark.parametrize("score", [-200.0, 200.0])
def test_however_sure_the_odds_are_finite(score):
    likelihood = AnyLikelihood(1, 10)
    torch.nn.init.constant_(likelihood.read.weight, score)
    odds = likelihood(torch.ones(1, 2, 1))
    odds.sum().backward()
    assert odds.isfinite().all() and likelihood.read.weight.grad.isfinite().all()
    assert (odds * score > 0).all()


def test_no_likelihood_underflows():
    """However sure of a wrong class, the logarithm of the right one is a number, and its slope that of cross-entropy:
    1 on the scores of what was said and not on those of the truth."""
    likelihood = SetLikelihood(2, PAIR)
    assert likelihood(torch.full((1, 2, 2), 1e4)).isfinite().all()
    with torch.no_grad():
        likelihood.read.weight.copy_(torch.eye(11, 2))
        likelihood.read.bias.zero_()
    features = torch.tensor([[[100.0, 0.0], [100.0, 0.0]]], requires_grad=True)  # an object of kind 0 in both glimpses
    log_y = likelihood(features)[0, PAIR[1, 1]]
    (slope,) = torch.autograd.grad(log_y, features)
    assert log_y < -150
    torch.testing.assert_close(slope, torch.tensor([[[-1.0, 1.0], [-1.0, 1.0]]]), atol=1e-4, rtol=0)


def test_a_likelihood_fits_its_question():
    one, many = (Question(torch.arange(10), tuple("0123456789"), many) for many in (False, True))
    made = [type(make_likelihood(kind, 4, question)) for question in (one, many) for kind in ("set", "pooled")]
    assert made == [SetLikelihood, PooledLikelihood, AnyLikelihood, PooledLikelihood]
    assert make_likelihood("pooled", 4, many).many
    with pytest.raises(ValueError, match="one or two"):
        SetLikelihood(4, torch.zeros(2, 2, 2, dtype=torch.long))


def test_crop_network_shapes():
    for size, widths, depth in ((32, (48, 96), 0), (64, (8, 16, 32), 2)):
        assert crop_network(3, size, widths, depth, 20)(torch.rand(5, 3, size, size)).shape == (5, 20)


def test_probabilities_keep_their_precision_under_autocast():
    likelihood = SetLikelihood(16, PAIR)
    likelihood.read.weight.data.mul_(20)  # sure of what it sees
    with torch.autocast("cpu", torch.bfloat16):
        logits = likelihood(torch.randn(64, 2, 16))
    torch.testing.assert_close(logits.exp().sum(-1), torch.ones(64), atol=1e-5, rtol=0)
