"""The architecture, read off the source: who may import whom, and what a file may need."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ("sampler", "norm", "vrnn", "reading", "loss", "saccader")
NEEDS = {"core": {"torch"}, "kernels": {"torch", "numpy", "numba", "llvmlite"}}  # and nothing else
BELOW = {  # room: the rooms that it may import, besides itself
    "kernels": set(),
    "core": {"kernels"},
    "local": set(),
    "images": {"core", "local"},
    "systems": {"core", "local"},
    "tasks": {"core", "local", "images"},
    "training": {"core", "local", "images", "systems", "tasks"},
    "studies": {"core", "local", "images", "systems", "tasks", "training"},
    "figures": set(),
    "look": {"core", "local", "images", "systems", "tasks", "training", "studies", "figures"},
    "report": {"local", "studies", "systems", "figures", "look"},
}
# Distribution of an import, where its name differs or where a listed package brings it.
DISTRIBUTION = {"PIL": "pillow", "math_core": "math-core", "nbformat": "papermill", "IPython": "ipywidgets"}
DISTRIBUTION |= {"pygments": "nbconvert", "lightning_fabric": "lightning-fabric", "numpy": "numpy"}


def modules(root: Path) -> dict[str, Path]:
    """Dotted name below vsacc -> file; a package goes by its own name, vsacc itself by ""."""
    return {
        ".".join(path.relative_to(root / "vsacc").with_suffix("").parts).removesuffix("__init__").strip("."): path
        for path in sorted((root / "vsacc").rglob("*.py"))
    }


def imported(path: Path, package: str) -> tuple[set[str], set[str]]:
    """What a file of vsacc imports, wherever it does: (dotted names below vsacc, top names of other packages).

    ``package`` is the file's own package, such as "vsacc.tasks".
    """
    inside, outside = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            start = ".".join([*base, *filter(None, [node.module])])
            names = [f"{start}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            (inside if top == "vsacc" else outside).add(rest if top == "vsacc" else top)
    return inside, outside


def room(name: str) -> str:
    top = name.partition(".")[0]
    return "core" if top in CORE else top


def faults(root: Path) -> list[str]:
    """A line for each import against the rule, and for each file that has no place."""
    found = []
    for name, path in modules(root).items():
        inside, outside = imported(path, ".".join(path.relative_to(root).parent.parts))
        if name in ("", "__main__"):  # the names and the door open every room
            continue
        if room(name) not in BELOW:
            found.append(f"{name} is in no room")
            continue
        found += [
            f"{name} imports {other or 'vsacc'}"
            for other in inside
            if room(other) != room(name) and room(other) not in BELOW[room(name)]
        ]
        if allowed := NEEDS.get(room(name)):
            found += [f"{name} imports {other}" for other in outside - set(sys.stdlib_module_names) - allowed]
        if "matplotlib" in outside and room(name) != "figures":
            found.append(f"{name} imports matplotlib outside of figures")
    return found


def test_imports_run_one_way():
    assert faults(ROOT) == []


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        ("saccader.py", "import numpy", "saccader imports numpy"),
        ("loss.py", "from .training.jobs import Job", "loss imports training.jobs.Job"),
        ("systems/ram.py", "def late():\n    from ..tasks import find_task", "systems.ram imports tasks.find_task"),
        ("images/store.py", "from ..tasks.mnist import load_digits", "images.store imports tasks.mnist.load_digits"),
        ("figures/cost.py", "from ..systems import marks", "figures.cost imports systems.marks"),
        ("helpers.py", "", "helpers is in no room"),
        ("tasks/colon.py", "import vsacc", "tasks.colon imports vsacc"),
    ],
)
def test_an_import_against_the_rule_is_seen(tmp_path, file, line, fault):
    target = tmp_path / "vsacc" / file
    target.parent.mkdir(parents=True)
    target.write_text(line + "\n")
    assert faults(tmp_path) == [fault]


def test_no_circles():
    known, graph = modules(ROOT), {}
    for name, path in known.items():
        inside, _ = imported(path, ".".join(path.relative_to(ROOT).parent.parts))
        needed = {max((m for m in known if f"{other}.".startswith(f"{m}.")), key=len, default="") for other in inside}
        graph[name] = needed - {name, ""}
    while leaves := {name for name, needed in graph.items() if not needed & graph.keys()}:
        graph = {name: needed for name, needed in graph.items() if name not in leaves}
    assert not graph, f"these import each other in a circle: {sorted(graph)}"


def test_what_is_imported_is_listed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = {re.match(r"[\w-]+", requirement)[0] for requirement in project["dependencies"]}
    needed = set()
    for path in modules(ROOT).values():
        needed |= imported(path, ".".join(path.relative_to(ROOT).parent.parts))[1]
    needed = {DISTRIBUTION.get(name, name) for name in needed - set(sys.stdlib_module_names)}
    extras = {re.match(r"[\w-]+", item)[0] for part in project["optional-dependencies"].values() for item in part}
    assert needed <= listed | extras, f"add {sorted(needed - listed - extras)} to pyproject.toml or do without"
    assert listed <= needed | {"jupyterlab", "ipywidgets"}, f"nothing imports {sorted(listed - needed)}"


def test_the_house_stays_small():
    """Files at the top, rooms, files and lines, as CONTRIBUTING.md says."""
    files = modules(ROOT).values()
    assert len(list((ROOT / "vsacc").glob("*.py"))) <= 8
    assert len({path.parent for path in files}) - 1 <= 10
    assert len(files) <= 85
    assert sum(len(path.read_text().splitlines()) for path in files) <= 11_000


def test_the_name_alone_needs_torch_at_most():
    told = subprocess.run(
        [sys.executable, "-c", "import sys, vsacc; print(*{name.partition('.')[0] for name in sys.modules})"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    others = {"numpy", "matplotlib", "PIL", "tifffile", "joblib", "scipy", "tqdm", "lightning_fabric", "safetensors"}
    assert not others & set(told.stdout.split())
