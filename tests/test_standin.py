"""The stand-in: what tells the class, what does not, the files, and how tasks open it."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from vsacc.sampler import build_pyramid, glimpse, halve, proxy
from vsacc.tasks import colon, find_task, speed_limits, standin
from vsacc.tasks.standin import FIVEK, RADIUS, SPLITS, plan, quotas, render, shares, subject_box

KINDS, PAIRS = range(6), [(0, 1), (2, 5), (3, 4)]
COUNTS = (8, 6, 7)


@pytest.fixture(autouse=True)
def tiny(tmp_path, monkeypatch):
    """Profile quick is small, and what is drawn on first use goes elsewhere."""
    monkeypatch.setitem(FIVEK.sizes, "quick", (256, COUNTS))
    monkeypatch.setattr(standin, "DOWNLOADS", tmp_path)


def images(*pictures):
    """uint8 (S, S, 3) pictures -> (B, 3, S, S)."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("side", [256, 352, 640])  # whole, broken and half cells to a pixel of the level that is read
def test_the_proxy_does_not_show_the_class(side):
    for seed in range(1 if side == 640 else 2):
        scenes = images(*(render(seed, side, kind) for kind in (*KINDS, None)))
        seen = proxy(build_pyramid(scenes), 32) * 255  # (7, 3, 32, 32)
        assert (seen - seen[:1]).abs().max() < 1
        left, top, right, bottom = (int((edge + 1) * side / 2) for edge in subject_box(seed))
        textures = (scenes[:6].float() - scenes[6].float())[..., top:bottom, left:right]
        contrast = textures.square().mean((1, 2, 3)).sqrt()
        assert contrast.min() > 12 and contrast.max() < 1.1 * contrast.min()
        assert all((textures[kind] - textures[other]).square().mean().sqrt() > 15 for kind, other in PAIRS)


def test_a_glimpse_of_48_pixels_shows_the_class():
    """Over a third of the side the texture keeps its contrast; a glimpse of everything has lost it."""
    scenes = images(*(render(3, 256, kind) for kind in KINDS))
    box = torch.tensor(subject_box(3))
    near = torch.cat([torch.tensor([0.3]), (box[:2] + box[2:]) / 2]).repeat(len(KINDS), 1)
    far = torch.tensor([[1.0, 0, 0]]).repeat(len(KINDS), 1)
    pyramid = build_pyramid(scenes)
    contrast = [glimpse(pyramid, where, 48).std(0).amax().item() for where in (near, far)]
    assert contrast[0] > 0.15 and contrast[1] < contrast[0] / 3


@pytest.mark.parametrize("kinds", [(1, 2), (None, 0)])
def test_the_class_shows_on_the_subject_alone_and_the_box_is_tight(kinds):
    """Where two textures differ is the subject: its extent is the box, to a pixel or two of the soft edge."""
    side = 640
    differs = (render(8, side, kinds[0]) != render(8, side, kinds[1])).any(-1)
    rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
    found = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) * 2 / side - 1
    assert np.abs(found - subject_box(8)).max() < 6 / side


def test_another_side_is_the_same_scene():
    small, large = images(render(2, 256, 4)), images(render(2, 512, 4))
    other = images(render(3, 256, 4)).float()
    apart = (small.float() - halve(large).float()).abs().mean()
    assert apart < 7  # edges fall on other pixels, and only the larger holds the finest grain
    assert (other - small).abs().mean() > 5 * apart


def test_scenes_have_the_spectrum_of_photographs():
    """Amplitude falls as 1/f^a with a near 1 (Field 1987), over the frequencies from 4 to 64 periods a side."""
    f = np.hypot(np.fft.fftfreq(256, 1 / 256)[:, None], np.arange(129))
    bands = np.digitize(f, np.geomspace(4, 64, 9))
    power = np.mean([np.abs(np.fft.rfft2(render(seed, 256, 0).mean(-1))) ** 2 for seed in range(4)], 0)
    level = [np.sqrt(power[bands == band].mean()) for band in range(1, 9)]
    centre = [f[bands == band].mean() for band in range(1, 9)]
    slope = np.polyfit(np.log(centre), np.log(level), 1)[0]
    assert -1.6 < slope < -0.7


def test_places_do_not_depend_on_the_class_and_fill_the_image():
    boxes = np.array([subject_box(seed) for seed in range(600)])
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    assert np.abs(boxes).max() < 1
    reach = 1 - 2.6 * RADIUS[1]  # of the centres
    counts = np.histogram2d(*centres.T, bins=2, range=[[-1.1 * reach, 1.1 * reach]] * 2)[0]
    assert counts.sum() == 600 and (np.abs(counts - 150) < 5 * np.sqrt(150)).all()
    assert 3.2 * RADIUS[0] < sizes.min() and sizes.max() < 4.8 * RADIUS[1]  # round to a fifth


@pytest.mark.parametrize("side", [256, 352, 640, 2528])
def test_shares_are_what_the_proxy_does(side):
    image = np.random.default_rng(0).integers(256, size=(side, side), dtype=np.uint8)
    expected = proxy(build_pyramid(torch.from_numpy(image)[None, None]), 32)[0, 0].numpy() * 255
    found = shares(side) @ image.astype(np.float32) @ shares(side).T
    assert np.abs(found - expected).max() < 1  # the pyramid rounds at every level


def test_classes_have_their_shares():
    frequencies = list(FIVEK.classes.values())
    assert quotas(5000, frequencies).tolist() == frequencies
    assert quotas(480, frequencies).tolist() == [3, 29, 179, 105, 35, 129]
    assert quotas(16, frequencies).tolist() == [1, 1, 6, 3, 1, 4]
    for what in (FIVEK, speed_limits.STANDIN, colon.STANDIN):
        assert set(what.sizes) == {"quick", "laptop", "paper"} and len(what.textures) == len(what.classes)
        for side, counts in what.sizes.values():
            scenes = plan(what, counts)
            assert side % 32 == 0 and [int(name[1:5]) for name in scenes] == [*range(1, sum(counts) + 1)]
            assert len({scene.seed for scene in scenes.values()}) == len(scenes)
            for split, count in zip(SPLITS, counts, strict=True):
                labels = [scene.label for scene in scenes.values() if scene.split == split]
                shown = np.bincount(labels, minlength=len(what.classes)).tolist()
                assert shown == quotas(count, list(what.classes.values())).tolist()
                assert labels != sorted(labels) or not count


def test_the_pictures_are_those_of_the_committed_rows():
    """To a level, which another machine's cosine may cost: weights and rows were made from them."""
    red = [47, 57, 70, 87, 116, 78, 71, 61, 116, 149, 143, 94, 198, 172, 50, 101, 107, 188, 141, 31]
    assert np.abs(render(0, 256, 1)[100:180:20, 150:250:20, 0].ravel().astype(int) - red).max() <= 1
    assert subject_box(0) == [0.11821, -0.02653, 0.75029, 0.65743]


def test_two_processes_may_want_it_first(tmp_path):
    code = f"from vsacc.tasks import find_task, standin; standin.FIVEK.sizes['quick'] = (256, {COUNTS}); "
    command = [sys.executable, "-c", code + "print(len(find_task('mit5k').open('train', profile='quick')))"]
    environment = os.environ | {"VSACC_DATA": str(tmp_path)}
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["8\n", "8\n"]
    assert len(list(tmp_path.rglob("images.u8"))) == 1


def test_the_task_opens_it_and_says_so(tmp_path, capsys):
    standin.prepare("quick")
    assert capsys.readouterr().out == "the stand-in for FiveK is whole: 8 + 6 + 7 images of 256 x 256\n"
    split = find_task("mit5k").open("test", profile="quick")
    assert split.protocol == "stand-in for MIT-Adobe FiveK, drawn, 256 x 256, 6 classes"
    batch, scenes = split.take(torch.arange(7)), [s for s in plan(FIVEK, COUNTS).values() if s.split == "test"]
    assert np.allclose(batch.boxes[:, 0], [subject_box(scene.seed) for scene in scenes])
    assert batch.labels.tolist() == [scene.label for scene in scenes]
    first = images(render(scenes[0].seed, 256, scenes[0].label))
    error = (batch.images.level(0)[:1].int() - first.int()).abs()
    assert error.max() <= 2 and error.float().mean() < 0.1  # ten bits of ProPhoto on the way


def test_an_interrupted_run_goes_on_to_the_same_store(tmp_path):
    FIVEK.open("quick")
    store = next(tmp_path.rglob("images.u8"))
    whole = hashlib.sha256(store.read_bytes()).digest()
    (store.parent / "manifest.json").unlink()
    journal = store.parent / "journal.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:9]))
    store.rename(store.parent / "images.u8.part")
    FIVEK.open("quick")
    assert hashlib.sha256(store.read_bytes()).digest() == whole


@pytest.mark.parametrize(
    ("task", "what", "counts", "data", "sizes"),
    [
        ("speed_limits", speed_limits.STANDIN, (8, 0, 4), "the Swedish speed limits", {"train": 8, "test": 4}),
        ("colon:3", colon.STANDIN, (20, 0, 0), "colon cancer", {"train": 16, "validation": 2, "test": 2}),
    ],
)
def test_it_stands_in_for_the_others_too(monkeypatch, task, what, counts, data, sizes):
    monkeypatch.setitem(what.sizes, "quick", (256, counts))
    seen, classes = [], len(what.classes)
    for split, size in sizes.items():
        batch = find_task(task).open(split, profile="quick").take(torch.arange(size))
        assert batch.labels.bincount().tolist() == [size // classes] * classes and batch.boxes.shape == (size, 1, 4)
        seen += batch.boxes.flatten(1).tolist()
    boxes = sorted(subject_box(scene.seed) for scene in plan(what, counts).values())
    assert np.allclose(sorted(seen), boxes), "each once"
    protocol = find_task(task).open("test", profile="quick").protocol
    assert protocol.startswith(f"stand-in for {data}") and protocol.endswith(f"drawn, 256 x 256, {classes} classes")
