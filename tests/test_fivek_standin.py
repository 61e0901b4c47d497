"""The FiveK stand-in: what tells the class, what does not, and the files."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
import torch

from vsacc.images.develop import develop
from vsacc.local.paths import UserError
from vsacc.sampler import build_pyramid, glimpse, halve, proxy
from vsacc.tasks import find_task, fivek_standin, photographs
from vsacc.tasks.fivek_standin import RADIUS, SIZES, SUBJECTS, plan, quotas, render, shares, subject_box, write_standin
from vsacc.tasks.mit5k import CLASSES, describe, index

KINDS = range(len(SUBJECTS))
TINY = (256, (8, 6, 7))


def images(*pictures):
    """uint8 (S, S, 3) pictures -> (B, 3, S, S)."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("standin")
    write_standin(root, *TINY)
    return root


@pytest.mark.parametrize("side", [256, 352, 640])  # whole, broken and half cells to a pixel of the level that is read
def test_the_proxy_does_not_show_the_class(side):
    for seed in range(1 if side == 640 else 2):
        scenes = images(*(render(seed, side, kind) for kind in KINDS))
        seen = proxy(build_pyramid(scenes), 32) * 255  # (6, 3, 32, 32)
        assert (seen - seen[:1]).abs().max() < 1
        left, top, right, bottom = (int((edge + 1) * side / 2) for edge in subject_box(seed))
        for kind, other in [(0, 1), (2, 5), (3, 4)]:
            apart = (scenes[kind].float() - scenes[other].float())[:, top:bottom, left:right]
            assert apart.square().mean().sqrt() > 15


def test_a_glimpse_of_48_pixels_shows_the_class():
    """Over a third of the side the texture keeps its contrast; a glimpse of everything has lost it."""
    scenes = images(*(render(3, 256, kind) for kind in KINDS))
    box = torch.tensor(subject_box(3))
    near = torch.cat([torch.tensor([0.3]), (box[:2] + box[2:]) / 2]).repeat(len(KINDS), 1)
    far = torch.tensor([[1.0, 0, 0]]).repeat(len(KINDS), 1)
    pyramid = build_pyramid(scenes)
    contrast = [glimpse(pyramid, where, 48).std(0).amax().item() for where in (near, far)]
    assert contrast[0] > 0.15 and contrast[1] < contrast[0] / 3


def test_the_class_shows_on_the_subject_alone_and_the_box_is_tight():
    """Where two textures differ is the subject: its extent is the box, to a pixel or two of the soft edge."""
    side = 640
    differs = (render(8, side, 1) != render(8, side, 2)).any(-1)
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


def test_textures_are_evened_out():
    side, rng, weights = 352, np.random.default_rng(0), shares(352)
    y, x = (np.mgrid[:side, :side] - 177.5) / side
    cover = (np.hypot(x, y) < 0.1).astype(np.float32)
    for kind in KINDS:
        values = fivek_standin.texture(kind, (x + 1j * y) / 0.029, rng)
        field = fivek_standin.even_out(values, cover, weights, weights)
        assert np.abs(weights @ field @ weights.T).max() < 0.004  # half a level of the subject's colour
        assert field[cover > 0].std() == pytest.approx(fivek_standin.CONTRAST, rel=0.01)
        assert (field[cover == 0] == 0).all() and np.abs(field).max() < 0.75


@pytest.mark.parametrize("side", [256, 352, 640, 2528])
def test_shares_are_what_the_proxy_does(side):
    image = np.random.default_rng(0).integers(256, size=(side, side), dtype=np.uint8)
    expected = proxy(build_pyramid(torch.from_numpy(image)[None, None]), 32)[0, 0].numpy() * 255
    found = shares(side) @ image.astype(np.float32) @ shares(side).T
    assert np.abs(found - expected).max() < 1  # the pyramid rounds at every level


def test_classes_have_fiveks_shares():
    assert quotas(5000).tolist() == list(SUBJECTS.values())
    assert quotas(480).tolist() == [3, 29, 179, 105, 35, 129]
    assert quotas(16).tolist() == [1, 1, 6, 3, 1, 4]
    for _, counts in SIZES.values():
        splits = plan(counts, seed=0)
        assert [len(scenes) for scenes in splits.values()] == list(counts)
        for scenes, count in zip(splits.values(), counts, strict=True):
            kinds = [scene.kind for scene in scenes]
            assert np.bincount(kinds).tolist() == quotas(count).tolist() and kinds != sorted(kinds)
        together = [scene for scenes in splits.values() for scene in scenes]
        assert [int(scene.path[20:24]) for scene in together] == list(range(1, sum(counts) + 1))
        assert len({scene.seed for scene in together}) == len(together)


def test_records_are_fiveks(folder):
    for split, scenes in plan(TINY[1], 0).items():
        records = json.loads((folder / f"{split}.json").read_text())
        assert [record["urls"]["tiff16"]["c"] for record in records.values()] == [scene.path for scene in scenes]
        for name, record in records.items():
            assert set(record) == {"urls", "categories", "id", "license", "camera", "subject_box"}
            assert name == f"a{record['id']:04d}-standin"
            assert set(record["categories"]) == {"location", "time", "light", "subject"}
            assert record["license"] == "stand-in" and record["camera"]["make"] == "stand-in"


def test_files_hold_the_scene_in_prophoto(folder):
    profiles = set()
    for scene in plan(TINY[1], 0)["training"][:3]:
        with tifffile.TiffFile(folder / scene.path) as tiff:
            page = tiff.pages.first
            assert page.dtype == np.uint16 and page.shape == (256, 256, 3)
            profiles.add(page.iccprofile)
        error = np.abs(develop(folder / scene.path).astype(int) - render(scene.seed, 256, scene.kind))
        assert error.max() <= 2 and error.mean() < 0.1  # ten bits of ProPhoto
    assert len(profiles) == 1 and profiles.pop()[24:36] == bytes(12), "the same bytes on every day"


def test_the_loader_of_fivek_reads_it(folder):
    photos = {photo.path: photo for photo in index(folder, "c")}
    assert "stand-in" in describe(folder, "c")
    for split, scenes in plan(TINY[1], 0).items():
        for scene in scenes:
            photo = photos.pop(folder / scene.path)
            assert split.startswith(photo.split)
            assert CLASSES[photo.label].replace("None", "unknown") == list(SUBJECTS)[scene.kind]
    assert not photos


def test_the_pictures_are_those_of_the_committed_rows():
    """To a level, which another machine's cosine may cost: weights and rows were made from them."""
    red = [47, 57, 70, 87, 116, 78, 71, 61, 116, 149, 143, 94, 198, 172, 50, 101, 107, 188, 141, 31]
    assert np.abs(render(0, 256, 1)[100:180:20, 150:250:20, 0].ravel().astype(int) - red).max() <= 1
    assert subject_box(0) == [0.11821, -0.02653, 0.75029, 0.65743]


def test_a_run_goes_on_where_it_was_killed(folder, tmp_path):
    """And ends with the same bytes, though two processes drew them."""
    code = "from pathlib import Path; from vsacc.tasks.fivek_standin import write_standin as write; "
    code += f"write(Path({str(tmp_path)!r}), *{TINY!r})"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    while process.poll() is None and len(list(tmp_path.rglob("*.tif"))) < 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.tif")}
    assert 3 <= len(written) < sum(TINY[1])
    write_standin(tmp_path, *TINY)
    assert all(path.stat().st_mtime_ns == time_ for path, time_ in written.items())
    assert {name: value for name, value in contents(tmp_path).items() if name.suffix != ".tmp"} == contents(folder)


def write_process(scene):
    scene.kind.joinpath(scene.path).write_text(str(os.getpid()))


def test_much_work_is_done_by_other_processes(tmp_path, monkeypatch):
    scenes = [photographs.Scene(f"{number}.txt", 0, tmp_path) for number in range(8)]
    photographs.draw_standin(tmp_path, {}, "data", {}, scenes[:4], write_process, 1)
    monkeypatch.setattr(photographs, "FEW", 0)
    photographs.draw_standin(tmp_path, {}, "data", {}, scenes, write_process, 1)
    processes = [int((tmp_path / scene.path).read_text()) for scene in scenes]
    assert set(processes[:4]) == {os.getpid()} and os.getpid() not in processes[4:]


def test_two_processes_may_want_it_first(tmp_path):
    code = f"from vsacc.tasks import find_task, fivek_standin; fivek_standin.SIZES['quick'] = {TINY!r}; "
    command = [sys.executable, "-c", code + "print(len(find_task('mit5k').open('train', profile='quick')))"]
    environment = os.environ | {"VSACC_DATA": str(tmp_path)}
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["8\n", "8\n"]
    assert len(list(tmp_path.rglob("*.tif"))) == sum(TINY[1])


def test_the_task_opens_it_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fivek_standin, "FOLDER", tmp_path)
    monkeypatch.setitem(SIZES, "quick", TINY)
    fivek_standin.prepare("quick")
    assert capsys.readouterr().out == f"the stand-in for FiveK is whole: 8 + 6 + 7 images in {tmp_path / 'quick'}\n"
    split = find_task("mit5k").open("test", profile="quick")
    assert split.protocol == "stand-in for MIT-Adobe FiveK, drawn, 256 x 256, 6 classes"
    batch, scenes = split.take(torch.arange(7)), plan(TINY[1], 0)["testing"]
    assert np.allclose(batch.boxes[:, 0], [subject_box(scene.seed) for scene in scenes])
    assert batch.labels.tolist() == [scene.kind for scene in scenes]
    first = images(render(scenes[0].seed, 256, scenes[0].kind))
    assert (batch.images.level(0)[:1].int() - first.int()).abs().max() <= 2
    (tmp_path / "quick" / scenes[0].path).write_bytes(b"damaged")
    for name in ("manifest.json", "journal.jsonl"):
        (tmp_path / "quick" / "stores" / "c-256" / name).unlink()
    for _ in range(2):
        with pytest.raises(UserError, match="the stand-in is damaged, delete"):
            find_task("mit5k").open("train", profile="quick")


def test_what_is_there_is_not_overwritten(folder, tmp_path):
    with pytest.raises(UserError, match="another folder"):
        write_standin(folder, *TINY, seed=1)
    (tmp_path / "training.json").write_text("{}")
    with pytest.raises(UserError, match="holds FiveK"):
        write_standin(tmp_path, *TINY)
    assert (tmp_path / "training.json").read_text() == "{}"


@pytest.mark.parametrize("side, counts", [(100, (8, 6, 7)), (270, (8, 6, 7)), (256, (8, 5, 7))])
def test_what_cannot_be_drawn_is_said(side, counts, tmp_path):
    with pytest.raises(UserError, match=r"choose|ask for more"):
        write_standin(tmp_path, side, counts)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_before_the_work(tmp_path, monkeypatch):
    usage = photographs.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(photographs.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="needs"):
        write_standin(tmp_path, *TINY)
    assert not list(tmp_path.rglob("*.tif"))
