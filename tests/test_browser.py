"""The notebook in JupyterLab, in a real browser: sliders answer to keyboard and mouse, and as the model would."""

import os
from pathlib import Path

import nbformat
import pytest
from chromium import TOKEN, chromium_page, find_chromium, jupyter_lab, wait_for

from vsacc.local.paths import NOTEBOOKS
from vsacc.look.explorer import Explorer
from vsacc.look.pictures import FixedTest
from vsacc.tasks.base import kind_of, open_split
from vsacc.training.weights import open_trained

NOTEBOOK = "05_saccades.ipynb"
pytestmark = pytest.mark.skipif(not find_chromium(), reason="no Chromium here: apt-get install chromium")

# The command of a notebook that is not active yet, or has no kernel yet, does nothing and says so nowhere.
READY = """
[...window.jupyterapp?.shell.widgets('main') ?? []].forEach(notebook => jupyterapp.shell.activateById(notebook.id));
window.jupyterapp?.commands.isEnabled('notebook:run-all-cells')
  && document.querySelector('.jp-Toolbar-kernelName')?.textContent.startsWith('Python')
  && document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'
"""
PAINTED = """
document.querySelector('.jp-Notebook-ExecutionIndicator').dataset.status === 'idle'
  && [...document.images].every(one => one.complete) && new Promise(done => setTimeout(done, 300, true))
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


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The notebook, opened and run."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "notebooks").mkdir()
    copy = nbformat.read(NOTEBOOKS / NOTEBOOK, as_version=4)
    copy.metadata.pop("widgets", None)
    for cell in copy.cells:  # without outputs: what the page shows was made by this kernel
        cell.update({"outputs": [], "execution_count": None} if cell.cell_type == "code" else {})
    nbformat.write(copy, folder / "notebooks" / NOTEBOOK)
    quick = {"VSACC_PROFILE": "quick", "VSACC_REPORTS": str(folder / "reports"), "OMP_NUM_THREADS": "1"}
    with jupyter_lab(folder, **quick) as lab, chromium_page(folder, f"{lab}doc/tree/{NOTEBOOK}?token={TOKEN}") as page:
        wait_for("the notebook and its kernel are there", lambda: page.evaluate(READY))
        page.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
        wait_for("it has run", lambda: "wrote 05_saccades.json" in printed(page))
        there = "document.querySelectorAll('.jp-OutputArea-output img.widget-image[src^=blob]').length == 2"
        wait_for("both panels are there", lambda: page.evaluate(there))
        page.evaluate(HELPERS)
        yield page


@pytest.fixture(scope="module")
def known():
    """The explorer of the notebook and the picture its panel opens with."""
    model, card = open_trained("identification-laptop-seed0")
    kind, split = kind_of(card["task"]), open_split(card["task"], "test")
    explorer = Explorer(model, FixedTest(split, kind.classes), kind.classes)
    return explorer, explorer.pictures[explorer.first_telling()]


def printed(page):
    """All that the notebook's cells have printed. Fails where one has raised."""
    error = page.evaluate("document.querySelector('[data-mime-type*=\"jupyter.error\"]')?.textContent")
    assert not error, error
    return page.evaluate("[...document.querySelectorAll('.jp-OutputArea-output')].map(o => o.textContent).join('')")


def settled(page, change, what):
    """Do ``change`` and wait until the words have changed; the picture's digest after it."""
    before = page.evaluate("words()"), page.evaluate("picture()")
    change()
    wait_for(what, lambda: page.evaluate("picture()") != before[1])
    return page.evaluate("picture()")


def drag_to_end(page, name, end):
    """Drag a slider's handle past its end. False where that missed: a picture that is just redrawn moves all below."""
    box = "JSON.parse(JSON.stringify({}.getBoundingClientRect()))"
    page.evaluate(f"handle('{name}').scrollIntoView({{block: 'center'}})")
    grip, track = page.evaluate(box.format(f"handle('{name}')")), page.evaluate(box.format(f"slider('{name}')"))
    start = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
    page.drag(start, (track["x"] if end < 0 else track["x"] + track["width"], start[1]))
    return page.evaluate(f"readout('{name}').replace('\u2212', '-')") == f"{end:.2f}"  # a minus sign, not a hyphen


def test_the_step_slider_answers_to_the_keyboard(page, known):
    explorer, picture = known
    assert page.evaluate("readout('step t')") == "1"
    page.evaluate("handle('step t').focus()")
    settled(page, lambda: page.press("ArrowRight"), "the second step is drawn")
    assert page.evaluate("readout('step t')") == "2"
    right = explorer.classes[picture.truth]
    wait_for("the words follow", lambda: page.evaluate("words()") == f"says {right}")
    settled(page, lambda: page.press("ArrowLeft"), "the first step is drawn again")
    assert page.evaluate("readout('step t')") == "1"


def test_dragging_the_glimpse_to_a_wrong_place_changes_the_class(page, known):
    explorer, picture = known
    last = explorer.trained - 1
    page.evaluate("handle('step t').focus()")
    settled(page, lambda: page.press("ArrowRight"), "the last step is drawn")
    wait_for("it is read right", lambda: page.evaluate("words()") == f"says {explorer.classes[picture.truth]}")

    # A corner from which the model itself, asked here, says something else.
    s = explorer.look(picture).where[last, 0]
    corners = [(x, y) for x in (-1, 1) for y in (-1, 1)]
    said = {corner: explorer.look(picture, {last: (s, *corner)}).posterior[last].argmax() for corner in corners}
    wrong = next(corner for corner, called in said.items() if called != picture.truth)
    before = page.evaluate("picture()")
    for name, end in zip(("x", "y"), wrong, strict=True):
        wait_for(f"{name} is dragged to its end", lambda name=name, end=end: drag_to_end(page, name, end))
    wait_for("the class changes", lambda: page.evaluate("words()") == f"says {explorer.classes[said[wrong]]}")
    assert page.evaluate("picture()") != before
    if "VSACC_SCREENSHOT" in os.environ:
        wait_for("all moves are answered and painted", lambda: page.evaluate(PAINTED))
        page.screenshot(Path(os.environ["VSACC_SCREENSHOT"]))
