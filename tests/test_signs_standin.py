"""The stand-in for the Swedish speed limits: its pictures, its files, and the way through the loader."""

import json

import numpy as np
import pytest
import torch
from speed_files import annotations, write_set

from vsacc.images.develop import develop
from vsacc.images.store_read import open_store
from vsacc.local.paths import UserError
from vsacc.tasks.base import open_split, signs_standin
from vsacc.tasks.signs import Sign, draw_posts, render, sign_box
from vsacc.tasks.signs_standin import plan, signs_of, write_standin
from vsacc.tasks.speed_limits import BOXES, build, index, open_speed_limits


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("drawn")
    write_standin(root, 160, (20, 20))
    return root


def test_the_stand_in_goes_through_the_loader(drawn, tmp_path):
    photos, boxes, told = index(drawn)
    assert not told
    for split in ("train", "test"):
        assert np.bincount([p.label for p in photos if p.split == split]).tolist() == [5, 5, 5, 5]
    assert len(list((drawn / "Set1" / "Set1Part0").glob("*.jpg"))) == 22, "and two that the rule drops"
    assert build(drawn, tmp_path / "store", 160, "stand-in") == []
    assert json.loads((tmp_path / "store" / BOXES).read_text()).keys() == boxes.keys()
    assert open_store(tmp_path / "store").labels.bincount().tolist() == [10] * 4


def test_the_box_holds_the_limit_and_nothing_else_tells_it(drawn):
    """Another limit on the same sign changes pixels of its box only, and those of most of its inside."""
    for scene in plan("Set1", 16, 5):
        signs = signs_of(scene)
        if not scene.kind.endswith("_SIGN"):
            continue
        pictures = [
            np.asarray(render(scene.seed, 640, [signs[0]._replace(name=name), *signs[1:]])).astype(int)
            for name in ("50_SIGN", "80_SIGN")
        ]
        rows, columns = np.nonzero(np.abs(pictures[0] - pictures[1]).max(-1))
        x0, y0, x1, y1 = sign_box(signs[0], 640)
        assert x0 <= columns.min() and columns.max() < x1 and y0 <= rows.min() and rows.max() < y1
        assert x1 - x0 == pytest.approx(2 * signs[0].post.radius * 640, abs=8) and len(rows) > 20


def test_the_annotated_box_is_full_of_the_sign(drawn):
    """A limit sign without its tilt is a disc of 78 % of its box, red, yellow or black; grey posts and firs are not."""
    photos, boxes, _ = index(drawn)
    for photo in photos:
        if photo.name in boxes:
            x0, y0, x1, y1 = map(int, boxes[photo.name])
            red, green, blue = develop(photo.path)[y0:y1, x0:x1].astype(int).transpose(2, 0, 1)
            vivid = (red - blue > 45) & (red >= green)
            assert vivid.mean() > 0.35, photo.name


def test_posts_do_not_touch_and_do_not_depend_on_their_number():
    for seed in range(20):
        posts = draw_posts(seed, 4)
        assert draw_posts(seed, 1) == posts[:1]
        for a in posts:
            assert all(np.hypot(a.x - b.x, a.y - b.y) > a.radius + b.radius for b in posts if b is not a)


def test_a_blurred_sign_is_a_blurred_one():
    post = draw_posts(3, 1)[0]._replace(tilt=0.0, light=1.0)
    sharp, soft = (
        np.asarray(render(3, 640, [Sign(post, "50_SIGN", blurred)]).crop(sign_box(Sign(post, "50_SIGN"), 640)))
        for blurred in (False, True)
    )
    edges = [np.abs(np.diff(picture.astype(int), axis=1)).mean() for picture in (sharp, soft)]
    assert edges[1] < 0.7 * edges[0]


def test_an_interrupted_stand_in_goes_on_to_the_same_files(drawn, tmp_path):
    write_standin(tmp_path, 160, (20, 20))
    path = next((tmp_path / "Set1" / "Set1Part0").glob("*7.jpg"))
    path.unlink()
    (tmp_path / "Set2" / "annotations.txt").unlink()
    write_standin(tmp_path, 160, (20, 20))
    names = [p.relative_to(drawn) for p in drawn.rglob("*") if p.is_file()]
    assert len(names) == 44 + 3
    assert all((tmp_path / name).read_bytes() == (drawn / name).read_bytes() for name in names)


def test_the_stand_in_keeps_away_from_other_files(tmp_path):
    write_set(tmp_path)
    with pytest.raises(UserError, match="holds the Swedish traffic signs already, name another folder"):
        write_standin(tmp_path, 160, (20, 20))
    assert (tmp_path / "Set1" / "annotations.txt").read_text() == annotations("Set1")


def test_another_stand_in_needs_another_folder(drawn):
    with pytest.raises(UserError, match=r"holds a stand-in made from .*, name another folder"):
        write_standin(drawn, 160, (20, 24))


def test_the_task_opens_the_stand_in_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(signs_standin, "FOLDER", tmp_path)
    monkeypatch.setattr(signs_standin, "SIZES", {"quick": (64, (8, 4))})
    open_speed_limits.cache_clear()
    split = open_split("speed_limits", "train", profile="quick")
    assert split.protocol == "stand-in for the Swedish speed limits, drawn, 64 x 64, 4 classes"
    batch = split.draw(8, 0, 0)
    assert sorted(batch.labels.tolist()) == [0, 0, 1, 1, 2, 2, 3, 3] and batch.boxes is None
    open_speed_limits.cache_clear()
    assert open_split("speed_limits", "test", profile="quick").take(torch.arange(4)).labels.sum() == 6
    with pytest.raises(UserError, match="no split 'validation'"):
        open_split("speed_limits", "validation", profile="quick")
    next((tmp_path / "quick" / "Set1" / "Set1Part0").glob("*.jpg")).write_bytes(b"damaged")
    (tmp_path / "quick" / "stores" / "64" / BOXES).unlink()
    (tmp_path / "quick" / "stores" / "64" / "journal.jsonl").unlink()
    open_speed_limits.cache_clear()
    with pytest.raises(UserError, match="the stand-in is damaged, delete"):
        open_split("speed_limits", "train", profile="quick")
    open_speed_limits.cache_clear()
