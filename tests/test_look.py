"""``vsacc look`` and the README's pictures: what is printed, what is drawn, and one sentence for whatever is wrong."""

import os
import shutil
from argparse import Namespace
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from vsacc.figures.explorer import gif
from vsacc.local.paths import UserError
from vsacc.look import film
from vsacc.look.look import command
from vsacc.saccader import Config, Saccader
from vsacc.sampler import build_pyramid
from vsacc.systems import find_system
from vsacc.tasks import find_task
from vsacc.training.weights import load, save_weights

RNG = np.random.default_rng(0)
TINY = Config(hidden=8, features=8, proxy_widths=(4, 4), crop_widths=(4, 8))
NAMES = [f"class {k}" for k in range(10)]


@pytest.fixture
def look(tmp_path, monkeypatch):
    """The command, in a folder with photographs, where untrained systems are among the committed weights."""
    monkeypatch.setattr("vsacc.training.weights.WEIGHTS", tmp_path)
    monkeypatch.setattr("vsacc.look.look.WEIGHTS", "saccader")
    monkeypatch.chdir(tmp_path)
    for system, task, more in (("saccader", "one_digit", {"classes": NAMES}), ("proxy_only", "megapixel_multi", {})):
        torch.manual_seed(0)
        model = find_system(system).build(replace(TINY, glimpses=5), find_task(task).question)
        card = {"task": task, "model": system, "config": asdict(model.config), **more}
        save_weights(model, card, tmp_path / f"{system}.safetensors")
    for name, shape in (("photo", (90, 120, 3)), ("$50 or $70", (40, 700, 3))):
        Image.fromarray(RNG.integers(256, size=shape, dtype=np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "same.png").symlink_to("photo.png")

    def run(*images, weights=None, out=None, stop=None):
        return command(Namespace(images=[*map(Path, images)], weights=weights, out=out and Path(out), stop=stop))

    return run


def shares(lines):
    return [float(line.split()[-2]) for line in lines]


def test_command_stops_when_it_is_sure(look, capsys):
    assert look("photo.png", "same.png", stop=0.01) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "seen by" in line] == [
        "photo.png, 120 x 90, seen by saccader in 1 of 5 glimpses:",
        "same.png, 120 x 90, seen by saccader in 1 of 5 glimpses:",
    ]
    assert look("photo.png", stop=1.0) == 0 and "in 5 of 5 glimpses" in capsys.readouterr().out
    for weights, stop, told in ((None, 95.0, "such as 0.95, not 95"), ("proxy_only", 0.5, "does not stop by itself")):
        with pytest.raises(UserError, match=told):
            look("photo.png", weights=weights, stop=stop)


def test_command_prints_the_classes_and_writes_the_picture(look, capsys):
    assert look("photo.png", out="new/picture.png") == 0
    first, *lines, last = capsys.readouterr().out.splitlines()
    assert first == "photo.png, 120 x 90, seen by saccader:" and last == "where it looked: new/picture.png"
    assert len(lines) == 5 and shares(lines) == sorted(shares(lines), reverse=True) and sum(shares(lines)) < 100
    assert all(" ".join(line.split()[:2]) in NAMES for line in lines)
    assert Image.open("new/picture.png").format == "PNG"

    model, pixels = load("saccader.safetensors"), np.array(Image.open("photo.png").convert("L"))
    with torch.no_grad():
        output = model(build_pyramid(torch.from_numpy(pixels)[None, None]))
    expected = 100 * output.logits[0].softmax(-1).sort(descending=True).values[:5]
    np.testing.assert_allclose(shares(lines), expected, atol=0.0051)


def test_questions_of_yes_and_no_are_not_shares_of_one(look, capsys):
    assert look("photo.png", weights="proxy_only", out="picture.png") == 0
    found = shares(capsys.readouterr().out.splitlines()[1:-1])
    assert all(0 <= share <= 100 for share in found) and sum(found) > 150
    assert Image.open("picture.png").format == "PNG"  # without glimpses


def test_one_bad_file_among_several_is_passed_over(look, capsys):
    assert look("gone.png", "$50 or $70.png", "saccader.json", "photo.png") == 2
    out, err = capsys.readouterr()
    seen = [line.split(", ")[0] for line in out.splitlines() if "seen by" in line]
    assert seen == ["$50 or $70.png", "photo.png"]
    assert [line.split(" cannot")[0] for line in err.splitlines()] == ["vsacc: gone.png", "vsacc: saccader.json"]
    assert look("photo.png", "same.png") == 0


@pytest.mark.parametrize("name", [b"caf\xe9.png", "\u732b.png".encode()])
def test_names_of_any_bytes_are_printed_and_drawn(look, capsys, name):
    try:
        shutil.copy(b"photo.png", name)
    except OSError:
        pytest.skip("this disk has no such names")
    assert look(os.fsdecode(name), out="picture.png") == 0
    assert capsys.readouterr().out.startswith(name.decode(errors="replace") + ", 120 x 90, seen by")
    assert Image.open("picture.png").format == "PNG"


def test_the_picture_of_a_wide_image_is_wide(look, monkeypatch):
    figures = []
    monkeypatch.setattr("vsacc.look.look.to_png", lambda figure: figures.append(figure) or b"")
    look("$50 or $70.png", out="picture.png")
    image, proxy, *glimpses, bars = figures[0].get_axes()
    assert image.get_title() == "image x, 700 x 40 pixels" and len(glimpses) == 5
    assert {axes.get_aspect() for axes in (image, proxy, *glimpses)} == {1 / 3}
    assert len({axes.spines["left"].get_edgecolor() for axes in glimpses}) == 5
    assert {text.get_text() for text in bars.texts} >= {*NAMES}


@pytest.mark.parametrize(
    ("images", "options", "sentence"),
    [
        (["photo.png"], {"weights": "huge"}, r"huge\.safetensors has no card huge\.json"),
        (["photo.png"], {"out": "a.jpg"}, r"the picture is a PNG file, give --out a\.png"),
        (["photo.png"], {"out": "photo.png/a.png"}, "cannot be written"),
        (["photo.png"], {"out": "./photo.png"}, r"photo\.png is not an earlier picture of where a model looked"),
        (["photo.png"], {"out": "same.png"}, r"same\.png is not an earlier picture of where a model looked"),
        (["photo.png", "same.png"], {"out": "a.png"}, "the picture of one image, name one instead of 2"),
    ],
)
def test_wrong_command_is_one_sentence(look, images, options, sentence):
    before = Path("photo.png").read_bytes()
    with pytest.raises(UserError, match=sentence) as raised:
        look(*images, **options)
    assert "\n" not in str(raised.value) and Path("photo.png").read_bytes() == before


def test_the_gaze_arrives_at_every_place():
    where = np.array([[0.3, 0.5, -0.5], [0.2, -0.4, 0.1]])
    way = film.travel(where, 8)
    assert way.shape == (2, 8, 3)
    np.testing.assert_allclose(way[:, -1], where)
    np.testing.assert_allclose(way[0, 3], [np.sqrt(0.3), 0.25, -0.25])  # half of the time is half of the way, smoothly
    assert np.abs(way[0, 0] - (1, 0, 0)).max() < np.abs(way[0, 3] - way[0, 2]).max()


def test_gif_shows_every_frame_for_its_time():
    frames = [np.full((10, 20, 3), grey, np.uint8) for grey in (0, 128, 255)]
    found = Image.open(BytesIO(gif(frames, [0.1, 0.5, 0.2])))
    shown = [(frame.info["duration"], frame.convert("L").getpixel((3, 3))) for frame in ImageSequence.Iterator(found)]
    assert [duration for duration, _ in shown] == [100, 500, 200]
    assert [grey for _, grey in shown] == pytest.approx([0, 128, 255], abs=4)
    assert found.size == (20, 10) and found.info["loop"] == 0


def test_the_readmes_pictures_are_written(tmp_path, monkeypatch, digits):
    model = Saccader(TINY, find_task("identification").question).eval()
    small = {"ENLARGED": "identification", "REPORTS": tmp_path, "PICTURES": 1, "BETWEEN": 3}
    for name, value in {"load": lambda name: model, **small}.items():
        monkeypatch.setattr(film, name, value)
    monkeypatch.setattr(film.Explorer, "first_telling", lambda self: 1)
    film.command()
    assert Image.open(tmp_path / "saccades.gif").n_frames == TINY.glimpses * 3
    assert (tmp_path / "hero.png").read_bytes().startswith(b"\x89PNG")
