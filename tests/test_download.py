"""Downloads from a server on this machine that breaks off, stalls, lies and forgets."""

import hashlib
import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest

from vsacc.images import download as module
from vsacc.images.download import Job, download_all
from vsacc.local.paths import file_size

CONTENT = bytes(range(256)) * 2000  # 512,000 bytes, no two blocks of 100 alike in place
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT under every name. ``faults`` are taken one a request; ``asked`` keeps (name, Range, agent)."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Request)
        self.faults, self.asked, self.release = [], [], threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Request(BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append((unquote(self.path), wanted, self.headers["User-Agent"]))
        fault = self.server.faults.pop(0) if self.server.faults else ""
        if fault.isdecimal():
            return self.send_error(int(fault))
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and fault != "ignore range" else 0
        total = len(CONTENT) + (9 if fault == "length too long" else 0)
        given = start + 7 if fault == "other range" else start
        body = CONTENT[given:]
        self.send_response((206 if body else 416) if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {f'{given}-{total - 1}' if body else '*'}/{total}")
        if fault != "no length":
            self.send_header("Content-Length", str(max(total - given, 0)))
        self.end_headers()
        cut = {"cut": 200_000, "drop": 0, "stall": 100_000}.get(fault, len(body))
        self.wfile.write(body[:cut])
        self.wfile.flush()
        if fault == "stall":
            self.server.release.wait(20)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(module, "WAITS", (0, 0, 0))
    monkeypatch.setattr(module, "STALL", 0.3)
    server = Server()
    yield server
    server.release.set()
    server.shutdown()
    server.server_close()


def fetched(url, path, size=None, sha256=None) -> str:
    """Why the file could not be had, "" where it is there as the server holds it."""
    reason = "".join(failure.reason for failure in download_all([Job(url, path, size, sha256)]))
    assert bool(reason) != (path.exists() and path.read_bytes() == CONTENT)
    return reason


def ranges(server: Server) -> list[str | None]:
    return [wanted for _, wanted, _ in server.asked]


def listed(folder):
    return [name for name in os.listdir(folder) if name != ".lock"]


@pytest.mark.parametrize("name", ["a4125-jmacdscf0006 (1).tif", "a1138-2004-06-24 05-55-28 CRW_2024.dng", "50%25.tif"])
def test_a_whole_file_arrives_once_whatever_its_name(server, tmp_path, name):
    path = tmp_path / "new folder" / name
    for _ in range(2):
        assert not fetched(f"{server.url}/img/{name}", path, len(CONTENT), SHA256)
    assert listed(path.parent) == [name] and len(server.asked) == 1
    assert server.asked[0][0] == f"/img/{unquote(name)}" and "vsacc" in server.asked[0][2]


@pytest.mark.parametrize("fault, times, step", [("cut", 2, 200_000), ("stall", 5, 100_000)])
def test_a_broken_transfer_goes_on_where_it_stopped(server, tmp_path, monkeypatch, fault, times, step):
    """Each of these answers brings something, so the tries are renewed and their end is never reached."""
    monkeypatch.setattr(module, "WAITS", (0,))
    server.faults = [fault] * times
    assert not fetched(f"{server.url}/a", tmp_path / "a")
    assert ranges(server) == [None, *(f"bytes={k * step}-" for k in range(1, times + 1))]


@pytest.mark.parametrize("answer", ["ignore range", "other range"])
def test_only_the_bytes_asked_for_are_appended(server, tmp_path, answer):
    server.faults = ["cut", answer]
    assert not fetched(f"{server.url}/a", tmp_path / "a")
    assert ranges(server) == [None, "bytes=200000-", None][: 2 if answer == "ignore range" else 3]


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_a_part_that_is_whole_needs_its_name_only_and_one_too_long_starts_again(server, tmp_path, size):
    (tmp_path / "a.part").write_bytes(CONTENT)
    assert not fetched(f"{server.url}/a", tmp_path / "a", size)
    assert ranges(server) == ([] if size else [f"bytes={len(CONTENT)}-"]), "with a known size nobody is asked"
    (tmp_path / "b.part").write_bytes(CONTENT + b"more")
    assert not fetched(f"{server.url}/b", tmp_path / "b", size)


@pytest.mark.parametrize("fault", ["drop", "500", "503", "429", "no length", "length too long"])
def test_faults_that_may_pass_are_tried_again_and_end_in_one_sentence(server, tmp_path, fault):
    server.faults = [fault] * 3
    assert not fetched(f"{server.url}/a", tmp_path / "a")
    assert len(server.asked) == 4
    server.faults = [fault] * 9
    told = fetched(f"{server.url}/b", tmp_path / "b")
    assert re.fullmatch(r"http://.*/b did not arrive .*, run this again to go on\.", told)
    assert not fault.isdecimal() or f"({fault} " in told
    assert len(server.asked) == 8 and not (tmp_path / "b").exists()


@pytest.mark.parametrize("code", ["404", "403", "410"])
def test_what_is_not_there_is_asked_for_once(server, tmp_path, code):
    server.faults = [code]
    assert f"cannot be had ({code}" in fetched(f"{server.url}/a", tmp_path / "a")
    assert len(server.asked) == 1 and not listed(tmp_path)


def test_another_file_is_refused(server, tmp_path):
    told = fetched(f"{server.url}/a", tmp_path / "a", 5)
    assert f"has {len(CONTENT)} bytes instead of 5, so it is another file" in told
    assert "has a wrong sha256" in fetched(f"{server.url}/a", tmp_path / "a", len(CONTENT), "0" * 64)
    assert not listed(tmp_path), "neither the file nor a part that no byte would mend"


def test_nobody_listens_or_a_place_cannot_be_written(server, tmp_path):
    assert "Connection refused), run this again" in fetched("http://127.0.0.1:9/a", tmp_path / "a")
    (tmp_path / "a.part").symlink_to("/dev/full")
    assert "did not arrive ([Errno 28] No space left" in fetched(f"{server.url}/a", tmp_path / "a")


def test_two_who_want_the_same_file_fetch_it_once(server, tmp_path):
    server.faults = ["stall"]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda _: fetched(f"{server.url}/a", tmp_path / "a"), range(2))) == ["", ""]
    assert ranges(server) == [None, "bytes=100000-"]


def test_many_files_and_a_list_of_those_that_failed(server, tmp_path):
    server.faults = ["404"]
    jobs = [Job(f"{server.url}/{n}", tmp_path / str(n), len(CONTENT)) for n in range(10)]
    (failure,) = download_all(jobs, workers=1)
    assert failure.final and f"{jobs[0].url} cannot be had (404" in failure.reason
    assert all(job.path.read_bytes() == CONTENT for job in jobs[1:])
    assert download_all(jobs, workers=3) == [] and jobs[0].path.exists(), "only what is missing is asked for"
    assert len(server.asked) == 11


def test_a_server_that_is_gone_is_not_asked_for_every_file(server, tmp_path):
    server.faults = ["500"] * 1000
    jobs = [Job(f"{server.url}/{n}", tmp_path / str(n)) for n in range(100)]
    failures = download_all(jobs, workers=2)
    assert len(failures) == 100 and not any(failure.final for failure in failures)
    assert len(server.asked) < 60
    server.faults = ["404"] * 30
    assert sum(failure.final for failure in download_all(jobs[:40], workers=2)) == 30, "404 speaks for one file"


def test_a_kill_at_any_time_loses_nothing(server, tmp_path):
    """SIGKILL in the middle of a stalled transfer: no file under the final name, and the rest comes later."""
    server.faults = ["stall"]
    code = "import sys; from vsacc.images.download import *; download_all([Job(sys.argv[1], Path(sys.argv[2]))])"
    url, path = f"{server.url}/a", tmp_path / "a"
    process = subprocess.Popen([sys.executable, "-c", code, url, path])
    while not file_size(tmp_path / "a.part"):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    have = file_size(tmp_path / "a.part")
    assert not path.exists() and 0 < have <= 100_000
    assert not fetched(url, path, len(CONTENT), SHA256)
    assert ranges(server)[-1] == f"bytes={have}-"
