"""The sampler against hand-computed ramps, grid_sample, finite differences and exact area averages."""

import sys
from collections import Counter
from functools import cache

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from conftest import needs_gpu, noise
from vsacc import sampler
from vsacc.images.canvases import build_video, upscale
from vsacc.sampler import Pyramid, area_matrix, build_pyramid, glimpse, halve, proxy
from vsacc.studies.measure import peak_bytes

RAMP = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)


@pytest.fixture(params=["compiled", "torch"], autouse=True)
def way(request, monkeypatch):
    """Everything is so with the compiled loop and with plain torch."""
    if request.param == "compiled":
        pytest.importorskip("numba")
        assert sampler.fastest_cut() is not sampler.cut_in_torch
    else:
        monkeypatch.setattr(sampler, "fastest_cut", lambda: sampler.cut_in_torch)
    return request.param


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ([0.5, 0.0, 0.0], [[5, 6], [9, 10]]),  # the middle
        ([0.5, 0.5, -0.5], [[2, 3], [6, 7]]),  # x runs right and y runs down: the upper right quarter
        ([0.5, 0.25, 0.0], [[5.5, 6.5], [9.5, 10.5]]),  # half a pixel to the right is halfway between neighbours
        ([0.5, 9.0, 9.0], [[15, 15], [15, 15]]),  # outside, the border is repeated
    ],
)
def test_glimpses_of_a_ramp(where, expected):
    seen = 255 * glimpse(RAMP, torch.tensor([where], dtype=torch.float64), 2)
    torch.testing.assert_close(seen, torch.tensor([[expected]], dtype=torch.float64))


@pytest.mark.parametrize("shape", [(40, 40), (24, 57)])
def test_agrees_with_grid_sample_on_floats(shape):
    images = noise(3, 2, *shape)
    where = torch.tensor([[0.3, 0.1, -0.2], [0.9, 0.5, 0.5], [0.05, -1.0, 0.7]], dtype=torch.float64)
    s, x, y = where.T
    zero = torch.zeros_like(s)
    theta = torch.stack([torch.stack([s, zero, x], -1), torch.stack([zero, s, y], -1)], 1)
    grid = F.affine_grid(theta, [3, 2, 16, 16], align_corners=False)
    expected = F.grid_sample(images.double() / 255, grid, "bilinear", "border", align_corners=False)
    torch.testing.assert_close(glimpse(images, where, 16), expected)


def test_many_glimpses_are_single_glimpses_however_their_places_lie_in_memory():
    pyramid = build_pyramid(noise(2, 3, 96, 80), smallest=12)
    where = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(1)).mT + 0.02
    together = glimpse(pyramid, where, 8)
    assert together.shape == (2, 5, 3, 8, 8) and not where.is_contiguous()
    for step in range(5):
        torch.testing.assert_close(together[:, step], glimpse(pyramid, where[:, step].contiguous(), 8))


@pytest.mark.parametrize("levels", ["one", "pyramid"])
@pytest.mark.parametrize("scale", [0.11, 0.37, 0.83])
def test_gradcheck_in_s_x_and_y(levels, scale):
    images = noise(2, 1, 64, 64)
    source = images if levels == "one" else build_pyramid(images, smallest=8)
    # 7 pixels: sampling points stay clear of the kinks at pixel centres
    where = torch.tensor([[[scale, 0.0137, -0.213], [scale, -0.4171, 0.31]]] * 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda w: glimpse(source, w, 7), where.requires_grad_(), eps=1e-7, atol=1e-5)


class Count(TorchDispatchMode):
    """Elements that operations put out, by operation."""

    def __init__(self):
        super().__init__()
        self.made = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and not func.is_view:
            self.made[func] += out.numel()
        return out


def test_cost_does_not_grow_with_the_image(way):
    counts = []
    for side in (128, 4096):
        flat = torch.zeros(2, 3, side * side + side * side // 4, dtype=torch.uint8)
        pyramid = Pyramid(flat, ((side, side), (side // 2, side // 2)))
        where = torch.tensor([[[0.2, 0.1, 0.1]]] * 2, requires_grad=True)
        glimpse(pyramid, where, 16)  # fills the table of levels
        with Count() as count:
            glimpse(pyramid, where, 16).sum().backward()
        counts.append(count.made)
    assert counts[0] == counts[1]
    if way == "torch":
        read = counts[0][torch.ops.aten.index_select.default]
        assert read == 8 * 16 * 16 * 3 * 2  # 4 neighbours, 2 levels, L, L, C, B


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_pyramid_is_an_exact_area_average_where_pixels_align(level):
    images, size, pixel = noise(1, 1, 128, 128, seed=level), 8, 2**level  # side of a glimpse pixel in image pixels
    where = torch.tensor([[size * pixel / 128, 0.0, 0.0]], dtype=torch.float64)
    seen = 255 * glimpse(build_pyramid(images, smallest=8), where, size)
    middle = slice(64 - size * pixel // 2, 64 + size * pixel // 2)
    expected = F.avg_pool2d(images[..., middle, middle].double(), pixel)
    assert (seen - expected).abs().max() <= 0.5 * level + 1e-9  # each level rounds to 8 bits once


def test_pyramid_does_not_alias_where_plain_bilinear_does():
    stripes = (torch.arange(512) % 2 * 255).to(torch.uint8).expand(1, 1, 512, 512).contiguous()
    where = torch.tensor([[0.9, 0.003, 0.0]])
    assert (glimpse(build_pyramid(stripes), where, 32) - 0.5).abs().max() < 0.01
    assert (glimpse(stripes, where, 32) - 0.5).abs().max() > 0.3


@pytest.mark.parametrize("shape", [(100, 100), (63, 101)])
def test_odd_levels_keep_the_geometry(shape):
    """Averages and bilinear reads of a plane are the plane itself, at whatever level; a shift would show."""
    height, width = shape
    plane = (torch.arange(height)[:, None] + 1.5 * torch.arange(width)).round().to(torch.uint8)
    where = torch.tensor([[0.6, 0.2, -0.1]], dtype=torch.float64)
    seen = 255 * glimpse(build_pyramid(plane.expand(1, 1, -1, -1), smallest=8), where, 8)[0, 0]
    unit = (torch.arange(8, dtype=torch.float64) + 0.5) / 4 - 1
    cols, rows = (0.2 + 0.6 * unit + 1) * width / 2 - 0.5, (-0.1 + 0.6 * unit + 1) * height / 2 - 0.5
    torch.testing.assert_close(seen, rows[:, None] + 1.5 * cols, atol=0.8, rtol=0)  # 8-bit rounding at each level


def test_averages_by_hand():
    images = torch.tensor([[1, 2, 7], [3, 5, 8], [10, 20, 40]], dtype=torch.uint8).view(1, 1, 3, 3)
    assert halve(images)[0, 0].tolist() == [[3, 8], [15, 40]]  # 2.75, 7.5, 15, 40: rounded, odd borders repeated
    # 3 pixels into 2 cells: each cell is one pixel and half of the middle one
    expected = torch.tensor([[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])
    torch.testing.assert_close(area_matrix(3, 3.0, 2, torch.device("cpu")), expected)


def test_proxy_is_the_area_average_and_reads_the_small_levels():
    images, smooth = noise(2, 3, 96, 64), upscale(noise(1, 1, 10, 10), 1024)  # no detail finer than a tenth of it
    torch.testing.assert_close(proxy(images, 32), F.avg_pool2d(images.float(), (3, 2)) / 255)
    torch.testing.assert_close(proxy(smooth, 32), proxy(build_pyramid(smooth), 32), atol=3 / 255, rtol=0)


def test_upscale_is_bilinear():
    images = noise(2, 1, 10, 10)
    expected = F.interpolate(images.float(), (97, 97), mode="bilinear", align_corners=False).round()
    off = (upscale(images, 97).float() - expected).abs()
    assert off.max() <= 1 and off.mean() < 0.01  # ties may round either way


def frames(count: int, generator: torch.Generator) -> torch.Tensor:
    """(count, 3) places from far below a pixel to beyond the image, in its middle, at its borders and outside."""
    s = 10 ** (torch.rand(count, generator=generator) * 4 - 3)
    return torch.cat([s.unsqueeze(1), torch.randn(count, 2, generator=generator)], 1)


def test_images_that_do_not_lie_in_one_piece_are_read_right():
    where = torch.tensor([[0.7, 0.1, -0.2]])
    for images in (noise(1, 1, 40, 80)[..., ::2], noise(1, 1, 80, 40).mT, noise(1, 3, 40, 80)[..., ::2]):
        torch.testing.assert_close(glimpse(images, where, 16), glimpse(images.clone(), where, 16), rtol=0, atol=0)
    same = Pyramid(torch.full((1,), 51, dtype=torch.uint8).expand(1, 3, 40 * 40), ((40, 40),))
    torch.testing.assert_close(glimpse(same, where, 16), torch.full((1, 3, 16, 16), 0.2))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [1, 7, 32, 70])
@pytest.mark.parametrize("kind", ["one level", "pyramid", "narrow", "video"])
def test_both_ways_are_one(monkeypatch, kind, size, threads):
    """Of the compiled loop and plain torch: the same values, and the same slopes."""
    kernel = pytest.importorskip("vsacc.kernels.sampler")
    monkeypatch.setattr("vsacc.kernels.LEAST", 2**8)  # so that threads share so little
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    rng = torch.Generator().manual_seed(size)
    images = {
        "one level": noise(3, 3, 90, 70),
        "pyramid": build_pyramid(noise(3, 2, 131, 200), smallest=4),
        "narrow": noise(3, 1, 40, 1),
        "video": build_video(noise(3, 6, 1, 90, 70)),
    }[kind]
    where, weights = frames(12, rng).view(3, 4, 3), torch.rand(3, 4, 1, 1, 1, generator=rng)
    seen, taught = [], []
    for cut in (kernel.cut, sampler.cut_in_torch):
        monkeypatch.setattr(sampler, "fastest_cut", lambda cut=cut: cut)
        place = where.double().requires_grad_()
        seen.append(glimpse(images, place, size))
        torch.testing.assert_close(glimpse(images, place.detach(), size), seen[-1].detach(), rtol=0, atol=1e-12)
        (seen[-1] * weights).square().sum().backward()
        taught.append(place.grad)
        single = glimpse(images, where, size)
        torch.testing.assert_close(single.double(), seen[-1].detach(), rtol=0, atol=3e-4)
    torch.testing.assert_close(*seen, rtol=0, atol=1e-12)
    torch.testing.assert_close(*taught, rtol=1e-9, atol=1e-9)


@needs_gpu
def test_a_gpu_sees_what_a_cpu_sees():
    where = frames(24, torch.Generator().manual_seed(0)).view(4, 6, 3)
    for images in (noise(4, 3, 90, 70), build_pyramid(noise(4, 1, 300, 200), smallest=8)):
        there = images.cuda() if isinstance(images, torch.Tensor) else images._replace(flat=images.flat.cuda())
        seen, taught = [], []
        for source, device in ((images, "cpu"), (there, "cuda")):
            place = where.to(device, torch.float64).requires_grad_()
            seen.append(glimpse(source, place, 16))
            seen[-1].square().sum().backward()
            taught.append(place.grad)
        torch.testing.assert_close(seen[1].cpu(), seen[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(taught[1].cpu(), taught[0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(proxy(there).cpu(), proxy(images), rtol=0, atol=1e-6)


def test_without_numba_everything_works_and_it_is_said_once(monkeypatch):
    find = sampler.fastest_cut.__wrapped__ if hasattr(sampler.fastest_cut, "__wrapped__") else None
    if find is None:
        return  # plain torch was asked for
    monkeypatch.setitem(sys.modules, "vsacc.kernels.sampler", None)
    monkeypatch.setattr(sampler, "fastest_cut", cache(find))
    with pytest.warns(UserWarning, match="without numba") as said:
        for _ in range(3):
            glimpse(RAMP, torch.tensor([[0.5, 0.0, 0.0]]), 2)
    assert len(said) == 1


def test_a_place_that_is_no_number_shows_none():
    where = torch.tensor([[[0.2, 0.1, float("nan")], [float("nan"), 0.1, 0.2], [0.2, 0.1, 0.3]]])
    for images in (noise(1, 1, 64, 64), build_pyramid(noise(1, 1, 64, 64), smallest=8)):
        seen = glimpse(images, where, 8)
        assert seen[:, :2].isnan().all() and not seen[:, 2].isnan().any()


def test_what_does_not_fit_is_refused():
    with pytest.raises(TypeError, match="uint8"):
        glimpse(RAMP.float(), torch.ones(1, 3), 2)
    with pytest.raises(ValueError, match=r"where must be \(1, 3\)"):
        glimpse(RAMP, torch.ones(2, 3), 2)


@pytest.mark.parametrize("side", [100, 1500, 2528])
def test_nothing_is_rounded_to_bfloat16(side):
    """Places that come in bfloat16 are read where they say; a proxy has all its grey levels."""
    pyramid = build_pyramid(noise(1, 1, side, side))
    where = torch.tensor([[[0.0137, 0.7131, -0.4173], [0.31, 0.11, 0.23]]])
    with torch.autocast("cpu", torch.bfloat16):
        for given in (where, where.bfloat16()):
            seen = glimpse(pyramid, given, 32)
            assert seen.dtype == torch.float32
            torch.testing.assert_close(seen.double(), glimpse(pyramid, given.double(), 32), atol=1 / 255, rtol=0)
        seen = proxy(pyramid)
    assert seen.dtype == torch.float32
    torch.testing.assert_close(seen, proxy(pyramid), atol=1e-6, rtol=0)


def test_a_pyramid_costs_its_own_memory_and_little_more():
    for shape in ((1, 3, 2048, 2048), (1, 1, 2529, 2527)):
        images = noise(*shape)
        assert peak_bytes(lambda images=images: build_pyramid(images)) <= 1.4 * images.nbytes


@pytest.mark.parametrize("shape", [(64, 64), (37, 81), (90, 35)])
@pytest.mark.parametrize("strip", [1, 500, 2**18])
def test_a_pyramid_is_its_halves_however_it_is_cut(monkeypatch, shape, strip):
    monkeypatch.setattr("vsacc.sampler.STRIP", strip)
    images = noise(2, 3, *shape)
    pyramid = build_pyramid(images, smallest=8)
    for index in range(len(pyramid.sizes)):
        assert torch.equal(pyramid.level(index), images)
        images = halve(images)
