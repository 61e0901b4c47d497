import os
import runpy
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import platformdirs
import pytest

from vsacc.local import paths
from vsacc.local.paths import UserError, check_writable, locked, resolve_flag, resolve_profile, write_atomic

SOURCE = Path(paths.__file__)


def fresh(monkeypatch: pytest.MonkeyPatch, source: Path = SOURCE, **environment: str) -> dict:
    """The names of paths.py as a new process with this environment would see them."""
    for name in ("VSACC_DATA", "VSACC_REPORTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(source))


def test_a_checkout_is_found_from_any_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    here, top = fresh(monkeypatch, VSACC_REPORTS=""), SOURCE.parents[2]  # an empty variable is no folder
    assert here["CHECKOUT"] == top
    assert (here["DOWNLOADS"], here["RUNS"]) == (top / "data" / "downloads", top / "data" / "runs")
    assert (here["WEIGHTS"], here["NOTEBOOKS"]) == (top / "data" / "weights", top / "notebooks")
    assert here["REPORTS"] == here["SHIPPED_REPORTS"] == top / "reports"


def test_data_can_be_moved_but_not_what_is_committed(monkeypatch, tmp_path):
    moved, top = fresh(monkeypatch, VSACC_DATA=str(tmp_path), VSACC_REPORTS="reports/quick"), SOURCE.parents[2]
    assert (moved["DOWNLOADS"], moved["RUNS"]) == (tmp_path / "downloads", tmp_path / "runs")
    assert (moved["WEIGHTS"], moved["SHIPPED_REPORTS"]) == (top / "data" / "weights", top / "reports")
    assert moved["REPORTS"] == top / "reports" / "quick", "a relative folder counts from the checkout"


def test_an_installed_copy_reads_its_own_files_and_writes_to_the_users_folders(monkeypatch, tmp_path):
    package = tmp_path / "site-packages" / "vsacc"
    (package / "local").mkdir(parents=True)
    source = package / "local" / "paths.py"
    source.write_text(SOURCE.read_text())
    monkeypatch.chdir(tmp_path)
    here = fresh(monkeypatch, source)
    assert here["CHECKOUT"] is None
    assert here["DOWNLOADS"] == platformdirs.user_data_path("vsacc") / "downloads"
    assert here["REPORTS"] == tmp_path / "reports"
    assert (here["WEIGHTS"], here["SHIPPED_REPORTS"]) == (package / "shipped/weights", package / "shipped/reports")
    assert fresh(monkeypatch, source, VSACC_DATA="there")["RUNS"] == tmp_path / "there" / "runs"


@pytest.mark.parametrize(("variable", "cuda", "expected"), [("quick", 1, "quick"), ("", 1, "paper"), ("", 0, "laptop")])
def test_the_profile_is_what_the_environment_says_else_what_the_hardware_allows(monkeypatch, variable, cuda, expected):
    monkeypatch.setenv("VSACC_PROFILE", variable)
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    assert resolve_profile() == expected and resolve_profile("paper") == "paper"


def test_unknown_profile_lists_the_profiles(monkeypatch):
    with pytest.raises(UserError, match=r"^profile 'huge' is unknown here, choose auto, quick, laptop or paper \("):
        resolve_profile("huge")
    monkeypatch.setenv("VSACC_PROFILE", "tiny")
    with pytest.raises(UserError, match=r"'tiny'.* VSACC_PROFILE"):
        resolve_profile()


def test_write_atomic_writes_text_and_bytes_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new" / "folder" / "file"
    assert write_atomic(target, "é") == target
    assert target.read_bytes() == "é".encode()
    write_atomic(target, b"\x00\x01")
    assert target.read_bytes() == b"\x00\x01"
    assert os.listdir(target.parent) == ["file"]


def test_write_that_fails_keeps_the_old_file(tmp_path, monkeypatch):
    target = write_atomic(tmp_path / "file", "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        write_atomic(target, "new")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_file_in_the_place_of_the_folder_is_one_sentence(tmp_path):
    (tmp_path / "taken").write_text("")
    for attempt in (lambda folder: write_atomic(folder / "file", "x"), lambda folder: locked(folder).__enter__()):
        with pytest.raises(UserError, match=r"^[^\n]*taken[^\n]* cannot be written [^\n]*\.$"):
            attempt(tmp_path / "taken")


def test_kill_before_the_rename_leaves_the_final_name_free(tmp_path):
    target = tmp_path / "file"
    program = (
        "import os, runpy, sys\n"
        "write = runpy.run_path(sys.argv[1])['write_atomic']\n"
        "os.replace = lambda *_: os.kill(os.getpid(), 9)\n"
        "write(sys.argv[2], b'x' * 10)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(SOURCE), str(target)])
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"x" * 10], "the kill came too early"


def ask_often(folder: Path) -> None:
    for _ in range(500):
        check_writable(folder)


def count_to(folder: Path) -> None:
    """Add 100 to the number in a file, in steps that lose one another's where two processes take them at once."""
    for _ in range(100):
        with locked(folder), locked(folder):  # the same thread may take it twice
            number = folder / "number"
            number.write_text(str(int(number.read_text()) + 1) if number.exists() else "1")


@pytest.mark.parametrize(("work", "left"), [(ask_often, set()), (count_to, {".lock", "number"})])
def test_several_processes_meet_in_one_folder(tmp_path, work, left):
    with ProcessPoolExecutor(4) as pool:
        assert list(pool.map(work, [tmp_path] * 4)) == [None] * 4
    assert set(os.listdir(tmp_path)) == left
    assert "number" not in left or (tmp_path / "number").read_text() == "400"


@pytest.mark.parametrize(
    ("given", "meant"), [(True, True), (False, False), ("false", False), ("True", True), ("0", False)]
)
def test_a_flag_is_what_it_says(given, meant):
    assert resolve_flag(given) is meant


def test_a_flag_that_says_nothing_is_one_sentence():
    with pytest.raises(UserError, match="'maybe' is neither true nor false, give one of them"):
        resolve_flag("maybe")
