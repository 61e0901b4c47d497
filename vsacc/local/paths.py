"""Where things live, which profile a run has, and how a file or an error leaves the program.

Everything hangs on this file's own place, so a notebook finds its data from any working directory.
``VSACC_DATA`` moves what is downloaded or trained (data/downloads, data/runs) to another folder,
``VSACC_REPORTS`` the records that notebooks write; both may be relative to the repository. Nothing but the
standard library is imported, except torch where the profile has to know whether there is a GPU.
"""

import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]


def _folder(variable: str, default: str) -> Path:
    """The folder an environment variable names. A relative one counts from the root, not from the working
    directory, because a notebook's kernel and the command that started it have different ones."""
    return ROOT / Path(os.environ.get(variable) or default).expanduser()


DATA = ROOT / "data"
WEIGHTS = DATA / "weights"
DOWNLOADS = _folder("VSACC_DATA", "data") / "downloads"
RUNS = _folder("VSACC_DATA", "data") / "runs"
NOTEBOOKS = ROOT / "notebooks"
REPORTS = _folder("VSACC_REPORTS", "reports")

PROFILES = ("quick", "laptop", "paper")


class UserError(Exception):
    """Something the user can mend; its text is one sentence that says how."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback."""
        return [f"vsacc: {self}"]


def resolve_profile(profile: str = "auto") -> str:
    """The profile of a run: "quick", "laptop" or "paper".

    "auto" is what VSACC_PROFILE names, else "paper" where CUDA is present, else "laptop".
    Raises UserError for an unknown name.
    """
    asked_by = "profile"
    if profile == "auto":
        asked_by, profile = "VSACC_PROFILE", os.environ.get("VSACC_PROFILE") or "auto"
    if profile == "auto":
        import torch  # here: it takes seconds, and nothing else in this file needs it

        return "paper" if torch.cuda.is_available() else "laptop"
    if profile not in PROFILES:
        raise UserError(f"{asked_by} {profile!r} is unknown, choose auto, quick, laptop or paper.")
    return profile


def write_atomic(path: Path | str, content: bytes | str) -> Path:
    """Write the whole file or nothing: a reader sees the old content or the new, even after a kill.

    Text is written as UTF-8 and missing folders are made. Raises UserError where the place cannot be written.
    """
    path = Path(path)
    # In the same folder, because os.replace is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"{path} cannot be written ({reason}), name a folder that can be.") from error
    return path


def file_size(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def check_writable(folder: Path) -> None:
    """Raises UserError where nothing can be written into ``folder``: better found out before long work than after."""
    write_atomic(folder / ".writable", "").unlink()


def one_sentence_exit(main: Callable[[], int | None]) -> NoReturn:
    """Run a command-line entry point; a UserError becomes one sentence on stderr and exit code 2."""
    try:
        code = main()
    except UserError as error:
        print(f"vsacc: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("vsacc: stopped.", file=sys.stderr)
        code = 130
    sys.exit(code)
