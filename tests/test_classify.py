"""One photograph through a model and into a picture; every wrong command line is one sentence."""

import sys
from dataclasses import asdict

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from PIL import Image

from vsacc.figures.photographs import looked_at
from vsacc.figures.style import to_png
from vsacc.local.paths import UserError
from vsacc.look.classify import classify, draw, main
from vsacc.look.pictures import open_picture
from vsacc.saccader import Config, Output, Saccader
from vsacc.sampler import build_pyramid
from vsacc.training.weights import save_weights

RNG = np.random.default_rng(0)
SMALL = {"hidden": 8, "features": 8, "proxy_widths": (4, 4), "crop_widths": (4, 8)}
NAMES = [f"class {k}" for k in range(10)]


def saccader(channels, glimpses=2):
    torch.manual_seed(0)
    return Saccader(Config(channels=channels, glimpses=glimpses, **SMALL), torch.arange(10)).eval()


def photograph(height, width):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def opened(tmp_path):
    """Opens an array as the photograph that it becomes in a file."""

    def open_array(image, channels):
        Image.fromarray(image).save(tmp_path / "photo.png")
        return open_picture(tmp_path / "photo.png", channels)

    return open_array


def test_verdict_is_the_models_own_in_the_order_of_probability(opened):
    model, image = saccader(3), photograph(300, 200)
    verdict = classify(model, opened(image, 3).images, NAMES)
    with torch.no_grad():
        output = model(build_pyramid(torch.tensor(image).permute(2, 0, 1)[None]))
    expected = dict(zip(NAMES, output.logits[0].softmax(-1).tolist(), strict=True))
    assert dict(verdict.ranking) == pytest.approx(expected)
    assert [name for name, _ in verdict.ranking] == sorted(NAMES, key=expected.get, reverse=True)
    assert torch.equal(verdict.where, output.where[0]) and torch.equal(verdict.glimpses, output.glimpses[0])


def test_colour_is_kept_for_three_channels_and_weighed_for_one(opened):
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 0], image[0, 1], image[1, 2] = (255, 0, 0), (0, 255, 0), (10, 20, 30)
    grey = opened(image, 1).images.level(0)[0, 0]
    # 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)
    assert grey.tolist() == [[76, 150, 0], [0, 0, 18]]
    colour = opened(image, 3).images.level(0)[0]
    assert colour[:, 1, 2].tolist() == [10, 20, 30] and colour[:, 0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (700, 40)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_and_aspect(opened, shape, channels):
    images = opened(photograph(*shape), channels).images
    verdict = classify(saccader(channels, glimpses=5), images, NAMES)
    assert sum(p for _, p in verdict.ranking) == pytest.approx(1, abs=1e-5)
    assert verdict.glimpses.isfinite().all()


def test_five_glimpses_of_a_narrow_photograph_are_drawn(opened):
    picture = opened(photograph(40, 700), 3)
    assert draw(picture, classify(saccader(3, glimpses=5), picture.images, NAMES)).startswith(b"\x89PNG")


def test_model_without_glimpses_is_drawn_too(opened):
    blind = lambda images: Output(torch.tensor([[0.0, 2.0, 1.0]]), None, None, {})  # noqa: E731
    picture = opened(photograph(50, 50), 3)
    verdict = classify(blind, picture.images, ["a", "b", "c"])
    assert [name for name, _ in verdict.ranking] == ["b", "c", "a"]
    assert draw(picture, verdict).startswith(b"\x89PNG")


def test_picture_has_frames_glimpses_and_bars_where_they_belong():
    where, seen = np.array([[0.5, 0.1, -0.2], [0.25, -0.5, 0.5]]), RNG.random((2, 8, 8, 3))
    figure = looked_at(photograph(20, 40), 0.5, where, seen, ["cat", "dog"], [0.7, 0.2], "a title")
    image, first, second, bars = figure.get_axes()
    frames = [patch for patch in image.patches if isinstance(patch, Rectangle)]
    assert (*frames[0].get_xy(), frames[0].get_width()) == pytest.approx((-0.4, -0.7, 1.0))
    assert image.get_aspect() == first.get_aspect() == 0.5
    for axes, frame, glimpse in zip((first, second), frames, seen, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), glimpse)
        assert axes.spines["left"].get_edgecolor()[:3] == pytest.approx(frame.get_edgecolor()[:3])
    assert [bar.get_width() for bar in bars.patches] == [0.7, 0.2]
    assert [label.get_text() for label in bars.get_yticklabels()] == ["cat", "dog"]
    assert to_png(figure).startswith(b"\x89PNG")


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs the command line where a model called "tiny" is among the committed ones."""
    monkeypatch.setattr("vsacc.training.weights.WEIGHTS", tmp_path)
    card = {"task": "one_digit", "model": "saccader", "config": asdict(saccader(1).config), "classes": NAMES}
    save_weights(saccader(1), card, tmp_path / "tiny.safetensors")
    Image.fromarray(photograph(90, 120)).save(tmp_path / "photo.png")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["classify", *map(str, arguments)])
        main()

    return run


def test_command_prints_the_classes_and_writes_the_picture(command, tmp_path, capsys):
    command(tmp_path / "photo.png", "--weights", "tiny", "--out", tmp_path / "new" / "picture.png")
    first, *lines, last = capsys.readouterr().out.splitlines()
    assert first == "photo.png, 120 x 90, seen by tiny:"
    assert last.startswith("where it looked: ")
    shares = [float(line.split()[-2]) for line in lines]
    assert len(lines) == 5 and shares == sorted(shares, reverse=True)
    assert all(" ".join(line.split()[:2]) in NAMES for line in lines)
    assert Image.open(tmp_path / "new" / "picture.png").format == "PNG"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("gone.png", "--weights", "tiny"), r"gone\.png cannot be read \(No such file"),
        (("photo.png", "--weights", "huge"), r"huge\.safetensors has no card huge\.json"),
        (("photo.png", "--weights", "tiny", "--out", "a.jpg"), r"the picture is a PNG file, give --out a\.png"),
        (("photo.png", "--weights", "tiny", "--out", "photo.png/a.png"), "cannot be written"),
        (("tiny.json", "--weights", "tiny"), r"tiny\.json cannot be read"),
    ],
)
def test_wrong_command_is_one_sentence(command, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence) as raised:
        command(*arguments)
    assert "\n" not in str(raised.value)
