"""Attention sampling: patches are pixels of the image, every part learns, and estimates are held against the exact sum,
enumerated over every ordered sample."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from conftest import noise
from vsacc.reading import Question
from vsacc.sampler import build_pyramid, glimpse, proxy
from vsacc.systems import attention_sampling as sampling
from vsacc.systems.attention_sampling import AttentionConfig, AttentionSampling, expectation, places, sample
from vsacc.systems.noise import Corruption
from vsacc.training.jobs import build, make_job

FIVE = Question(torch.arange(5), tuple("abcde"))
TINY = AttentionConfig(size=8, scale=8 / 64, view=4, features=6, crop_widths=(8, 8))
IMAGES = noise(3, 1, 64, 64)
SCHEMES = pytest.mark.parametrize("replacement", [False, True])
GRADIENTS = pytest.mark.parametrize("gradient", ["exact", "reference"])


def make_model(**changes) -> AttentionSampling:
    torch.manual_seed(0)
    model = AttentionSampling(replace(TINY, **changes), FIVE)
    with torch.no_grad():
        model.attention[-1].weight *= 20  # an attention that is far from even
    return model


@pytest.mark.parametrize("channels", [1, 3])
@SCHEMES
@pytest.mark.parametrize("form", [lambda images: images, build_pyramid])
def test_contract(channels, replacement, form):
    images, model = form(noise(3, channels, 64, 64)), make_model(channels=channels, replacement=replacement)
    output = model(images)
    assert output.logits.shape == (3, 5) and output.logits.dtype == torch.float32
    assert output.where.shape == (3, 2, 3) and (output.where[..., 0] == 8 / 64).all()
    torch.testing.assert_close(output.glimpses, glimpse(images, output.where, 8))
    assert list(output.terms) == ["bonus"] and output.terms["bonus"].shape == (3,)
    assert model(images, glimpses=7).where.shape == (3, 7, 3)
    assert not torch.equal(model(images).where, model(images).where)
    assert torch.equal(model.eval()(images).where, model(images).where)  # a function of the batch
    assert not torch.equal(model(images).where[1:], model(form(noise(3, channels, 64, 64)[1:])).where)


@pytest.mark.parametrize("side, size, view", [(64, 8, 4), (100, 32, 32), (101, 32, 16), (150, 48, 9), (90, 9, 7)])
def test_a_patch_shows_the_pixels_around_its_position(side, size, view):
    images, drawn = noise(1, 2, side, side), torch.arange(view * view)[None]
    seen = glimpse(build_pyramid(images), places(drawn, view, size / side, (side, side)), size)[0]
    for row in range(view):
        for col in range(view):
            top, left = (round((index + 0.5) * side / view - size / 2) for index in (row, col))
            if min(top, left) >= 0 and max(top, left) + size <= side:
                pixels = images[0, :, top : top + size, left : left + size] / 255
                torch.testing.assert_close(seen[row * view + col], pixels, rtol=0, atol=2e-4)


def test_a_patch_of_an_oblong_image():
    """16 of the 64 columns, 4 of the 16 rows, each row shown four times over; x runs along the columns."""
    images = torch.arange(64, dtype=torch.uint8).expand(1, 1, 16, 64)
    where = places(torch.tensor([[2 * 4 + 1]]), 4, 16 / 64, (16, 64))  # row 2 of 4, column 1 of 4
    assert where.tolist() == [[[0.25, -0.25, 0.25]]]
    pixels = torch.arange(16.0, 32.0).expand(16, 16) / 255
    torch.testing.assert_close(glimpse(images, where, 16)[0, 0, 0], pixels)


def test_a_patch_may_be_coarser_than_the_image():
    """The same pattern in four times as many pixels a side, looked at in patches of the same scale."""
    small = noise(3, 1, 32, 32)
    large = small.repeat_interleave(4, 2).repeat_interleave(4, 3)
    model = make_model(scale=0.25).eval()
    one, other = model(build_pyramid(small)), model(build_pyramid(large))
    assert torch.equal(one.where, other.where) and (one.where[..., 0] == 0.25).all()
    torch.testing.assert_close(one.glimpses, other.glimpses)


def test_jitter_stays_in_the_cell_and_rests_in_evaluation():
    drawn = torch.arange(16).repeat(200)[None]
    middle = places(drawn, 4, 0.125, (64, 64))
    off = (places(drawn, 4, 0.125, (64, 64), jitter=True) - middle)[..., 1:] * 32  # pixels, of a cell of 16
    assert off.abs().amax() <= 8 and off.amin() < -6 and off.amax() > 6 and off.mean().abs() < 0.5
    jittered, plain = (make_model(view=8, jitter=jitter).eval()(IMAGES) for jitter in (True, False))
    assert torch.equal(jittered.where, plain.where)


def test_attention_is_a_softmax_over_all_positions():
    model = make_model()
    first, _, second, _, last = model.attention
    hidden = F.conv2d(proxy(IMAGES, 4), first.weight, first.bias, padding=1).tanh()
    hidden = F.conv2d(hidden, second.weight, second.bias, padding=1).tanh()
    shares = F.conv2d(hidden, last.weight, padding=1).flatten(1).exp()
    expected = (shares / shares.sum(1, keepdim=True)).view(3, 4, 4)
    torch.testing.assert_close(model.attend(IMAGES), expected)
    assert expected.amax() > 0.1


@SCHEMES
def test_the_model_estimates_its_sum_over_all_positions(replacement, monkeypatch):
    """Logits and gradients, averaged over every ordered sample of 3 out of 9 positions, are those of sum_k a_k f_k."""
    model, image, slope = make_model(view=3, glimpses=3, replacement=replacement), IMAGES[:1], torch.linspace(-1, 1, 5)
    a = model.attend(image).flatten()
    patches = glimpse(image, places(torch.arange(9)[None], 3, TINY.size / 64, (64, 64)), TINY.size)[0]
    features = F.normalize(model.read(patches), dim=1) * TINY.features**0.5
    logits = model.classify(a @ features)
    expected = torch.autograd.grad(logits @ slope, list(model.parameters()))

    samples = sampling.ordered_samples(9, 3, replacement)
    monkeypatch.setattr(sampling, "sample", lambda *_: samples)
    output = model(image.expand(len(samples), -1, -1, -1))
    mean = sampling.probabilities(a.detach(), samples, replacement) @ output.logits
    torch.testing.assert_close(mean, logits, rtol=1e-4, atol=1e-5)
    for one, true in zip(torch.autograd.grad(mean @ slope, list(model.parameters())), expected, strict=True):
        assert (one - true).norm() < 0.01 * true.norm()


def test_the_bonus_is_the_weighted_entropy_and_evens_the_attention_out():
    model = make_model(entropy=0.3)
    bonus, a = model(IMAGES).terms["bonus"], model.attend(IMAGES).flatten(1)
    torch.testing.assert_close(bonus, 0.3 * (a * (1 / a).log()).sum(1))
    (slope,) = torch.autograd.grad(bonus.sum(), model.attention[-1].weight)
    with torch.no_grad():
        model.attention[-1].weight += 1e-2 * slope
    assert model(IMAGES).terms["bonus"].sum() > bonus.sum()


def test_the_attention_sees_the_noise_and_the_patches_do_not():
    model = make_model().eval()
    clean = model.attend(IMAGES)
    model.noise = Corruption("gaussian", 0.5, 0.5)
    assert not torch.allclose(model.attend(IMAGES), clean)
    output = model(IMAGES)
    torch.testing.assert_close(output.glimpses, glimpse(IMAGES, output.where, TINY.size))


def test_the_published_reader():
    """A kernel of 7 and three of 3 leave 50 - 6 - 2 - 2 - 2 = 38 pixels along each side, and their maximum is read."""
    model, seen = make_model(size=50, reader="published", features=32), []
    model.read[-2].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    read = model.read(torch.rand(2, 1, 50, 50))
    assert seen[0].shape == (2, 32, 38, 38)
    torch.testing.assert_close(read, seen[0].amax((2, 3)))
    assert sum(p.numel() for p in model.read.parameters()) == 49 * 32 + 3 * 9 * 32 * 32 + 4 * 32
    with pytest.raises(ValueError, match="'crop' or 'published', not 'other'"):
        make_model(reader="other")


def test_bright_attention_starts_on_what_is_bright():
    image = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    image[..., 32:40, 16:24] = 255  # row 4, column 2 of 8 x 8
    for seed in range(5):
        torch.manual_seed(seed)
        a = AttentionSampling(replace(TINY, view=8, bright=1.0), FIVE).attend(image)[0]
        assert a[4, 2] > 10 * a.flatten().median()


@GRADIENTS
def test_the_attention_learns_where_the_answer_is(gradient):
    """A square of stripes, this way or that, somewhere on black: only a patch that shows it can tell which."""
    torch.manual_seed(0)
    sizes = dict(size=8, scale=8 / 32, view=4, glimpses=2, features=16, crop_widths=(8,))
    config = AttentionConfig(**sizes, gradient=gradient)
    model = AttentionSampling(config, Question(torch.arange(2), ("down", "across")))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)

    def draw(batch: int) -> tuple[Tensor, Tensor, Tensor]:
        labels, cell = torch.randint(2, (batch,)), torch.randint(16, (batch,))
        rows = (255 * (torch.arange(8) % 2)).to(torch.uint8).expand(8, 8)
        tiles = torch.zeros(batch, 16, 8, 8, dtype=torch.uint8)
        tiles[torch.arange(batch), cell] = torch.where(labels.bool()[:, None, None], rows, rows.T)
        return tiles.view(batch, 1, 4, 4, 8, 8).transpose(3, 4).reshape(batch, 1, 32, 32), labels, cell

    for _ in range(100):
        images, labels, _ = draw(32)
        optimizer.zero_grad()
        F.cross_entropy(model(images).logits, labels).backward()
        optimizer.step()
    images, _, cell = draw(200)
    with torch.no_grad():
        attention = model.attend(images).flatten(1).gather(1, cell[:, None])
    assert attention.mean() > 0.5  # 1 / 16 where nothing was learned


def test_the_published_sizes():
    """Of megapixel MNIST, where their model was published."""
    config = make_job("megapixel", "paper", "attention_sampling").config
    assert (config.view, config.size, config.glimpses, config.reader, config.features) == (180, 50, 10, "published", 32)
    assert (config.scale, config.jitter, config.replacement, config.entropy) == (50 / 1500, False, False, 1e-4)
    for profile in ("quick", "laptop", "paper"):
        assert build(make_job("identification", profile, "attention_sampling"))(IMAGES).logits.shape == (3, 55)


# The estimate


SIZES = pytest.mark.parametrize("positions, count", [(3, 1), (4, 2), (5, 3), (6, 4), (4, 4)])  # K, N


def make_problem(positions: int, seed: int = 0, width: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (K,), features (K, F) and the slope of a loss that is linear in F, (F,)."""
    rng = torch.Generator().manual_seed(seed)
    shapes = (positions,), (positions, width), (width,)
    return tuple(torch.randn(shape, dtype=torch.float64, generator=rng) for shape in shapes)


def true_value(logits: Tensor, features: Tensor) -> Tensor:
    return logits.softmax(0) @ features


def slopes(value, problem: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
    """Gradients of <value, slope> with respect to the logits and the features."""
    logits, features, slope = problem
    inputs = [logits.clone().requires_grad_(), features.clone().requires_grad_()]
    return list(torch.autograd.grad(value(*inputs) @ slope, inputs))


@SCHEMES
def test_every_ordered_sample_once_and_its_probability_by_hand(replacement):
    samples = sampling.ordered_samples(5, 3, replacement)
    assert len(samples.unique(dim=0)) == len(samples) == (125 if replacement else 60)
    assert replacement or all(len(set(row)) == 3 for row in samples.tolist())
    a, drawn = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), torch.tensor([[2, 0], [0, 1]])
    by_hand = [0.2 * 0.5, 0.5 * 0.3] if replacement else [0.2 * 0.5 / 0.8, 0.5 * 0.3 / 0.5]
    torch.testing.assert_close(sampling.probabilities(a, drawn, replacement), a.new_tensor(by_hand))
    total = sampling.probabilities(a, sampling.ordered_samples(3, 2, replacement), replacement).sum()
    assert total.item() == pytest.approx(1)


@SCHEMES
@SIZES
@pytest.mark.parametrize("seed", range(3))
def test_value_and_gradients_are_unbiased(positions, count, replacement, seed):
    problem = make_problem(positions, seed)

    def estimate(logits: Tensor, features: Tensor) -> Tensor:
        return sampling.mean_estimate(logits, features, count, replacement)

    torch.testing.assert_close(estimate(*problem[:2]), true_value(*problem[:2]), rtol=0, atol=1e-12)
    for one, true in zip(slopes(estimate, problem), slopes(true_value, problem), strict=True):
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
    for drawn in sampling.ordered_samples(6, 4, False)[::37]:
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
        mean, _ = slopes(lambda a, f: sampling.mean_estimate(a, f, count, False, "reference"), problem)
        true, _ = slopes(true_value, problem)
        rows.append([torch.cosine_similarity(mean, true, 0), mean.norm() / true.norm()])
    assert torch.tensor(rows).mean(0).tolist() == pytest.approx([cosine, ratio], abs=0.006)


@SCHEMES
@GRADIENTS
def test_gradient_of_the_features_by_differences(replacement, gradient):
    logits, features, _ = make_problem(4)
    log_p = logits.log_softmax(0)[sampling.ordered_samples(4, 3, False)]
    drawn = features[sampling.ordered_samples(4, 3, False)].requires_grad_()
    assert torch.autograd.gradcheck(lambda f: expectation(f, log_p, replacement, gradient), drawn)


@SCHEMES
def test_draws_come_as_often_as_they_should(replacement):
    """Chi-square of ordered samples of 3 out of 4 against their probabilities; its 99.9 % point for 63 (23) degrees of
    freedom is 103 (50)."""
    log_a, total = torch.tensor([0.55, 0.25, 0.15, 0.05]).log(), 40_000
    drawn = sample(log_a.expand(total, -1), 3, replacement, torch.Generator().manual_seed(0))
    samples = sampling.ordered_samples(4, 3, replacement)
    code = torch.tensor([16, 4, 1])
    seen = (drawn @ code).bincount(minlength=64)[samples @ code].double()
    expected = total * sampling.probabilities(log_a.double().exp(), samples, replacement)
    assert seen.sum() == total
    assert ((seen - expected) ** 2 / expected).sum() < (103 if replacement else 50)


@SCHEMES
def test_draws_are_a_function_of_the_generator_and_without_replacement_never_twice(replacement):
    log_a = make_problem(30)[0].log_softmax(0).expand(3, -1)
    one, other = (sample(log_a, 30, replacement, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(one, other) and one.shape == (3, 30) and one.dtype == torch.long
    assert all((len(set(row)) == 30) != replacement for row in one.tolist())
    if not replacement:
        with pytest.raises(ValueError, match="31 positions cannot be drawn without replacement from 30"):
            sample(log_a, 31, False)


@SCHEMES
@GRADIENTS
def test_sharp_attention_stays_finite(replacement, gradient):
    """32,400 positions, all but one of probability 0 in float32, and features in bfloat16."""
    logits = torch.zeros(2, 32_400)
    logits[:, 77] = 150.0
    log_a = logits.requires_grad_().log_softmax(1)
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
    weight, rest = sampling.weights(torch.tensor([[0.5, 0.3, 0.1]]).log(), False)
    torch.testing.assert_close(rest, torch.tensor([[1.0, 0.5, 0.2]]))
    torch.testing.assert_close(3 * weight, torch.tensor([[2.0, 0.8, 0.2]]))
    assert (sampling.weights(torch.full((1, 3), 0.4).log(), False)[1] >= 0).all()  # shares that rounding lets pass 1
    with pytest.raises(ValueError, match="'exact' or 'reference', not 'other'"):
        expectation(torch.zeros(1, 2, 3), torch.zeros(1, 2), False, "other")


def test_a_poll_errs():
    """What the head of the module says of 10 draws: five digits, three alike, each read without fail."""
    rng, images = torch.Generator().manual_seed(0), 20_000
    label = torch.randint(10, (images, 1), generator=rng)
    other = (label + torch.randint(1, 10, (images, 2), generator=rng)) % 10
    digits = torch.cat([label, label, label, other], 1)
    for cells, share in ((4, 0.94), (100, 0.88)):  # to a digit
        shown = digits.repeat_interleave(cells, 1)
        log_a = torch.full(shown.shape, 1 / shown.shape[1]).log()
        drawn = sample(log_a, 10, False, rng)
        votes = expectation(F.one_hot(shown.gather(1, drawn), 10).float(), log_a.gather(1, drawn), False)
        said = (votes + 1e-6 * torch.rand(votes.shape, generator=rng)).argmax(1, keepdim=True)  # whatever, in a tie
        assert (said == label).float().mean().item() == pytest.approx(share, abs=0.008)
