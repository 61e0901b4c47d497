"""Re-execute the committed notebooks in place, profile quick: ``python -m vsacc.report.refresh [--only 02]``.

Outputs and execution counts are renewed, what differs between machines is scrubbed, and a notebook that fails
is left as it was. The records of these runs go to reports/quick, which git ignores.
"""

import argparse
import sys

import nbformat

from ..local.paths import ROOT, one_sentence_exit, write_atomic
from .notebooks import execute, find_notebooks


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 1 where a notebook failed."""
    parser = argparse.ArgumentParser(
        prog="python -m vsacc.report.refresh", description="Re-execute notebooks in place."
    )
    parser.add_argument("--only", action="append", default=[], help="start of a notebook's name; may be repeated")
    failed = 0
    for path in find_notebooks(parser.parse_args(arguments).only):
        # No parameters: papermill would leave a cell with them in the committed notebook.
        run = execute(path, {}, "quick", ROOT / "reports" / "quick")
        if run.error:
            failed = 1
            print(f"vsacc: {path.stem} failed and was left as it was, {run.error}", file=sys.stderr)
            continue
        write_atomic(path, nbformat.writes(run.notebook) + "\n")
        print(f"{path.stem}: {run.seconds:.0f} s")
    return failed


if __name__ == "__main__":
    one_sentence_exit(main)
