"""Tests and notebooks run in profile quick, leave the committed reports alone, and find the data of notebooks made."""

import os
from pathlib import Path

# Before anything imports vsacc.local.paths, which reads them. The committed outputs hold for this profile only.
os.environ["VSACC_PROFILE"] = "quick"
os.environ["VSACC_REPORTS"] = str(Path(__file__).parent / "reports" / "quick")
os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # as vsacc.__main__ does, and why


def pytest_collection_finish(session):
    """Fetch and draw what notebooks open, else the cells that come first show progress and the committed ones none."""
    if session.config.option.collectonly or not any(item.path.suffix == ".ipynb" for item in session.items):
        return
    for task in ("one_digit", "mit5k"):
        try:
            from vsacc.tasks import open_split

            open_split(task, "train", profile="quick")
        except Exception as error:  # what needs it will say so, and the rest can be tested
            print(f"vsacc: {error}")
