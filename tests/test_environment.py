"""environment.yml, the Makefile and pyproject.toml must not drift apart."""

import re
import tomllib

import yaml

from vsacc.local.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]


def minors(specification: str) -> set[int]:
    """The 3.x a specification such as ">=3.11,<3.14" admits, of 3.0 to 3.29."""
    admitted = set(range(30))
    for sign, minor in re.findall(r"(>=|<)\s*3\.(\d+)", specification):
        admitted &= set(range(int(minor), 30)) if sign == ">=" else set(range(int(minor)))
    return admitted


def test_conda_installs_this_project_and_lists_no_package_of_its_own():
    (python,) = [item for item in CONDA if isinstance(item, str) and item.startswith("python")]
    assert [item for item in CONDA if item != python] == ["pip", {"pip": ["-e .[dev]"]}]


def test_python_versions_agree():
    (python,) = [item for item in CONDA if isinstance(item, str) and item.startswith("python")]
    ours = minors(PROJECT["requires-python"])
    assert minors(python) <= ours, "conda may narrow the range, not widen it"
    assert min(minors(python)) == min(ours)
    asked = re.search(r"sys\.version_info < \(3, (\d+)\)", (ROOT / "Makefile").read_text())
    assert int(asked[1]) == min(ours)


def test_the_packages_the_project_is_built_on_are_listed():
    listed = {re.match(r"[\w-]+", item)[0] for item in [*PROJECT["dependencies"],
              *PROJECT["optional-dependencies"]["dev"]]}  # fmt: skip
    wanted = {
        "torch",
        "torchvision",
        "jupyterlab",
        "ipywidgets",
        "matplotlib",
        "papermill",
        "nbval",
        "pillow",
    }
    assert wanted <= listed


def test_ci_runs_the_test_target():
    ci = ROOT / ".ci" / "run"
    assert ci.stat().st_mode & 0o111, "executable"
    assert ci.read_text().splitlines()[-1] == "make test"
