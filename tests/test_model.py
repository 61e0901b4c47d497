"""The saccader: its contract, gradients that reach every part, one step against the unrolled model."""

from dataclasses import replace

import pytest
import torch

from vsacc.loss import lower_bound
from vsacc.saccader import Config, Saccader
from vsacc.sampler import build_pyramid, glimpse, proxy
from vsacc.tasks.cluttered import TASKS, label_table
from vsacc.training.recipes import AS_PUBLISHED, PAPER_SIZE
from vsacc.vrnn import kl_normal

TINY = Config(hidden=16, features=12, proxy_widths=(4, 8), crop_widths=(8, 8), glimpses=3)
LABELS = label_table(TASKS["identification"])


@pytest.fixture
def images():
    rng = torch.Generator().manual_seed(0)
    return build_pyramid(torch.randint(0, 256, (4, 1, 100, 100), dtype=torch.uint8, generator=rng))


@pytest.fixture(params=["ours", "published"])
def model(request):
    torch.manual_seed(0)
    change = {} if request.param == "ours" else {"posterior": "dense", "inhibition": False, "likelihood": "pooled"}
    return Saccader(replace(TINY, **change), LABELS)


def test_contract(model, images):
    output = model(images)
    assert output.logits.shape == (4, 55)
    assert output.where.shape == (4, 3, 3)
    assert output.glimpses.shape == (4, 3, 1, 32, 32)
    assert output.terms["log_c"].shape == output.terms["kl"].shape == (4,)
    assert (output.terms["kl"] >= 0).all()
    torch.testing.assert_close(output.glimpses, glimpse(images, output.where, 32))


def test_unrolled_is_step_by_step(model, images):
    """forward reads and decodes all steps at once; walking through them one at a time gives the same."""
    torch.manual_seed(1)
    output = model(images)
    torch.manual_seed(1)
    c = proxy(images, 32)
    features, state = model.vrnn.observe(c), model.vrnn.start(4)
    log_c = kl = 0
    read = []
    for i in range(3):
        q, p = model.vrnn.posterior(features, state), model.vrnn.prior(state)
        z = q.sample()
        where = model.vrnn.where(z)
        torch.testing.assert_close(where, output.where[:, i])
        read.append(model.crop(glimpse(images, where, 32)))
        log_c, kl = log_c + model.vrnn.log_proxy(c, z, state.hidden), kl + kl_normal(q, p)
        state = model.vrnn.recur(features, z, state)
    torch.testing.assert_close(output.logits, model.likelihood(torch.stack(read, 1)))
    torch.testing.assert_close(output.terms["log_c"], log_c, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(output.terms["kl"], kl)


def test_every_parameter_is_trained(model, images):
    output = model(images)
    lower_bound(output.logits, torch.tensor([0, 10, 20, 54]), output.terms).loss.backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_the_classification_alone_teaches_where_to_look(model, images):
    """The gradient of log p(y | o) runs through the glimpses' pixels into q(z | c, h)."""
    output = model(images)
    torch.nn.functional.cross_entropy(output.logits, torch.tensor([0, 10, 20, 54])).backward()
    assert model.vrnn.encode[1].weight.grad.abs().sum() > 0


def test_evaluation_looks_at_the_mean_and_training_samples(model, images):
    model.eval()
    assert torch.equal(model(images).where, model(images).where)
    model.train()
    assert not torch.equal(model(images).where, model(images).where)


def test_it_can_look_longer_than_it_was_trained_to(model, images):
    model.eval()
    short, long = model(images, glimpses=2), model(images, glimpses=5)
    assert long.where.shape == (4, 5, 3)
    torch.testing.assert_close(short.where, long.where[:, :2])


def test_annealing_ends_at_the_configured_sigma(model, images):
    model.anneal(0.0)
    assert model.vrnn.sigma_floor == pytest.approx(0.4)
    model.anneal(0.25)
    assert 0.02 < model.vrnn.sigma_floor < 0.4
    for progress in (0.5, 1.0):
        model.anneal(progress)
        assert model.vrnn.sigma_floor == pytest.approx(0.02)


@pytest.mark.parametrize("config", [PAPER_SIZE, AS_PUBLISHED])
def test_paper_size(config):
    """Table 1: 7.4 M parameters."""
    count = sum(p.numel() for p in Saccader(config, LABELS).parameters())
    assert 6.9e6 < count < 7.9e6
