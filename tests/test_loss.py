"""Eq. 6 by hand, what the product form does to its gradients, and several questions at once."""

import pytest
import torch
from torch.nn import functional as F

from vsacc.loss import correct, log_likelihood, lower_bound


@pytest.fixture
def seen():
    torch.manual_seed(0)
    logits = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    terms = {"log_c": -torch.rand(4, dtype=torch.float64) - 1, "kl": torch.rand(4, dtype=torch.float64)}
    return logits, torch.tensor([0, 2, 1, 1]), {k: v.requires_grad_() for k, v in terms.items()}


def test_sum_is_equation_6_and_product_what_the_authors_train(seen):
    logits, labels, terms = seen
    log_p = logits.log_softmax(-1)[torch.arange(4), labels]
    elbo = 0.3 * terms["log_c"] - 0.7 * terms["kl"]
    for form, expected in (("sum", log_p + elbo), ("product", -elbo * log_p)):
        bound = lower_bound(logits, labels, terms, 0.3, 0.7, form)
        torch.testing.assert_close(bound.loss.double(), -expected.mean(), rtol=1e-6, atol=0)
        torch.testing.assert_close(bound.log_y.double(), log_p, rtol=1e-6, atol=1e-7)
        loss = lower_bound(logits, labels, {}, form=form).loss  # of a model without a latent
        torch.testing.assert_close(loss.double(), F.cross_entropy(logits, labels), rtol=1e-6, atol=0)
    with pytest.raises(ValueError, match="'sum' or 'product'"):
        lower_bound(*seen, form="quotient")


def test_the_product_stops_training_the_elbo_of_an_image_it_classifies(seen):
    """d loss / d log_c is the cross-entropy: near 0 for a sure image. In the sum it is the weight."""
    _, labels, terms = seen
    sure = 50 * F.one_hot(labels, 3).double()
    lower_bound(sure, labels, terms, form="product").loss.backward()
    assert terms["log_c"].grad.abs().max() < 1e-6
    terms["log_c"].grad = None
    lower_bound(sure, labels, terms).loss.backward()
    torch.testing.assert_close(terms["log_c"].grad, torch.full((4,), -0.25, dtype=torch.float64))


def test_what_is_said_early_counts_with_its_weight(seen):
    """The last weight holds for all further looks; the last look is not early."""
    logits, labels, terms = seen
    after = torch.stack([logits * k for k in (0.1, 0.2, 0.3, 1.0)], 1)
    log_y = [torch.log_softmax(after[:, t], -1).gather(1, labels[:, None]).squeeze(1) for t in range(4)]
    plain = lower_bound(logits, labels, terms, 0.3, 0.7)
    early = lower_bound(logits, labels, terms, 0.3, 0.7, after=after, early=(0.2, 0.5))
    extra = 0.2 * log_y[0] + 0.5 * log_y[1] + 0.5 * log_y[2]
    torch.testing.assert_close(early.loss, plain.loss - extra.mean())
    assert lower_bound(logits, labels, terms, 0.3, 0.7, after=after).loss.equal(plain.loss)


def test_of_many_questions_all_answers_count():
    logits, labels = torch.tensor([[2.0, -1.0], [0.5, 3.0]]), torch.tensor([[True, False], [False, True]])
    yes = logits.sigmoid()
    expected = torch.stack([yes[0, 0] * (1 - yes[0, 1]), (1 - yes[1, 0]) * yes[1, 1]]).log()
    torch.testing.assert_close(log_likelihood(logits, labels), expected)
    torch.testing.assert_close(lower_bound(logits, labels, {}).loss, -expected.mean())
    assert correct(logits, labels).tolist() == [True, False]
