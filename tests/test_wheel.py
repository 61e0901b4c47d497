"""A wheel, built from a copy of the checkout and installed elsewhere, has all that commands and notebooks need."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib import metadata

import pytest

from vsacc.local.paths import CHECKOUT

NAME = "one_digit-laptop-seed0"
OUTSIDE = f"""
import json, platformdirs, torch, vsacc
from vsacc.local import paths, record
from vsacc.report.notebooks import find_notebooks
from vsacc.studies.plan import read_rows
images = torch.zeros(2, 1, 100, 100, dtype=torch.uint8)
images[:, :, 20:48, 30:34] = 255
model = vsacc.load({NAME!r})
print(json.dumps({{
    "file": vsacc.__file__, "classes": len(model.classes), "logits": list(model(images).logits.shape),
    "data": str(paths.DATA), "users": str(platformdirs.user_data_path("vsacc")), "reports": str(paths.REPORTS),
    "revision": record.provenance()["revision"], "rows": len(read_rows()), "notebooks": len(find_notebooks()),
}}))
"""


def run(*command, cwd) -> str:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("VSACC_", "PYTHON"))}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=plain, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from what pyproject.toml names and nothing else, away from the checkout's own build folders."""
    source = tmp_path_factory.mktemp("source")
    folders = set(
        tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"].values()
    )
    skip = shutil.ignore_patterns("__pycache__", "quick", "*-seed[1-9]*.safetensors", "*.html", "*.png", "*.gif")
    for folder in folders - {"reports/runs"}:
        shutil.copytree(CHECKOUT / folder, source / folder, ignore=skip)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / file, source)
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "--wheel-dir", "made", ".", cwd=source)
    return next((source / "made").glob("*.whl"))


def test_the_wheel_holds_every_module_and_what_is_committed(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "vsacc").rglob("*.py")}
    rows = {f"vsacc/shipped/reports/runs/{path.name}" for path in (CHECKOUT / "reports" / "runs").glob("*.json")}
    cards = {f"vsacc/shipped/weights/{path.name}" for path in (CHECKOUT / "data" / "weights").glob("*.json")}
    notebooks = {f"vsacc/shipped/notebooks/{path.name}" for path in (CHECKOUT / "notebooks").glob("[0-9]*.ipynb")}
    wanted = modules | rows | cards | notebooks | {"vsacc/shipped/reports/noise.json"}
    assert wanted - held == set(), "see packages in pyproject.toml"
    assert not [name for name in held if not name.startswith("vsacc")]


@pytest.mark.skipif(not (CHECKOUT / "data" / "weights" / f"{NAME}.safetensors").exists(), reason="no weights here")
def test_installed_elsewhere_it_works_from_any_folder(wheel, tmp_path):
    run(sys.executable, "-m", "venv", "--without-pip", "new", cwd=tmp_path)
    python = tmp_path / "new" / "bin" / "python"
    here = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    # The packages of this environment, but not its .pth files, one of which may lead to the checkout.
    packages = "\n".join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (tmp_path / here / "others.pth").write_text(packages)
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel, cwd=tmp_path)
    (tmp_path / "anywhere").mkdir()
    told = json.loads(run(python, "-I", "-c", OUTSIDE, cwd=tmp_path / "anywhere"))
    assert told["file"] == f"{here}/vsacc/__init__.py"
    assert (told["classes"], told["logits"]) == (10, [2, 10])
    assert told["data"] == told["users"] and told["reports"] == str(tmp_path / "anywhere" / "reports")
    assert told["revision"] == metadata.version("vsacc") and told["rows"] > 50 and told["notebooks"] >= 9
    assert "reproduce" in run(tmp_path / "new" / "bin" / "vsacc", "--help", cwd=tmp_path)
