"""RAM and DRAM: the eye against hand-cut crops, and what may reach what."""

from dataclasses import replace

import pytest
import torch

from vsacc.loss import lower_bound
from vsacc.saccader import Model
from vsacc.sampler import as_pyramid, build_pyramid, glimpse, proxy
from vsacc.systems.dram import Dram, DramConfig
from vsacc.systems.ram import Ram, RamConfig
from vsacc.systems.retina import Retina

CLASSES = 5
TINY_RAM = RamConfig(glimpses=2, size=4, hidden=16, features=8, sigma=(0.3, 0.3))
TINY_DRAM = DramConfig(
    glimpses=1, size=8, finest=0.3, proxy=16, hidden=16, features=8, widths=(8, 8), context_widths=(8, 8),
    sigma=(0.3, 0.3),
)  # fmt: skip


def ram(**changes) -> Ram:
    torch.manual_seed(0)
    return Ram(replace(TINY_RAM, **changes), CLASSES)


def dram(**changes) -> Dram:
    torch.manual_seed(0)
    return Dram(replace(TINY_DRAM, **changes), CLASSES)


def spatial_ram(**changes) -> Ram:
    return ram(emission="spatial", **changes)


def dense_dram(**changes) -> Dram:
    return dram(emission="dense", **changes)


MODELS = pytest.mark.parametrize("make", [ram, spatial_ram, dram, dense_dram])


def make_images(side: int = 64, channels: int = 1, batch: int = 3) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, channels, side, side), dtype=torch.uint8, generator=rng)


def test_the_retina_is_hand_cut_crops():
    """RAM's own sizes on a canvas: 12 pixels as they are, 24 averaged by 2 x 2, 48 by 4 x 4."""
    side, row, col = 128, 40, 72  # centre of the eye, in pixels
    images = make_images(side, channels=3, batch=2)
    retina = Retina(size=12, finest=12 / side, scales=3)
    place = torch.tensor([[2 * col / side - 1, 2 * row / side - 1]]).expand(2, 2)
    seen = retina.see(build_pyramid(images, smallest=16), place)  # (2, 3, 3, 12, 12)
    for k, blocks in enumerate((1, 2, 4)):
        half = 6 * blocks
        crop = images[..., row - half : row + half, col - half : col + half] / 255
        expected = torch.nn.functional.avg_pool2d(crop, blocks)
        torch.testing.assert_close(seen[:, k], expected, rtol=0, atol=1.1 * k / 255)  # levels are rounded to uint8


def test_the_retina_is_the_same_eye_at_any_resolution():
    place = torch.tensor([[0.1, -0.3]])
    where = Retina(size=4, finest=0.12, scales=3).where(place)
    torch.testing.assert_close(where, torch.tensor([[[0.12, 0.1, -0.3], [0.24, 0.1, -0.3], [0.48, 0.1, -0.3]]]))


def test_no_gradient_reaches_a_place_through_the_retina():
    place = torch.zeros(3, 2, requires_grad=True)
    images = build_pyramid(make_images())
    assert glimpse(images, Retina(4, 0.2, 2).where(place), 4).requires_grad  # the sampler would let it
    assert not Retina(4, 0.2, 2).see(images, place).requires_grad


@MODELS
@pytest.mark.parametrize("form", [as_pyramid, build_pyramid], ids=["flat", "pyramid"])
def test_contract(make, form):
    model, images = make(channels=3, glimpses=2), form(make_images(channels=3))
    size, finest = model.config.size, model.config.finest
    for steps, output in ((2, model(images)), (3, model(images, glimpses=3))):
        assert output.logits.shape == (3, CLASSES) and output.where.shape == (3, steps, 3)
        choices = steps - isinstance(model, Ram)  # the first place of RAM is not one
        assert {name: term.shape for name, term in output.terms.items()} == {
            "log_pi": (3, choices), "baseline": (3, choices),
        }  # fmt: skip
        assert (output.where[..., 0] == finest).all() and output.where[..., 1:].abs().max() <= 1
        torch.testing.assert_close(output.glimpses, glimpse(images, output.where, size))


def test_one_glimpse_of_ram_chooses_nothing():
    output = ram()(make_images(), glimpses=1)
    assert output.terms == {}
    lower_bound(output.logits, torch.arange(3), output.terms).loss.backward()


@MODELS
def test_chance_in_training_none_in_evaluation(make):
    model, images = make(), make_images()
    assert not torch.equal(model(images).where, model(images).where)
    model.eval()
    one, other = model(images), model(images)
    assert torch.equal(one.where, other.where) and torch.equal(one.logits, other.logits)


def test_the_eye_of_ram_narrows_to_its_own_size():
    model, images, seen = ram(widened=4.0), make_images(), []
    for progress in (0.0, 0.25, 0.5, 1.0):
        model.anneal(progress)
        seen.append(model(images).where[0, 0, 0])
    torch.testing.assert_close(torch.stack(seen), 0.12 * torch.tensor([4.0, 2.0, 1.0, 1.0]))


def test_the_first_place_of_ram_is_uniform_and_its_mean_in_evaluation():
    model, images = ram(), make_images(16, batch=2000)
    places = model(images, glimpses=1).where[:, 0, 1:]
    torch.testing.assert_close(places.var(0), torch.full((2,), 1 / 3), rtol=0.1, atol=0)
    assert places.abs().max() <= 1
    assert (model.eval()(images, glimpses=1).where[:, 0, 1:] == 0).all()


@MODELS
def test_sigma_goes_from_broad_to_narrow_over_the_first_half(make):
    model, seen = make(sigma=(0.1, 0.4)), []
    for progress in (0.0, 0.25, 0.5, 1.0):
        model.anneal(progress)
        seen.append(model.policy.sigma.item())
    torch.testing.assert_close(torch.tensor(seen), torch.tensor([0.4, 0.2, 0.1, 0.1]))


def halves(model: Model) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Parameters that only the score function trains, and those of the baseline."""
    places = list(model.emit.parameters())
    if model.spatial and isinstance(model, Ram):
        places += model.periphery.parameters()
    if isinstance(model, Dram):
        places += [p for part in (model.context, model.begin, model.upper) for p in part.parameters()]
    return places, list(model.policy.value.parameters())


@MODELS
def test_nothing_that_is_seen_teaches_where_to_look(make):
    """The sampler is differentiable in where; yet what the logits and pixels depend on, a place does not learn from."""
    model = make(glimpses=3)
    output = model(make_images())
    places, value = halves(model)
    loss = output.logits.square().sum() + output.glimpses.sum() + output.where.sum()
    loss.backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in places + value)
    model.zero_grad()
    output.terms["log_pi"].sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in places)
    others = {id(p) for p in model.parameters()} - {id(p) for p in places}
    assert all(p.grad is None for p in model.parameters() if id(p) in others)  # and the other way round


@MODELS
def test_the_baseline_shapes_nothing_but_itself(make):
    model = make(glimpses=3)
    model(make_images()).terms["baseline"].sum().backward()
    touched = {id(p) for p in model.parameters() if p.grad is not None}
    assert touched == {id(p) for p in model.policy.value.parameters()}


@MODELS
def test_every_parameter_is_trained(make):
    model = make(glimpses=3)
    output = model(make_images())
    lower_bound(output.logits, torch.arange(3), output.terms).loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_the_context_of_dram_cannot_answer():
    """Whatever the context sees, only its places reach the class: held still, they leave nothing of it."""
    model = dram(glimpses=2, emission="dense").eval()
    torch.nn.init.zeros_(model.emit.linear.weight)
    images = make_images()
    other = images.clone()
    other[..., :4, :] = 255 - other[..., :4, :]  # outside both squares, which reach 0.6 of the half side
    assert not torch.equal(model.begin(model.context(proxy(images, 16))), model.begin(model.context(proxy(other, 16))))
    torch.testing.assert_close(model(images).logits, model(other).logits, rtol=0, atol=0)


@MODELS
def test_places_are_not_rounded_by_mixed_precision(make):
    with torch.autocast("cpu", torch.bfloat16):
        output = make(glimpses=3)(make_images())
        loss = lower_bound(output.logits, torch.arange(3), output.terms).loss
    assert output.where.dtype == output.terms["log_pi"].dtype == output.terms["baseline"].dtype == torch.float32
    loss.backward()
