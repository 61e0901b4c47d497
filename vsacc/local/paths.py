"""Where things live, which profile a run has, and how a file or an error leaves the program.

``CHECKOUT`` is the folder above the package where it holds pyproject.toml and notebooks/, else None. With it:

- what is downloaded or trained goes to VSACC_DATA, else the checkout's data/, else the user's data folder by
  platformdirs (``DOWNLOADS``, ``RUNS``);
- what notebooks and commands write goes to VSACC_REPORTS, else the checkout's reports/, else ./reports (``REPORTS``);
- what comes with vsacc is read from the checkout, else from the installed package (``WEIGHTS``, ``NOTEBOOKS`` and
  ``SHIPPED_REPORTS``, the committed rows).

A relative folder in a variable counts from the checkout where there is one, because a notebook's kernel and the command
that started it have different working directories."""

import json
import math
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_data_path

PACKAGE = Path(__file__).resolve().parents[1]
_above = PACKAGE.parent
CHECKOUT = _above if (_above / "pyproject.toml").is_file() and (_above / "notebooks").is_dir() else None


def _named(variable: str) -> Path | None:
    """The folder an environment variable names; an empty one names none."""
    text = os.environ.get(variable)
    return (CHECKOUT or Path.cwd()) / Path(text).expanduser() if text else None


DATA = _named("VSACC_DATA") or (CHECKOUT / "data" if CHECKOUT else user_data_path("vsacc"))
DOWNLOADS, RUNS = DATA / "downloads", DATA / "runs"
REPORTS = _named("VSACC_REPORTS") or (CHECKOUT or Path.cwd()) / "reports"
_shipped = CHECKOUT or PACKAGE / "shipped"
WEIGHTS = _shipped / ("data/weights" if CHECKOUT else "weights")
NOTEBOOKS, SHIPPED_REPORTS = _shipped / "notebooks", _shipped / "reports"

PROFILES = ("quick", "laptop", "paper")
TRAININGS = (*PROFILES, "desk")  # up to 90 minutes of one thread each, for the tasks that say how


class UserError(Exception):
    """Something the user can mend; its text is one sentence that says how."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows in place of a traceback."""
        return [f"vsacc: {self}"]


def resolve_profile(profile: str = "auto", known: tuple[str, ...] = PROFILES) -> str:
    """The profile of a run, one of ``known``. "auto" is what VSACC_PROFILE names, else "paper" where CUDA is present,
    else "laptop". Raises UserError for an unknown name."""
    if profile == "auto":
        profile = os.environ.get("VSACC_PROFILE") or "auto"
    if profile == "auto":
        import torch  # here: it takes seconds, and nothing else in this file needs it

        return "paper" if torch.cuda.is_available() else "laptop"
    if profile not in known:
        choices = f"auto, {', '.join(known[:-1])} or {known[-1]}"
        raise UserError(f"profile {profile!r} is unknown here, choose {choices} (also in VSACC_PROFILE).")
    return profile


def resolve_flag(value: object) -> bool:
    """A parameter of a notebook that says yes or no: papermill hands on the "false" of ``-p retrain false`` as a text.
    Raises UserError for what is neither."""
    said = str(value).lower()
    if said not in ("true", "yes", "1", "false", "no", "0"):
        raise UserError(f"{value!r} is neither true nor false, give one of them.")
    return said in ("true", "yes", "1")


def resolve_seed(value: object) -> int:
    """A seed that somebody gave. Raises UserError for what is no whole number from 0 to 2^32 - 1."""
    text = str(value)
    if not text.isdecimal() or int(text) >= 2**32:
        raise UserError(f"seed {text!r} is not a whole number from 0 to 4294967295, give one.")
    return int(text)


def write_atomic(path: Path | str, content: bytes | str) -> Path:
    """Write the whole file or nothing: a reader sees the old content or the new, even after a kill. Text is written as
    UTF-8 and missing folders are made. Raises UserError where the place cannot be written."""
    path = Path(path)
    # In the same folder, because os.replace is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def check_writable(folder: Path) -> None:
    """Raises UserError where nothing can be written into ``folder``: better found out before long work than after."""
    name = f".writable-{secrets.token_hex(4)}"  # of its own: several may ask at once
    write_atomic(folder / name, "").unlink()


def check_out(out: Path, mine: Callable[[dict], bool]) -> None:
    """Raises UserError unless a result can be written to ``out``, a .json, and none is lost by it: ``mine`` tells by
    its content whether a file that is there is an earlier result of the same."""
    if out.suffix != ".json" or out.is_dir():
        raise UserError(f"{out} is no name for a result, give a file that ends in .json.")
    check_writable(out.parent)
    with suppress(ValueError, LookupError, TypeError, FileNotFoundError):
        if not mine(json.loads(out.read_bytes())):
            raise LookupError
        return
    if out.exists():
        raise UserError(f"{out} holds something else that would be lost, give --out another name.")


def check_room(folder: Path, needed: float, mend: str) -> None:
    """Raises UserError, which ends with what to do, where ``folder`` has less than so many bytes free."""
    if (free := shutil.disk_usage(folder).free) < needed:
        free, needed = math.floor(free / 1e8) / 10, math.ceil(needed / 1e8) / 10
        raise UserError(f"{folder} has {free:.1f} GB free and needs {needed:.1f}, {mend}.")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait, and say so, until no other process works in ``folder``, which is made where missing, and keep others out.
    A kill frees the lock. The same thread may take it again inside. Raises UserError where it cannot be written."""
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", is_singleton=True)
        try:
            held = lock.acquire(timeout=2)
        except Timeout:
            print(f"vsacc: another process works in {folder}, waiting for it.", file=sys.stderr)
            held = lock.acquire()
    with held:
        yield


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"{path} cannot be written ({reason}), name a folder that can be.") from error


def file_size(path: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0
