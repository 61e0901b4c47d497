"""Reading a store against the pyramid in memory, bit by bit; and every way its files can be wrong."""

import json
import os

import pytest
import torch
from noise_photos import CLASSES, SIDE, develop, noise, photo_list

from vsacc.images import store_read as store_module
from vsacc.images.store_read import MANIFEST, PIXELS, open_store, verify
from vsacc.images.store_tiles import Tiled, level_spans, record_bytes
from vsacc.images.store_write import write_store, write_strips
from vsacc.local.paths import UserError
from vsacc.sampler import build_pyramid, glimpse, proxy, pyramid_sizes

SHAPES = [(1, 333, 517), (3, 64, 64), (2, 70, 700), (3, 129, 127), (1, 31, 5)]


def strips_of(image, seed=0):
    """The image in strips of random heights, some of no row at all."""
    rng, rest = torch.Generator().manual_seed(seed), image
    while rest.shape[1]:
        height = int(torch.randint(0, 150, (), generator=rng))
        yield rest[:, :height]
        rest = rest[:, height:]


def places(batch, steps, seed=0):
    """Glimpses of all scales, some reaching far outside: (B, T, 3)."""
    rng = torch.Generator().manual_seed(seed)
    s = torch.exp(torch.rand(batch, steps, 1, generator=rng) * 6 - 5)
    return torch.cat([s, 3 * torch.rand(batch, steps, 2, generator=rng) - 1.5], -1)


@pytest.fixture(params=SHAPES, ids=str)
def pair(request, tmp_path):
    """An image's pyramid in memory, and the same from a store."""
    image = noise(*request.param)
    write_strips(tmp_path, strips_of(image), request.param, "noise")
    return build_pyramid(image[None]), open_store(tmp_path).images(torch.tensor([0]))


def test_levels_are_those_of_the_pyramid(pair):
    pyramid, tiled = pair
    assert (tiled.shape, tiled.sizes) == (tuple(pyramid.shape), pyramid.sizes)
    for index in range(len(pyramid.sizes)):
        assert torch.equal(tiled.level(index), pyramid.level(index))


def test_glimpses_and_their_gradients_are_those_of_the_pyramid(pair):
    where = places(1, 40)
    leaves = [where.clone().requires_grad_() for _ in range(2)]
    seen = [glimpse(images, leaf, 9) for images, leaf in zip(pair, leaves, strict=True)]
    assert torch.equal(*seen)
    for values in seen:
        (values * torch.linspace(0, 1, values.numel()).view_as(values)).sum().backward()
    assert leaves[0].grad.abs().sum() > 0
    assert torch.equal(leaves[0].grad, leaves[1].grad)


def test_proxies_are_those_of_the_pyramid(pair):
    for side in (8, 32):
        assert torch.equal(*(proxy(images, side) for images in pair))


def test_rows_are_picked_in_their_order(tmp_path):
    photos = photo_list(5)
    assert write_store(tmp_path, photos, CLASSES, SIDE, develop, "noise") == []
    store = open_store(tmp_path)
    rows = torch.tensor([3, 0, 3])
    pyramid = build_pyramid(torch.stack([develop(photos[row].path) for row in rows]))
    where = places(3, 6)
    assert torch.equal(glimpse(store.images(rows), where, 16), glimpse(pyramid, where, 16))
    assert torch.equal(proxy(store.images(rows)), proxy(pyramid))
    assert (store.names, store.classes, store.source) == (("p0", "p1", "p2", "p3", "p4"), CLASSES, "noise")
    assert (store.labels.tolist(), store.labels.dtype) == ([0, 1, 0, 1, 0], torch.long)
    assert (store.rows("test").tolist(), store.rows("train").tolist()) == ([0, 3], [1, 2, 4])
    with pytest.raises(UserError, match="no split 'valid', choose one of test, train"):
        store.rows("valid")


def test_what_is_touched_holds_all_that_is_read_and_little_else(pair):
    _, tiled = pair
    for seed, size in ((1, 9), (2, 32)):
        where = places(1, 5, seed)
        runs = tiled.touched(where, size).tolist()
        kept = torch.zeros_like(tiled.pixels)
        for first, length in runs:
            kept[first : first + length] = tiled.pixels[first : first + length]
        assert torch.equal(glimpse(tiled._replace(pixels=kept), where, size), glimpse(tiled, where, size))
        tiles = sum(length for _, length in runs) / (4096 * tiled.channels)
        across = (2 * size + 4) // 64 + 2  # tiles that a glimpse of its finer level can meet along one axis
        assert tiles <= 5 * 2 * across**2


class Kernel:
    """Stands where the mapped file does and notes the advice it gets."""

    def __init__(self):
        self.advice = []

    def madvise(self, _, start, length):
        self.advice.append((start, length))


def test_places_on_a_gpu_bring_bytes_from_the_host_to_it():
    """Fake tensors know their device, and refuse to be mixed, on machines without a GPU too."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    sizes = pyramid_sizes(643, 499)
    with FakeTensorMode():
        pixels = torch.empty(2 * record_bytes(sizes, 3), dtype=torch.uint8)
        tiled = Tiled(pixels, torch.zeros(2, dtype=torch.long, device="cuda"), sizes, 3)
        seen = glimpse(tiled, torch.rand(2, 4, 3, device="cuda"), 16)
    assert (seen.shape, seen.device.type) == ((2, 4, 3, 16, 16), "cuda")


def test_advice_covers_a_glimpse_and_a_level(pair):
    _, tiled = pair
    where, kernel = places(1, 5), Kernel()
    assert tiled.mapped is None, "a small store needs no advice"
    tiled.prefetch(where, 16)
    watched = tiled._replace(mapped=kernel)
    watched.prefetch(where, 16)
    covered = [(start, start + length) for start, length in kernel.advice]
    for first, length in tiled.touched(where, 16).tolist():
        assert any(start <= first and first + length <= end for start, end in covered)
    kernel.advice.clear()
    watched.level(0)
    assert kernel.advice == [(0, level_spans(tiled.sizes, tiled.channels)[0].bytes)]


def test_large_store_takes_advice_and_reads_the_same(tmp_path, monkeypatch):
    write_store(tmp_path, photo_list(3), CLASSES, SIDE, develop, "noise")
    small = open_store(tmp_path).images(torch.arange(3))
    monkeypatch.setattr(store_module, "LARGE", 0)
    large, where = open_store(tmp_path).images(torch.arange(3)), places(3, 4)
    assert large.mapped is not None
    large.prefetch(where, 16)
    assert torch.equal(glimpse(large, where, 16), glimpse(small, where, 16))
    assert torch.equal(proxy(large), proxy(small))


def test_reading_a_small_level_leaves_the_rest_alone(tmp_path):
    """The bytes of all other levels are not there to be read: the tensor ends before them or starts after."""
    write_strips(tmp_path, [noise(1, 600, 600)], (1, 600, 600), "noise")
    tiled = open_store(tmp_path).images(torch.tensor([0]))
    last = len(tiled.sizes) - 1
    start = level_spans(tiled.sizes, 1)[last].start
    tail = tiled._replace(pixels=tiled.pixels[start:], starts=tiled.starts - start)
    assert torch.equal(tail.level(last), tiled.level(last))


def test_strips_must_make_the_image(tmp_path):
    for strips in ([noise(1, 99, 100)], [noise(1, 101, 100)], [noise(1, 100, 99)], [noise(2, 100, 100)], []):
        with pytest.raises(ValueError, match="strips"):
            write_strips(tmp_path, strips, (1, 100, 100), "noise")
    with pytest.raises(UserError, match="no finished store"):
        open_store(tmp_path)


@pytest.fixture
def whole(tmp_path):
    write_store(tmp_path, photo_list(3), CLASSES, SIDE, develop, "noise")
    return tmp_path


def test_damaged_record_is_found(whole):
    assert verify(whole) == []
    record = (whole / PIXELS).stat().st_size // 3
    with (whole / PIXELS).open("r+b") as file:
        file.seek(2 * record - 1)  # the last byte of p1, padding of its last level
        file.write(b"\x01")
    assert verify(whole) == ["p1 is damaged (level 2), delete the store and prepare it again."]


def test_short_pixels(whole):
    size = (whole / PIXELS).stat().st_size
    os.truncate(whole / PIXELS, size - 1)
    with pytest.raises(UserError, match=f"has {size - 1} bytes instead of {size}, delete the folder and prepare"):
        open_store(whole)
    (whole / PIXELS).unlink()
    with pytest.raises(UserError, match=r"no readable images\.u8"):
        open_store(whole)


def test_store_of_another_format(whole):
    manifest = json.loads((whole / MANIFEST).read_text())
    (whole / MANIFEST).write_text(json.dumps(manifest | {"format": 99}))
    with pytest.raises(UserError, match="is a store of format 99, this program reads format 1"):
        open_store(whole)


CHANGES = [
    {"labels": [0, 1, 2]}, {"labels": [0, 1]}, {"labels": None}, {"places": [0, 1, 3]}, {"sizes": [["a", 2]]},
    {"sizes": 5}, {"crc32": {}}, {"classes": 3},
]  # fmt: skip


@pytest.mark.parametrize("change", [*CHANGES, "cut", "empty", "list", "absent"], ids=str)
def test_damaged_manifest_is_one_sentence(whole, change):
    text = (whole / MANIFEST).read_text()
    if isinstance(change, dict):
        text = json.dumps(json.loads(text) | change)
    (whole / MANIFEST).write_text({"cut": text[:-9], "empty": "", "list": "[1]"}.get(str(change), text))
    if change == "absent":
        (whole / MANIFEST).unlink()
    with pytest.raises(UserError, match=r"(manifest\.json is damaged|holds no finished store)") as raised:
        open_store(whole)
    assert "\n" not in str(raised.value)
