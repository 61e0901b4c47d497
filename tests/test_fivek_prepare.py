"""FiveK from a server on this machine to a training store."""

import os
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from fivek_files import PHOTOS, write_labels
from photo_files import smooth, write_dng

from vsacc.images import download
from vsacc.images.develop import develop_square
from vsacc.images.store_read import open_store
from vsacc.local.paths import UserError
from vsacc.tasks.base import fivek
from vsacc.tasks.fivek import find_files, prepare, store_folder
from vsacc.tasks.fivek_labels import CLASSES


class Site(ThreadingHTTPServer):
    """The two sites on this machine, serving a folder."""

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), partial(Quiet, directory=os.fspath(folder)))
        self.url, self.asked = f"http://127.0.0.1:{self.server_port}", []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Quiet(SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    """FiveK in small on a server: labels, expert C's TIFFs, ProPhoto without saying so, and the DNGs."""
    folder = tmp_path / "site"
    write_labels(folder)
    for part in ("dng", "tiff16_c"):
        (folder / part).mkdir()
    for n, name in enumerate(PHOTOS):
        pixels = np.roll(smooth(60, 90), 10 * n, 1).astype(np.uint16) * 257
        tifffile.imwrite(folder / "tiff16_c" / f"{name}.tif", pixels, photometric="rgb")
        write_dng(folder / "dng" / f"{name}.dng", pixels[..., 1] // 4, orientation=6)
    server = Site(folder)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "WAITS", (0,))
    monkeypatch.setattr(fivek, "SITE", server.url)
    monkeypatch.setattr(fivek, "LABELS", server.url)
    sums = {path.name: (path.stat().st_size, download.sha256_of(path)) for path in folder.glob("*.json")}
    monkeypatch.setattr(fivek, "LABEL_FILES", sums)
    yield server, folder
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("source", ["c", "dng"])
def test_prepare_fetches_and_develops(site, tmp_path, source):
    server, folder = site
    root = tmp_path / "root"
    assert prepare(root, source, 64, None, None, workers=2) == 0
    assert len(server.asked) == 3 + len(PHOTOS)
    store = open_store(store_folder(root, source, 64))
    assert set(store.names) == set(PHOTOS) and tuple(store.classes) == CLASSES
    path = next(folder.glob(f"{'dng' if source == 'dng' else 'tiff16_c'}/a1384*"))
    place = list(store.names).index("a1384-dvf_095")
    stored = store.images(torch.tensor([place])).level(0)[0]
    assert np.array_equal(np.asarray(stored), develop_square(path, 64, prophoto=source == "c"))
    assert prepare(root, source, 64, None, None, workers=2) == 0
    assert len(server.asked) == 3 + len(PHOTOS), "all is here"


def test_prepare_goes_on_with_a_larger_limit_and_takes_one_class(site, tmp_path):
    server, _ = site
    root = tmp_path / "root"
    assert prepare(root, "c", 64, None, 2, workers=1) == 0
    assert len(server.asked) == 3 + 2 == 3 + len(find_files(root, "c"))
    assert prepare(root, "c", 64, None, 4, workers=1) == 0
    assert len(server.asked) == 3 + 4 and len(open_store(store_folder(root, "c", 64)).names) == 4
    assert prepare(root, "c", 64, "people", None, workers=1) == 0
    assert open_store(store_folder(root, "c", 64, "people")).names == ("a1138-2004-06-24 05-55-28 CRW_2024",)


def test_prepare_says_which_photographs_it_could_not_have(site, tmp_path, capsys):
    _, folder = site
    (folder / "tiff16_c" / "a0002-dgw_005.tif").unlink()
    cut = folder / "tiff16_c" / "a0003-NKIM_MG_8178.tif"
    cut.write_bytes(cut.read_bytes()[:5000])
    assert prepare(tmp_path / "root", "c", 64, None, None, workers=2) == 1
    told = capsys.readouterr().out
    assert "a0002-dgw_005.tif cannot be had (404" in told
    assert "a0003-NKIM_MG_8178.tif cannot be read (it is cut short)" in told
    assert len(open_store(store_folder(tmp_path / "root", "c", 64)).names) == 3


def test_prepare_develops_nothing_while_the_network_is_down(site, tmp_path, monkeypatch, capsys):
    server, _ = site
    root = tmp_path / "root"
    write_labels(root)
    monkeypatch.setattr(fivek, "SITE", "http://127.0.0.1:9")
    assert prepare(root, "c", 64, None, None, workers=2) == 1
    assert "5 of 5 photographs are missing, run this again to go on." in capsys.readouterr().out
    assert not (root / "stores").exists()
    monkeypatch.setattr(fivek, "SITE", server.url)
    assert prepare(root, "c", 64, None, None, workers=2) == 0


def test_labels_with_another_checksum_are_refused(site, tmp_path, monkeypatch):
    _, folder = site
    text = (folder / "testing.json").read_text()
    (folder / "testing.json").write_text(text.replace("abstract", "tcartsba"))
    with pytest.raises(UserError, match=r"testing\.json has a wrong sha256"):
        prepare(tmp_path / "root", "c", 64, None, None, workers=1)
    assert not (tmp_path / "root" / "testing.json").exists()


def test_nothing_is_fetched_for_a_stand_in(site, tmp_path):
    server, _ = site
    write_labels(tmp_path / "root", licence="stand-in")
    with pytest.raises(UserError, match=r"lacks 5 pictures of the stand-in, draw them with .*standin"):
        prepare(tmp_path / "root", "c", 64, None, None, workers=1)
    assert not server.asked


def test_a_disk_that_is_too_small_is_found_out_before(site, tmp_path, monkeypatch):
    server, _ = site
    write_labels(tmp_path / "root")
    monkeypatch.setitem(fivek.MEAN, "tif", 1e18)
    with pytest.raises(UserError, match=r"the 5 files to fetch take about .* GB free, use --limit or another --root"):
        prepare(tmp_path / "root", "c", 64, None, None, workers=1)
    assert not server.asked


@pytest.mark.parametrize("wrong", [["--limit", "0"], ["--side", "-1"], ["--source", "f"], ["--only-class", "cars"], []])
def test_wrong_options_are_told_before_anything_happens(monkeypatch, tmp_path, wrong):
    command = ["fivek", *(["prepare"] if wrong else []), *wrong, "--root", os.fspath(tmp_path / "root")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as caught:
        fivek.main()
    assert caught.value.code == 2 and not (tmp_path / "root").exists()
