"""Writing a store: whatever stops it, a rerun ends with the same bytes, and nothing half-done can be opened."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from noise_photos import CLASSES, SIDE, develop, photo_list

from vsacc.images.store_journal import JOURNAL, PART
from vsacc.images.store_read import MANIFEST, PIXELS, open_store, verify
from vsacc.images.store_write import Photo, write_store
from vsacc.local.paths import UserError


def failing_at(*bad):
    def develop_some(path):
        if int(path.stem) in bad:
            raise UserError(f"{path.name} is cut short, fetch it again.")
        return develop(path)

    return develop_some


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != JOURNAL}


def test_photographs_that_cannot_be_developed_are_left_out_and_tried_again(tmp_path):
    photos = photo_list(6)
    sentences = write_store(tmp_path / "a", photos, CLASSES, SIDE, failing_at(0, 4, 5), "noise")
    assert sentences == [f"{i}.jpg is cut short, fetch it again." for i in (0, 4, 5)]
    store = open_store(tmp_path / "a")
    assert (store.names, store.labels.tolist()) == (("p1", "p2", "p3"), [1, 0, 1])
    assert store.left_out == tuple(sentences)
    assert torch.equal(store.images(torch.tensor([1])).level(0)[0], develop(Path("2.jpg")))
    asked = []
    again = write_store(tmp_path / "a", photos, CLASSES, SIDE, lambda p: asked.append(p.stem) or develop(p), "noise")
    assert (again, sorted(asked)) == ([], ["0", "4", "5"])
    write_store(tmp_path / "b", photos, CLASSES, SIDE, develop, "noise")
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_finished_store_is_left_alone_and_can_grow(tmp_path):
    write_store(tmp_path / "a", photo_list(3), CLASSES, SIDE, develop, "noise")
    before = files(tmp_path / "a")
    assert write_store(tmp_path / "a", photo_list(3), CLASSES, SIDE, failing_at(0, 1, 2), "noise") == []
    assert files(tmp_path / "a") == before
    write_store(tmp_path / "a", photo_list(5), CLASSES, SIDE, failing_at(0, 1, 2), "noise")
    write_store(tmp_path / "b", photo_list(5), CLASSES, SIDE, develop, "noise")
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_photographs_come_between_and_bad_ones_are_taken_away(tmp_path):
    """Records stay where they are; the store's order is that of the list."""
    write_store(tmp_path, photo_list(6), CLASSES, SIDE, failing_at(2, 5), "noise")
    first, *rest = photo_list(6)
    photos = [*photo_list(2, first=6), *rest[2:4], first, rest[0]]
    asked = []
    write_store(tmp_path, photos, CLASSES, SIDE, lambda p: asked.append(p.stem) or develop(p), "noise")
    store = open_store(tmp_path)
    assert (sorted(asked), store.names) == (["6", "7"], ("p6", "p7", "p3", "p4", "p0", "p1"))
    expected = torch.stack([develop(photo.path) for photo in photos])
    assert torch.equal(store.images(torch.arange(6)).level(0), expected)
    assert store.splits == tuple(photo.split for photo in photos) and verify(tmp_path) == []


def test_bad_last_photograph_taken_away_leaves_a_whole_store(tmp_path):
    write_store(tmp_path / "a", photo_list(4), CLASSES, SIDE, failing_at(3), "noise")
    write_store(tmp_path / "a", photo_list(3), CLASSES, SIDE, failing_at(0, 1, 2), "noise")
    write_store(tmp_path / "b", photo_list(3), CLASSES, SIDE, develop, "noise")
    assert files(tmp_path / "a") == files(tmp_path / "b")


@pytest.mark.parametrize("change", ["fewer", "others", "side", "source"])
def test_other_photographs_do_not_replace_those_there(tmp_path, change):
    write_store(tmp_path, photo_list(3), CLASSES, SIDE, develop, "noise")
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
from vsacc.images.store_write import JOURNAL, write_store
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


def test_killed_in_the_middle_it_goes_on_and_ends_the_same(tmp_path):
    photos, asked = photo_list(12), []
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a", Path(__file__).parent], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "a" / MANIFEST).exists() and (tmp_path / "a" / PART).exists()
    with pytest.raises(UserError, match="holds no finished store"):
        open_store(tmp_path / "a")
    with (tmp_path / "a" / JOURNAL).open("a") as journal:
        journal.write('["p11", 11, [12')  # a line that a kill cut off
    write_store(tmp_path / "a", photos, CLASSES, SIDE, lambda p: asked.append(p) or develop(p), "noise")
    assert len(asked) < 12, "what was done is not done again"
    write_store(tmp_path / "b", photos, CLASSES, SIDE, develop, "noise")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert verify(tmp_path / "a") == []


def test_killed_between_pixels_and_manifest(tmp_path):
    write_store(tmp_path, photo_list(3), CLASSES, SIDE, develop, "noise")
    before = files(tmp_path)
    (tmp_path / MANIFEST).unlink()
    write_store(tmp_path, photo_list(3), CLASSES, SIDE, failing_at(0, 1, 2), "noise")
    assert files(tmp_path) == before


def test_lost_pixels_are_made_again(tmp_path):
    write_store(tmp_path, photo_list(3), CLASSES, SIDE, develop, "noise")
    before = files(tmp_path)
    (tmp_path / PIXELS).unlink()
    write_store(tmp_path, photo_list(3), CLASSES, SIDE, develop, "noise")
    assert files(tmp_path) == before
    os.truncate(tmp_path / PIXELS, len(before[PIXELS]) - 1)
    write_store(tmp_path, photo_list(3), CLASSES, SIDE, failing_at(0, 1), "noise")
    assert files(tmp_path) == before


def test_full_disk_is_one_sentence_and_a_rerun_goes_on(tmp_path):
    photos, asked = photo_list(8), []
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, old[1]))  # four records and a part of the fifth
    try:
        with pytest.raises(UserError, match=r"cannot be written \(File too large\), make room and run") as raised:
            write_store(tmp_path / "a", photos, CLASSES, SIDE, develop, "noise")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert "\n" not in str(raised.value)
    assert sorted(os.listdir(tmp_path / "a")) == [PART, JOURNAL]
    write_store(tmp_path / "a", photos, CLASSES, SIDE, lambda p: asked.append(p) or develop(p), "noise")
    assert len(asked) < 8
    write_store(tmp_path / "b", photos, CLASSES, SIDE, develop, "noise")
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_too_small_a_disk_is_found_before_work(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("vsacc.images.store_write.shutil.disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match=r"has 0\.0 GB free and the store needs"):
        write_store(tmp_path, photo_list(3), CLASSES, SIDE, failing_at(), "noise")
    assert os.listdir(tmp_path) == []


def test_no_photograph_at_all(tmp_path):
    with pytest.raises(UserError, match="no photographs to store"):
        write_store(tmp_path, [], CLASSES, SIDE, develop, "noise")
    with pytest.raises(UserError, match=r"none of the 2 photographs could be developed, the first: 0\.jpg is cut"):
        write_store(tmp_path, photo_list(2), CLASSES, SIDE, failing_at(0, 1), "noise")


def test_missing_file_is_left_out(tmp_path):
    photos = [*photo_list(1), Photo("gone", tmp_path / "gone", 1, "test")]
    take = lambda path: path.read_bytes() if path.name == "gone" else develop(path)  # noqa: E731
    assert write_store(tmp_path / "s", photos, CLASSES, SIDE, take, "noise") == [
        "gone cannot be read (No such file or directory)."
    ]


def test_names_never_become_paths(tmp_path):
    folder = tmp_path / "deep" / "store"
    photos = [photo_list(1)[0]._replace(name=name) for name in ("../../up", "/etc/x", "a/b\n", "ü (1)")]
    write_store(folder, photos, CLASSES, SIDE, develop, "noise")
    assert open_store(folder).names == ("../../up", "/etc/x", "a/b\n", "ü (1)")
    assert sorted(os.listdir(folder)) == [PIXELS, JOURNAL, MANIFEST]
    assert os.listdir(tmp_path) == ["deep"] and os.listdir(tmp_path / "deep") == ["store"]
