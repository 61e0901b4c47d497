"""Swedish speed limits: the annotations, the rule, files in every layout, and the store."""

import numpy as np
import pytest
import torch
from speed_files import KEPT, SETS, annotations, write_frames, write_set

from vsacc.images.develop import develop_square
from vsacc.local.paths import UserError
from vsacc.tasks.speed_limits import build, describe, index, open_with_boxes
from vsacc.tasks.speed_limits_labels import CLASSES, Frame, parse_number, read_frames, read_signs
from vsacc.tasks.speed_limits_labels import Sign as ReadSign


@pytest.fixture
def root(tmp_path):
    write_set(tmp_path)
    return tmp_path


@pytest.fixture
def lines(tmp_path):
    """Lines -> a file of annotations."""

    def write(*text):
        path = tmp_path / "annotations.txt"
        path.write_text("\n".join(text) + "\n")
        return path

    return write


# Annotations


def test_the_lower_right_corner_comes_first(lines):
    path = lines("a.jpg:VISIBLE, 992.500000, 510.000000, 958.000000, 475.250000, PROHIBITORY, 70_SIGN;")
    assert read_signs(path) == {"a.jpg": [ReadSign("VISIBLE", "70_SIGN", (958.0, 475.25, 992.5, 510.0))]}
    assert read_frames(path) == [Frame("a.jpg", 2, (958.0, 475.25, 992.5, 510.0))]


def sign(visibility, name, side=10.0):
    return f"{visibility}, {side}, {side}, 0.0, 0.0, PROHIBITORY, {name};"


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("", "EMPTY"),
        ("MISC_SIGNS;", "EMPTY"),
        (" MISC_SIGNS;MISC_SIGNS;", "EMPTY"),
        (sign("VISIBLE", "50_SIGN"), "50"),
        (sign("VISIBLE", "80_SIGN") + "MISC_SIGNS;", "80"),
        (sign("VISIBLE", "NO_PARKING"), None),
        (sign("VISIBLE", "60_SIGN"), None),  # a limit, but none of the three
        (sign("VISIBLE", "60_SIGN") + sign("VISIBLE", "70_SIGN", 4), "70"),
        (sign("BLURRED", "50_SIGN"), None),
        (sign("OCCLUDED", "50_SIGN") + sign("SIDE_ROAD", "70_SIGN"), None),
        (sign("BLURRED", "50_SIGN", 90) + sign("VISIBLE", "70_SIGN", 5), "70"),
        (sign("SIDE_ROAD", "50_SIGN", 90) + "MISC_SIGNS;" + sign("VISIBLE", "80_SIGN", 5), "80"),
        (sign("VISIBLE", "50_SIGN", 10) + sign("VISIBLE", "80_SIGN", 11), "80"),
        (sign("VISIBLE", "80_SIGN", 11) + sign("VISIBLE", "50_SIGN", 10), "80"),
        (sign("VISIBLE", "70_SIGN", 10) + sign("VISIBLE", "50_SIGN", 10), "70"),  # the first of equals
        (sign("VISIBLE", "PRIORITY_ROAD", 99) + sign("VISIBLE", "50_SIGN"), "50"),
    ],
)
def test_the_rule(lines, words, label):
    frames = read_frames(lines(f"a.jpg:{words}", "b.jpg:"))
    assert [CLASSES[frame.label] for frame in frames] == [label, "EMPTY"][label is None :]


def test_the_box_is_that_of_the_sign_that_counts(lines):
    words = "BLURRED, 900.0, 90.0, 0.0, 0.0, PROHIBITORY, 50_SIGN;VISIBLE, 8.0, 9.0, 5.0, 6.0, PROHIBITORY, 50_SIGN;"
    assert read_frames(lines(f"a.jpg:{words}"))[0].box == (5.0, 6.0, 8.0, 9.0)
    swapped = "VISIBLE, 5.0, 6.0, 8.0, 9.0, PROHIBITORY, 50_SIGN;"
    assert read_frames(lines(f"a.jpg:{swapped}"))[0].box == (5.0, 6.0, 8.0, 9.0), "upper left first is as good"


@pytest.mark.parametrize(("text", "number"), [("12.500000", 12.5), ("7", 7.0), ("12.5l", 12.5), ("-3.0", -3.0)])
def test_numbers_with_strays(text, number):
    assert parse_number(text) == number


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("a.jpg", "does not start with the name of a frame and a colon"),
        (":MISC_SIGNS;", "does not start with the name of a frame and a colon"),
        ("a.jpg:VISIBLE, 1.0, 2.0;", "a sign of 3 fields instead of 7"),
        ("a.jpg:HIDDEN, 9, 9, 1, 1, PROHIBITORY, 50_SIGN;", "a sign that is 'HIDDEN'"),
        ("a.jpg:VISIBLE, x, 9, 1, 1, PROHIBITORY, 50_SIGN;", "'x' is no number"),
    ],
)
def test_a_line_that_cannot_be_read(lines, line, why):
    with pytest.raises(UserError, match=rf"line 3 cannot be read \(.*{why}.*\), fetch the file again\.$"):
        read_frames(lines("ok.jpg:", "", line))


def test_files_without_annotations(lines, tmp_path):
    with pytest.raises(UserError, match="names no frames"):
        read_frames(lines("", " "))
    with pytest.raises(UserError, match=r"cannot be read .No such file"):
        read_frames(tmp_path / "nowhere.txt")
    with pytest.raises(UserError, match=r"has no Set1/annotations\.txt, fetch it with python -m"):
        index(tmp_path / "nowhere")


# Files


@pytest.mark.parametrize(
    ("label_folder", "frame_folder"), [("{0}", "{0}"), ("{0}", "{0}/{0}Part0"), ("{0}Part0", "{0}Part0")]
)
def test_files_are_found_in_every_layout(tmp_path, label_folder, frame_folder):
    for part in SETS:
        write_frames(tmp_path / frame_folder.format(part), part)
        (tmp_path / label_folder.format(part)).mkdir(exist_ok=True)
        (tmp_path / label_folder.format(part) / "annotations.txt").write_text(annotations(part))
    photos, boxes, told = index(tmp_path)
    assert {photo.name: CLASSES[photo.label] for photo in photos} == KEPT and not told
    assert {photo.name.split("/")[0]: photo.split for photo in photos} == {"Set1": "train", "Set2": "test"}
    assert all(photo.path.parent == tmp_path / frame_folder.format(photo.name.split("/")[0]) for photo in photos)
    assert boxes == {name: (32.0, 24.0, 64.0, 48.0) for name, label in KEPT.items() if label != "EMPTY"}


def test_frames_that_are_missing_are_told(root):
    (root / "Set2" / "1277381617Image000003.jpg").unlink()
    (root / "Set2" / "1277381617Image000002.jpg").unlink()  # which the task does not want
    photos, _, told = index(root)
    assert len(photos) == len(KEPT) - 1
    assert told == ["1 of 2 frames of Set2 are missing, the first is 1277381617Image000003.jpg."]


def test_a_store_holds_pixels_labels_splits_and_boxes(root, tmp_path):
    folder = tmp_path / "store"
    assert build(root, folder, 64, "as a test") == []
    store, boxes = open_with_boxes(folder)
    assert {n: CLASSES[k] for n, k in zip(store.names, store.labels, strict=True)} == KEPT
    assert store.splits == ("train",) * 3 + ("test",) * 2 and store.source == "as a test"
    for row, name in enumerate(store.names):
        assert np.array_equal(store.images(torch.tensor([row])).level(0)[0], develop_square(root / name, 64))
    # By hand: of 128 x 96 pixels, 32 to 64 across and 24 to 48 down are the second quarters.
    assert boxes[store.labels > 0].equal(torch.tensor([[[-0.5, -0.5, 0.0, 0.0]]]).expand(3, 1, 4))
    assert boxes[store.labels == 0].isnan().all() and boxes.shape == (5, 1, 4)


def test_damaged_frames_are_left_out_and_told(root, tmp_path):
    cut = root / "Set1" / "1277381616Image000002.jpg"
    cut.write_bytes(cut.read_bytes()[:-200])
    (root / "Set2" / "1277381617Image000001.jpg").write_bytes(b"no picture")
    told = build(root, tmp_path / "store", 64, "as a test")
    assert len(told) == 2 and cut.name in told[0] and "1277381617Image000001.jpg cannot be read" in told[1]
    store, boxes = open_with_boxes(tmp_path / "store")
    assert len(store.names) == 3 and boxes.isfinite().all(-1).sum() == 1


def test_counts_in_words():
    assert describe([747, 684]) == "Swedish speed limits, 747 + 684 frames"
    assert describe([3, 2]) == "Swedish speed limits, 3 + 2 frames instead of the published 747 + 684"
