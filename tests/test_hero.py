"""The README's figure and film: the gaze arrives where the model looked, frames become a GIF of the asked length."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageSequence
from test_explore import KIND, TINY

import vsacc.look.film as hero
from vsacc.figures.hero import gif
from vsacc.saccader import Saccader
from vsacc.tasks.base import ClutteredSplit
from vsacc.tasks.cluttered import TASKS


def test_the_gaze_arrives_at_every_place():
    where = np.array([[0.3, 0.5, -0.5], [0.2, -0.4, 0.1]])
    way = hero.travel(where, 8)
    assert way.shape == (2, 8, 3)
    np.testing.assert_allclose(way[:, -1], where)
    start = np.array([1.0, 0.0, 0.0])
    half = way[0, 3]  # half of the time is half of the way, smoothly
    np.testing.assert_allclose(half, [np.sqrt(0.3), 0.25, -0.25])
    assert np.abs(way[0, 0] - start).max() < np.abs(way[0, 3] - way[0, 2]).max()


def test_gif_shows_every_frame_for_its_time():
    frames = [np.full((10, 20, 3), grey, np.uint8) for grey in (0, 128, 255)]
    film = Image.open(BytesIO(gif(frames, [0.1, 0.5, 0.2])))
    shown = [(frame.info["duration"], frame.convert("L").getpixel((3, 3))) for frame in ImageSequence.Iterator(film)]
    assert [duration for duration, _ in shown] == [100, 500, 200]
    assert [grey for _, grey in shown] == pytest.approx([0, 128, 255], abs=4)
    assert film.size == (20, 10) and film.info["loop"] == 0


def test_the_command_writes_both(tmp_path, monkeypatch, digits):
    model = Saccader(TINY, KIND.labels).eval()
    monkeypatch.setattr(hero, "open_trained", lambda name: (model, {"task": "identification"}))
    monkeypatch.setattr(hero, "open_split", lambda task, split: ClutteredSplit(TASKS[task], digits))
    monkeypatch.setattr(hero.Explorer, "first_telling", lambda self: 1)
    monkeypatch.setattr(hero, "REPORTS", tmp_path)
    monkeypatch.setattr(hero, "SIDE", 200)
    monkeypatch.setattr(hero, "PICTURES", 1)
    monkeypatch.setattr(hero, "BETWEEN", 3)
    hero.main()
    film = Image.open(tmp_path / "saccades.gif")
    assert film.n_frames == TINY.glimpses * 3
    assert (tmp_path / "hero.png").read_bytes().startswith(b"\x89PNG")
