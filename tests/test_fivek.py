"""FiveK's labels, and its files in every layout they are found in."""

import json

import numpy as np
import pytest
from fivek_files import PHOTOS, put, write_labels

from vsacc.local.paths import UserError
from vsacc.tasks.base import fivek
from vsacc.tasks.fivek import choose, describe, index
from vsacc.tasks.fivek_labels import CLASSES, Record, label_of, read_records
from vsacc.tasks.splits import split_of

# Labels


def test_records_of_the_community_files(tmp_path):
    write_labels(tmp_path)
    records = {record.name: record for record in read_records(tmp_path)}
    assert list(records) == list(PHOTOS)
    assert [CLASSES[record.label] for record in records.values()] == [
        "nature",
        "None",
        "people",
        "man_made",
        "abstract",
    ]
    assert [record.split for record in records.values()] == ["train"] * 3 + ["validation", "test"]
    assert {record.camera for record in records.values()} == {"Canon_EOS_5D_Mark_II"}


@pytest.mark.parametrize("spelt", ["man_made", "man-made", "man made", "manmade", "Man_Made", " man_made "])
def test_spellings_of_man_made(spelt):
    assert CLASSES[label_of(spelt, "a0001")] == "man_made"


@pytest.mark.parametrize("spelt", ["None", "none", "unknown", ""])
def test_spellings_of_none(spelt):
    assert CLASSES[label_of(spelt, "a0001")] == "None"


def test_classes_keep_their_order():
    assert CLASSES == ("abstract", "animals", "man_made", "nature", "None", "people")
    assert [label_of(name, "a0001") for name in CLASSES] == list(range(6))


def test_categories_txt_gives_classes_and_a_split_by_name(tmp_path):
    names = [f"a{n:04d}-x (1)" for n in range(2000)]
    lines = [f"{name},outdoor,day,sun_sky,{CLASSES[n % 6]}" for n, name in enumerate(names)]
    (tmp_path / "fivek_dataset").mkdir()
    (tmp_path / "fivek_dataset" / "categories.txt").write_text("\n".join(lines) + "\n")
    records = read_records(tmp_path)
    assert {record.name: record.label for record in records} == {name: n % 6 for n, name in enumerate(names)}
    assert all(record.split == split_of(record.name) for record in records), "whatever else is in the list"
    shares = [sum(record.split == split for record in records) / 2000 for split in ("train", "validation", "test")]
    assert np.abs(np.array(shares) - [0.7, 0.1, 0.2]).max() < 0.04  # four standard deviations
    assert [record.split for record in records] == sorted(
        (record.split for record in records), key=["train", "validation", "test"].index
    )


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "..", "a\\b", "", ".hidden"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, name):
    write_labels(tmp_path, {"a0001-x": ("nature", "training")})
    content = json.loads((tmp_path / "training.json").read_text())
    (tmp_path / "training.json").write_text(json.dumps(content | {name: content["a0001-x"]}))
    put(tmp_path / "processed" / "tiff16_c", ".tif", ["a0001-x"])
    with pytest.raises(UserError, match="could lead out of the folder"):
        index(tmp_path, "c")


def test_a_camera_that_leads_out_of_the_folder_is_refused(tmp_path):
    write_labels(tmp_path)
    text = (tmp_path / "training.json").read_text().replace("Canon", "../../Canon")
    (tmp_path / "training.json").write_text(text)
    with pytest.raises(UserError, match="could lead out of the folder"):
        read_records(tmp_path)


def test_wrong_labels_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"has neither training\.json.* nor categories\.txt, fetch them with python -m"):
        read_records(tmp_path)
    write_labels(tmp_path, PHOTOS | {"a0009-x": ("cars", "testing")})
    with pytest.raises(UserError, match="a0009-x has the subject 'cars', which is none of abstract"):
        read_records(tmp_path)
    write_labels(tmp_path)
    text = (tmp_path / "testing.json").read_text()
    for broken in (text[:50], "[]", text.replace('"categories"', '"kinds"'), text.replace('"abstract"', "null")):
        (tmp_path / "testing.json").write_text(broken)
        with pytest.raises(UserError, match=r"testing\.json cannot be read .*, delete it and fetch it again"):
            read_records(tmp_path)
    (tmp_path / "testing.json").unlink()
    with pytest.raises(UserError, match=r"testing\.json cannot be read .No such file"):
        read_records(tmp_path)
    (tmp_path / "testing.json").write_text((tmp_path / "training.json").read_text())
    with pytest.raises(UserError, match="the labels name a1384-dvf_095 twice"):
        read_records(tmp_path)


def test_a_line_of_categories_that_is_cut_off(tmp_path):
    (tmp_path / "categories.txt").write_text("a0001-x,outdoor,day,sun_sky,nature\n\na0002-y,outdoor,d")
    with pytest.raises(UserError, match="line 3 has 3 fields instead of 5"):
        read_records(tmp_path)


# Files


@pytest.mark.parametrize(
    ("source", "labels", "files"),
    [
        ("c", "", "processed/tiff16_c"),
        ("c", "MITAboveFiveK", "MITAboveFiveK/processed/tiff16_c"),
        ("dng", "", "raw/Canon_EOS_5D_Mark_II"),
        ("dng", "MITAboveFiveK", "MITAboveFiveK/raw/Canon_EOS_5D_Mark_II"),
        ("dng", "", "img/dng"),
        ("a", "", "img/tiff16_a"),
        ("dng", "", "dng"),
        ("e", "", "tiff16_e"),
        ("dng", "", "fivek_dataset/raw_photos/HQa1to700/photos"),
        ("dng", "MITAboveFiveK", "MITAboveFiveK/raw/fivek_dataset/raw_photos/HQa1400to2100/photos"),
    ],
)
def test_files_are_found_in_every_layout(tmp_path, source, labels, files):
    write_labels(tmp_path / labels)
    suffix = ".dng" if source == "dng" else ".tif"
    put(tmp_path / files, suffix)
    put(tmp_path / files, ".tif.part", ["a9999-half"])
    put(tmp_path / "processed" / "tiff16_b", ".tif")
    photos = index(tmp_path, source)
    assert [(p.name, CLASSES[p.label].replace("None", "unknown")) for p in photos] == [
        (name, subject) for name, (subject, _) in PHOTOS.items()
    ]
    assert [photo.split for photo in photos] == ["train"] * 3 + ["validation", "test"]
    assert [photo.path for photo in photos] == [tmp_path / files / f"{name}{suffix}" for name in PHOTOS]


def test_the_unpacked_archive_with_its_own_labels(tmp_path):
    put(tmp_path / "raw_photos" / "HQa1to700" / "photos", ".dng", ["a0001-x"])
    put(tmp_path / "raw_photos" / "HQa701to1400" / "photos", ".dng", ["a0800-y (1)"])
    (tmp_path / "categories.txt").write_text(
        "a0001-x,outdoor,day,sun_sky,None\na0800-y (1),indoor,night,mixed,man_made\na0900-z,None,None,None,people\n"
    )
    photos = {photo.name: CLASSES[photo.label] for photo in index(tmp_path, "dng")}
    assert photos == {"a0001-x": "None", "a0800-y (1)": "man_made"}, "what is not here is not listed"


def test_an_index_never_fetches(tmp_path, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: pytest.fail("asked the network"))
    write_labels(tmp_path)
    with pytest.raises(UserError, match=r"no photographs of source c, fetch them with .* --source c"):
        index(tmp_path, "c")
    with pytest.raises(UserError, match="no source 'f', choose one of dng, a, b, c, d, e"):
        index(tmp_path, "f")


def test_what_it_is_in_words(tmp_path):
    write_labels(tmp_path)
    assert describe(tmp_path, "c") == "MIT-Adobe FiveK, retouched by expert C"
    assert describe(tmp_path, "dng") == "MIT-Adobe FiveK, DNG developed by LibRaw"
    write_labels(tmp_path, licence="stand-in")
    assert "stand-in" in describe(tmp_path, "c")


def test_a_choice_keeps_the_shares_of_the_splits_and_grows_at_its_end():
    splits = ["train"] * 700 + ["validation"] * 100 + ["test"] * 200
    records = [Record(f"a{n:04d}", n % 6, split, "", "") for n, split in enumerate(splits)]
    everything = choose(records)
    assert sorted(everything) == records
    for limit in (10, 55, 300):
        chosen = choose(records, limit=limit)
        assert chosen == everything[:limit]
        for split, share in (("train", 0.7), ("validation", 0.1), ("test", 0.2)):
            assert abs(sum(record.split == split for record in chosen) - share * limit) <= 1.5
    people = choose(records, "people", 12)
    assert len(people) == 12 and {record.label for record in people} == {5}


def test_the_real_labels_have_the_published_counts(real_labels):
    records = read_records(real_labels)
    assert [sum(r.split == split for r in records) for split in ("train", "validation", "test")] == [3500, 500, 1000]
    counts = dict(abstract=35, animals=300, man_made=1869, nature=1089, people=1341) | {"None": 366}
    assert {name: sum(r.label == n for r in records) for n, name in enumerate(CLASSES)} == counts


@pytest.fixture
def real_labels():
    """The JSON files where `prepare` has brought them."""
    if not all((fivek.FOLDER / name).exists() for name in fivek.LABEL_FILES):
        pytest.skip("FiveK's labels are not on this machine")
    return fivek.FOLDER
