"""What every committed notebook keeps to, so that papermill, nbval, JupyterLab and readers can use it."""

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from vsacc.local.paths import NOTEBOOKS
from vsacc.report.notebooks import outputs, scrub
from vsacc.report.pages import markdown_to_html

LINES = 25
PARAMETER = re.compile(r"[a-z]\w*: [\w\[\], |]+ = [^=#]+(  # [^=]+)?")
HANGS = re.compile(r"\b(Output|interact|interactive|interactive_output|interact_manual)\s*\(")
ABSOLUTE = re.compile(r"(?<![\w.:/])(/(home|root|work|tmp|usr|opt|var|mnt|srv|Users)/\w|[A-Z]:\\\w)")
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))


def problems(notebook: nbformat.NotebookNode, path: Path, neighbours: list[str]) -> Iterator[str]:
    """What is wrong with a notebook, a line each. ``neighbours``: file names before and after it."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    if not (notebook.cells and notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")):
        yield "the first cell is no title"
    if notebook != scrub(deepcopy(notebook)) or "vsacc" in notebook.metadata:
        yield "metadata of one machine or run: vsacc refresh scrubs them"
    for cell in code:
        if len(cell.source.splitlines()) > LINES:
            yield f"a code cell has {len(cell.source.splitlines())} lines"
        if found := HANGS.search(cell.source):
            yield f"{found[1]} makes papermill hang: use observe and an Image"
    if not code or "write_record(" not in code[-1].source:
        yield "the last code cell writes no record"
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", ())]
    if len(tagged) != 1:
        yield f"{len(tagged)} cells are tagged parameters"
    for lines in (cell.source.splitlines() for cell in tagged):
        yield from (f"no plain typed assignment: {line}" for line in lines if not PARAMETER.fullmatch(line))
        if not any(line.startswith('profile: str = "auto"') for line in lines):
            yield 'the parameters lack profile: str = "auto"'
        for name, kind in (line.split(" = ")[0].split(": ") for line in lines if PARAMETER.fullmatch(line)):
            check = "resolve_flag" if kind == "bool" else "resolve_seed" if name == "seed" else ""
            if check and not any(f"{check}({name})" in cell.source for cell in code):
                yield f"nobody checks {name}, which papermill may hand on as a text: call {check}({name})"
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        yield "not executed from top to bottom"
    yield from (f"error output: {o.ename}" for o in outputs(notebook) if o.output_type == "error")
    targets = [target for text in prose for target in LINK.findall(text)]
    yield from (f"dead link: {target}" for target in targets if not (path.parent / target).exists())
    yield from (f"no link to its neighbour {name}" for name in neighbours if name not in targets)
    yield from (f"equation that does not convert in: {t[:60]}" for t in prose if 'class="tex"' in markdown_to_html(t))
    yield from (f"absolute path: {found[0]}" for t in _texts(notebook) if (found := ABSOLUTE.search(t)))


def _texts(notebook):
    """Everything a reader may see as text: sources, streams, results, but not pictures."""
    for cell in notebook.cells:
        yield cell.source
    for output in outputs(notebook):
        yield output.get("text", "")
        for kind, data in output.get("data", {}).items():
            if kind.startswith("text/"):
                yield data


def test_the_workbook_is_there():
    assert {"01_lower_bound.ipynb", "02_cluttered_mnist.ipynb"} <= {path.name for path in PATHS}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_notebook_keeps_to_the_rules(path):
    place = PATHS.index(path)
    neighbours = [other.name for other in (*PATHS[max(place - 1, 0) : place], *PATHS[place + 1 : place + 2])]
    assert list(problems(nbformat.read(path, as_version=4), path, neighbours)) == []


def good():
    """A notebook that keeps to all rules."""
    cells = [
        new_markdown_cell("# A title\n\nWhy $x^2$? [next](next.ipynb), [web](https://example.org/tmp/a)"),
        new_code_cell('profile: str = "auto"  # quick, laptop or paper\nseeds: list[int] = [0, 1]'),
        new_code_cell("write_record(1 / 2)", outputs=[new_output("stream", text="data/downloads/mnist\n")]),
    ]
    cells[1].metadata.tags = ["parameters"]
    for count, cell in enumerate(cells[1:], 1):
        cell.execution_count = count
    return scrub(new_notebook(cells=cells))


TMP, HOME = "/" + "tmp", "/" + "home"  # in two pieces, so that no search finds an absolute path in this file
BREAKS = {
    "the first cell is no title": lambda n: n.cells[0].update(source="Why? [a](next.ipynb)"),
    "metadata of one machine": lambda n: n.metadata.language_info.update(version="3.11.7"),
    "metadata of one": lambda n: n.cells[2].metadata.update(papermill={"duration": 1}),
    "metadata of": lambda n: n.metadata.kernelspec.update(name="my-env"),
    "a code cell has 26 lines": lambda n: n.cells[2].update(source="write_record(\n" * 26),
    "interact makes papermill hang": lambda n: n.cells[2].update(source="write_record(interact(f))"),
    "Output makes papermill hang": lambda n: n.cells[2].update(source="write_record(W.Output())"),
    "the last code cell writes no record": lambda n: n.cells[2].update(source="1 + 1"),
    "0 cells are tagged parameters": lambda n: n.cells[1].metadata.clear(),
    "no plain typed assignment: seed = 0": lambda n: n.cells[1].update(source=n.cells[1].source + "\nseed = 0"),
    "no plain typed assignment: a: int": lambda n: n.cells[1].update(source=n.cells[1].source + "\na: int = 0  # a=1"),
    "the parameters lack profile": lambda n: n.cells[1].update(source="steps: int = 0"),
    "nobody checks seed": lambda n: n.cells[1].update(source=n.cells[1].source + "\nseed: int = 0"),
    "nobody checks retrain": lambda n: n.cells[1].update(source=n.cells[1].source + "\nretrain: bool = False"),
    "not executed from top to bottom": lambda n: n.cells[2].update(execution_count=None),
    "error output: ValueError": lambda n: n.cells[2].outputs.append(new_output("error", ename="ValueError")),
    "dead link: gone.ipynb": lambda n: n.cells[0].update(source=n.cells[0].source + " [a](gone.ipynb)"),
    "no link to its neighbour next.ipynb": lambda n: n.cells[0].update(source="# A title"),
    "equation that does not convert": lambda n: n.cells[0].update(source=n.cells[0].source + r" $\nosuch{x}$"),
    f"absolute path: {TMP}/x": lambda n: n.cells[2].outputs[0].update(text=f"saved to {TMP}/x.pt"),
    f"absolute path: {HOME}/m": lambda n: n.cells[2].update(source=f"write_record('{HOME}/me')"),
}


@pytest.mark.parametrize("problem", [None, *BREAKS])
def test_the_rules_see_what_breaks_them(tmp_path, problem):
    (tmp_path / "next.ipynb").touch()
    notebook = good()
    if problem:
        BREAKS[problem](notebook)
    found = list(problems(notebook, tmp_path / "this.ipynb", ["next.ipynb"]))
    assert [line[: len(problem)] for line in found] == [problem] if problem else found == []
