"""Canvases that are never made, held against the made ones: glimpses, proxies, levels, slopes, bytes."""

from dataclasses import replace

import pytest
import torch

from conftest import needs_gpu, noise
from vsacc.images import computed
from vsacc.images.canvases import render, upscale
from vsacc.images.computed import enlarge, scatter
from vsacc.sampler import build_pyramid, glimpse, proxy
from vsacc.studies.measure import peak_bytes
from vsacc.systems import find_system
from vsacc.tasks import find_task, open_split

GREY = 1 / 255
SIDES = [50, 128, 333, 1000, 2528]  # of enlarged images: one level to seven


def frames(batch, steps, seed=0):
    """From far smaller than a pixel of the original to twice the image, half of them across its border or outside."""
    share = torch.rand(batch, steps, 3, generator=torch.Generator().manual_seed(seed))
    return torch.cat([2 * 0.001 ** share[..., :1], 3 * share[..., 1:] - 1.5], -1)


def sketches(batch=6, seed=0):
    """Cluttered canvases: squares of noise, some clipped to white, on black."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.zeros(batch, 1, 100, 100, dtype=torch.uint8)
    for image in images[:, 0]:
        for top, left in torch.randint(0, 80, (8, 2), generator=rng).tolist():
            patch = torch.randint(0, 400, (20, 20), generator=rng).clamp(max=255).to(torch.uint8)
            image[top : top + 20, left : left + 20] = patch
    return images


def scenes(side, count=9, batch=3):
    """Sprites of noise, and where they are, some at the borders and over each other."""
    corners = torch.randint(0, side - 27, (batch, count, 2), generator=torch.Generator().manual_seed(side))
    corners[:, 0], corners[:, 1] = 0, side - 28
    return noise(batch, count, 28, 28, seed=side), corners


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("originals", [sketches, lambda: noise(6, 3, 70, 45)], ids=["sketches", "noise"])
def test_enlarged_images_show_what_the_made_ones_show(side, originals):
    """Within a grey level; roundings of seven levels add up to more in one pixel of ten thousand of canvases."""
    small = originals()
    made, images = build_pyramid(upscale(small, side)), enlarge(small, side)
    assert images.sizes == made.sizes and images.shape == made.shape
    for size in (8, 32):
        where = frames(6, 50, side)
        off = (glimpse(images, where, size) - glimpse(made, where, size)).abs()
        assert (off > GREY + 1e-4).float().mean() <= (1e-4 if small.shape[1] == 1 else 1e-3)
        assert off.max() < 1.5 * GREY and glimpse(images, where, size).max() <= 1 and off.mean() < 0.25 * GREY
    for cells in (8, 32):
        off = (proxy(images, cells) - proxy(made, cells)).abs()
        assert off.max() <= GREY and off.mean() < 0.15 * GREY


@pytest.mark.parametrize("side", SIDES)
def test_levels_and_pixels_of_enlarged_images(side):
    """Each by itself; what a level holds is what is picked from it."""
    small = sketches(2)
    made, images = build_pyramid(upscale(small, side)), enlarge(small, side)
    rng = torch.Generator().manual_seed(side)
    for index, (length, _) in enumerate(made.sizes):
        level, place = images.level(index), torch.full((2, 4, 1), index)
        assert level.dtype == torch.uint8 and (level.int() - made.level(index)).abs().max() <= 1
        row, col = torch.randint(0, length, (2, 2, 4, 9), generator=rng)
        picked = images.pick(place, row, col)
        where = torch.arange(2).view(2, 1, 1, 1), 0, row.unsqueeze(-1), col.unsqueeze(-2)
        off = (picked[:, 0].int() - level[where]).abs()
        assert off.max() <= 1 and off.float().mean() < 0.01  # ties may round either way
    assert images.level(0).equal(upscale(small, side)) and images.level(-1).equal(images.level(len(made.sizes) - 1))


def test_what_is_flat_stays_as_it_is():
    for grey in (0, 7, 255):
        images = enlarge(torch.full((1, 1, 100, 100), grey, dtype=torch.uint8), 2528)
        seen = 255 * glimpse(images, frames(1, 50), 16)
        torch.testing.assert_close(seen, torch.full_like(seen, grey), atol=1e-3, rtol=0)


@pytest.mark.parametrize("scale", [0.004, 0.11, 0.37, 0.83, 1.7])
@pytest.mark.parametrize("side", [40, 500])
def test_gradcheck_of_enlarged_images(side, scale):
    images = enlarge(noise(2, 2, 20, 20), side)
    where = torch.tensor([[[scale, 0.0137, -0.213], [scale, -0.4171, 0.31]]] * 2, dtype=torch.float64)
    assert glimpse(images, where, 7).dtype == torch.float64
    assert torch.autograd.gradcheck(lambda w: glimpse(images, w, 7), where.requires_grad_(), eps=1e-7, atol=1e-5)


def test_slopes_are_those_of_the_made_canvas_on_average():
    small, slopes = sketches(), []
    where = frames(6, 40)
    where[..., 0] = where[..., 0].clamp(min=0.1)  # in smaller frames the made one's grey levels are steps
    weights = torch.rand(6, 40, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    for images in (build_pyramid(upscale(small, 1000)), enlarge(small, 1000)):
        leaf = where.clone().requires_grad_()
        (glimpse(images, leaf, 32) * weights).sum().backward()
        slopes.append(leaf.grad)
    made, ours = slopes
    assert (ours - made).norm() < 0.05 * made.norm()


def test_parts_of_a_batch_and_of_its_steps_are_the_whole(monkeypatch):
    images, where, seen = enlarge(noise(5, 2, 40, 30), 300), frames(5, 7), []
    for room in (1, 200_000, 2**30):
        monkeypatch.setitem(computed.ROOM, "cpu", room)
        leaf = where.clone().requires_grad_()
        output = glimpse(images, leaf, 8)
        output.square().sum().backward()
        with torch.no_grad():
            torch.testing.assert_close(glimpse(images, where, 8), output)
        seen.append((output, leaf.grad))
    for other in seen[1:]:
        torch.testing.assert_close(other, seen[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [lambda: enlarge(sketches(3), 500), lambda: scatter(500, *scenes(500))])
def test_a_place_that_is_no_number_shows_none_and_spoils_no_other(make):
    images, where = make(), frames(3, 4)
    seen = glimpse(images, where, 8)
    where[0, 1, 0] = where[1, 2, 1] = where[2, 3, 2] = torch.nan
    spoiled = glimpse(images, where, 8)
    lost = where.isnan().any(-1)
    assert spoiled[lost].isnan().all() and spoiled[~lost].equal(seen[~lost])


@pytest.mark.parametrize("make", [lambda: enlarge(sketches(3), 2528), lambda: scatter(1500, *scenes(1500))])
def test_nothing_is_rounded_to_bfloat16(make):
    images, where = make(), frames(3, 4)
    seen, small, levels = glimpse(images, where, 16), proxy(images), [images.level(0), images.level(2)]
    with torch.autocast("cpu", torch.bfloat16):
        leaf = where.clone().requires_grad_()
        half = glimpse(images, leaf, 16)
        half.sum().backward()
        assert half.dtype == leaf.grad.dtype == torch.float32
        assert half.allclose(seen, atol=1e-5) and proxy(images).allclose(small, atol=1e-6)
        assert all(images.level(index).equal(level) for index, level in zip((0, 2), levels, strict=True))


@pytest.mark.parametrize("side", [28, 61, 64, 333, 1500])
def test_scattered_sprites_are_the_made_canvas_to_the_bit(side):
    """At every level, also at odd borders and where sprites overlap; and what is seen of them."""
    made, images = render(side, *scenes(side)), scatter(side, *scenes(side))
    assert images.sizes == made.sizes and images.shape == made.shape
    for index in (*range(len(made.sizes)), -1):
        assert images.level(index).equal(made.level(index))
    for size in (5, 32):
        where = frames(3, 60, side).double().requires_grad_()
        seen, expected = glimpse(images, where, size), glimpse(made, where, size)
        torch.testing.assert_close(seen, expected, atol=1e-6, rtol=0)
        ours, theirs = (torch.autograd.grad(output.square().sum(), where)[0] for output in (seen, expected))
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(proxy(images), proxy(made), atol=1e-6, rtol=0)


def test_a_canvas_without_sprites_is_black():
    images = scatter(200, noise(2, 0, 28, 28), torch.zeros(2, 0, 2, dtype=torch.long))
    assert not images.level(0).any() and not glimpse(images, frames(2, 5), 8).any()


@pytest.mark.parametrize("task", ["identification_2528", "megapixel"])
def test_no_canvas_is_made_in_training(digits, task):
    """To draw a batch, see its proxies, look four times and learn from it takes less than half of its canvases."""
    split, batch = open_split(task, "train"), 4
    side = split.side if task == "identification_2528" else split.canvas.side

    def work():
        images, where = split.draw(batch, 0, 0).images, frames(batch, 4).requires_grad_()
        (proxy(images).sum() + glimpse(images, where, 32).sum()).backward()

    work()  # fills the tables
    assert peak_bytes(work) < batch * side**2 / 2


def test_whoever_reads_all_pixels_reads_the_same(digits):
    """ResNet-18 reads the canvas, its crops are picked."""
    split = replace(open_split("identification_2528", "train"), side=200)
    batch = split.draw(2, 0, 0)
    for name in ("resnet18", "resnet18_144"):
        system = find_system(name)
        torch.manual_seed(0)
        model = system.build(system.configure("identification", "quick"), find_task("identification").question).eval()
        with torch.no_grad():
            ours, theirs = (model(images).logits for images in (batch.images, batch.images.level(0)))
        torch.testing.assert_close(ours, theirs, atol=1e-2, rtol=1e-2)


@needs_gpu
def test_a_gpu_shows_the_same():
    parts = (sketches(), 2528), (1500, *scenes(1500))
    for make, given in zip((enlarge, scatter), parts, strict=True):
        seen = []
        for device in ("cpu", "cuda"):
            images = make(*(part.to(device) if isinstance(part, torch.Tensor) else part for part in given))
            where = frames(images.shape[0], 20).to(device).requires_grad_()
            output = glimpse(images, where, 32)
            output.square().sum().backward()
            level = images.level(3).float() / 255  # a tie may round either way
            seen.append([value.cpu() for value in (output.detach(), proxy(images), level, where.grad)])
        *ours, slopes = seen[1]
        *theirs, wanted = seen[0]
        torch.testing.assert_close(ours, theirs, atol=1.01 * GREY, rtol=0)
        assert (ours[0] - theirs[0]).abs().mean() < 1e-4 and (slopes - wanted).norm() < 1e-3 * wanted.norm()
