"""The notebooks as programs: found, checked, executed through papermill, scrubbed of run-to-run change."""

import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode
from papermill import PapermillExecutionError, execute_notebook, inspect_notebook
from papermill.execute import ERROR_MARKER_TAG

from ..local.paths import DATA, NOTEBOOKS, UserError

CELL_SECONDS = {"quick": 600, "laptop": 3600, "paper": 7200}  # a cell that takes longer is stuck
START_SECONDS = 120  # for a kernel; one machine may start several
WIDGET = "application/vnd.jupyter.widget-view+json"
BAR = re.compile(r"[^\n\r]*\d+%\|[^|\n]*\|[^\n\r]*[\n\r]*")  # what tqdm shows, also as the text of its widget


class Execution(NamedTuple):
    """A notebook with its outputs (scrubbed; up to the failure where there was one), the seconds it took, and
    what went wrong in one line, or None."""

    notebook: NotebookNode
    seconds: float
    error: str | None


def find_notebooks(only: Sequence[str] = ()) -> list[Path]:
    """notebooks/NN_*.ipynb in order, or those whose names start with one of ``only``.

    Raises UserError where one of ``only`` starts no name.
    """
    paths = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    names = ", ".join(path.stem for path in paths) or "none"
    if not paths:
        raise UserError(f"{NOTEBOOKS} holds no notebook named like 01_title.ipynb, restore it from git.")
    for start in only:
        if not any(path.name.startswith(start) for path in paths):
            raise UserError(f"no notebook's name starts with {start!r}, choose from: {names}.")
    return [path for path in paths if not only or path.name.startswith(tuple(only))]


def check_profile(path: Path) -> None:
    """Raises UserError where the notebook has no parameter ``profile`` (papermill only warns of it), or the file is no
    notebook."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:
        raise UserError(f"{path.name} is not a readable notebook, restore it from git.") from error
    known = inspect_notebook(scrub(notebook))  # scrubbed, because papermill asks for a kernel's name
    if "profile" not in known:
        raise UserError(f"{path.name} has no parameter 'profile', its parameters are: {', '.join(known) or 'none'}.")


def execute(path: Path, parameters: dict, profile: str, reports: Path) -> Execution:
    """Run a notebook in a kernel of its own, in the notebooks' folder; whatever fails is in the answer.

    Args:
        parameters: written into the notebook below its ``parameters`` cell.
        profile: what ``profile = "auto"`` means there; also sets the time a cell may take.
        reports: absolute folder for the record the notebook writes.
    """
    error, start = None, time.monotonic()
    variables = {"VSACC_PROFILE": profile, "VSACC_REPORTS": str(reports), "VSACC_DATA": str(DATA)}
    with tempfile.TemporaryDirectory() as folder, _environment(variables):
        output = Path(folder) / path.name
        try:
            execute_notebook(
                path,
                output,
                parameters,
                kernel_name="python3",
                language="python",
                cwd=path.parent,
                start_timeout=START_SECONDS,
                execution_timeout=CELL_SECONDS[profile],
                progress_bar={"desc": path.stem, "leave": False},
                coalesce_streams=True,
            )
        except PapermillExecutionError as failure:
            said = failure.evalue.strip().splitlines() or [""]
            error = f"In [{failure.exec_count}]: {failure.ename}: {said[0]}"
        except Exception as failure:  # a dead kernel, a time-out: the other notebooks must still run
            first = (str(failure).strip() or type(failure).__name__).splitlines()[0]
            error = f"{_last_started(output)}: {first}"
        notebook = nbformat.read(output if output.exists() else path, as_version=4)
    return Execution(scrub(notebook), time.monotonic() - start, error)


def scrub(notebook: NotebookNode) -> NotebookNode:
    """Drop from a notebook, in place, what differs between runs or machines: timings, paths, versions, progress bars,
    states of widgets that no output shows, papermill's banners. Other outputs, execution counts and tags stay."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if "text" in output:
                output.text = BAR.sub("", output.text)
            if not output.get("text", "-") or BAR.search(output.get("data", {}).get("text/plain", "")):
                cell.outputs = [other for other in cell.outputs if other is not output]
    kept = {key: notebook.metadata[key] for key in ("widgets", "vsacc") if key in notebook.metadata}
    if not any(WIDGET in output.get("data", {}) for output in outputs(notebook)):
        kept.pop("widgets", None)
    notebook.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        language_info={"name": "python"},
        **kept,
    )
    notebook.cells = [cell for cell in notebook.cells if ERROR_MARKER_TAG not in cell.metadata.get("tags", ())]
    for cell in notebook.cells:
        for key in ("papermill", "execution", "ExecuteTime", "collapsed", "scrolled", "trusted"):
            cell.metadata.pop(key, None)
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
    return notebook


def outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """Every output of every cell, in order."""
    for cell in notebook.cells:
        yield from cell.get("outputs", ())


def figures(notebook: NotebookNode) -> list[str]:
    """The figures a notebook shows, as base64 PNG, in order."""
    return [output.data["image/png"] for output in outputs(notebook) if "image/png" in output.get("data", {})]


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables for the kernels started inside; papermill has no argument for them."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _last_started(output: Path) -> str:
    """Where a run without an error output stopped: the last cell papermill started. Execution counts do
    not tell, since a kernel may die before it sends its last one."""
    cells = nbformat.read(output, as_version=4).cells if output.exists() else []
    started = [c for c in cells if c.cell_type == "code" and c.metadata.get("papermill", {}).get("start_time")]
    return f"In [{len(started)}]" if started else "before the first cell"
