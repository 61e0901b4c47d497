"""Attention sampling: patches are pixels of the image, estimates are those of the exact sum, every part learns."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from vsacc.sampler import build_pyramid, glimpse, proxy
from vsacc.systems import attention_sampling
from vsacc.systems.attention_sampling import AttentionConfig, AttentionSampling, places
from vsacc.systems.enumeration import ordered_samples, probabilities
from vsacc.systems.expectation import expectation, sample
from vsacc.systems.noise import Corruption
from vsacc.tasks.base import kind_of, open_split
from vsacc.training.evaluation import evaluate
from vsacc.training.recipes import make_job

CLASSES = 5
TINY = AttentionConfig(size=8, view=4, features=6, crop_widths=(8, 8))


def make_images(channels: int = 1, height: int = 64, width: int = 64, batch: int = 3) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, channels, height, width), dtype=torch.uint8, generator=rng)


def make_model(config: AttentionConfig = TINY) -> AttentionSampling:
    torch.manual_seed(0)
    model = AttentionSampling(config, CLASSES)
    with torch.no_grad():
        model.attention[-1].weight *= 20  # an attention that is far from even
    return model


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize("form", [lambda images: images, build_pyramid])
def test_contract(channels, replacement, form):
    config = replace(TINY, channels=channels, replacement=replacement)
    images = form(make_images(channels))
    output = make_model(config)(images)
    assert output.logits.shape == (3, CLASSES) and output.logits.dtype == torch.float32
    assert output.where.shape == (3, 2, 3) and (output.where[..., 0] == 8 / 64).all()
    torch.testing.assert_close(output.glimpses, glimpse(images, output.where, 8))
    assert list(output.terms) == ["bonus"] and output.terms["bonus"].shape == (3,)
    assert make_model(config)(images, glimpses=7).where.shape == (3, 7, 3)


@pytest.mark.parametrize("side, size, view", [(64, 8, 4), (100, 32, 32), (101, 32, 16), (150, 48, 9), (90, 9, 7)])
def test_a_patch_shows_the_pixels_around_its_position(side, size, view):
    images = make_images(2, side, side, batch=1)
    drawn = torch.arange(view * view)[None]
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
    small = make_images(1, 32, 32)
    large = small.repeat_interleave(4, 2).repeat_interleave(4, 3)
    model = make_model(replace(TINY, scale=0.25)).eval()
    one, other = model(build_pyramid(small)), model(build_pyramid(large))
    assert torch.equal(one.where, other.where) and (one.where[..., 0] == 0.25).all()
    torch.testing.assert_close(one.glimpses, other.glimpses)


def test_jitter_stays_in_the_cell_and_rests_in_evaluation():
    drawn = torch.arange(16).repeat(200)[None]
    middle = places(drawn, 4, 0.125, (64, 64))
    off = (places(drawn, 4, 0.125, (64, 64), jitter=True) - middle)[..., 1:] * 32  # pixels, of a cell of 16
    assert off.abs().amax() <= 8 and off.amin() < -6 and off.amax() > 6 and off.mean().abs() < 0.5
    model, images = make_model(replace(TINY, view=8, jitter=True)).eval(), make_images()
    plain = make_model(replace(TINY, view=8)).eval()
    assert torch.equal(model(images).where, plain(images).where)


def test_attention_is_a_softmax_over_all_positions():
    model, images = make_model(), make_images()
    first, _, second, _, last = model.attention
    hidden = F.conv2d(proxy(images, 4), first.weight, first.bias, padding=1).tanh()
    hidden = F.conv2d(hidden, second.weight, second.bias, padding=1).tanh()
    shares = F.conv2d(hidden, last.weight, padding=1).flatten(1).exp()
    expected = (shares / shares.sum(1, keepdim=True)).view(3, 4, 4)
    torch.testing.assert_close(model.attend(images), expected)
    assert expected.amax() > 0.1


@pytest.mark.parametrize("replacement", [False, True])
def test_the_model_estimates_its_sum_over_all_positions(replacement, monkeypatch):
    """Logits and gradients, averaged over every ordered sample of 3 out of 9 positions, are those of sum_k a_k f_k."""
    model = make_model(replace(TINY, view=3, glimpses=3, replacement=replacement))
    image, slope = make_images(batch=1), torch.linspace(-1, 1, CLASSES)
    a = model.attend(image).flatten()
    patches = glimpse(image, places(torch.arange(9)[None], 3, TINY.size / 64, (64, 64)), TINY.size)[0]
    features = F.normalize(model.read(patches), dim=1) * TINY.features**0.5
    logits = model.classify(a @ features)
    expected = torch.autograd.grad(logits @ slope, list(model.parameters()))

    samples = ordered_samples(9, 3, replacement)
    monkeypatch.setattr(attention_sampling, "sample", lambda *_: samples)
    output = model(image.expand(len(samples), -1, -1, -1))
    mean = probabilities(a.detach(), samples, replacement) @ output.logits
    torch.testing.assert_close(mean, logits, rtol=1e-4, atol=1e-5)
    for one, true in zip(torch.autograd.grad(mean @ slope, list(model.parameters())), expected, strict=True):
        assert (one - true).norm() < 0.01 * true.norm()


def test_the_bonus_is_the_weighted_entropy_and_evens_the_attention_out():
    model, images = make_model(replace(TINY, entropy=0.3)), make_images()
    bonus, a = model(images).terms["bonus"], model.attend(images).flatten(1)
    torch.testing.assert_close(bonus, 0.3 * (a * (1 / a).log()).sum(1))
    (slope,) = torch.autograd.grad(bonus.sum(), model.attention[-1].weight)
    with torch.no_grad():
        model.attention[-1].weight += 1e-2 * slope
    assert model(images).terms["bonus"].sum() > bonus.sum()


def test_evaluation_repeats_itself_and_training_does_not():
    model, images = make_model(), make_images(batch=8)
    assert not torch.equal(model(images).where, model(images).where)
    model.eval()
    assert torch.equal(model(images).where, model(images).where)
    assert not torch.equal(model(images).where, model(images.flip(0)).where.flip(0))


def test_the_attention_sees_the_noise_and_the_patches_do_not():
    model, images = make_model().eval(), make_images()
    clean = model.attend(images)
    model.noise = Corruption("gaussian", 0.5, 0.5)
    assert not torch.allclose(model.attend(images), clean)
    output = model(images)
    torch.testing.assert_close(output.glimpses, glimpse(images, output.where, TINY.size))


def test_the_published_reader():
    """A kernel of 7 and three of 3 leave 50 - 6 - 2 - 2 - 2 = 38 pixels along each side, and their maximum is read."""
    config = replace(TINY, size=50, reader="published", features=32)
    model = make_model(config)
    seen = []
    model.read[-2].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    patch = torch.rand(2, 1, 50, 50)
    read = model.read(patch)
    assert seen[0].shape == (2, 32, 38, 38)
    torch.testing.assert_close(read, seen[0].amax((2, 3)))
    assert sum(p.numel() for p in model.read.parameters()) == 49 * 32 + 3 * 9 * 32 * 32 + 4 * 32
    with pytest.raises(ValueError, match="'crop' or 'published', not 'other'"):
        make_model(replace(TINY, reader="other"))


@pytest.mark.parametrize("gradient", ["exact", "reference"])
def test_every_parameter_is_trained(gradient):
    model = make_model(replace(TINY, gradient=gradient))
    F.cross_entropy(model(make_images()).logits, torch.arange(3)).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_bright_attention_starts_on_what_is_bright():
    image = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    image[..., 32:40, 16:24] = 255  # row 4, column 2 of 8 x 8
    for seed in range(5):
        torch.manual_seed(seed)
        a = AttentionSampling(replace(TINY, view=8, bright=1.0), CLASSES).attend(image)[0]
        assert a[4, 2] > 10 * a.flatten().median()


@pytest.mark.parametrize("gradient", ["exact", "reference"])
def test_the_attention_learns_where_the_answer_is(gradient):
    """A square of stripes, this way or that, somewhere on black: only a patch that shows it can tell which."""
    torch.manual_seed(0)
    config = AttentionConfig(size=8, view=4, glimpses=2, features=16, crop_widths=(8,), gradient=gradient)
    model = AttentionSampling(config, 2)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)

    def draw(batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
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


@pytest.mark.parametrize("task", ["one_digit", "identification"])
def test_a_job_of_every_profile(task, digits):
    for profile in ("quick", "laptop", "paper"):
        job = make_job(task, profile, "attention_sampling")
        model = AttentionSampling(job.config, len(kind_of(task).classes)).eval()
        scores = evaluate(model, open_split(task, "test").fixed(4), glimpses=3)
        assert scores.localised is not None and len(scores.predictions) == 4


def test_the_published_sizes():
    """Of megapixel MNIST, where their model was published."""
    config = make_job("megapixel", "paper", "attention_sampling").config
    assert (config.view, config.size, config.glimpses, config.reader, config.features) == (180, 50, 10, "published", 32)
    assert (config.scale, config.jitter, config.replacement, config.entropy) == (0.0, False, False, 1e-4)


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
        ties = 1e-6 * torch.rand(votes.shape, generator=rng)
        assert ((votes + ties).argmax(1, keepdim=True) == label).float().mean().item() == pytest.approx(
            share, abs=0.008
        )
