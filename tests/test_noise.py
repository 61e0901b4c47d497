"""Corruptions of the proxy against what can be counted or computed by hand, and how models meet them."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from vsacc.saccader import Config, Saccader
from vsacc.sampler import glimpse, proxy
from vsacc.systems.noise import KINDS, Corruption, describe
from vsacc.systems.proxy_only import ProxyOnly
from vsacc.systems.random_glimpses import RandomGlimpses
from vsacc.tasks.cluttered import TASKS, label_table
from vsacc.training.evaluation import centre_inside

TINY = Config(hidden=16, features=12, proxy_widths=(4, 8), crop_widths=(8, 8))
LABELS = label_table(TASKS["one_digit"])
TOP = {"gaussian": 0.8, "salt_and_pepper": 0.4, "dropout": 0.99, "downsample": 3.0}


@pytest.fixture
def c():
    """Strictly inside (0, 1), so that a dropped or salted pixel is told from an untouched one."""
    rng = torch.Generator().manual_seed(0)
    return 0.1 + 0.8 * torch.rand(20, 3, 32, 32, generator=rng, dtype=torch.float64)


@pytest.fixture
def images():
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (6, 1, 100, 100), dtype=torch.uint8, generator=rng)


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
    per_pixel = noise.flatten(1)
    correlation = torch.corrcoef(per_pixel)[~torch.eye(20, dtype=torch.bool)]
    assert correlation.abs().max() < 6 / per_pixel.shape[1] ** 0.5  # every image has noise of its own


@pytest.mark.parametrize("level", [0.1, 0.5, 0.97, 0.99, 1.0])
def test_exactly_the_share_of_pixels_is_dropped_in_all_channels(c, level):
    gone = at("dropout", level)(c, False) == 0
    assert (gone == gone[:, :1]).all()
    assert (gone[:, 0].flatten(1).sum(1) == round(level * 1024)).all()
    kept = ~gone
    assert torch.equal(at("dropout", level)(c, False)[kept], c[kept])


def test_every_pixel_is_dropped_equally_often(c):
    """Over 4000 draws the count of a pixel is binomial: 5 standard deviations hold all 1024 of them."""
    torch.manual_seed(0)
    gone = at("dropout", 0.25)(c[:1, :1].expand(4000, 1, 32, 32), True) == 0
    count = gone.sum((0, 1))
    assert (count - 1000).abs().max() < 5 * (4000 * 0.25 * 0.75) ** 0.5


def test_salt_and_pepper_are_as_many_as_the_level_says(c):
    noisy = at("salt_and_pepper", 0.25)(c, False)
    salt, pepper = (noisy == 1)[:, 0].flatten(1).sum(1), (noisy == 0)[:, 0].flatten(1).sum(1)
    assert (salt + pepper == 256).all()
    assert abs(salt.sum() - 20 * 128) < 5 * (20 * 256 / 4) ** 0.5
    untouched = (noisy != 0) & (noisy != 1)
    assert torch.equal(noisy[untouched], c[untouched])


@pytest.mark.parametrize("level", [1.0, 2.0, 3.0])
def test_downsampling_averages_areas_and_repeats_them(c, level):
    noisy, block = at("downsample", level)(c, False), 2 ** int(level)
    naive = c.clone()
    for row in range(0, 32, block):
        for col in range(0, 32, block):
            cell = c[:, :, row : row + block, col : col + block]
            naive[:, :, row : row + block, col : col + block] = cell.mean((2, 3), keepdim=True)
    torch.testing.assert_close(noisy, naive)


def test_downsampling_a_side_that_does_not_divide():
    with pytest.raises(ValueError, match="24 pixels cannot be averaged in blocks of 16"):
        at("downsample", 4.0)(torch.zeros(1, 1, 24, 24), False)


def test_more_dropout_drops_what_less_dropped_too(c):
    gone = [at("dropout", level)(c, False) == 0 for level in (0.5, 0.9)]
    assert not (gone[0] & ~gone[1]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_repeats_itself_and_training_does_not(c, kind):
    noise = Corruption(kind, 0.0, TOP[kind])
    torch.manual_seed(0)
    first = noise(c, False)
    torch.manual_seed(1)
    assert torch.equal(noise(c, False), first)
    assert not torch.equal(noise(c, True), first)
    torch.manual_seed(1)
    again = noise(c, True)
    torch.manual_seed(1)
    assert torch.equal(noise(c, True), again)
    assert not torch.equal(noise(c.flip(0), False), first.flip(0))  # another batch, other noise


def test_evaluation_leaves_the_global_generator_alone(c):
    before = torch.get_rng_state()
    Corruption("salt_and_pepper", 0.0, 0.4)(c, False)
    assert torch.equal(torch.get_rng_state(), before)


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
    ],
)
def test_impossible_corruptions(arguments, message):
    with pytest.raises(ValueError, match=message):
        Corruption(*arguments)


def test_levels_in_words():
    words = [describe(kind, level, 32) for kind, level in TOP.items()]
    assert words == ["σ 0.8", "40 %", "10 points", "4 x 4"]
    assert describe("dropout", 0.0, 32) == "clean"


NOISY = {"noise": "dropout", "noise_level": 0.9}


@pytest.mark.parametrize("make", [lambda config: Saccader(config, LABELS), lambda config: ProxyOnly(config, 10)])
def test_models_meet_the_noise_of_their_configuration_or_another(make, images):
    torch.manual_seed(0)
    clean = make(TINY).eval()
    noisy = make(replace(TINY, **NOISY)).eval()
    noisy.load_state_dict(clean.state_dict())
    assert noisy.noise == Corruption("dropout", 0.0, 0.9)
    assert not torch.equal(noisy(images).logits, clean(images).logits)
    noisy.noise = Corruption()
    assert torch.equal(noisy(images).logits, clean(images).logits)


def test_only_the_proxy_is_noisy_and_the_decoder_explains_the_noisy_one(images):
    torch.manual_seed(0)
    model = Saccader(TINY, LABELS).eval()
    model.noise = at("gaussian", 0.8)
    output = model(images)
    assert torch.equal(output.glimpses, glimpse(images, output.where, 32))
    c = model.noise(proxy(images, 32), False)
    features, state = model.vrnn.observe(c), model.vrnn.start(len(c))
    log_c = 0
    for i in range(2):
        step, next_state = model.saccade(features, state)
        torch.testing.assert_close(model.vrnn.where(step.z), output.where[:, i])
        log_c = log_c + model.vrnn.log_proxy(c, step.z, state.hidden)
        state = next_state
    torch.testing.assert_close(output.terms["log_c"], log_c, rtol=1e-4, atol=1e-1)


def test_the_same_noise_for_every_model(images):
    seen = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = Saccader(TINY, LABELS).eval()
        model.noise = at("salt_and_pepper", 0.4)
        model.vrnn.observe = lambda c, observe=model.vrnn.observe: (seen.append(c), observe(c))[1]
        model(images)
    assert torch.equal(*seen)


def test_random_glimpses_are_uniform_inside_the_image(images):
    torch.manual_seed(0)
    model = RandomGlimpses(TINY, LABELS)
    where = torch.cat([model(images).where for _ in range(100)]).flatten(0, 1)  # (1200, 3)
    s = TINY.scale[1]
    assert (where[:, 0] == s).all() and where[:, 1:].abs().max() <= 1 - s
    assert where[:, 1:].mean(0).abs().max() < 5 * (1 - s) / (3 * 1200) ** 0.5
    assert where[:, 1:].std(0).tolist() == pytest.approx([(1 - s) / 3**0.5] * 2, rel=0.05)
    assert abs(torch.corrcoef(where[:, 1:].T)[0, 1]) < 5 / 1200**0.5


def test_random_glimpses_find_what_chance_finds(images):
    """(0.5, 0) lies in a frame of s = 0.3 with a centre uniform in [-0.7, 0.7]^2 with chance 0.5 / 1.4 * 0.6 / 1.4."""
    torch.manual_seed(0)
    model = RandomGlimpses(replace(TINY, glimpses=1), LABELS)
    where = torch.cat([model(images).where for _ in range(300)])
    box = torch.tensor([0.4, -0.1, 0.6, 0.1]).expand(len(where), 1, 4)
    chance = 0.5 / 1.4 * 0.6 / 1.4
    found = centre_inside(where, box).float().mean()
    assert found == pytest.approx(chance, abs=5 * (chance * (1 - chance) / 1800) ** 0.5)


def test_random_glimpses_keep_the_contract(images):
    torch.manual_seed(0)
    model = RandomGlimpses(TINY, LABELS).eval()
    output = model(images)
    assert output.logits.shape == (6, 10) and output.where.shape == (6, 2, 3) and output.terms == {}
    torch.testing.assert_close(output.logits.exp().sum(1), torch.ones(6))
    assert torch.equal(output.glimpses, glimpse(images, output.where, 32))
    assert torch.equal(model(images).where, output.where)  # in evaluation
    model.noise = at("dropout", 0.99)
    assert torch.equal(model(images).logits, output.logits)  # it never looks at the proxy
    model.train()
    assert not torch.equal(model(images).where, output.where)
    F.cross_entropy(model(images).logits, torch.arange(6)).backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
