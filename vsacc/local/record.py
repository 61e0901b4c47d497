"""What a run leaves as evidence: one JSON file a notebook, with its numbers and what they were made with."""

import json
import os
import platform
import re
import resource
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

import torch

from .paths import CHECKOUT, PACKAGE, REPORTS, UserError, write_atomic

CODE = ("vsacc", "notebooks", "pyproject.toml")  # a revision is "-dirty" when one of these differs from it
MAKERS = ("vsacc", ":!vsacc/figures", ":!vsacc/look", ":!vsacc/report")  # the code that a row's numbers come from
DIGITS = 6  # significant digits kept of a float


def provenance(device: torch.device | None = None) -> dict:
    """What produced a number: revision, torch, device, threads, date. Never a host name or a path. The device is the
    GPU that is current, where there is CUDA, unless another is named.

    ``revision`` is the commit of this checkout, "-dirty" where its code differs; without a .git, what VSACC_REVISION
    says, else the version of the package where it was installed, else "unknown"."""
    on_gpu = device.type == "cuda" if device else torch.cuda.is_available()
    return {
        "revision": _revision(),
        "torch": str(torch.__version__),
        "device": torch.cuda.get_device_name(device) if on_gpu else _cpu_name(),
        "threads": torch.get_num_threads(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write_record(notebook: str, profile: str, data: str, seeds: int | list[int], results: dict, seconds: float) -> Path:
    """Write REPORTS/<notebook>.json and return its path.

    Args:
        notebook: file name without its suffix, such as "02_cluttered_mnist".
        data: the protocol in words, with "stand-in" in it where the data is one.
        seeds: one seed or a list of them.
        results: every number of the notebook's figures and tables, the most important first. Tensors and
            arrays become lists; what was not run is None. Raises UserError for a NaN or an infinity.
        seconds: wall clock of the notebook.
    """
    try:
        exact = json.dumps(results, default=lambda value: value.tolist(), allow_nan=False)
    except (AttributeError, TypeError, ValueError) as error:
        what = f"results of {notebook} may be finite numbers, texts, lists, dicts, and None for what was not run"
        raise UserError(f"{what} ({error}).") from error
    record = {
        "notebook": notebook,
        "profile": profile,
        "data": data,
        "seeds": [seeds] if isinstance(seeds, int) else list(seeds),
        **provenance(),
        "seconds": round(seconds, 1),
        "peak_memory_bytes": peak_memory(),
        "results": json.loads(exact, parse_float=lambda text: float(f"{float(text):.{DIGITS}g}")),
    }
    return write_atomic(REPORTS / f"{notebook}.json", json.dumps(record, indent=1, allow_nan=False) + "\n")


def peak_memory() -> int:
    """Most bytes held so far: on the GPU where one was used, else by this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def code_since(revision: str) -> str:
    """What became of the code that makes numbers since a ``revision`` of ``provenance``, or of several, "a, then b":
    "" where it is the same here, else some words that go on behind the revision. Without git nothing is known."""
    commits = revision.split(", then ")
    if any(commit.endswith("-dirty") for commit in commits):
        return ", with code that was not committed"
    changed = {_changed(CHECKOUT, commit) for commit in commits}
    if True in changed:
        return ", code changed since"
    return ", which this checkout does not know" if None in changed else ""


@cache  # a list of rows asks once for each commit
def _changed(checkout: Path | None, commit: str) -> bool | None:
    """Whether the MAKERS of a checkout differ from those of a commit, None where that is not known."""
    try:
        if checkout and (checkout / ".git").exists():
            _git("diff", "--quiet", "--end-of-options", commit, "--", *MAKERS)
            return False
    except subprocess.CalledProcessError as error:
        return True if error.returncode == 1 else None
    except (OSError, subprocess.SubprocessError):
        pass
    return None


def _revision() -> str:
    try:
        if CHECKOUT and (CHECKOUT / ".git").exists():  # else git would answer for whatever repository this lies in
            commit = _git("rev-parse", "--short", "HEAD")
            return commit + ("-dirty" if _git("status", "--porcelain", "--", *CODE) else "")
    except (OSError, subprocess.SubprocessError):
        pass
    return os.environ.get("VSACC_REVISION") or (_version() if CHECKOUT is None else "unknown")


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", os.fspath(CHECKOUT), *arguments], capture_output=True, text=True, check=True, timeout=30
    ).stdout.strip()


def _version() -> str:
    """Of the installed package that this file belongs to; of any other copy of the source "unknown"."""
    try:
        installed = metadata.distribution("vsacc")
    except metadata.PackageNotFoundError:
        return "unknown"
    return installed.version if Path(installed.locate_file("vsacc")).resolve() == PACKAGE else "unknown"


def _cpu_name() -> str:
    """The processor's model name; platform.processor() alone is empty on most Linux machines."""
    told = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*: *(.+)", told.read_text(), re.MULTILINE) if told.exists() else None
    return named[1].strip() if named else platform.processor() or platform.machine()
