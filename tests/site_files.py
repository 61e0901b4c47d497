"""A site on this machine for the tests of downloads: it serves a folder."""

import os
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


class Site(ThreadingHTTPServer):
    """``asked`` keeps (path, Range) of every request; the next ``cut`` answers break off after half of their bytes."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), partial(Request, directory=os.fspath(folder)))
        self.url, self.asked, self.cut = f"http://127.0.0.1:{self.server_port}", [], 0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Request(SimpleHTTPRequestHandler):
    def do_GET(self):
        wanted, path = self.headers.get("Range"), Path(self.translate_path(self.path))
        self.server.asked.append((self.path, wanted))
        if not path.is_file():
            return self.send_error(404)
        content = path.read_bytes()
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        body = content[start:]
        self.wfile.write(body[: len(body) // 2] if self.server.cut else body)
        self.server.cut = max(self.server.cut - 1, 0)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(monkeypatch):
    """Folder -> a site that serves it until the test ends."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    sites = []
    yield lambda folder: sites.append(Site(folder)) or sites[-1]
    for site in sites:
        site.shutdown()
        site.server_close()
