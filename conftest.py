"""Tests and notebooks run in profile quick, and leave the committed reports alone."""

import os

# Before anything imports vsacc.local.paths, which reads them. The committed outputs hold for this profile only.
os.environ["VSACC_PROFILE"] = "quick"
os.environ["VSACC_REPORTS"] = "reports/quick"
