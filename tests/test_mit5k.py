"""MIT-5k: FiveK's labels, its files in every layout they are found in, and from a server to a training store."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from photo_files import smooth, write_dng

from vsacc.images import download
from vsacc.images.develop import develop_square
from vsacc.images.store import open_store
from vsacc.local.paths import UserError
from vsacc.tasks import find_task, mit5k, standin
from vsacc.tasks.mit5k import CLASSES, Record, choose, find_files, prepare, read_records

pytest_plugins = "site_files"

PHOTOS = {  # name: (subject as the community spells it, JSON file); two of the 29 awkward names among them
    "a1384-dvf_095": ("nature", "training"),
    "a4125-jmacdscf0006 (1)": ("unknown", "training"),
    "a1138-2004-06-24 05-55-28 CRW_2024": ("people", "training"),
    "a0002-dgw_005": ("man_made", "validation"),
    "a0003-NKIM_MG_8178": ("abstract", "testing"),
}


def write_labels(folder: Path, photos: dict = PHOTOS) -> None:
    """The community's three files, but for what nobody reads of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("training", "validation", "testing"):
        subjects = {name: subject for name, (subject, where) in photos.items() if where == split}
        content = {name: {"categories": {"subject": subject}} for name, subject in subjects.items()}
        (folder / f"{split}.json").write_text(json.dumps(content))


def put(folder: Path, suffix: str, names: list[str] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or PHOTOS:
        (folder / f"{name}{suffix}").write_bytes(b"a file")


@pytest.mark.parametrize("below", ["", "MITAboveFiveK"])
def test_records_of_the_community_files(tmp_path, below):
    write_labels(tmp_path / below)
    records = read_records(tmp_path)
    subjects = ["nature", "None", "people", "man_made", "abstract"]
    assert [(record.name, CLASSES[record.label]) for record in records] == list(zip(PHOTOS, subjects, strict=True))
    assert [record.split for record in records] == ["train"] * 3 + ["validation", "test"]
    assert CLASSES == ("abstract", "animals", "man_made", "nature", "None", "people"), "the rows count on their order"


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "..", "a\\b", "", ".hidden"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, name):
    write_labels(tmp_path, {"a0001-x": ("nature", "training"), name: ("nature", "training")})
    with pytest.raises(UserError, match="could lead out of the folder"):
        read_records(tmp_path)


def test_wrong_labels_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"training\.json cannot be read .No such file or directory., .* with vsacc"):
        read_records(tmp_path)
    write_labels(tmp_path, PHOTOS | {"a0009-x": ("cars", "testing")})
    with pytest.raises(UserError, match="a0009-x is there twice or of no class"):
        read_records(tmp_path)
    write_labels(tmp_path)
    text = (tmp_path / "testing.json").read_text()
    for broken in (text[:50], "[]", text.replace('"categories"', '"kinds"'), text.replace('"abstract"', "null")):
        (tmp_path / "testing.json").write_text(broken)
        with pytest.raises(UserError, match=r"testing\.json cannot be read .*, delete it and fetch it again"):
            read_records(tmp_path)
    (tmp_path / "testing.json").write_text((tmp_path / "training.json").read_text())
    with pytest.raises(UserError, match="a1384-dvf_095 is there twice or of no class"):
        read_records(tmp_path)


LAYOUTS = """processed/tiff16_c img/tiff16_a tiff16_e raw/Canon_EOS_5D_Mark_II img/dng dng
MITAboveFiveK/raw/Canon_EOS_5D_Mark_II MITAboveFiveK/processed/tiff16_c fivek_dataset/raw_photos/HQa1to700/photos
MITAboveFiveK/raw/fivek_dataset/raw_photos/HQa1400to2100/photos"""


@pytest.mark.parametrize("files", LAYOUTS.split())
def test_files_are_found_in_every_layout(tmp_path, files):
    source, suffix = (files[-1], ".tif") if "tiff16" in files else ("dng", ".dng")
    put(tmp_path / files, suffix)
    put(tmp_path / files, ".tif.part", ["a9999-half"])
    put(tmp_path / "processed" / "tiff16_b", ".tif")
    assert find_files(tmp_path, source) == {name: tmp_path / files / f"{name}{suffix}" for name in PHOTOS}


def test_a_choice_keeps_the_shares_of_the_splits_and_grows_at_its_end():
    splits = ["train"] * 700 + ["validation"] * 100 + ["test"] * 200
    records = [Record(f"a{n:04d}", n % 6, split) for n, split in enumerate(splits)]
    everything = choose(records)
    assert sorted(everything) == records
    for limit in (10, 55, 300):
        chosen = choose(records, limit=limit)
        assert chosen == everything[:limit]
        for split, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
            assert abs(sum(record.split == split for record in chosen) - share * limit) <= 1.5
    people = choose(records, "people", 12)
    assert len(people) == 12 and {record.label for record in people} == {5}


@pytest.fixture
def site(tmp_path, monkeypatch, serve):
    """FiveK in small on a server: labels, expert C's TIFFs, ProPhoto without saying so, and the DNGs."""
    folder = tmp_path / "site"
    write_labels(folder)
    for part in ("dng", "tiff16_c"):
        (folder / part).mkdir()
    for n, name in enumerate(PHOTOS):
        pixels = np.roll(smooth(60, 90), 10 * n, 1).astype(np.uint16) * 257
        tifffile.imwrite(folder / "tiff16_c" / f"{name}.tif", pixels, photometric="rgb")
        write_dng(folder / "dng" / f"{name}.dng", pixels[..., 1] // 4, orientation=6)
    server = serve(folder)
    monkeypatch.setattr(download, "WAITS", (0,))
    monkeypatch.setattr(mit5k, "SITE", server.url)
    monkeypatch.setattr(mit5k, "LABELS", server.url)
    sums = {path.name: (path.stat().st_size, download.sha256_of(path)) for path in folder.glob("*.json")}
    monkeypatch.setattr(mit5k, "LABEL_FILES", sums)
    return server, folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(standin, "DOWNLOADS", tmp_path)
    monkeypatch.setattr(mit5k, "FOLDER", tmp_path / "fivek")
    return tmp_path / "fivek"


@pytest.mark.parametrize("source", ["c", "dng"])
def test_prepare_fetches_and_develops(site, root, source):
    server, folder = site
    assert prepare(root, source, 64) == 0
    assert len(server.asked) == 3 + len(PHOTOS)
    store = open_store(root / "stores" / f"{source}-64")
    what = "retouched by expert C" if source == "c" else "DNG developed by LibRaw"
    assert store.source == f"MIT-Adobe FiveK, {what}" and store.classes == CLASSES
    shown = set(zip(store.names, store.labels.tolist(), store.splits, strict=True))
    assert shown == {(record.name, record.label, record.split) for record in read_records(root)}
    path = next(folder.glob(f"*{source}/a1384*"))
    stored = store.images(torch.tensor([store.names.index("a1384-dvf_095")])).level(0)[0]
    assert np.array_equal(stored, develop_square(path, 64, prophoto=source == "c"))
    assert prepare(root, source, 64) == 0 and len(server.asked) == 3 + len(PHOTOS), "all is here"


def test_prepare_goes_on_with_a_larger_limit_and_takes_one_class(site, root):
    server, _ = site
    assert prepare(root, "c", 64, None, 2) == 0
    assert len(server.asked) == 3 + 2 == 3 + len(find_files(root, "c"))
    assert prepare(root, "c", 64, None, 4) == 0
    assert len(server.asked) == 3 + 4 and len(open_store(root / "stores" / "c-64").names) == 4
    assert prepare(root, "c", 64, "people") == 0
    assert open_store(root / "stores" / "c-64-people").names == ("a1138-2004-06-24 05-55-28 CRW_2024",)


def test_prepare_says_which_photographs_it_could_not_have(site, root, capsys):
    _, folder = site
    (folder / "tiff16_c" / "a0002-dgw_005.tif").unlink()
    cut = folder / "tiff16_c" / "a0003-NKIM_MG_8178.tif"
    cut.write_bytes(cut.read_bytes()[:5000])
    assert prepare(root, "c", 64) == 1
    told = capsys.readouterr().out
    assert "a0002-dgw_005.tif cannot be had (404" in told
    assert "a0003-NKIM_MG_8178.tif cannot be read (it is cut short)" in told
    assert len(open_store(root / "stores" / "c-64").names) == 3


def test_prepare_develops_nothing_while_the_network_is_down(site, root, monkeypatch, capsys):
    server, _ = site
    write_labels(root)
    monkeypatch.setattr(mit5k, "SITE", "http://127.0.0.1:9")
    assert prepare(root, "c", 64) == 1
    assert "5 of 5 photographs are missing, run this again to go on." in capsys.readouterr().out
    assert not (root / "stores").exists()
    monkeypatch.setattr(mit5k, "SITE", server.url)
    assert prepare(root, "c", 64) == 0


def test_labels_with_another_checksum_are_refused(site, root):
    _, folder = site
    text = (folder / "testing.json").read_text()
    (folder / "testing.json").write_text(text.replace("abstract", "tcartsba"))
    with pytest.raises(UserError, match=r"testing\.json has a wrong sha256"):
        prepare(root, "c", 64)
    assert not (root / "testing.json").exists()


def test_what_is_not_in_an_unpacked_archive_is_fetched(site, root):
    server, folder = site
    photos = root / "raw_photos" / "HQa1to700" / "photos"
    photos.mkdir(parents=True)
    (folder / "dng" / "a0002-dgw_005.dng").rename(photos / "a0002-dgw_005.dng")
    assert prepare(root, "dng", 64) == 0
    assert sorted(open_store(root / "stores" / "dng-64").names) == sorted(PHOTOS)
    assert len(server.asked) == 3 + len(PHOTOS) - 1 and "/dng/a0002-dgw_005.dng" not in dict(server.asked)


def test_nothing_is_fetched_for_a_disk_that_is_too_small(site, root, monkeypatch):
    monkeypatch.setitem(mit5k.MEAN, "tif", 1e18)
    write_labels(root)
    with pytest.raises(UserError, match=r"GB free and needs .*, name another"):
        prepare(root, "c", 64)
    assert not site[0].asked


def test_an_unknown_class_is_told_before_anything_happens(site, root):
    with pytest.raises(UserError, match="no class 'cars', choose one of abstract"):
        prepare(only_class="cars")
    assert not site[0].asked and not root.exists()


def test_the_task_opens_the_largest_store_of_all_classes(site, root):
    write_labels(root)
    put(root / "img" / "dng", ".dng")
    with pytest.raises(UserError, match="no store of them, develop them with vsacc prepare fivek --source dng"):
        find_task("mit5k").open("train", profile="laptop")
    for side, only_class in ((64, None), (96, None), (160, "nature")):
        assert prepare(side=side, only_class=only_class) == 0
    split = find_task("mit5k").open("train", profile="laptop")
    assert split.protocol == "MIT-Adobe FiveK, retouched by expert C, 96 x 96, 6 classes"
    assert len(split) == 3 and split.take(torch.arange(2)).boxes is None
