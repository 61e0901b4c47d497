"""The notebook in JupyterLab, in a real browser: sliders answer to keyboard and mouse, and as the model would.

A headless Chromium is driven through its DevTools protocol; both servers are on loopback, with all files in one folder.
"""

import base64
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import nbformat
import pytest
import websocket

from vsacc.local.paths import NOTEBOOKS
from vsacc.look.explorer import Explorer, FixedTest
from vsacc.tasks import find_task
from vsacc.training.weights import load

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: apt-get install chromium")

NOTEBOOK = "05_saccades.ipynb"
TOKEN = "loopback"
PATIENCE = 150  # seconds until a condition that does not come is a failure; a busy machine is slow
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
    "--remote-debugging-port=0", "--window-size=1300,1500",
)  # fmt: skip
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},  # no network, no toast
    "notebook-extension/tracker": {"windowingMode": "none"},  # every cell is in the document, seen or not
}
# The command of a notebook that is not active yet, or has no kernel yet, does nothing and says so nowhere.
READY = """
[...window.jupyterapp?.shell.widgets('main') ?? []].forEach(notebook => jupyterapp.shell.activateById(notebook.id));
window.jupyterapp?.commands.isEnabled('notebook:run-all-cells')
  && document.querySelector('.jp-Toolbar-kernelName')?.textContent.startsWith('Python')
  && document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'
"""
HELPERS = """
window.slider = name => [...document.querySelectorAll('.widget-slider')]
  .find(one => one.querySelector('.widget-label')?.textContent === name);
window.handle = name => slider(name).querySelector('.noUi-handle');
window.readout = name => slider(name).querySelector('.widget-readout').textContent;
window.explorer = () => slider('step t').closest('.jp-OutputArea-output');
window.words = () => explorer().querySelector('.widget-html-content b')?.textContent;
window.picture = async () => {
  const bytes = await (await fetch(explorer().querySelector('img').src)).arrayBuffer();
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return [...new Uint8Array(digest)].map(byte => byte.toString(16)).join('-');
};
true
"""


def wait_for(what, condition):
    """The first true answer of ``condition``; fails after a while without one."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.2)
    raise AssertionError(f"{what}: nothing after {PATIENCE} s")


@contextmanager
def running(command, log, **variables):
    """A program that is ended with the block, its own children too."""
    with log.open("wb") as output:
        given = {"stdout": output, "stderr": output, "env": os.environ | variables, "cwd": log.parent}
        program = subprocess.Popen(command, start_new_session=True, **given)
    try:
        yield program
    finally:
        program.terminate()
        try:
            program.wait(15)
        except subprocess.TimeoutExpired:
            program.kill()


@contextmanager
def jupyter_lab(folder, **variables):
    """JupyterLab over folder/notebooks; yields its address, which ends in a slash. Nothing is written elsewhere."""
    for name, values in SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(values))
    places = {f"JUPYTER_{kind}_DIR": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    places |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "spaces")}
    command = [
        sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={folder / 'notebooks'}",
        "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip
    with running(command, folder / "jupyter.log", **places, **variables):
        (told,) = wait_for("JupyterLab starts", lambda: [*(folder / "runtime").glob("jpserver-*.json")])
        yield wait_for("it says where", lambda: told.read_text() and json.loads(told.read_text())["url"])


class Page:
    """One page of Chromium."""

    def __init__(self, address):
        self.socket = websocket.create_connection(address, timeout=PATIENCE, suppress_origin=True)
        self.count = 0

    def call(self, method, **arguments):
        self.count += 1
        self.socket.send(json.dumps({"id": self.count, "method": method, "params": arguments}))
        while (answer := json.loads(self.socket.recv())).get("id") != self.count:
            pass
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def evaluate(self, script):
        """The value of a JavaScript expression; of what it resolves to where it is a promise."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def press(self, key):
        """An arrow key for whatever has the focus."""
        code = {"ArrowRight": 39, "ArrowLeft": 37}[key]
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def drag(self, x, y, end):
        """The left button pressed at x, y and moved sideways to ``end``, in pixels of the window."""
        stops = [("mouseMoved", x + (end - x) * share) for share in (0.3, 0.7, 1)]
        for kind, at in [("mousePressed", x), *stops, ("mouseReleased", end)]:
            self.call("Input.dispatchMouseEvent", type=kind, x=at, y=y, button="left", buttons=1, clickCount=1)


@contextmanager
def chromium_page(folder, url):
    """Chromium with one page open at ``url``. What fails inside leaves failed.png in the folder."""
    profile = folder / "chromium"
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
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
            (folder / "failed.png").write_bytes(base64.b64decode(page.call("Page.captureScreenshot")["data"]))
            raise
        page.call("Browser.close")


@pytest.fixture
def page(tmp_path):
    """The notebook, opened and run."""
    (tmp_path / "notebooks").mkdir()
    copy = nbformat.read(NOTEBOOKS / NOTEBOOK, as_version=4)
    copy.metadata.pop("widgets", None)
    for cell in copy.cells:  # without outputs: what the page shows was made by this kernel
        cell.update({"outputs": [], "execution_count": None} if cell.cell_type == "code" else {})
    nbformat.write(copy, tmp_path / "notebooks" / NOTEBOOK)
    quick = {"VSACC_PROFILE": "quick", "VSACC_REPORTS": str(tmp_path / "reports"), "OMP_NUM_THREADS": "1"}
    place = f"doc/tree/{NOTEBOOK}?token={TOKEN}"
    with jupyter_lab(tmp_path, **quick) as lab, chromium_page(tmp_path, lab + place) as page:
        wait_for("the notebook and its kernel are there", lambda: page.evaluate(READY))
        page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
        wait_for("it has run", lambda: "wrote 05_saccades.json" in printed(page))
        there = "document.querySelectorAll('.jp-OutputArea-output img.widget-image[src^=blob]').length == 2"
        wait_for("both panels are there", lambda: page.evaluate(there))
        page.evaluate(HELPERS)
        yield page


def printed(page):
    """All that the notebook's cells have printed. Fails where one has raised."""
    error = page.evaluate("document.querySelector('[data-mime-type*=\"jupyter.error\"]')?.textContent")
    assert not error, error
    return page.evaluate("[...document.querySelectorAll('.jp-OutputArea-output')].map(o => o.textContent).join('')")


def drag_to_end(page, name, end):
    """Drag a slider's handle to its end. False where that missed: a picture that is just redrawn moves all below."""
    page.evaluate(f"handle('{name}').scrollIntoView({{block: 'center'}})")
    boxes = (f"JSON.parse(JSON.stringify({part}('{name}').getBoundingClientRect()))" for part in ("handle", "slider"))
    grip, track = map(page.evaluate, boxes)
    x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
    page.drag(x, y, track["x"] if end < 0 else track["x"] + track["width"])
    return page.evaluate(f"readout('{name}').replace('\u2212', '-')") == f"{end:.2f}"  # a minus sign, not a hyphen


def test_sliders_answer_to_the_keyboard_and_to_the_mouse(page):
    model = load("identification-laptop-seed0")
    question, split = find_task(model.task).question, find_task(model.task).open("test")
    explorer = Explorer(model, FixedTest(split, question), question)
    picture, last = explorer.pictures[explorer.first_telling()], 1
    assert page.evaluate("readout('step t')") == "1"
    for key, step in (("ArrowRight", "2"), ("ArrowLeft", "1"), ("ArrowRight", "2")):
        page.evaluate("handle('step t').focus()")
        before = page.evaluate("picture()")
        page.press(key)
        wait_for(f"step {step} is drawn", lambda before=before: page.evaluate("picture()") != before)
        assert page.evaluate("readout('step t')") == step
    truth = question.classes[picture.truth]
    right = f"says {truth}, right"
    wait_for("the words follow: it is read right after the last", lambda: page.evaluate("words()") == right)

    # A corner from which the model itself, asked here, says something else.
    s = explorer.look(picture).where[last, 0]
    corners = [(x, y) for x in (-1, 1) for y in (-1, 1)]
    said = {corner: explorer.look(picture, {last: (s, *corner)}).said[last] for corner in corners}
    wrong = next(corner for corner, called in said.items() if called != picture.truth)
    before = page.evaluate("picture()")
    for name, end in zip(("x", "y"), wrong, strict=True):
        wait_for(f"{name} is dragged to its end", lambda name=name, end=end: drag_to_end(page, name, end))
    called = f"says {question.classes[said[wrong]]}, true {truth}"
    wait_for("the class changes", lambda: page.evaluate("words()") == called)
    assert page.evaluate("picture()") != before
