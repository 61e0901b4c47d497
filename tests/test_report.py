"""The report on a tree of tiny notebooks, each executed in a real kernel."""

import base64
import io
import os
import subprocess
import sys
from copy import deepcopy

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from vsacc.local.paths import UserError
from vsacc.report.index import write_index
from vsacc.report.notebooks import execute, figures, find_notebooks, scrub
from vsacc.report.report import notebooks, refresh, report

PICTURE = io.BytesIO()
Image.new("RGB", (40, 20), "teal").save(PICTURE, "PNG")
PNG = base64.b64encode(PICTURE.getvalue()).decode()
SHOW = f"import base64\nfrom IPython.display import Image\nImage(data=base64.b64decode('{PNG}'))"
WRITE = (
    "import json, os, pathlib\n"
    "path = pathlib.Path(os.environ['VSACC_REPORTS'], name + '.json')\n"
    "_ = path.write_text(json.dumps({'results': {'accuracy': 0.98765, 'paper': None}}))"
)


def notebook(name: str, *cells, parameters: str = 'profile: str = "auto"  # quick, laptop or paper'):
    head = new_markdown_cell(f"# The {name} one\n\nIs $x^2 \\ge 0$? See [the next](02_raises.ipynb).")
    tagged = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    return new_notebook(cells=[head, tagged, *cells])


def figure_output():
    return new_output("display_data", data={"image/png": PNG, "text/plain": "<Figure>"})


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """notebooks/ with one notebook that runs well and three that each fail in their own way."""
    folder = tmp_path_factory.mktemp("workbook") / "notebooks"
    folder.mkdir()
    lost = new_code_cell(SHOW, outputs=[figure_output(), figure_output()], execution_count=2)
    all_of_them = {
        "01_good": notebook("good", new_code_cell(SHOW), new_code_cell("name = '01_good'\n" + WRITE)),
        "02_raises": notebook("raising", new_code_cell("1 + 1"), new_code_cell("raise ValueError('no\\nway')")),
        "03_lost": notebook("losing", lost, new_code_cell("name = '03_lost'\n" + WRITE)),
        "04_silent": notebook("silent", new_code_cell("print(profile)")),
    }
    for name, content in all_of_them.items():
        nbformat.write(content, folder / f"{name}.ipynb")
    (folder / "scratch.ipynb").write_text("not one of the workbook")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebooks, "NOTEBOOKS", folder)
        yield folder


@pytest.fixture(scope="module")
def run(tree):
    """The whole tree reported once: (folder, exit code). An earlier run has left a record there."""
    out = tree.parent / "report"
    out.mkdir()
    (out / "04_silent.json").write_text('{"results": {}}')
    return out, report.main(["--profile", "quick", "--out", str(out)])


def test_every_notebook_is_reported_although_some_fail(run):
    out, code = run
    assert code == 1
    names = ("01_good", "02_raises", "03_lost", "04_silent")
    expected = {f"{name}.{kind}" for name in names for kind in ("ipynb", "html")}
    assert set(os.listdir(out)) == expected | {"01_good.json", "03_lost.json", "04_silent.json", "index.html"}


def test_each_failure_is_named(run):
    errors = {path.stem: nbformat.read(path, as_version=4).metadata.vsacc.error for path in run[0].glob("*.ipynb")}
    assert errors == {
        "01_good": None,
        "02_raises": "In [4]: ValueError: no",
        "03_lost": "it shows 1 of the committed notebook's 2 figures",
        "04_silent": "it ended without writing 04_silent.json",
    }


def test_executed_notebook_is_scrubbed_and_got_its_profile(run):
    executed = nbformat.read(run[0] / "04_silent.ipynb", as_version=4)
    assert executed.cells[-1].outputs[0].text == "quick\n"
    assert set(executed.metadata) == {"kernelspec", "language_info", "vsacc"}
    assert not any(set(cell.metadata) - {"tags"} for cell in executed.cells)
    assert str(run[0]) not in (run[0] / "04_silent.ipynb").read_text()


def test_pages_need_no_network_and_no_script(run):
    for path in run[0].glob("*.html"):
        page = path.read_text()
        assert "<script" not in page and "@import" not in page and "url(" not in page
        assert page.count(" src=") == page.count(' src="data:')
        assert "<link" not in page


def test_page_shows_figure_equation_and_links_to_pages(run):
    page = (run[0] / "01_good.html").read_text()
    assert page.count("data:image/png;base64,") == 1
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in page
    assert 'href="02_raises.html"' in page and 'href="index.html"' in page


def test_page_of_a_failure_says_so_in_one_place(run):
    page = (run[0] / "02_raises.html").read_text()
    assert page.count("Failed. In [4]: ValueError: no") == 1
    assert "papermill" not in page


def test_index_has_a_card_for_each_notebook(run):
    index = (run[0] / "index.html").read_text()
    assert index.count('<article class="card">') == 4
    assert '<a href="01_good.html">The good one</a>' in index
    assert "<th>accuracy</th><td>0.9877</td>" in index and "<th>paper</th><td>not run</td>" in index
    assert index.count("Failed. ") == 3 and index.count("Ran well") == 1
    assert "data:image/webp;base64," in index


def test_numbers_of_an_older_run_do_not_stand_under_a_failure(run):
    (run[0] / "02_raises.json").write_text('{"results": {"accuracy": 0.11111}}')
    index = write_index(run[0]).read_text()
    (run[0] / "02_raises.json").unlink()
    assert "0.1111" not in index


def test_only_runs_what_is_named(tree, tmp_path, capsys):
    assert report.main(["--profile", "quick", "--only", "01", "--out", str(tmp_path)]) == 0
    assert set(os.listdir(tmp_path)) == {"01_good.ipynb", "01_good.html", "01_good.json", "index.html"}
    assert (tmp_path / "index.html").read_text().count("Not run.") == 3
    assert "[1/1] 01_good" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--only", "01", "--only", "9"],
            "no notebook's name starts with '9', choose from: 01_good, 02_raises",
        ),
        (["--profile", "huge"], "profile 'huge' is unknown"),
        (["--out", "{file}"], "cannot be written"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(tree, tmp_path, monkeypatch, arguments, sentence):
    (tmp_path / "file").write_text("in the place of the folder")
    monkeypatch.setattr(report, "execute", lambda *_: pytest.fail("a notebook ran"))
    with pytest.raises(UserError, match=sentence):
        report.main([argument.format(file=tmp_path / "file") for argument in arguments])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (notebook("odd", parameters="quick: bool = True\nseed: int = 0"), "parameters are: quick, seed"),
        (new_notebook(), "parameters are: none"),
        ("{broken", "is not a readable notebook"),
    ],
)
def test_notebook_without_the_parameter_is_refused_before_anything_runs(tmp_path, monkeypatch, content, sentence):
    path = tmp_path / "05_odd.ipynb"
    path.write_text(content if isinstance(content, str) else nbformat.writes(content))
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(report, "execute", lambda *_: pytest.fail("a notebook ran"))
    with pytest.raises(UserError, match=sentence):
        report.main(["--profile", "quick", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_command_line_gives_one_sentence_and_exit_code_2():
    command = [sys.executable, "-m", "vsacc.report.report", "--profile", "huge"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "vsacc: profile 'huge' is unknown, choose auto, quick, laptop or paper.\n"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import time\ntime.sleep(60)", "In [2]: A cell timed out"),
        ("import os\nos._exit(1)", "In [2]: Kernel died"),
        (
            "from vsacc.local.paths import resolve_profile\nresolve_profile('huge')",
            "In [2]: UserError: profile 'huge'",
        ),
    ],
)
def test_stuck_and_dead_kernels_end_as_a_failure(tmp_path, monkeypatch, source, error):
    monkeypatch.setattr(notebooks, "CELL_SECONDS", {"quick": 5})
    path = tmp_path / "01_stuck.ipynb"
    nbformat.write(notebook("stuck", new_code_cell(source)), path)
    run = execute(path, {}, "quick", tmp_path)
    assert run.error.startswith(error)
    assert "VSACC_REPORTS" in os.environ and os.environ["VSACC_REPORTS"] != str(tmp_path)
    if "UserError" in error:
        (shown,) = [output for output in notebooks.outputs(run.notebook) if output.output_type == "error"]
        assert len(shown.traceback) == 1, "a notebook shows the sentence, not a traceback"


def test_refresh_renews_outputs_in_place_and_leaves_a_failing_notebook(tree):
    failing = (tree / "02_raises.ipynb").read_bytes()
    assert refresh.main(["--only", "02", "--only", "04"]) == 1
    assert (tree / "02_raises.ipynb").read_bytes() == failing
    renewed = nbformat.read(tree / "04_silent.ipynb", as_version=4)
    assert [cell.get("execution_count") for cell in renewed.cells] == [None, 1, 2]
    assert renewed.cells[1].metadata.tags == ["parameters"]
    assert set(renewed.metadata) == {"kernelspec", "language_info"}
    assert renewed == scrub(deepcopy(renewed)), "no cell was injected, nothing is left to scrub"


def test_scrub_keeps_the_states_of_widgets_that_are_shown():
    state = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    shown = new_output("display_data", data={notebooks.WIDGET: {"model_id": "1"}})
    with_view = new_notebook(cells=[new_code_cell("s", outputs=[shown])], metadata={"widgets": state})
    without = new_notebook(cells=[new_code_cell("s")], metadata={"widgets": state})
    assert "widgets" in scrub(with_view).metadata
    assert "widgets" not in scrub(without).metadata


def test_figures_are_counted_in_order():
    text = new_output("stream", text="no figure")
    assert figures(new_notebook(cells=[new_code_cell("", outputs=[text, figure_output()])])) == [PNG]


def test_notebooks_are_found_in_order_and_an_empty_folder_says_so(tree, tmp_path, monkeypatch):
    assert [path.stem[:2] for path in find_notebooks()] == ["01", "02", "03", "04"]
    assert [path.stem for path in find_notebooks(["03_lost.ipynb", "01"])] == ["01_good", "03_lost"]
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path)
    with pytest.raises(UserError, match="holds no notebook"):
        find_notebooks()
