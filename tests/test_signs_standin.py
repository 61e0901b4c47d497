"""The stand-in for the Swedish speed limits: its pictures, its files, and the way through the loader."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from vsacc.local.paths import UserError
from vsacc.sampler import build_pyramid, proxy
from vsacc.tasks import open_split, signs_standin
from vsacc.tasks.signs_standin import LIMITS, OTHERS, Scene, plan, render, signs_of, write_standin
from vsacc.tasks.speed_limits import index


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    root = tmp_path_factory.mktemp("drawn")
    write_standin(root, 160, (20, 20))
    return root


def test_the_stand_in_goes_through_the_loader(drawn):
    photos, told = index(drawn)
    assert not told
    for split in ("train", "test"):
        assert np.bincount([p.label for p in photos if p.split == split]).tolist() == [5, 5, 5, 5]


def test_only_the_inside_of_the_sign_tells_the_limit():
    """Another limit on the same sign changes pixels of its box only, and hardly what is seen from afar."""
    for seed in range(6):
        scenes = [Scene("", seed, limit) for limit in LIMITS]
        assert len({sign._replace(name="") for scene in scenes for sign in signs_of(scene)[:1]}) == 1, "one place"
        sign = signs_of(scenes[0])[0]
        pictures = np.stack([render(seed, 640, [sign._replace(name=name)]) for name in LIMITS]).astype(int)
        rows, columns = np.nonzero(np.ptp(pictures, 0).max(-1))
        for found, middle in ((rows, sign.y), (columns, sign.x)):
            assert (middle - sign.radius) * 640 - 1 < found.min() and found.max() < (middle + sign.radius) * 640 + 1
        seen = proxy(build_pyramid(torch.from_numpy(pictures.astype(np.uint8)).permute(0, 3, 1, 2)), 16)
        assert len(rows) > 20 and (seen[:1] - seen).abs().max() < 0.06


def test_the_annotated_box_is_full_of_the_sign(drawn):
    """A limit sign is a disc of 78 % of its box, red, yellow or black; grey posts and firs are not."""
    for name in ("Set1", "Set2"):
        for line in (drawn / name / "annotations.txt").read_text().splitlines():
            frame, signs = line.split(":")
            if signs:
                x1, y1, x0, y0 = (round(float(value)) for value in signs.split(",")[1:5])
                picture = np.asarray(Image.open(drawn / name / f"{name}Part0" / frame)).astype(int)
                red, green, blue = picture[y0:y1, x0:x1].transpose(2, 0, 1)
                assert ((red - blue > 45) & (red >= green)).mean() > 0.35, line


def test_signs_do_not_touch_and_are_of_every_kind():
    scenes = [scene for seed in range(20) for scene in plan("Set1", 20, seed)]
    for scene in scenes:
        for a, b in itertools.combinations(signs_of(scene), 2):
            assert np.hypot(a.x - b.x, a.y - b.y) > a.radius + b.radius
    assert {sign.name for scene in scenes for sign in signs_of(scene)} == {*LIMITS, *OTHERS}


def test_an_interrupted_stand_in_goes_on_to_the_same_files(drawn, tmp_path):
    write_standin(tmp_path, 160, (20, 20))
    path = next((tmp_path / "Set1" / "Set1Part0").glob("*7.jpg"))
    path.unlink()
    (tmp_path / "Set2" / "annotations.txt").unlink()
    write_standin(tmp_path, 160, (20, 20))
    names = [p.relative_to(drawn) for p in drawn.rglob("*") if p.is_file()]
    assert len(names) == 40 + 3
    assert all((tmp_path / name).read_bytes() == (drawn / name).read_bytes() for name in names)


def test_the_stand_in_keeps_away_from_other_files(drawn, tmp_path):
    (tmp_path / "Set1").mkdir()
    (tmp_path / "Set1" / "annotations.txt").write_text("a.jpg:\n")
    with pytest.raises(UserError, match="holds the Swedish traffic signs already, name another folder"):
        write_standin(tmp_path, 160, (20, 20))
    assert (tmp_path / "Set1" / "annotations.txt").read_text() == "a.jpg:\n"
    with pytest.raises(UserError, match=r"holds a stand-in made from .*, delete it or name another folder"):
        write_standin(drawn, 160, (20, 24))


def test_the_task_opens_the_stand_in_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(signs_standin, "FOLDER", tmp_path)
    monkeypatch.setattr(signs_standin, "SIZES", {"quick": (64, (8, 4))})
    split = open_split("speed_limits", "train", profile="quick")
    assert split.protocol == "stand-in for the Swedish speed limits, drawn, 64 x 64, 4 classes"
    batch = split.draw(8, 0, 0)
    assert sorted(batch.labels.tolist()) == [0, 0, 1, 1, 2, 2, 3, 3] and batch.boxes is None
    assert open_split("speed_limits", "test", profile="quick").take(torch.arange(4)).labels.sum() == 6
    with pytest.raises(UserError, match="no split 'validation'"):
        open_split("speed_limits", "validation", profile="quick")
