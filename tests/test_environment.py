"""environment.yml, the Makefile, CITATION.cff and pyproject.toml must not drift apart."""

import re
import runpy
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from vsacc.local.paths import CHECKOUT

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
PYTHON, *OTHERS = yaml.safe_load((CHECKOUT / "environment.yml").read_text())["dependencies"]


def minors(specification: str) -> set[int]:
    """The 3.x a specification such as ">=3.11,<3.14" admits, of 3.0 to 3.29."""
    admitted = set(range(30))
    for sign, minor in re.findall(r"(>=|<)\s*3\.(\d+)", specification):
        admitted &= set(range(int(minor), 30)) if sign == ">=" else set(range(int(minor)))
    return admitted


def test_conda_installs_this_project_and_lists_no_package_of_its_own():
    assert PYTHON.startswith("python") and OTHERS == ["pip", {"pip": ["-e .[dev]"]}]


def test_versions_agree():
    ours = minors(PROJECT["requires-python"])
    assert minors(PYTHON) <= ours, "conda may narrow the range, not widen it"
    asked = re.search(r"sys\.version_info < \(3, (\d+)\)", (CHECKOUT / "Makefile").read_text())
    assert int(asked[1]) == min(minors(PYTHON)) == min(ours)
    assert yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())["version"] == PROJECT["version"]


def test_the_packages_the_project_is_built_on_are_listed():
    listed = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    wanted = {"torch", "torchvision", "jupyterlab", "ipywidgets", "matplotlib", "papermill", "nbval", "pillow"}
    assert wanted <= {re.match(r"[\w-]+", item)[0] for item in listed}


@pytest.mark.parametrize(("file", "wanted"), [("03_mit5k.ipynb", ["one_digit", "mit5k"]), ("test_tasks.py", [])])
def test_the_data_of_notebooks_is_there_before_nbval_compares_them(monkeypatch, file, wanted):
    """Drawing them shows progress, which the committed outputs do not have."""
    hook = runpy.run_path(str(CHECKOUT / "conftest.py"))["pytest_collection_finish"]
    opened = []
    monkeypatch.setattr("vsacc.tasks.open_split", lambda task, split, profile: opened.append(task))
    config = SimpleNamespace(option=SimpleNamespace(collectonly=False))
    hook(SimpleNamespace(config=config, items=[SimpleNamespace(path=Path(file))]))
    assert opened == wanted


def test_ci_runs_the_test_target():
    ci = CHECKOUT / ".ci" / "run"
    assert ci.stat().st_mode & 0o111, "executable"
    assert ci.read_text().splitlines()[-1] == "make test"
