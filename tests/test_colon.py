"""Colon cancer histopathology: files in their true formats, labels, folds and the store."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from vsacc.images.store import open_store
from vsacc.local.paths import UserError
from vsacc.tasks import colon, find_task, open_split
from vsacc.tasks.colon import count_cells, folds_of, index, prepare, read_image

COUNT = 30
KINDS = ("epithelial", "fibroblast", "inflammatory", "others")


def with_cells(number):
    return number % 3 == 1


def write_pair(folder, number, cells, mode="RGB"):
    """One image, named as in the published set, of a colour that tells its number, and its four lists of cells."""
    folder = folder / f"img{number}"
    folder.mkdir(parents=True)
    picture = Image.new("RGB", (500, 500), (200, 7 * number, 150))
    picture.putpixel((499, 0), (1, 2, 3))
    picture.convert(mode).save(folder / f"img{number}.bmp")
    rng = np.random.default_rng(number)
    for kind in KINDS:
        count = cells if kind == "epithelial" else 3
        middles = rng.uniform(1, 500, (count, 2)) if count else np.zeros((0, 0))
        savemat(folder / f"img{number}_{kind}.mat", {"detection": middles}, format="5", do_compression=True)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A third of the set in the published layout, with the other half of the archive beside it."""
    root = tmp_path_factory.mktemp("colon") / "CRCHistoPhenotypes_2016_04_28"
    for number in range(1, COUNT + 1):
        write_pair(root / "Classification", number, 4 if with_cells(number) else 0)
    (root / "Detection" / "img1").mkdir(parents=True)
    Image.new("RGB", (500, 500)).save(root / "Detection" / "img1" / "img1.bmp")
    savemat(root / "Detection" / "img1" / "img1_detection.mat", {"detection": np.ones((9, 2))})
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "._img1_epithelial.mat").write_bytes(b"resource fork")
    return root


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setattr(colon, "FOLDER", tmp_path)
    return tmp_path


def test_an_image_with_epithelial_cells_is_positive(published):
    photos = index(published)
    assert [photo.name for photo in photos] == [f"img{number}" for number in range(1, COUNT + 1)], "by number"
    assert [photo.label for photo in photos] == [int(with_cells(n)) for n in range(1, COUNT + 1)]
    assert photos[9].path == published / "Classification" / "img10" / "img10.bmp"


@pytest.mark.parametrize("cells", [np.zeros((0, 0)), np.zeros((0, 2)), np.ones((1, 2)), np.ones((12, 2))])
def test_cells_are_counted(tmp_path, cells):
    savemat(tmp_path / "a.mat", {"detection": cells})
    assert count_cells(tmp_path / "a.mat") == len(cells)


def test_files_of_cells_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"detection": np.arange(400.0).reshape(200, 2)})
    whole = path.read_bytes()
    savemat(path, {"detected": np.ones((2, 2))})
    for damaged in (whole[:400], whole[:100], b"", b"no matrix at all", path.read_bytes()):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"a\.mat cannot be read \(.+\), unpack it again\.$"):
            count_cells(path)
    savemat(path, {"detection": np.ones((2, 3))})
    with pytest.raises(UserError, match=r"holds \(2, 3\) instead of n pairs of coordinates"):
        count_cells(path)


@pytest.mark.parametrize("labels", [[0, 1] * 50, [0] * 49 + [1] * 51, [1, 0, 0] * 11, [0] * 30])
def test_every_fold_has_its_share_of_each_class(labels):
    folds, labels = np.array(folds_of(labels)), np.array(labels)
    for label in (0, 1):
        counts = np.bincount(folds[labels == label], minlength=10)
        assert counts.max() - counts.min() <= 1
    assert np.ptp(np.bincount(folds, minlength=10)) <= 1


def test_folds_are_a_function_of_labels_and_seed():
    labels = [0, 1] * 50
    assert folds_of(labels) == folds_of(labels) != folds_of(labels, seed=1)
    assert folds_of(labels) != list(np.arange(100) % 10)


def test_a_store_and_its_cross_validation(published, data, capsys):
    assert prepare(published) == 1, "not the 100 that were published"
    source = "colon cancer histopathology, 30 images instead of the published 100, 10 with epithelial cells"
    assert source in capsys.readouterr().out
    tested, held_out = [], []
    for fold in range(10):
        rows = [open_split(f"colon:{fold}", name).rows for name in ("train", "validation", "test")]
        assert [len(part) for part in rows] == [24, 3, 3]
        assert torch.cat(rows).sort()[0].equal(torch.arange(COUNT))
        tested.append(rows[2].tolist())
        held_out.append(rows[1].tolist())
    assert sorted(row for rows in tested for row in rows) == list(range(COUNT))
    assert held_out == tested[1:] + tested[:1]
    split = open_split("colon", "test")
    assert split.protocol == f"{source}, 500 x 500, 2 classes" and split.rows.tolist() == tested[0]
    batch = split.take(torch.arange(3))
    assert batch.labels.sum() == 1, "ten positives in ten folds"
    for image, row in zip(batch.images.level(0), tested[0], strict=True):
        assert image[:, 100, 100].tolist() == [200, 7 * (row + 1), 150] and image[:, 0, 499].tolist() == [1, 2, 3]
    assert prepare(published) == 1, "again, with nothing to do"
    assert find_task("colon:3").name == "colon:3" and find_task("colon").name == "colon"
    for fold in ("10", "-1", "x", ""):
        with pytest.raises(UserError, match=rf"colon has no fold '{fold}', choose one of 0 to 9\.$"):
            find_task(f"colon:{fold}")


def test_a_whole_set_is_whole(published, data, monkeypatch, capsys):
    monkeypatch.setattr(colon, "COUNT", COUNT)
    assert prepare(published) == 0
    assert "30 images, 10 with epithelial cells" in capsys.readouterr().out


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_images_keep_their_pixels(tmp_path, mode):
    write_pair(tmp_path, 5, 0, mode)
    image = read_image(tmp_path / "img5" / "img5.bmp")
    assert image.shape == (3, 500, 500) and image.dtype == np.uint8
    shown = np.asarray(Image.new("RGB", (1, 1), (200, 35, 150)).convert(mode).convert("RGB"))[0, 0]
    assert (image[:, 20, 30] == shown).all()


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


def test_what_is_missing_is_one_sentence(tmp_path, data, monkeypatch):
    with pytest.raises(UserError, match=r"images are not here, register at warwick\.ac\.uk.*unpack it into .* and run"):
        open_split("colon", "train")
    with pytest.raises(UserError, match=r"has no Classification/img1/.*, register at"):
        prepare(tmp_path / "nowhere")
    for copy in ("a", "b"):
        write_pair(tmp_path / copy, 1, 1)
    with pytest.raises(UserError, match=r"img1_epithelial\.mat is below .* more than once"):
        prepare(tmp_path)
