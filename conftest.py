"""Tests and notebooks run in profile quick, and leave the committed reports alone."""

import os
from pathlib import Path

# Before anything imports vsacc.local.paths, which reads them. The committed outputs hold for this profile only.
os.environ["VSACC_PROFILE"] = "quick"
os.environ["VSACC_REPORTS"] = str(Path(__file__).parent / "reports" / "quick")
# Else a cell that draws or fetches data on its first run shows a bar, and the committed output none.
os.environ["TQDM_DISABLE"] = "1"
