"""Stores: read bit by bit as the pyramid in memory; whatever stops the writing, a rerun ends with the same bytes; and
every way the files can be wrong is one sentence."""

import json
import mmap
import os
import resource
import signal
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from noise_photos import CLASSES, SIDE, develop, photo_list

from conftest import noise
from vsacc.images import store as store_module
from vsacc.images.develop import develop_square
from vsacc.images.store import MANIFEST, PIXELS, Tiled, open_store, span_tables
from vsacc.images.store_writing import JOURNAL, PART, Photo, write_store, write_strips
from vsacc.local.paths import UserError
from vsacc.sampler import build_pyramid, glimpse, proxy, pyramid_sizes

SHAPES = [(1, 333, 517), (3, 64, 64), (2, 70, 700), (3, 129, 127), (1, 31, 5)]


def places(batch, steps, seed=0):
    """Glimpses of all scales, some reaching far outside: (B, T, 3)."""
    rng = torch.Generator().manual_seed(seed)
    s = torch.exp(torch.rand(batch, steps, 1, generator=rng) * 6 - 5)
    return torch.cat([s, 3 * torch.rand(batch, steps, 2, generator=rng) - 1.5], -1)


def write(folder, photos=3, develop=develop):
    """The store of photographs of noise; a number stands for the first so many."""
    photos = photo_list(photos) if isinstance(photos, int) else photos
    return write_store(folder, photos, CLASSES, SIDE, develop, "noise")


def failing_at(*bad):
    def develop_some(path):
        if int(path.stem) in bad:
            raise UserError(f"{path.name} is cut short, fetch it again.")
        return develop(path)

    return develop_some


def noting(asked):
    return lambda path: asked.append(path.stem) or develop(path)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in (JOURNAL, ".lock")}


@pytest.fixture
def whole(tmp_path_factory):
    """Count -> the files of a store of so many photographs, written at one go."""
    folder = tmp_path_factory.mktemp("whole")
    return lambda count: write(folder / str(count), count) or files(folder / str(count))


def assert_sums_are_right(folder):
    """The checksums that the manifest holds are those of what lies in the file."""
    store, sums = open_store(folder), json.loads((folder / MANIFEST).read_text())["crc32"]
    for start, record in zip(store.tiled.starts.tolist(), sums, strict=True):
        for (first, _, length), crc32 in zip(span_tables(store.sizes, 3).T.tolist(), record, strict=True):
            assert zlib.crc32(store.tiled.pixels[start + first : start + first + length].numpy()) == crc32


@pytest.fixture(params=SHAPES, ids=str)
def pair(request, tmp_path):
    """An image's pyramid in memory, and the same from a store."""
    image = noise(*request.param)
    strips = image.tensor_split((0, 1, 30, 30, 128, 150, 290), 1)  # of all heights, some of no row at all
    write_strips(tmp_path, strips, request.param, "noise")
    return build_pyramid(image[None]), open_store(tmp_path).images(torch.tensor([0]))


def test_levels_and_proxies_are_those_of_the_pyramid(pair):
    pyramid, tiled = pair
    assert (tiled.shape, tiled.sizes) == (tuple(pyramid.shape), pyramid.sizes)
    for index, (start, _, length) in enumerate(span_tables(tiled.sizes, tiled.channels).T.tolist()):
        alone = tiled._replace(pixels=tiled.pixels[start : start + length], starts=tiled.starts - start)
        assert torch.equal(tiled.level(index), pyramid.level(index))
        assert torch.equal(alone.level(index), pyramid.level(index)), "no byte of another level is read"
    for side in (8, 32):
        assert torch.equal(*(proxy(images, side) for images in pair))


def test_glimpses_and_their_gradients_are_those_of_the_pyramid(pair):
    where = places(1, 40)
    leaves = [where.clone().requires_grad_() for _ in range(2)]
    seen = [glimpse(images, leaf, 9) for images, leaf in zip(pair, leaves, strict=True)]
    assert torch.equal(*seen)
    for values in seen:
        (values * torch.linspace(0, 1, values.numel()).view_as(values)).sum().backward()
    assert leaves[0].grad.abs().sum() > 0
    assert torch.equal(leaves[0].grad, leaves[1].grad)


@pytest.mark.parametrize("share", [0.5, 0])
def test_rows_are_picked_in_their_order_from_small_and_large_stores(tmp_path, monkeypatch, share):
    monkeypatch.setattr(store_module, "LARGE", share)
    photos = photo_list(5)
    assert write(tmp_path, photos) == []
    store, rows, where = open_store(tmp_path), torch.tensor([3, 0, 3]), places(3, 6)
    pyramid = build_pyramid(torch.stack([develop(photos[row].path) for row in rows]))
    assert (store.tiled.mapped is None) == (share > 0)
    store.images(rows).prefetch(where, 16)
    assert torch.equal(glimpse(store.images(rows), where, 16), glimpse(pyramid, where, 16))
    assert torch.equal(proxy(store.images(rows)), proxy(pyramid))
    assert (store.names, store.classes, store.source) == (("p0", "p1", "p2", "p3", "p4"), CLASSES, "noise")
    assert (store.labels.tolist(), store.labels.dtype) == ([0, 1, 0, 1, 0], torch.long)
    assert (store.rows("test").tolist(), store.rows("train").tolist()) == ([0, 3], [1, 2, 4])
    with pytest.raises(UserError, match="no split 'valid', choose one of test, train"):
        store.rows("valid")


def test_what_is_prefetched_holds_all_that_is_read_and_little_else(pair):
    _, tiled = pair
    for seed, size in ((1, 9), (2, 32)):
        where, kernel = places(1, 5, seed), Mock()
        tiled._replace(mapped=kernel).prefetch(where, size)
        runs = [call.args[1:] for call in kernel.madvise.mock_calls]
        kept = torch.zeros_like(tiled.pixels)
        for first, length in runs:
            kept[first : first + length] = tiled.pixels[first : first + length]
        assert torch.equal(glimpse(tiled._replace(pixels=kept), where, size), glimpse(tiled, where, size))
        tiles = sum(length for _, length in runs) / (4096 * tiled.channels)
        across = (2 * size + 4) // 64 + 2  # tiles that a glimpse of its finer level can meet along one axis
        assert tiles <= 5 * 2 * across**2
    kernel = Mock()
    tiled._replace(mapped=kernel).level(0)
    length = span_tables(tiled.sizes, tiled.channels)[2, 0]
    kernel.madvise.assert_called_once_with(mmap.MADV_WILLNEED, 0, length)


def test_places_on_a_gpu_bring_bytes_from_the_host_to_it():
    """Fake tensors know their device, and refuse to be mixed, on machines without a GPU too."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    sizes = pyramid_sizes(643, 499)
    length = int(span_tables(sizes, 3)[2].sum())
    with FakeTensorMode():
        starts = torch.zeros(2, dtype=torch.long, device="cuda")
        tiled = Tiled(torch.empty(length, dtype=torch.uint8), starts, sizes, 3)
        seen = glimpse(tiled, torch.rand(2, 4, 3, device="cuda"), 16)
    assert (seen.shape, seen.device.type) == ((2, 4, 3, 16, 16), "cuda")


CHANGES = [{"labels": None}, {"sizes": [["a", 2]]}, {"sizes": 5}, {"classes": 3}]
DAMAGED, ABSENT = r"manifest\.json is damaged .*, delete the folder", r"holds no finished store \(manifest"
OTHER = "is a store of format 99, this program reads format 1"


@pytest.mark.parametrize("content, sentence", [
    *((content, DAMAGED) for content in [*CHANGES, b'{"format": 1, "lab', b"", b"[1]", b"\xff"]),
    ({"format": 99}, OTHER)], ids=str)  # fmt: skip
def test_damaged_manifest_is_one_sentence(tmp_path, content, sentence):
    write(tmp_path)
    path = tmp_path / MANIFEST
    if isinstance(content, dict):
        content = json.dumps(json.loads(path.read_bytes()) | content).encode()
    path.write_bytes(content)
    with pytest.raises(UserError, match=sentence) as raised:
        open_store(tmp_path)
    assert "\n" not in str(raised.value)


def test_strips_must_make_the_image(tmp_path):
    for strips in ([noise(1, 99, 100)], [noise(1, 101, 100)], [noise(1, 100, 99)], [noise(2, 100, 100)], []):
        with pytest.raises(ValueError, match="strips"):
            write_strips(tmp_path, strips, (1, 100, 100), "noise")
    with pytest.raises(UserError, match="no finished store"):
        open_store(tmp_path)


def test_photographs_that_cannot_be_developed_are_left_out_and_tried_again(tmp_path, whole):
    sentences = write(tmp_path, 6, failing_at(0, 4, 5))
    assert sentences == [f"{i}.jpg is cut short, fetch it again." for i in (0, 4, 5)]
    store = open_store(tmp_path)
    assert (store.names, store.labels.tolist()) == (("p1", "p2", "p3"), [1, 0, 1])
    assert json.loads((tmp_path / MANIFEST).read_text())["left_out"] == sentences
    assert torch.equal(store.images(torch.tensor([1])).level(0)[0], develop(Path("2.jpg")))
    again = write(tmp_path, 6, noting(asked := []))
    assert (again, sorted(asked)) == ([], ["0", "4", "5"]) and files(tmp_path) == whole(6)


def test_finished_store_is_left_alone_and_can_grow_and_shrink(tmp_path, whole):
    for count, mend in ((3, develop), (3, failing_at(0, 1, 2)), (5, failing_at(0, 1, 2))):
        assert write(tmp_path / "a", count, mend) == [] and files(tmp_path / "a") == whole(count)
    write(tmp_path / "b", 6, failing_at(5))
    write(tmp_path / "b", 5, failing_at(0, 1, 2, 3, 4))
    assert files(tmp_path / "b") == whole(5), "the bad last photograph was taken away"


def test_photographs_come_between_and_bad_ones_are_taken_away(tmp_path):
    """Records stay where they are; the store's order is that of the list."""
    write(tmp_path, 6, failing_at(2, 5))
    first, *rest = photo_list(6)
    photos = [*photo_list(2, first=6), *rest[2:4], first, rest[0]]
    write(tmp_path, photos, noting(asked := []))
    store = open_store(tmp_path)
    assert (sorted(asked), store.names) == (["6", "7"], ("p6", "p7", "p3", "p4", "p0", "p1"))
    expected = torch.stack([develop(photo.path) for photo in photos])
    assert torch.equal(store.images(torch.arange(6)).level(0), expected)
    assert store.splits == tuple(photo.split for photo in photos)
    assert_sums_are_right(tmp_path)


@pytest.mark.parametrize("change", ["fewer", "others", "side", "source"])
def test_other_photographs_do_not_replace_those_there(tmp_path, change):
    write(tmp_path)
    before = files(tmp_path)
    photos = {"fewer": photo_list(2), "others": photo_list(3, first=1)}.get(change, photo_list(3))
    side, source = 128 if change == "side" else SIDE, "paint" if change == "source" else "noise"
    with pytest.raises(UserError, match=r"already holds another store \(noise\)"):
        write_store(tmp_path, photos, CLASSES, side, develop, source)
    assert files(tmp_path) == before


KILLED = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from noise_photos import CLASSES, SIDE, develop, photo_list
from vsacc.images.store_writing import JOURNAL, write_store
folder, asked = Path(sys.argv[1]), []
def develop_until_killed(path):
    asked.append(path)
    if len(asked) == 6:
        while len((folder / JOURNAL).read_text().splitlines()) < 3:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    return develop(path)
write_store(folder, photo_list(12), CLASSES, SIDE, develop_until_killed, "noise")
"""


def test_killed_in_the_middle_it_goes_on_and_ends_the_same(tmp_path, whole):
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path, Path(__file__).parent], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / MANIFEST).exists() and (tmp_path / PART).exists()
    with pytest.raises(UserError, match="holds no finished store"):
        open_store(tmp_path)
    with (tmp_path / JOURNAL).open("a") as journal:
        journal.write('["p11", 11, [12')  # a line that a kill cut off
    write(tmp_path, 12, noting(asked := []))
    assert len(asked) < 12, "what was done is not done again"
    assert files(tmp_path) == whole(12)
    assert_sums_are_right(tmp_path)


def test_lost_or_short_files_are_told_and_made_again(tmp_path, whole):
    write(tmp_path)
    size = len(whole(3)[PIXELS])
    short = f"has {size - 1} bytes instead of {size}, delete the folder and prepare"
    for damage, sentence, mend in (
        ((tmp_path / MANIFEST).unlink, ABSENT, failing_at(0, 1, 2)),  # a kill between pixels and manifest
        ((tmp_path / PIXELS).unlink, r"holds no finished store \(images\.u8: No such file", develop),
        (partial(os.truncate, tmp_path / PIXELS, size - 1), short, failing_at(0, 1)),
    ):
        damage()
        with pytest.raises(UserError, match=sentence):
            open_store(tmp_path)
        write(tmp_path, 3, mend)
        assert files(tmp_path) == whole(3)


def test_two_who_write_the_same_store_do_it_once(tmp_path):
    """As two processes that need the stand-in for the first time: the second waits, and finds it done."""
    with ThreadPoolExecutor(2) as pool:
        asked = []
        assert list(pool.map(lambda _: write(tmp_path, 6, noting(asked)), range(2))) == [[], []]
    assert sorted(asked) == [str(i) for i in range(6)]
    assert_sums_are_right(tmp_path)


def test_full_disk_is_one_sentence_and_a_rerun_goes_on(tmp_path, whole):
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, old[1]))  # four records and a part of the fifth
    try:
        with pytest.raises(UserError, match=r"cannot be written \(File too large\), make room and run it") as raised:
            write(tmp_path, 8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert "\n" not in str(raised.value)
    assert sorted(os.listdir(tmp_path)) == [".lock", PART, JOURNAL]
    write(tmp_path, 8, noting(asked := []))
    assert len(asked) < 8 and files(tmp_path) == whole(8)


def test_too_small_a_disk_is_found_before_work(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match=r"has 0\.0 GB free and needs"):
        write(tmp_path)
    assert os.listdir(tmp_path) == [".lock"]


def test_no_photograph_at_all(tmp_path):
    with pytest.raises(UserError, match="no photographs to store"):
        write(tmp_path, [])
    with pytest.raises(UserError, match=r"developed, first: gone cannot be read \(No such file or directory\)"):
        write(tmp_path, [Photo("gone", tmp_path / "gone", 1, "test")], partial(develop_square, side=SIDE))
    with pytest.raises(UserError, match=r"none of the 2 photographs could be developed, first: 0\.jpg is cut"):
        write(tmp_path, 2, failing_at(0, 1))


def test_names_never_become_paths(tmp_path):
    folder = tmp_path / "deep" / "store"
    write(folder, [photo_list(1)[0]._replace(name=name) for name in ("../../up", "/etc/x", "a/b\n", "ü (1)")])
    assert open_store(folder).names == ("../../up", "/etc/x", "a/b\n", "ü (1)")
    assert sorted(os.listdir(folder)) == [".lock", PIXELS, JOURNAL, MANIFEST]
    assert os.listdir(tmp_path) == ["deep"] and os.listdir(tmp_path / "deep") == ["store"]
