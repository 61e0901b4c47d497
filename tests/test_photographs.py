"""Folders of photographs as people have them: nested, linked, mixed formats, broken files."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from vsacc.__main__ import main
from vsacc.images.develop import develop_square
from vsacc.images.store import open_store
from vsacc.local.paths import UserError
from vsacc.tasks import find_task, mit5k, photographs
from vsacc.tasks.photographs import find, prepare, split_of

SIDE = 64
SPLITS = ("train", "validation", "test")


def save(path, size=(50, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(str(path)))
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(path)


NAMES = ["cat/a.jpg", "cat/deep/b.PNG", "dog/a.tif", "dog/c d (1).webp", "dog/tall.jpeg"]


@pytest.fixture
def root(tmp_path):
    """Two classes, four formats, several sizes, one file that is no photograph and one that is hidden."""
    root = tmp_path / "pets"
    for name in NAMES:
        save(root / name, (3, 200) if "tall" in name else (50, 30))
    (root / "dog" / "notes.txt").write_text("no photograph")
    (root / "dog" / ".hidden.jpg").write_bytes(b"")
    save(root / ".cache" / "x" / "thumb.jpg")
    save(root / "loose.jpg")
    return root


def test_classes_are_the_folders(root):
    photos, classes = find(root)
    assert ([photo.name for photo in photos], classes) == (NAMES, ["cat", "dog"])
    assert [photo.label for photo in photos] == [0, 0, 1, 1, 1]
    assert [photo.path for photo in photos] == [root / name for name in NAMES]
    assert [photo.split for photo in photos] == [split_of(name) for name in NAMES]


@pytest.mark.parametrize("aliases", [SPLITS, ("training", "val", "testing")])
def test_splits_are_taken_as_they_stand(tmp_path, aliases):
    for split in aliases:
        save(tmp_path / split / "cat" / "a.jpg")
    save(tmp_path / aliases[0] / "dog" / "b.jpg")
    save(tmp_path / "elsewhere" / "c.jpg")
    photos, classes = find(tmp_path)
    found = {(*photo.name.split("/"), classes[photo.label], photo.split) for photo in photos}
    cats = {(name, "cat", "a.jpg", "cat", split) for name, split in zip(aliases, SPLITS, strict=True)}
    assert found == cats | {(aliases[0], "dog", "b.jpg", "dog", "train")}


def test_without_a_validation_folder_an_eighth_of_train_is_held_out(tmp_path):
    for number in range(80):
        save(tmp_path / ("train", "test")[number % 2] / "cat" / f"{number}.jpg")
    splits = {photo.name: photo.split for photo in find(tmp_path)[0]}
    assert {split for name, split in splits.items() if name.startswith("test/")} == {"test"}
    learned = [split for name, split in splits.items() if name.startswith("train/")]
    assert set(learned) == {"train", "validation"} and 1 <= learned.count("validation") <= 12


def test_split_by_name_has_the_shares_and_never_changes():
    splits = [split_of(f"cat/{k}.jpg") for k in range(4000)]
    for split, share in zip(SPLITS, (0.7, 0.1, 0.2), strict=True):
        assert abs(splits.count(split) / 4000 - share) < 0.02  # three standard deviations and a little
    # sha256 of the name begins 634a07bf, c8c210ea, df04fc4f: 0.39, 0.78 and 0.87 of 2^32
    assert [split_of(name) for name in ("cat/1.jpg", "cat/6.jpg", "cat/7.jpg")] == ["train", "validation", "test"]


def test_links_are_followed_inside_the_folder_only(root, tmp_path):
    secret = tmp_path / "private" / "s.jpg"
    save(secret)
    (root / "cat" / "out.jpg").symlink_to(secret)
    (root / "cat" / "folder").symlink_to(secret.parent)
    (root / "bird").symlink_to(secret.parent)
    (root / "cat" / "in.jpg").symlink_to(root / "dog" / "tall.jpeg")
    (root / "cat" / "broken.jpg").symlink_to(root / "gone.jpg")
    photos, classes = find(root)
    assert [photo.name for photo in photos] == sorted([*NAMES, "cat/in.jpg"]) and classes == ["cat", "dog"]


@pytest.mark.parametrize("content", ["empty", "loose", "split"])
def test_no_classes_is_one_sentence(tmp_path, content):
    if content != "empty":
        save(tmp_path / ("a.jpg" if content == "loose" else "train/a.jpg"))
    with pytest.raises(UserError, match=r"has no photographs in class folders, put them as <class>/name\.jpg or"):
        find(tmp_path)
    with pytest.raises(UserError, match="is not a folder"):
        find(tmp_path / "gone")


def test_prepared_store_holds_the_developed_photographs(root, tmp_path, capsys):
    (root / "dog" / "cut.jpg").write_bytes((root / "cat" / "a.jpg").read_bytes()[:-200])
    with pytest.raises(UserError, match="side 8 is too small"):
        prepare(root, 8)
    prepare(root, SIDE, tmp_path / "store")
    store = open_store(tmp_path / "store")
    assert (list(store.names), store.classes, store.source) == (NAMES, ("cat", "dog"), "photographs of pets")
    images = store.images(torch.arange(5)).level(0)
    for image, name in zip(images, NAMES, strict=True):
        np.testing.assert_array_equal(image, develop_square(root / name, SIDE))
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("cut.jpg cannot be read") and len(printed) == 2


def test_names_of_any_bytes_are_prepared(root, tmp_path, capsys):
    try:
        save(root / "cat" / os.fsdecode(b"caf\xe9.jpg"))
        (root / "dog" / os.fsdecode(b"\xe9.jpg")).write_bytes(b"damaged")
    except OSError:
        pytest.skip("this disk has no such names")
    with pytest.raises(SystemExit) as left:
        main(["prepare", "photographs", str(root), "--side", str(SIDE), "--out", str(tmp_path / "store")])
    assert not left.value.code and len(open_store(tmp_path / "store").names) == len(NAMES) + 1
    told = capsys.readouterr().out
    assert "\\udce9.jpg cannot be read" in told and "6 photographs of 2 classes" in told


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    monkeypatch.setattr(photographs, "DOWNLOADS", tmp_path / "downloads")
    return tmp_path / "downloads"


def test_stores_lie_apart_and_tell_no_path(root, tmp_path, downloads, monkeypatch, capsys):
    save(tmp_path / "other" / "pets" / "cat" / "a.jpg")
    prepare(root, SIDE)
    counts = [[split_of(name) for name in NAMES].count(split) for split in SPLITS]
    told = capsys.readouterr().out
    assert "5 photographs of 2 classes (" in told and all(f"{n} " in told for n in counts if n)
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path / "other" / "pets", SIDE)
    prepare(root.relative_to(tmp_path), SIDE)
    manifests = sorted(downloads.glob("stores/*/manifest.json"))
    assert len(manifests) == 2, "of the same name, told apart; and a relative path is the same folder"
    assert all(path.parent.name.startswith(f"pets-{SIDE}-") for path in manifests)
    assert all(str(tmp_path) not in path.read_text() for path in manifests)


def test_a_folder_is_a_task(root, tmp_path, downloads, monkeypatch):
    monkeypatch.setattr(photographs, "SIDE", SIDE)
    task = find_task(f"photographs:{root}")
    assert (task.name, task.channels, task.recipes) == (f"photographs:{root}", 3, mit5k.TASK.recipes)
    assert task.question.classes == ("cat", "dog") and task.question.labels.tolist() == [0, 1]
    split = task.open("train")
    assert split.protocol == f"photographs of pets, {SIDE} x {SIDE}, 2 classes"
    assert [split.store.names[row] for row in split.rows] == [name for name in NAMES if split_of(name) == "train"]
    prepare(root, 2 * SIDE)
    prepare(root, SIDE // 2, tmp_path / "mine")
    assert find_task(f"photographs:{root}").open("train").store.sizes[0] == (2 * SIDE, 2 * SIDE), "the largest"
    assert find_task(f"photographs:{tmp_path / 'mine'}").open("train").store.sizes[0] == (SIDE // 2, SIDE // 2)
    with pytest.raises(UserError, match="is not a folder"):
        find_task(f"photographs:{tmp_path / 'nowhere'}")


def test_the_tasks_are_found_without_a_decoder_of_photographs():
    code = "import sys; from vsacc.tasks import all_tasks; all_tasks(); print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "vsacc.tasks.mit5k" in found
    assert not {"tifffile", "imagecodecs", "rawpy", "simplejpeg", "PIL", "scipy", "torchvision"} & set(found)
