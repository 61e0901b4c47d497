import json
import platform
import subprocess
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vsacc.local import record
from vsacc.local.paths import UserError
from vsacc.local.record import code_since, provenance, write_record

IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false")


@pytest.fixture
def reports(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "REPORTS", tmp_path / "reports")
    return tmp_path / "reports"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one committed file in vsacc/, in the place of ours."""
    monkeypatch.setattr(record, "CHECKOUT", tmp_path)
    (tmp_path / "vsacc").mkdir()
    (tmp_path / "vsacc" / "a.py").write_text("a = 1\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path, commit(tmp_path)


def commit(folder):
    """All that a repository holds now; returns the commit."""
    record._changed.cache_clear()  # what is asked once in a process may change here
    for arguments in (["add", "."], ["commit", "-qm", "a change"]):
        subprocess.run(["git", *IDENTITY, *arguments], cwd=folder, check=True)
    return subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=folder, text=True).strip()


def write(reports, results):
    path = write_record("02_demo", "quick", "MNIST", 3, results, 1.26)
    assert path == reports / "02_demo.json"
    return json.loads(path.read_text())


def test_record_has_the_agreed_shape(reports):
    written = write(reports, {"accuracy": 0.5})
    assert list(written) == [
        "notebook", "profile", "data", "seeds", "revision", "torch", "device", "threads", "date",
        "seconds", "peak_memory_bytes", "results",
    ]  # fmt: skip
    assert (written["seeds"], written["seconds"], written["results"]) == ([3], 1.3, {"accuracy": 0.5})
    assert written["peak_memory_bytes"] > 50 * 2**20, "a process that imported torch holds more"


def test_numbers_become_plain_and_rounded(reports):
    results = {
        "third": 1 / 3,
        "small": 1.23456789e-9,
        "tensor": torch.tensor([1.0, 2.0]),
        "scalar": np.float32(0.1),
        "count": torch.tensor(7),
        "rows": [{"ok": True, "missing": None}, ("a", 1)],
        5: "five",
    }
    assert write(reports, results)["results"] == {
        "third": 0.333333,
        "small": 1.23457e-9,
        "tensor": [1.0, 2.0],
        "scalar": 0.1,
        "count": 7,
        "rows": [{"ok": True, "missing": None}, ["a", 1]],
        "5": "five",
    }


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), torch.tensor(float("nan")), object()])
def test_what_json_cannot_hold_is_refused_and_nothing_is_written(reports, bad):
    with pytest.raises(UserError, match=r"results of 02_demo may be .* \(.*(nan|inf|JSON|object).*\)"):
        write(reports, {"table": [{}, {"loss": bad}]})
    assert not reports.exists()


def test_revision_is_the_commit_and_says_when_the_code_differs(repository):
    folder, head = repository
    assert provenance()["revision"] == head
    (folder / "notes.txt").write_text("not code")
    (folder / "reports").mkdir()
    (folder / "reports" / "01.json").write_text("{}")
    assert provenance()["revision"] == head, "a report being written is no change of the code"
    (folder / "vsacc" / "b.py").write_text("b = 1\n")
    assert provenance()["revision"] == f"{head}-dirty"


def test_a_revision_says_whether_the_code_has_changed_since(repository):
    folder, first = repository
    assert code_since(first) == ""
    for room in ("report", "training"):
        (folder / "vsacc" / room).mkdir()
    (folder / "README.md").write_text("not code")
    (folder / "vsacc" / "report" / "page.css").write_text("no number comes from it")
    second = commit(folder)
    assert code_since(first) == code_since(f"{first}, then {second}") == ""
    (folder / "vsacc" / "training" / "fit.py").write_text("steps = 1\n")
    third = commit(folder)
    assert code_since(first) == code_since(second) == ", code changed since" and code_since(third) == ""
    assert code_since(f"{first}, then {third}") == ", code changed since"
    assert code_since(f"{first}, then {third}-dirty") == ", with code that was not committed"
    for revision in ("abcdef0", "1.2.3", "unknown", "--output=x"):
        assert code_since(revision) == ", which this checkout does not know"
    (folder / "vsacc" / "a.py").write_text("a = 2\n")
    record._changed.cache_clear()
    assert code_since(third) == ", code changed since", "what is not committed yet would make the next row"


def test_git_is_asked_once_for_a_revision_and_never_without_a_repository(repository, monkeypatch):
    folder, first = repository
    asked, git = [], record._git
    monkeypatch.setattr(record, "_git", lambda *arguments: asked.append(arguments) or git(*arguments))
    assert {code_since(first) for _ in range(5)} == {""} and len(asked) == 1
    (folder / "copy").mkdir()
    for checkout in (folder / "copy", None):
        monkeypatch.setattr(record, "CHECKOUT", checkout)
        assert code_since(first) == ", which this checkout does not know"
    assert len(asked) == 1


def test_a_machine_without_git_knows_no_revision(repository, monkeypatch):
    monkeypatch.setenv("PATH", str(repository[0]))
    assert code_since(repository[1]) == ", which this checkout does not know"


def test_a_copy_without_its_git_says_what_it_was_told(repository, monkeypatch):
    """And never the commit of another repository that it happens to lie in."""
    folder, _ = repository
    (folder / "copy").mkdir()
    monkeypatch.setattr(record, "CHECKOUT", folder / "copy")
    assert provenance()["revision"] == "unknown"
    monkeypatch.setenv("VSACC_REVISION", "abc1234")
    assert provenance()["revision"] == "abc1234"
    monkeypatch.setattr(record, "CHECKOUT", folder)
    assert provenance()["revision"] != "abc1234"  # a checkout knows better


def test_an_installed_package_says_its_version_and_a_bare_copy_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "CHECKOUT", None)
    for package, expected in (("vsacc", "1.2.3"), ("copy/vsacc", "unknown")):
        monkeypatch.setattr(record, "PACKAGE", tmp_path / package)
        installed = SimpleNamespace(version="1.2.3", locate_file=tmp_path.joinpath)
        monkeypatch.setattr(record.metadata, "distribution", lambda _, installed=installed: installed)
        assert provenance()["revision"] == expected


def test_the_device_is_the_gpu_that_a_training_uses_or_the_current_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"GPU {device}")
    assert provenance(torch.device("cuda", 1))["device"] == "GPU cuda:1"
    assert provenance()["device"] == "GPU None"  # torch's word for the current one
    assert not provenance(torch.device("cpu"))["device"].startswith("GPU")


def test_provenance_names_the_device_but_not_the_machine():
    made = provenance()
    assert made["device"] and made["threads"] == torch.get_num_threads()
    assert made["torch"] == torch.__version__
    assert datetime.fromisoformat(made["date"]).utcoffset().total_seconds() == 0
    assert platform.node() not in made.values()
    assert not any(str(record.CHECKOUT) in str(value) for value in made.values())
