"""``vsacc report`` executes the notebooks into a folder of pages, ``vsacc refresh`` renews what is committed."""

import argparse
import sys
from pathlib import Path

import nbformat

from ..local.paths import CHECKOUT, REPORTS, UserError, check_writable, resolve_profile, write_atomic
from ..local.record import provenance
from .notebooks import execute, figures, find_notebooks, read
from .pages import notebook_page, write_index


def command(options: argparse.Namespace) -> int:
    """Fill the folder ``out``, or REPORTS, with each notebook executed (.ipynb and .html), the record it wrote (.json)
    and an index.html. A notebook that fails, or shows fewer figures than the committed one, does not stop the others.
    Returns the exit code: 0, or 1 where a notebook failed. Raises UserError before anything has run."""
    profile, out = resolve_profile(options.profile), (options.out or REPORTS).resolve()
    paths = find_notebooks(options.only)
    for path in paths:
        read(path)
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
    notebook = execute(path, {"profile": profile}, profile, out)
    run = notebook.metadata.vsacc
    found, expected = len(figures(notebook)), len(figures(read(path)))
    if not run.error and found < expected:
        run.error = f"it shows {found} of the committed notebook's {expected} figures"
    if not run.error and (not record.exists() or record.stat().st_mtime_ns == before):
        run.error = f"it ended without writing {record.name}"
    run.update(provenance())
    write_atomic(out / path.name, nbformat.writes(notebook) + "\n")
    write_atomic(out / f"{path.stem}.html", notebook_page(notebook))
    return run.error


def refresh(options: argparse.Namespace) -> int:
    """Renew the committed notebooks in place (profile quick), then the README's table, then its pictures.
    ``options.only`` narrows it to "readme", "pictures" or starts of notebooks' names. What differs between machines is
    scrubbed, and a notebook that fails is left as it was. Returns the exit code: 0, or 1 where a notebook failed."""
    if CHECKOUT is None:
        raise UserError("refresh renews a checkout's notebooks and README, clone the repository and run it there.")
    named = [start for start in options.only if start not in ("readme", "pictures")]
    failed = 0
    for path in find_notebooks(named) if named or not options.only else ():
        # No parameters: papermill would leave a cell with them in the committed notebook.
        notebook = execute(path, {}, "quick", CHECKOUT / "reports" / "quick")
        run = notebook.metadata.pop("vsacc")
        if run.error:
            failed = 1
            print(f"vsacc: {path.stem} failed and was left as it was, {run.error}", file=sys.stderr)
            continue
        write_atomic(path, nbformat.writes(notebook) + "\n")
        print(f"{path.stem}: {run.seconds:.0f} s")
    if not options.only or "readme" in options.only:
        from . import readme  # here, as below: a report needs no study and no model

        readme.write()
    if not options.only or "pictures" in options.only:
        from ..look import film

        film.command()
    return failed
