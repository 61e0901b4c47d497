import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vsacc.local import paths
from vsacc.local.paths import UserError, one_sentence_exit, resolve_profile, write_atomic

SOURCE = paths.ROOT / "vsacc" / "paths.py"


def fresh(monkeypatch: pytest.MonkeyPatch, **environment: str) -> dict:
    """The names of paths.py as a new process with this environment would see them."""
    for name in ("VSACC_DATA", "VSACC_REPORTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(SOURCE))


def test_folders_hang_on_the_file_not_on_the_working_directory(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    here = fresh(monkeypatch)
    assert here["ROOT"] == SOURCE.parents[1]
    assert here["DOWNLOADS"] == here["ROOT"] / "data" / "downloads"
    assert here["RUNS"] == here["ROOT"] / "data" / "runs"
    assert here["REPORTS"] == here["ROOT"] / "reports"


def test_data_can_be_moved_but_not_the_committed_weights(monkeypatch, tmp_path):
    moved = fresh(monkeypatch, VSACC_DATA=str(tmp_path), VSACC_REPORTS="reports/quick")
    assert (moved["DOWNLOADS"], moved["RUNS"]) == (tmp_path / "downloads", tmp_path / "runs")
    assert moved["WEIGHTS"] == moved["ROOT"] / "data" / "weights"
    assert moved["REPORTS"] == moved["ROOT"] / "reports" / "quick", "a relative folder counts from the root"


def test_an_empty_variable_is_no_folder(monkeypatch):
    assert fresh(monkeypatch, VSACC_REPORTS="")["REPORTS"] == SOURCE.parents[1] / "reports"


def test_profile_named_by_the_caller_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("VSACC_PROFILE", "quick")
    assert resolve_profile("paper") == "paper"
    assert resolve_profile() == "quick"


@pytest.mark.parametrize(("cuda", "expected"), [(True, "paper"), (False, "laptop")])
def test_profile_follows_the_hardware(monkeypatch, cuda, expected):
    monkeypatch.setenv("VSACC_PROFILE", "")
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    assert resolve_profile("auto") == expected


def test_unknown_profile_lists_the_profiles(monkeypatch):
    with pytest.raises(UserError, match=r"^profile 'huge' is unknown, choose auto, quick, laptop or paper\.$"):
        resolve_profile("huge")
    monkeypatch.setenv("VSACC_PROFILE", "tiny")
    with pytest.raises(UserError, match="VSACC_PROFILE 'tiny'"):
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
    with pytest.raises(UserError, match=r"^[^\n]*taken[^\n]* cannot be written [^\n]*\.$"):
        write_atomic(tmp_path / "taken" / "file", "x")


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
    assert [path.read_bytes() for path in Path(tmp_path).iterdir()] == [b"x" * 10], "the kill came too early"


def test_user_error_leaves_as_one_sentence_and_exit_code_2(capsys):
    def main():
        raise UserError("do this.")

    with pytest.raises(SystemExit) as left:
        one_sentence_exit(main)
    assert left.value.code == 2
    assert capsys.readouterr() == ("", "vsacc: do this.\n")


def test_exit_code_of_main_is_kept_and_other_errors_are_not_hidden():
    with pytest.raises(SystemExit) as left:
        one_sentence_exit(lambda: 1)
    assert left.value.code == 1
    with pytest.raises(ZeroDivisionError):
        one_sentence_exit(lambda: 1 // 0)
