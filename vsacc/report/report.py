"""Execute the notebooks into a report: ``python -m vsacc.report.report [--profile P] [--only 02] [--out DIR]``.

DIR receives each notebook executed (.ipynb and .html), the record it wrote (.json) and an index.html. A
notebook that fails, or shows fewer figures than the committed one, does not stop the others; the exit code is
then 1.
"""

import argparse
import sys
from pathlib import Path

import nbformat

from ..local.paths import REPORTS, check_writable, one_sentence_exit, resolve_profile, write_atomic
from ..local.record import provenance
from .index import title_and_question, write_index
from .notebooks import Execution, check_parameters, execute, figures, find_notebooks
from .page import notebook_page


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 where a notebook failed. Raises UserError before anything has run."""
    parser = argparse.ArgumentParser(
        prog="python -m vsacc.report.report", description="Execute the notebooks into a report."
    )
    parser.add_argument("--profile", default="auto", help="auto, quick, laptop or paper")
    parser.add_argument("--only", action="append", default=[], help="start of a notebook's name; may be repeated")
    parser.add_argument("--out", type=Path, default=REPORTS, help="folder of the report")
    options = parser.parse_args(arguments)

    profile, out = resolve_profile(options.profile), options.out.resolve()
    paths = find_notebooks(options.only)
    for path in paths:
        check_parameters(path, {"profile": profile})
    check_writable(out)

    failures = {}
    for number, path in enumerate(paths, 1):
        print(f"[{number}/{len(paths)}] {path.stem}, profile {profile}", flush=True)
        if error := run_notebook(path, profile, out):
            failures[path.stem] = error
        write_index(out)  # after each, so that a run that is stopped has one too
    for name, error in failures.items():
        print(f"vsacc: {name} failed, {error}", file=sys.stderr)
    print(f"{len(paths) - len(failures)} of {len(paths)} notebooks ran well, see {out / 'index.html'}")
    return 1 if failures else 0


def run_notebook(path: Path, profile: str, out: Path) -> str | None:
    """Execute one notebook into ``out``; returns what is wrong with the run in one line, or None."""
    record = out / f"{path.stem}.json"
    before = record.stat().st_mtime_ns if record.exists() else None
    run = execute(path, {"profile": profile}, profile, out)
    error = run.error or _missing(path, run)
    if not error and (not record.exists() or record.stat().st_mtime_ns == before):
        error = f"it ended without writing {record.name}"

    made = provenance()
    run.notebook.metadata["vsacc"] = {
        "profile": profile,
        "seconds": round(run.seconds, 1),
        "date": made["date"],
        "error": error,
    }
    title, _ = title_and_question(run.notebook)
    facts = f"{profile} profile · {run.seconds:.0f} s · {made['device']} · revision {made['revision']}"
    write_atomic(out / path.name, nbformat.writes(run.notebook) + "\n")
    write_atomic(out / f"{path.stem}.html", notebook_page(run.notebook, title, facts, error))
    return error


def _missing(path: Path, run: Execution) -> str | None:
    """Figures that the committed notebook has and this run lost."""
    expected, found = len(figures(nbformat.read(path, as_version=4))), len(figures(run.notebook))
    return f"it shows {found} of the committed notebook's {expected} figures" if found < expected else None


if __name__ == "__main__":
    one_sentence_exit(main)
