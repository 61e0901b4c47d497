"""Corruptions of the proxy against what can be counted or computed by hand, and how models meet them."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from conftest import noise as pixels
from vsacc.saccader import Config
from vsacc.sampler import as_pyramid, glimpse, proxy
from vsacc.systems import find_system
from vsacc.systems.noise import KINDS, Corruption, describe
from vsacc.tasks import find_task

TINY = Config(hidden=16, features=12, proxy_widths=(4, 8), crop_widths=(8, 8))
TOP = {"gaussian": 0.8, "salt_and_pepper": 0.4, "dropout": 0.99, "downsample": 3.0}
IMAGES = pixels(6, 1, 100, 100)


@pytest.fixture
def c():
    """Strictly inside (0, 1), so that a dropped or salted pixel is told from an untouched one."""
    rng = torch.Generator().manual_seed(0)
    return 0.1 + 0.8 * torch.rand(20, 3, 32, 32, generator=rng, dtype=torch.float64)


def at(kind, level):
    return Corruption(kind, level, level)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["none", *KINDS])
def test_level_0_is_the_identity(c, kind, training):
    assert torch.equal(at(kind, 0.0)(c, training), c)


@pytest.mark.parametrize("level", [0.1, 0.8])
def test_gaussian_has_mean_0_and_the_levels_sigma(c, level):
    noise = at("gaussian", level)(c, False) - c
    count = noise.numel()
    assert abs(noise.mean()) < 5 * level / count**0.5
    assert noise.var() == pytest.approx(level**2, rel=5 * (2 / count) ** 0.5)
    correlation = torch.corrcoef(noise.flatten(1))[~torch.eye(20, dtype=torch.bool)]
    assert correlation.abs().max() < 6 / (count / 20) ** 0.5  # every image has noise of its own


@pytest.mark.parametrize("level", [0.1, 0.5, 0.97, 0.99, 1.0])
def test_exactly_the_share_of_pixels_is_dropped_in_all_channels(c, level):
    noisy = at("dropout", level)(c, False)
    gone = noisy == 0
    assert (gone == gone[:, :1]).all()
    assert (gone[:, 0].flatten(1).sum(1) == round(level * 1024)).all()
    assert torch.equal(noisy[~gone], c[~gone])


def test_every_pixel_is_dropped_equally_often_and_by_more_dropout_too(c):
    """Over 4000 draws the count of a pixel is binomial: 5 standard deviations hold all 1024 of them."""
    torch.manual_seed(0)
    gone = at("dropout", 0.25)(c[:1, :1].expand(4000, 1, 32, 32), True) == 0
    assert (gone.sum((0, 1)) - 1000).abs().max() < 5 * (4000 * 0.25 * 0.75) ** 0.5
    less, more = (at("dropout", level)(c, False) == 0 for level in (0.5, 0.9))
    assert not (less & ~more).any()


def test_salt_and_pepper_are_as_many_as_the_level_says(c):
    noisy = at("salt_and_pepper", 0.25)(c, False)
    salt, pepper = (noisy == 1)[:, 0].flatten(1).sum(1), (noisy == 0)[:, 0].flatten(1).sum(1)
    assert (salt + pepper == 256).all()
    assert abs(salt.sum() - 20 * 128) < 5 * (20 * 256 / 4) ** 0.5
    untouched = (noisy != 0) & (noisy != 1)
    assert torch.equal(noisy[untouched], c[untouched])


@pytest.mark.parametrize("level", [1, 2, 3])
def test_downsampling_averages_areas_and_repeats_them(c, level):
    block, naive = 2**level, c.clone()
    for row in range(0, 32, block):
        for col in range(0, 32, block):
            cell = c[:, :, row : row + block, col : col + block]
            naive[:, :, row : row + block, col : col + block] = cell.mean((2, 3), keepdim=True)
    torch.testing.assert_close(at("downsample", float(level))(c, False), naive)


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_repeats_itself_and_training_does_not(c, kind):
    noise = Corruption(kind, 0.0, TOP[kind])

    def drawn(seed, training):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        noisy = noise(c, training)
        assert torch.equal(torch.get_rng_state(), before) != training  # evaluation leaves it alone
        return noisy

    assert torch.equal(drawn(0, False), drawn(1, False))
    assert torch.equal(drawn(1, True), drawn(1, True)) and not torch.equal(drawn(1, True), drawn(1, False))
    assert not torch.equal(noise(c.flip(0), False), noise(c, False).flip(0))  # another batch, other noise


def test_levels_are_uniform_between_the_bounds(c):
    torch.manual_seed(0)
    many = c[:1, :1].expand(2000, 1, 32, 32)
    shares = (Corruption("dropout", 0.2, 0.8)(many, True) == 0).flatten(1).double().mean(1)
    assert 0.199 < shares.min() < 0.21 and 0.79 < shares.max() < 0.801
    assert shares.mean() == pytest.approx(0.5, abs=5 * 0.6 / (12 * 2000) ** 0.5)
    assert shares.var() == pytest.approx(0.6**2 / 12, rel=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fog", 0.0, 1.0), "noise must be none, gaussian"),
        (("gaussian", 0.5, 0.2), "no levels from 0.5 to 0.2"),
        (("gaussian", -0.1, 0.2), "no levels from -0.1"),
        (("dropout", 0.0, 1.5), "no levels from 0.0 to 1.5"),
        (("downsample", 4.0, 4.0), "24 pixels cannot be averaged in blocks of 16"),
    ],
)
def test_impossible_corruptions(arguments, message):
    with pytest.raises(ValueError, match=message):
        Corruption(*arguments)(torch.zeros(1, 1, 24, 24), False)


def test_levels_in_words():
    assert [describe(kind, level, 32) for kind, level in TOP.items()] == ["σ 0.8", "40 %", "10 points", "4 x 4"]
    assert describe("dropout", 0.0, 32) == "clean"


def make(system, seed=0, **changes):
    torch.manual_seed(seed)
    return find_system(system).build(replace(TINY, **changes), find_task("one_digit").question).eval()


@pytest.mark.parametrize("system", ["saccader", "proxy_only"])
def test_models_meet_the_noise_of_their_configuration_or_another(system):
    clean, noisy = make(system), make(system, noise="dropout", noise_level=0.9)
    assert noisy.noise == Corruption("dropout", 0.0, 0.9)
    assert not torch.equal(noisy(IMAGES).logits, clean(IMAGES).logits)
    noisy.noise = Corruption()
    assert torch.equal(noisy(IMAGES).logits, clean(IMAGES).logits)


def test_only_the_proxy_is_noisy_and_the_decoder_explains_the_noisy_one():
    model = make("saccader")
    clean = model(IMAGES).where
    model.noise = at("gaussian", 0.8)
    output, roll = model(IMAGES), model.roll_out(as_pyramid(IMAGES), 2)
    assert not torch.equal(output.where, clean) and torch.equal(output.glimpses, glimpse(IMAGES, output.where, 32))
    assert torch.equal(roll.proxy, model.noise(proxy(IMAGES, 32), False))
    log_c = model.vrnn.log_proxy(roll.proxy, roll.z, roll.hidden).sum(0)
    torch.testing.assert_close(output.terms["log_c"], log_c, rtol=1e-4, atol=1e-1)


def test_random_glimpses():
    """Uniform inside the image at the saccader's largest scale, drawn afresh in training only; no proxy, no noise."""
    model = make("random")
    output = model(IMAGES)
    assert output.logits.shape == (6, 10) and output.where.shape == (6, 2, 3) and output.terms == {}
    torch.testing.assert_close(output.logits.exp().sum(1), torch.ones(6))
    assert torch.equal(output.glimpses, glimpse(IMAGES, output.where, 32))
    assert torch.equal(model(IMAGES).where, output.where)
    model.noise = at("dropout", 0.99)
    assert torch.equal(model(IMAGES).logits, output.logits)
    model.train()
    where = torch.cat([model(IMAGES).where for _ in range(100)]).flatten(0, 1)  # (1200, 3)
    assert (where[:, 0] == 0.3).all() and 0.68 < where[:, 1:].abs().max() <= 0.7
    F.cross_entropy(model(IMAGES).logits, torch.arange(6)).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
