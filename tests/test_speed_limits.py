"""Swedish speed limits: the annotations, the rule, files in every layout, and from a server to a training store."""

import hashlib
import io
import re
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from vsacc.images import download
from vsacc.images.develop import develop_square
from vsacc.local.paths import UserError
from vsacc.tasks import open_split, speed_limits, standin
from vsacc.tasks.speed_limits import CLASSES, find_files, prepare, read_labels

pytest_plugins = "site_files"


def sign(visibility, name, side=10.0):
    return f"{visibility}, {side}, {side}, 0.0, 0.0, PROHIBITORY, {name};"


SETS = {  # set: name of a frame: (what its line says, class or None where it is dropped)
    "Set1": {
        "1277381616Image000001.jpg": ("", "EMPTY"),
        "1277381616Image000002.jpg": (sign("VISIBLE", "50_SIGN"), "50"),
        "1277381616Image000003.jpg": (sign("VISIBLE", "PEDESTRIAN_CROSSING"), None),
        "1277381616Image000004.jpg": ("MISC_SIGNS;", "EMPTY"),
    },
    "Set2": {
        "1277381617Image000001.jpg": (sign("VISIBLE", "80_SIGN"), "80"),
        "1277381617Image000002.jpg": (sign("BLURRED", "50_SIGN"), None),
        "1277381617Image000003.jpg": (sign("VISIBLE", "70_SIGN") + "MISC_SIGNS;", "70"),
    },
}
KEPT = {f"{part}/{name}": label for part, lines in SETS.items() for name, (_, label) in lines.items() if label}


def jpeg(number):
    """A frame whose every pixel tells its number."""
    file = io.BytesIO()
    Image.new("RGB", (128, 96), (20 * number, 100, 255 - 20 * number)).save(file, "JPEG", quality=95)
    return file.getvalue()


def annotations(part):
    return "".join(f"{name}:{words}\n" for name, (words, _) in SETS[part].items())


def write_zip(path, part, inside="", count=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for number, name in enumerate(list(SETS[part])[:count]):
            file.writestr(f"{inside}{name}", jpeg(number))


@pytest.fixture
def lines(tmp_path):
    """Lines -> a file of annotations."""
    path = tmp_path / "annotations.txt"
    return lambda *text: path.write_text("\n".join(text) + "\n") and path


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("", "EMPTY"),
        (" MISC_SIGNS;MISC_SIGNS;", "EMPTY"),
        (sign("VISIBLE", "80_SIGN") + "MISC_SIGNS;", "80"),
        (sign("VISIBLE", "NO_PARKING"), None),
        (sign("VISIBLE", "60_SIGN"), None),  # a limit, but none of the three
        (sign("VISIBLE", "60_SIGN") + sign("VISIBLE", "70_SIGN", 4), "70"),
        (sign("BLURRED", "50_SIGN"), None),
        (sign("OCCLUDED", "50_SIGN") + sign("SIDE_ROAD", "70_SIGN"), None),
        (sign("BLURRED", "50_SIGN", 90) + sign("VISIBLE", "70_SIGN", 5), "70"),
        (sign("SIDE_ROAD", "50_SIGN", 90) + "MISC_SIGNS;" + sign("VISIBLE", "80_SIGN", 5), "80"),
        (sign("VISIBLE", "50_SIGN", 10) + sign("VISIBLE", "80_SIGN", 11), "80"),
        (sign("VISIBLE", "70_SIGN", 10) + sign("VISIBLE", "50_SIGN", 10), "70"),  # the first of equals
        (sign("VISIBLE", "PRIORITY_ROAD", 99) + sign("VISIBLE", "50_SIGN"), "50"),
    ],
)
def test_the_rule(lines, words, label):
    labels = read_labels(lines(f"a.jpg:{words}", "b.jpg:"))
    assert [CLASSES[label] for label in labels.values()] == [label, "EMPTY"][label is None :]


def test_corners_may_come_in_any_order_and_numbers_with_strays(lines):
    larger = "VISIBLE, 992.500000l, 510.000000, 958.000000, 475.250000, PROHIBITORY, 70_SIGN;"  # lower right first
    smaller = "VISIBLE, 5.0, -6.0, 8, 9.0, PROHIBITORY, 50_SIGN;"
    assert read_labels(lines(f"a.jpg:{smaller}{larger}", f"b.jpg:{smaller}")) == {"a.jpg": 2, "b.jpg": 1}
    assert read_labels(lines(f"a.jpg:{smaller}", f"a.jpg:{larger}")) == {"a.jpg": 2}, "a frame on two lines"


@pytest.mark.parametrize(
    "line",
    [
        "a.jpg",
        ":MISC_SIGNS;",
        "a.jpg:VISIBLE, 1.0, 2.0;",
        "a.jpg:HIDDEN, 9, 9, 1, 1, PROHIBITORY, 50_SIGN;",
        "a.jpg:VISIBLE, x, 9, 1, 1, PROHIBITORY, 50_SIGN;",
    ],
)
def test_a_line_that_cannot_be_read_is_one_sentence(lines, line):
    with pytest.raises(UserError, match=rf"has a line that cannot be read, {re.escape(line)}, fetch the file again\.$"):
        read_labels(lines("ok.jpg:", "", line))


@pytest.mark.parametrize("frames", ["", "Set1Part0"])
def test_files_are_found_wherever_they_are_in_a_set(tmp_path, frames):
    for part in SETS:
        (tmp_path / part / frames).mkdir(parents=True)
        (tmp_path / part / "annotations.txt").write_text(annotations(part))
        for number, name in enumerate(SETS[part]):
            (tmp_path / part / frames / name).write_bytes(jpeg(number))
        files = find_files(tmp_path, part)
        assert all(files[name] == tmp_path / part / frames / name for name in SETS[part])
        kept = {f"{part}/{name}": CLASSES[label] for name, label in read_labels(files["annotations.txt"]).items()}
        assert kept == {name: label for name, label in KEPT.items() if name.startswith(part)}


@pytest.fixture
def site(tmp_path, monkeypatch, serve):
    """Both sets in small on a server, the second site of two; its counts and sums count as the published ones."""
    folder = tmp_path / "site"
    for part in SETS:
        write_zip(folder / part / f"{part}Part0.zip", part)
        (folder / part / "annotations.txt").write_text(annotations(part))
    server = serve(folder)
    monkeypatch.setattr(download, "WAITS", (0,))
    monkeypatch.setattr(speed_limits, "SITES", (f"{server.url}/moved", server.url))
    monkeypatch.setattr(speed_limits, "COUNTS", (3, 2))
    monkeypatch.setattr(speed_limits, "FOLDER", tmp_path / "speed-limits")
    monkeypatch.setattr(standin, "DOWNLOADS", tmp_path)
    sums = {part: hashlib.md5(annotations(part).encode()).hexdigest() for part in SETS}
    monkeypatch.setattr(speed_limits, "MD5", sums)
    return server, folder, tmp_path / "speed-limits"


def test_prepare_fetches_unpacks_and_develops(site, capsys):
    server, _, data = site
    assert prepare(data, 64) == 0
    told = capsys.readouterr().out
    assert "Swedish speed limits, 3 + 2 frames, in" in told and "another file" not in told
    wanted = {name.split("/")[1] for name in KEPT}
    assert {path.name for path in data.rglob("*.jpg")} == wanted, "the frames of the task and no others"
    store = open_split("speed_limits", "train", profile="laptop").store
    assert {name: CLASSES[label] for name, label in zip(store.names, store.labels, strict=True)} == KEPT
    assert store.splits == ("train",) * 3 + ("test",) * 2
    for row, name in enumerate(store.names):
        path = data / name.replace("/", f"/{name[:4]}Part0/")
        assert np.array_equal(store.images(torch.tensor([row])).level(0)[0], develop_square(path, 64))
    asked = len(server.asked)
    assert prepare(data, 64) == 0 and len(server.asked) == asked, "all is here"
    split = open_split("speed_limits", "test", profile="laptop")
    assert split.protocol == "Swedish speed limits, 3 + 2 frames, 64 x 64, 4 classes"
    assert split.take(torch.arange(2)).labels.tolist() == [3, 2]


def test_a_zip_that_is_there_is_not_fetched(site):
    server, _, data = site
    write_zip(data / "Set1" / "Set1Part0.zip", "Set1", inside="Set1Part0/../deep/")
    assert prepare(data, 64) == 0 and "/Set1/Set1Part0.zip" not in dict(server.asked)
    assert not (data / "deep").exists()


def test_a_damaged_zip_is_one_sentence(site):
    _, _, data = site
    path = data / "Set1" / "Set1Part0.zip"
    write_zip(path, "Set1")
    content = bytearray(path.read_bytes())
    content[100:400] = bytes(300)
    for damaged in (bytes(content), bytes(content[:500]), b"<html>moved</html>"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"Set1Part0\.zip is damaged \(.*\), delete it and run this again\.$"):
            prepare(data, 64)
    assert not list(data.rglob("*.jpg.*")) and not (data / "stores").exists()


def test_what_is_not_the_published_set_is_told(site, capsys):
    _, folder, data = site
    with (folder / "Set1" / "annotations.txt").open("a") as file:
        file.write("1277381616Image000009.jpg:\n")
    assert prepare(data, 64) == 1
    told = capsys.readouterr().out
    assert "annotations.txt is another file than attention sampling was trained with" in told
    assert "1 of 4 frames of Set1 are missing, the first is 1277381616Image000009.jpg." in told
    write_zip(folder / "Set1" / "Set1Part0.zip", "Set1", count=1)
    assert prepare(data.with_name("other"), 64) == 1
    assert "Swedish speed limits, 1 + 2 frames instead of the published 3 + 2, in" in capsys.readouterr().out


def test_other_counts_are_told_though_nothing_is_missing(site, monkeypatch):
    monkeypatch.setattr(speed_limits, "COUNTS", (4, 2))
    assert prepare(site[2], 64) == 1
    protocol = open_split("speed_limits", "train", profile="laptop").protocol
    assert "3 + 2 frames instead of the published 4 + 2" in protocol, "and so in every record"


def test_a_site_that_has_gone_is_one_sentence(site):
    _, folder, data = site
    (folder / "Set2" / "annotations.txt").unlink()
    with pytest.raises(UserError, match=r"cannot be had \(404.*\), .*, or put Set2/annotations.txt into .* by hand"):
        prepare(data, 64)


def test_files_without_a_store_are_not_replaced_by_the_stand_in(site):
    (site[2] / "Set1").mkdir(parents=True)
    (site[2] / "Set1" / "annotations.txt").write_text(annotations("Set1"))
    with pytest.raises(UserError, match="has the files and no store of them, develop them with vsacc prepare speed"):
        open_split("speed_limits", "train", profile="laptop")
