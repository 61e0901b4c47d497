"""The notebooks as programs: found, read, executed through papermill, scrubbed of run-to-run change."""

import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from papermill import execute_notebook
from papermill.execute import ERROR_MARKER_TAG

from ..local.paths import DATA, NOTEBOOKS, UserError

CELL_SECONDS = {"quick": 600, "laptop": 3600, "paper": 7200}  # a cell that takes longer is stuck
START_SECONDS = 120  # for a kernel; one machine may start several
WIDGET = "application/vnd.jupyter.widget-view+json"
BAR = re.compile(r"[^\n\r]*\d+%\|[^|\n]*\|[^\n\r]*[\n\r]*")  # what tqdm shows, also as the text of its widget


def find_notebooks(only: Sequence[str] = ()) -> list[Path]:
    """notebooks/NN_*.ipynb in order, or those whose names start with one of ``only``. Raises UserError where one of
    ``only`` starts no name, or there are none."""
    paths = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    names = ", ".join(path.stem for path in paths) or "none, restore them from git"
    for start in only or [""]:
        if not any(path.name.startswith(start) for path in paths):
            raise UserError(f"no notebook's name starts with {start!r}, choose from: {names}.")
    return [path for path in paths if not only or path.name.startswith(tuple(only))]


def read(path: Path) -> NotebookNode:
    """The notebook in a file. Raises UserError where the file holds none."""
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:
        raise UserError(f"{path.name} is not a readable notebook, restore it from git.") from error


def execute(path: Path, parameters: dict, profile: str, reports: Path) -> NotebookNode:
    """Run a notebook in a kernel of its own, in the notebooks' folder; returns it scrubbed, up to a failure.

    Its ``metadata.vsacc`` has the "profile", the "seconds" it took, and what went wrong in one line, "error", or None.
    parameters: written below its ``parameters`` cell. profile: what ``profile = "auto"`` means there; also sets the
    time a cell may take. reports: absolute folder for the record that the notebook writes."""
    start, error, before = time.monotonic(), None, dict(os.environ)
    # papermill has no argument for the environment of a kernel
    os.environ.update({"VSACC_PROFILE": profile, "VSACC_REPORTS": str(reports), "VSACC_DATA": str(DATA)})
    with tempfile.TemporaryDirectory() as folder:
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
        except Exception as failure:  # a cell's own, a dead kernel, a time-out: the other notebooks must still run
            name, text = getattr(failure, "ename", type(failure).__name__), getattr(failure, "evalue", failure)
            error = f"{name}: {text}".splitlines()[0]
        finally:
            os.environ.clear()
            os.environ.update(before)
        notebook = read(output if output.exists() else path)
    if error:
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        error = f"In [{sum('start_time' in cell.metadata.get('papermill', {}) for cell in code)}]: {error}"
    notebook = scrub(notebook)
    notebook.metadata["vsacc"] = {"profile": profile, "seconds": round(time.monotonic() - start, 1), "error": error}
    return notebook


def scrub(notebook: NotebookNode) -> NotebookNode:
    """Drop from a notebook, in place, what differs between runs or machines: timings, paths, versions, progress bars,
    states of widgets that no output shows, papermill's banners. Other outputs, execution counts and tags stay."""
    notebook.cells = [cell for cell in notebook.cells if ERROR_MARKER_TAG not in cell.metadata.get("tags", ())]
    for cell in notebook.cells:
        cell.metadata = NotebookNode({"tags": cell.metadata.tags} if cell.metadata.get("tags") else {})
        for output in cell.get("outputs", ()):
            if "text" in output:
                output.text = BAR.sub("", output.text)
            if not output.get("text", "-") or BAR.search(output.get("data", {}).get("text/plain", "")):
                cell.outputs = [other for other in cell.outputs if other is not output]
    shown = any(WIDGET in output.get("data", {}) for output in outputs(notebook))
    notebook.metadata = NotebookNode(
        kernelspec={"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        language_info={"name": "python"},
        **{key: states for key, states in notebook.metadata.items() if key == "widgets" and shown},
    )
    return notebook


def outputs(notebook: NotebookNode) -> Iterator[NotebookNode]:
    """Every output of every cell, in order."""
    for cell in notebook.cells:
        yield from cell.get("outputs", ())


def figures(notebook: NotebookNode) -> list[str]:
    """The figures a notebook shows, as base64 PNG, in order."""
    return [output.data["image/png"] for output in outputs(notebook) if "image/png" in output.get("data", {})]
