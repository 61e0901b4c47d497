"""The architecture, read off the source: who may import whom, how long a file may be, what it may need."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

from vsacc.local.paths import ROOT

LINES = 250
# Lower layers first. A module imports from its own layer or from lower ones, never in a circle.
LAYERS = [
    {"paths", "seeds"},
    {"record", "sampler", "vrnn", "noise", "video"},
    {"store"},
    {"classifier", "loss", "model", "toy", "estimators", "datasets", "baselines"},
    {"parallel", "tasks", "models", "metrics", "errors", "recipes", "weights", "explore"},
    {"health", "train"},
    {
        "bench",
        "cost",
        "ablation",
        "budget",
        "sweep",
        "runs",
        "reproduce",
        "readme",
        "results",
        "reporting",
        "report",
        "refresh",
    },
]
APART = {"plots": set(), "widgets": {"plots", "paths"}}  # arrays in, pictures out
TOGETHER = {"hero", "classify"}  # shows models in pictures, as the notebooks do; nothing imports it
NO_SCIENCE = {"reporting", "report", "refresh", "record", "paths"}
# Distribution of an import, where its name differs or where a listed package brings it.
DISTRIBUTION = {"PIL": "pillow", "math_core": "math-core", "nbformat": "papermill", "IPython": "ipywidgets"}
DISTRIBUTION |= {"pygments": "nbconvert"}

PATHS = sorted((ROOT / "vsacc").rglob("*.py"))
# Module name below vsacc -> its file; a package goes by its own name, vsacc itself by "".
FILES = {
    path.relative_to(ROOT / "vsacc")
    .with_suffix("")
    .as_posix()
    .replace("/", ".")
    .removesuffix("__init__")
    .strip("."): path
    for path in PATHS
}


def imported(path: Path, package: str) -> tuple[set[str], set[str]]:
    """What a file of vsacc imports, wherever it does: (modules of vsacc, top names of other packages).

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
    known = {max((m for m in FILES if f"{name}.".startswith(f"{m}.")), key=len, default=name) for name in inside}
    return known, outside


def imports_of(module: str) -> tuple[set[str], set[str]]:
    path = FILES[module]
    return imported(path, ".".join(path.relative_to(ROOT).parent.parts))


def top(module: str) -> str:
    return module.partition(".")[0]


def layer(module: str) -> int:
    places = [number for number, modules in enumerate(LAYERS) if top(module) in modules]
    assert places, f"vsacc/{top(module)} has no place yet: add it to LAYERS or APART in {Path(__file__).name}"
    return places[0]


@pytest.mark.parametrize("module", [module for module in FILES if module])
def test_imports_run_one_way(module):
    needed, _ = imports_of(module)
    for other in needed:
        assert other and other in FILES, f"{module} imports {other or 'vsacc'}: name the module that has it"
    tops = {top(other) for other in needed} - {top(module)}
    assert not tops & TOGETHER, f"{module} imports what stands on top of everything"
    if top(module) in TOGETHER:
        return
    if top(module) in APART:
        assert tops <= APART[top(module)], f"{module} stands apart"
        return
    assert not tops & APART.keys(), f"{module} imports what stands apart"
    for other in tops:
        assert layer(other) <= layer(module), f"{module} imports {other} from a higher layer"
    if top(module) in NO_SCIENCE:
        assert tops <= NO_SCIENCE, f"{module} runs notebooks and knows nothing of models"


def test_no_circles():
    graph = {module: imports_of(module)[0] - {module} for module in FILES.keys() - {""}}
    while leaves := {module for module, needed in graph.items() if not needed & graph.keys()}:
        graph = {module: needed for module, needed in graph.items() if module not in leaves}
    assert not graph, f"these import each other in a circle: {sorted(graph)}"


@pytest.mark.parametrize("module", FILES)
def test_a_file_holds_one_idea(module):
    assert len(FILES[module].read_text().splitlines()) <= LINES


@pytest.mark.parametrize("module", FILES)
def test_only_widgets_need_ipywidgets_and_only_pictures_matplotlib(module):
    _, outside = imports_of(module)
    assert "ipywidgets" not in outside or top(module) == "widgets"
    assert "matplotlib" not in outside or top(module) in APART


@pytest.mark.parametrize("module", FILES)
def test_what_is_imported_is_listed(module):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = {re.match(r"[\w-]+", requirement)[0] for requirement in project["dependencies"]}
    _, outside = imports_of(module)
    needed = {DISTRIBUTION.get(name, name) for name in outside - set(sys.stdlib_module_names)}
    assert needed <= listed, f"add {sorted(needed - listed)} to pyproject.toml or do without"


def test_the_reader_of_imports_sees_all_forms(tmp_path):
    source = tmp_path / "a.py"
    source.write_text(
        "import vsacc.local.paths\nfrom vsacc import train\nfrom . import mnist\nfrom .cluttered import TASKS\n"
        "def late():\n    from ..sampler import glimpse\n    import torch.nn\n"
    )
    inside, outside = imported(source, "vsacc.tasks")
    assert inside == {"paths", "train", "datasets.mnist", "datasets.cluttered", "sampler"}
    assert outside == {"torch"}
