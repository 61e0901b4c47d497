"""A headless Chromium and a JupyterLab for the browser test, on loopback and with all their files in one folder."""

import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
    "--remote-debugging-port=0", "--window-size=1300,1500",
)  # fmt: skip
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},  # no network, no toast
    "notebook-extension/tracker": {"windowingMode": "none"},  # every cell is in the document, seen or not
}
TOKEN = "loopback"
PATIENCE = 150  # seconds until a condition that does not come is a failure; a busy machine is slow
VIRTUAL_KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "Home": 36, "End": 35}


def find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def wait_for(what: str, condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """The first true answer of ``condition``; fails after ``seconds`` without one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.2)
    raise AssertionError(f"{what}: nothing after {seconds} s")


@contextmanager
def running(command: list[str], log: Path, **variables: str) -> Iterator[subprocess.Popen]:
    """A program that is ended with the block, its own children too."""
    with log.open("wb") as output:
        program = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | variables, start_new_session=True, cwd=log.parent
        )
    try:
        yield program
    finally:
        program.terminate()
        try:
            program.wait(15)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


@contextmanager
def jupyter_lab(folder: Path, **variables: str) -> Iterator[str]:
    """JupyterLab over folder/notebooks; yields its address, which ends in a slash. Nothing is written elsewhere."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name, values in SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values))
    places = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    places |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "spaces")}
    command = [
        sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={folder / 'notebooks'}", "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip
    address = f"http://127.0.0.1:{port}/"
    with running(command, folder / "jupyter.log", **places, **variables) as server:

        def answers() -> bool:
            assert server.poll() is None, (folder / "jupyter.log").read_text()[-2000:]
            try:
                return urllib.request.urlopen(f"{address}api/status?token={TOKEN}", timeout=5).status == 200
            except OSError:
                return False

        wait_for("JupyterLab starts", answers)
        yield address


class Page:
    """One page of Chromium, driven through its DevTools protocol."""

    def __init__(self, address: str):
        self.socket = websocket.create_connection(address, timeout=PATIENCE, suppress_origin=True)
        self.count = 0

    def call(self, method: str, **arguments: Any) -> dict:
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": arguments}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == self.count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; of what it resolves to where it is a promise."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def press(self, key: str) -> None:
        """A key for whatever has the focus."""
        for kind in ("rawKeyDown", "keyUp"):
            code = VIRTUAL_KEYS[key]
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """The left button pressed at ``start``, moved to ``end`` and released, in pixels of the window."""
        stops = [tuple(a + (b - a) * share for a, b in zip(start, end, strict=True)) for share in (0.3, 0.7, 1)]
        for kind, (x, y) in [("mousePressed", start), *(("mouseMoved", s) for s in stops), ("mouseReleased", end)]:
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def chromium_page(folder: Path, url: str) -> Iterator[Page]:
    """Chromium with one page open at ``url``. What fails inside leaves failed.png in the folder."""
    profile = folder / "chromium"
    command = [find_chromium(), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    with running(command, folder / "chromium.log", HOME=str(folder)):
        port_file = profile / "DevToolsActivePort"
        port = wait_for("Chromium starts", lambda: port_file.exists() and port_file.read_text().split()[:1])[0]
        pages = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=PATIENCE))
        page = Page(next(target["webSocketDebuggerUrl"] for target in pages if target["type"] == "page"))
        page.call("Emulation.setFocusEmulationEnabled", enabled=True)  # of no window: JupyterLab asks what has it
        page.call("Page.navigate", url=url)
        try:
            yield page
        except AssertionError:
            page.screenshot(folder / "failed.png")
            raise
        page.call("Browser.close")
