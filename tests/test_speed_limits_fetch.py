"""Swedish speed limits from a server on this machine to a training store."""

import hashlib
import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from speed_files import KEPT, SETS, annotations, write_zip

from vsacc.images import download
from vsacc.local.paths import UserError
from vsacc.tasks.base import open_split, speed_limits
from vsacc.tasks.speed_limits import open_speed_limits, prepare


class Site(ThreadingHTTPServer):
    """The university on this machine. ``cut`` answers break off after half of the bytes that were asked for."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), partial(Request, directory=os.fspath(folder)))
        self.url, self.asked, self.cut = f"http://127.0.0.1:{self.server_port}", [], 0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Request(SimpleHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        path = self.translate_path(self.path)
        if not os.path.isfile(path):
            return self.send_error(404)
        content = open(path, "rb").read()
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        body = content[start:]
        if self.server.cut and self.path.endswith("zip"):
            self.server.cut -= 1
            body = body[: len(body) // 2]
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Both sets in small on a server, the second site of two; its counts and sums count as the published ones."""
    folder = tmp_path / "site"
    for part in SETS:
        write_zip(folder / part / f"{part}Part0.zip", part)
        (folder / part / "annotations.txt").write_text(annotations(part))
    server = Site(folder)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "WAITS", (0,))
    monkeypatch.setattr(speed_limits, "SITES", (f"{server.url}/moved", server.url))
    monkeypatch.setattr(speed_limits, "COUNTS", (3, 2))
    monkeypatch.setattr(speed_limits, "FOLDER", tmp_path / "data")
    sums = {part: hashlib.md5(annotations(part).encode()).hexdigest() for part in SETS}
    monkeypatch.setattr(speed_limits, "MD5", sums)
    open_speed_limits.cache_clear()
    yield server, folder, tmp_path / "data"
    open_speed_limits.cache_clear()
    server.shutdown()
    server.server_close()


def zips(server):
    return [wanted for path, wanted in server.asked if path == "/Set1/Set1Part0.zip"]


def test_prepare_fetches_unpacks_and_develops(site, capsys):
    server, _, data = site
    assert prepare(data, 64) == 0
    told = capsys.readouterr().out
    assert "Swedish speed limits, 3 + 2 frames, in" in told and "another file" not in told
    wanted = {name.split("/")[1] for name in KEPT}
    assert {path.name for path in data.rglob("*.jpg")} == wanted, "the frames of the task and no others"
    store, boxes = open_speed_limits("laptop")
    assert set(store.names) == set(KEPT) and store.sizes[0] == (64, 64) and boxes.isfinite().any()
    asked = len(server.asked)
    assert prepare(data, 64) == 0 and len(server.asked) == asked, "all is here"
    split = open_split("speed_limits", "test", profile="laptop")
    assert split.protocol == "Swedish speed limits, 3 + 2 frames, 64 x 64, 4 classes"
    assert split.take(torch.arange(2)).labels.tolist() == [3, 2]


def test_a_zip_that_breaks_off_goes_on(site):
    server, folder, data = site
    size = (folder / "Set1" / "Set1Part0.zip").stat().st_size
    server.cut = 1
    assert prepare(data, 64) == 0
    assert zips(server) == [None, f"bytes={size // 2}-"]


def test_a_zip_that_broke_off_for_good_goes_on_with_the_next_run(site):
    server, folder, data = site
    size = (folder / "Set1" / "Set1Part0.zip").stat().st_size
    head = data / "Set1" / "Set1Part0.zip.part"
    head.parent.mkdir(parents=True)
    head.write_bytes((folder / "Set1" / "Set1Part0.zip").read_bytes()[: size // 3])
    assert prepare(data, 64) == 0
    assert zips(server) == [f"bytes={size // 3}-"] and not head.exists()


@pytest.mark.parametrize("where", ["Set1/Set1Part0.zip", "Set1Part0.zip", "Set1.zip"])
def test_a_zip_that_is_there_is_not_fetched(site, where):
    server, _, data = site
    write_zip(data / where, "Set1", inside="Set1Part0/../deep/")
    assert prepare(data, 64) == 0 and not zips(server)
    assert not (data / "deep").exists()


def test_a_damaged_zip_is_one_sentence(site):
    _, _, data = site
    path = data / "Set1.zip"
    write_zip(path, "Set1")
    content = bytearray(path.read_bytes())
    content[100:400] = bytes(300)
    for damaged in (bytes(content), bytes(content[:500]), b"<html>moved</html>"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"Set1\.zip is damaged \(.*\), delete it and run this again\.$"):
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
    write_zip(folder / "Set1" / "Set1Part0.zip", "Set1", names=["1277381616Image000001.jpg"])
    other = data.with_name("other")
    assert prepare(other, 64) == 1
    assert "Swedish speed limits, 1 + 2 frames instead of the published 3 + 2, in" in capsys.readouterr().out


def test_other_counts_are_told_though_nothing_is_missing(site, monkeypatch, capsys):
    monkeypatch.setattr(speed_limits, "COUNTS", (4, 2))
    assert prepare(site[2], 64) == 1
    assert "Swedish speed limits, 3 + 2 frames instead of the published 4 + 2, in" in capsys.readouterr().out
    assert "instead of the published 4 + 2" in open_speed_limits("laptop").store.source, "and so in every record"


def test_a_site_that_has_gone_is_one_sentence(site):
    _, folder, data = site
    (folder / "Set2" / "annotations.txt").unlink()
    with pytest.raises(UserError, match=r"cannot be fetched \(.*404.*\), or put Set2/annotations.txt into .* by hand"):
        prepare(data, 64)


def test_files_without_a_store_are_not_replaced_by_the_stand_in(site):
    _, _, data = site
    write_zip(data / "Set1.zip", "Set1")
    with pytest.raises(UserError, match="are there and no store of them, make it with python -m"):
        open_speed_limits("laptop")
