"""The report on a tree of tiny notebooks, each executed in a real kernel."""

import base64
import io
import os
from argparse import Namespace
from copy import deepcopy

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from vsacc.local.paths import UserError
from vsacc.report import notebooks, report
from vsacc.report.notebooks import execute, find_notebooks, scrub
from vsacc.report.pages import key_results, markdown_to_html, title_and_question, write_index

PICTURE = io.BytesIO()
Image.new("RGB", (40, 20), "teal").save(PICTURE, "PNG")
PNG = base64.b64encode(PICTURE.getvalue()).decode()
SHOW = f"import base64\nfrom IPython.display import Image\nImage(data=base64.b64decode('{PNG}'))"
BARS = "from tqdm import auto, std\nprint(profile, sum(auto.tqdm([1])) + sum(std.tqdm([2])))"
WRITE = (
    "import json, os, pathlib\n"
    "path = pathlib.Path(os.environ['VSACC_REPORTS'], name + '.json')\n"
    "_ = path.write_text(json.dumps({'results': {'accuracy': 0.98765, 'paper': None}}))"
)


def quick(out, *only: str) -> Namespace:
    return Namespace(profile="quick", only=list(only), out=out)


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
        "04_silent": notebook("silent", new_code_cell(BARS)),
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
    return out, report.command(quick(out))


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


def test_executed_notebook_is_scrubbed_got_its_profile_and_shows_no_progress(run):
    executed = nbformat.read(run[0] / "04_silent.ipynb", as_version=4)
    assert [output.text for output in executed.cells[-1].outputs] == ["quick 3\n"]
    assert set(executed.metadata) == {"kernelspec", "language_info", "vsacc"}
    assert not any(set(cell.metadata) - {"tags"} for cell in executed.cells)
    assert str(run[0]) not in (run[0] / "04_silent.ipynb").read_text()


def test_pages_need_no_network_and_no_script(run):
    for path in run[0].glob("*.html"):
        page = path.read_text()
        assert not any(fetched in page for fetched in ("<script", "@import", "url(", "<link"))
        assert page.count(" src=") == page.count(' src="data:')


def test_pages_show_figure_equation_links_and_failure(run):
    good, raises = ((run[0] / f"{name}.html").read_text() for name in ("01_good", "02_raises"))
    assert good.count("data:image/png;base64,") == 1
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in good
    assert 'href="02_raises.html"' in good and 'href="index.html"' in good
    assert raises.count("Failed. In [4]: ValueError: no") == 1 and "papermill" not in raises


def test_index_has_a_card_for_each_notebook(run):
    index = (run[0] / "index.html").read_text()
    assert index.count('<article class="card">') == 4
    assert '<a href="01_good.html">The good one</a>' in index
    assert "<th>accuracy</th><td>0.9877</td>" in index and "<th>paper</th><td>not run</td>" in index
    assert index.count("Failed. ") == 3
    assert index.count("data:image/png;base64,") == 2


def test_numbers_of_an_older_run_do_not_stand_under_a_failure(run):
    (run[0] / "02_raises.json").write_text('{"results": {"accuracy": 0.11111}}')
    index = write_index(run[0]).read_text()
    (run[0] / "02_raises.json").unlink()
    assert "0.1111" not in index


def test_only_runs_what_is_named(tree, tmp_path, capsys):
    assert report.command(quick(tmp_path, "01")) == 0
    assert set(os.listdir(tmp_path)) == {"01_good.ipynb", "01_good.html", "01_good.json", "index.html"}
    assert (tmp_path / "index.html").read_text().count("Not run.") == 3
    assert "[1/1] 01_good" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"only": ["01", "9"]}, "no notebook's name starts with '9', choose from: 01_good, 02_raises"),
        ({"profile": "huge"}, "profile 'huge' is unknown"),
        ({"out": "file"}, "cannot be written"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(tree, tmp_path, monkeypatch, changes, sentence):
    (tmp_path / "file").write_text("in the place of the folder")
    monkeypatch.setattr(report, "execute", lambda *_: pytest.fail("a notebook ran"))
    changes = changes | {"out": tmp_path / changes.get("out", "")}
    with pytest.raises(UserError, match=sentence):
        report.command(Namespace(**vars(quick(tmp_path)) | changes))


def test_a_broken_notebook_is_refused_before_anything_runs(tmp_path, monkeypatch):
    (tmp_path / "05_odd.ipynb").write_text("{broken")
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(report, "execute", lambda *_: pytest.fail("a notebook ran"))
    with pytest.raises(UserError, match=r"05_odd\.ipynb is not a readable notebook"):
        report.command(quick(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import time\ntime.sleep(60)", "In [2]: CellTimeoutError: A cell timed out"),
        ("import os\nos._exit(1)", "In [2]: DeadKernelError: Kernel died"),
        ("from vsacc.local.paths import resolve_profile\nresolve_profile('huge')", "In [2]: UserError: profile 'huge'"),
    ],
)
def test_stuck_and_dead_kernels_end_as_a_failure(tmp_path, monkeypatch, source, error):
    monkeypatch.setattr(notebooks, "CELL_SECONDS", {"quick": 5})
    path = tmp_path / "01_stuck.ipynb"
    nbformat.write(notebook("stuck", new_code_cell(source)), path)
    run = execute(path, {}, "quick", tmp_path)
    assert run.metadata.vsacc.error.startswith(error)
    assert "VSACC_REPORTS" in os.environ and os.environ["VSACC_REPORTS"] != str(tmp_path)
    if "UserError" in error:
        (shown,) = [output for output in notebooks.outputs(run) if output.output_type == "error"]
        assert len(shown.traceback) == 1, "a notebook shows the sentence, not a traceback"


def test_refresh_renews_outputs_in_place_and_leaves_a_failing_notebook(tree, monkeypatch):
    failing = (tree / "02_raises.ipynb").read_bytes()
    monkeypatch.setattr(report, "CHECKOUT", tree.parent)
    assert report.refresh(Namespace(only=["02", "04"])) == 1
    assert (tree / "02_raises.ipynb").read_bytes() == failing
    renewed = nbformat.read(tree / "04_silent.ipynb", as_version=4)
    assert [cell.get("execution_count") for cell in renewed.cells] == [None, 1, 2]
    assert renewed.cells[1].metadata.tags == ["parameters"]
    assert set(renewed.metadata) == {"kernelspec", "language_info"}
    assert renewed == scrub(deepcopy(renewed)), "no cell was injected, nothing is left to scrub"


@pytest.mark.parametrize(
    ("only", "done"),
    [([], ["01", "readme", "pictures"]), (["pictures"], ["pictures"]), (["01", "readme"], ["01", "readme"])],
)
def test_refresh_is_narrowed_by_name(tmp_path, monkeypatch, only, done):
    from vsacc.look import film
    from vsacc.report import readme

    did, ran = [], {"vsacc": {"seconds": 1.0, "error": None}}
    path = tmp_path / "01_a.ipynb"
    monkeypatch.setattr(report, "CHECKOUT", tmp_path)
    monkeypatch.setattr(report, "find_notebooks", lambda only: [path] if only in ([], ["01"]) else [])
    monkeypatch.setattr(report, "execute", lambda *_: did.append("01") or new_notebook(metadata=ran))
    monkeypatch.setattr(readme, "write", lambda: did.append("readme"))
    monkeypatch.setattr(film, "command", lambda: did.append("pictures"), raising=False)
    assert report.refresh(Namespace(only=only)) == 0
    assert did == done


def test_an_installed_copy_has_nothing_to_refresh(monkeypatch):
    monkeypatch.setattr(report, "CHECKOUT", None)
    with pytest.raises(UserError, match="clone the repository"):
        report.refresh(Namespace(only=[]))


@pytest.mark.parametrize("data", [{notebooks.WIDGET: {"model_id": "1"}}, {"text/plain": "s"}])
def test_scrub_keeps_the_states_of_widgets_that_are_shown(data):
    state = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    cell = new_code_cell("s", outputs=[new_output("display_data", data=data)])
    scrubbed = scrub(new_notebook(cells=[cell], metadata={"widgets": state}))
    assert ("widgets" in scrubbed.metadata) == (notebooks.WIDGET in data)


def test_notebooks_are_found_in_order_and_an_empty_folder_says_so(tree, tmp_path, monkeypatch):
    assert [path.stem[:2] for path in find_notebooks()] == ["01", "02", "03", "04"]
    assert [path.stem for path in find_notebooks(["03_lost.ipynb", "01"])] == ["01_good", "03_lost"]
    monkeypatch.setattr(notebooks, "NOTEBOOKS", tmp_path)
    with pytest.raises(UserError, match="none, restore them from git"):
        find_notebooks()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# A\n\n**Does *it* learn\nin $T=2$?**\n\n## B\nNo?", ("A", "Does *it* learn\nin $T=2$?")),
        ("# A", ("A", "")),
    ],
)
def test_title_and_question_come_from_the_text(text, expected):
    assert title_and_question(new_notebook(cells=[new_markdown_cell(text)])) == expected


def test_key_results_are_single_values_in_order():
    results = {"acc": 0.12345678, "by_task": {"one": 1200, "rows": [1]}, "curve": [1, 2], "done": True}
    assert key_results(results) == [("acc", "0.1235"), ("by task one", "1200"), ("done", "True")]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("$a_1$", "<math><msub>"),
        ("$$a_1$$", '<math display="block"><msub>'),
        ("$$\\begin{aligned} a &= b \\\\ &\\ge c \\end{aligned}$$", "<mtable"),
        ("$$x \\tag{6}$$", "(6)"),
        ("costs $\\nosuch{x}$", '<code class="tex">\\nosuch{x}</code>'),
    ],
)
def test_equations_become_mathml_or_stay_readable(source, expected):
    assert expected in markdown_to_html(source)
