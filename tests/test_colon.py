"""Colon cancer histopathology: files in their true formats, labels, folds and the store."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from vsacc.images.store import open_store
from vsacc.local.paths import UserError
from vsacc.tasks import colon, find_task, open_split, standin
from vsacc.tasks.colon import count_cells, folds_of, prepare

COUNT = 30


def write_pair(folder, number, cells):
    """One image, named as in the published set, of a colour that tells its number, and its four lists of cells."""
    folder = folder / f"img{number}"
    folder.mkdir(parents=True)
    picture = Image.new("RGB", (500, 500), (200, 7 * number, 150))
    picture.putpixel((499, 0), (1, 2, 3))
    picture.save(folder / f"img{number}.bmp")
    for kind in ("epithelial", "fibroblast", "inflammatory", "others"):
        count = cells if kind == "epithelial" else 3
        middles = np.full((count, 2), 250.0) if count else np.zeros((0, 0))
        savemat(folder / f"img{number}_{kind}.mat", {"detection": middles}, format="5", do_compression=True)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A third of the set in the published layout, with the other half of the archive beside it."""
    root = tmp_path_factory.mktemp("colon") / "CRCHistoPhenotypes_2016_04_28"
    for number in range(1, COUNT + 1):
        write_pair(root / "Classification", number, 4 if number % 3 == 1 else 0)
    (root / "Detection" / "img1").mkdir(parents=True)
    Image.new("RGB", (500, 500)).save(root / "Detection" / "img1" / "img1.bmp")
    savemat(root / "Detection" / "img1" / "img1_detection.mat", {"detection": np.ones((9, 2))})
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "._img1_epithelial.mat").write_bytes(b"resource fork")
    return root


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setattr(standin, "DOWNLOADS", tmp_path)
    monkeypatch.setattr(colon, "FOLDER", tmp_path / "colon")
    return tmp_path / "colon"


def test_cells_are_counted_or_the_file_refused(tmp_path):
    path = tmp_path / "a.mat"
    for cells in (np.zeros((0, 0)), np.zeros((0, 2)), np.ones((1, 2)), np.ones((12, 2))):
        savemat(path, {"detection": cells})
        assert count_cells(path) == len(cells)
    savemat(path, {"detection": np.arange(400.0).reshape(200, 2)})
    whole = path.read_bytes()
    savemat(path, {"detected": np.ones((2, 2))})
    for damaged in (whole[:400], whole[:100], b"", b"no matrix at all", path.read_bytes()):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"a\.mat cannot be read \(.+\), fetch it again or take it away\.$"):
            count_cells(path)


@pytest.mark.parametrize("labels", [[0, 1] * 50, [0] * 49 + [1] * 51, [1, 0, 0] * 11, [0] * 30])
def test_every_fold_has_its_share_of_each_class(labels):
    folds, labels = np.array(folds_of(labels)), np.array(labels)
    for label in (0, 1):
        counts = np.bincount(folds[labels == label], minlength=10)
        assert counts.max() - counts.min() <= 1
    assert np.ptp(np.bincount(folds, minlength=10)) <= 1 and folds.tolist() == folds_of(labels)
    assert folds.tolist() != list(np.arange(len(folds)) % 10), "in a random order"


def test_a_store_and_its_cross_validation(published, data, monkeypatch, capsys):
    assert prepare(published) == 1, "not the 100 that were published"
    source = "colon cancer histopathology, 30 images instead of the published 100, 10 with epithelial cells"
    assert source in capsys.readouterr().out
    tested, held_out = [], []
    for fold in range(10):
        rows = [open_split(f"colon:{fold}", name, profile="laptop").rows for name in ("train", "validation", "test")]
        assert [len(part) for part in rows] == [24, 3, 3]
        assert torch.cat(rows).sort()[0].equal(torch.arange(COUNT))
        tested.append(rows[2].tolist())
        held_out.append(rows[1].tolist())
    assert sorted(row for rows in tested for row in rows) == list(range(COUNT))
    assert held_out == tested[1:] + tested[:1]
    split = open_split("colon", "test", profile="laptop")
    assert split.store.names == tuple(f"img{number}" for number in range(1, COUNT + 1)), "by number"
    assert split.store.labels.tolist() == [int(number % 3 == 1) for number in range(1, COUNT + 1)]
    assert split.protocol == f"{source}, 500 x 500, 2 classes" and split.rows.tolist() == tested[0]
    batch = split.take(torch.arange(3))
    assert batch.labels.sum() == 1, "ten positives in ten folds"
    for image, row in zip(batch.images.level(0), tested[0], strict=True):
        assert image[:, 100, 100].tolist() == [200, 7 * (row + 1), 150] and image[:, 0, 499].tolist() == [1, 2, 3]
    assert prepare(published) == 1, "again, with nothing to do"
    monkeypatch.setattr(colon, "COUNT", COUNT)
    monkeypatch.setattr(colon, "FOLDER", data / "whole")
    assert prepare(published) == 0 and "30 images, 10 with epithelial cells" in capsys.readouterr().out
    assert find_task("colon:3").name == "colon:3" and find_task("colon").name == "colon"
    for fold in ("10", "-1", "x", ""):
        with pytest.raises(UserError, match=rf"colon has no fold '{fold}', choose one of 0 to 9\.$"):
            find_task(f"colon:{fold}")


def test_damaged_and_missing_images_are_left_out_and_told(tmp_path, data, capsys):
    for number in range(1, 6):
        write_pair(tmp_path / "in", number, number % 2)
    path = tmp_path / "in" / "img2" / "img2.bmp"
    path.write_bytes(path.read_bytes()[:90_000])
    (tmp_path / "in" / "img4" / "img4.bmp").unlink()
    assert prepare(tmp_path / "in") == 1
    told = capsys.readouterr().out
    assert "img2.bmp cannot be read" in told and "img4" in told
    store = open_store(data / "stores" / "5")
    assert store.names == ("img1", "img3", "img5")
    assert store.labels.tolist() == [1, 1, 1], "one cell is enough"


def test_what_is_missing_is_one_sentence(tmp_path, data):
    with pytest.raises(UserError, match=r"has no Classification/img1/.*, register at warwick\.ac\.uk.*unpack it there"):
        prepare(tmp_path / "nowhere")
    write_pair(data, 1, 1)
    with pytest.raises(UserError, match="has the files and no store of them, develop them with vsacc prepare colon"):
        open_split("colon", "train", profile="laptop")
