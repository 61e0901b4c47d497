"""One contract: every system learns, is measured, looked at and drawn on every task, or refuses in one sentence; and a
new system or task is one new file."""

import sys
import textwrap
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from conftest import needs_gpu, noise, plain_digits
from vsacc import systems, tasks
from vsacc.figures import explorer as pictures
from vsacc.local.paths import UserError
from vsacc.look.explorer import Explorer, FixedTest
from vsacc.saccader import Output
from vsacc.sampler import build_pyramid, glimpse
from vsacc.studies.plan import Planned
from vsacc.studies.table1 import by_task, group
from vsacc.training.evaluation import evaluate
from vsacc.training.fit import fit, result
from vsacc.training.jobs import build, make_job

# A task of every kind. The paper-size canvases are the same tasks, larger.
TASKS = ("one_digit", "identification", "sum", "megapixel_easy", "multi", "moving_digit", "mit5k", "photographs")


@pytest.fixture(scope="module", autouse=True)
def small(tmp_path_factory):
    """Everything small: drawn digits, canvases of 200 pixels, a folder of eight photographs, and runs that go."""
    patch = pytest.MonkeyPatch()
    bank, folder = plain_digits(), tmp_path_factory.mktemp("pets")
    for file in ("cluttered", "megapixel", "moving_digit"):
        patch.setattr(f"vsacc.tasks.{file}.load_digits", lambda split: bank)
    from vsacc.tasks import megapixel

    patch.setattr(megapixel, "COUNTS", {"train": 20, "validation": 10, "test": 10})
    easy = megapixel.Scribbled(side=200, scribbles=3)
    patch.setattr(megapixel, "MEGAPIXEL_EASY", megapixel.megapixel("megapixel_easy", easy))
    patch.setattr(megapixel, "MULTI", megapixel.megapixel("multi", replace(easy, label="multi")), raising=False)
    rng = np.random.default_rng(0)
    for number, name in enumerate(["cat", "dog"] * 6):
        path = folder / ("train", "validation", "test")[number // 4] / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(256, size=(70, 90, 3), dtype=np.uint8)).save(path)
    patch.setattr("vsacc.tasks.photographs.SIDE", 128)
    patch.setattr("vsacc.tasks.photographs.DOWNLOADS", tmp_path_factory.mktemp("downloads"))
    patch.setattr("vsacc.training.fit.RUNS", tmp_path_factory.mktemp("runs"))
    yield folder
    patch.undo()


def a_job(task: str, system: str, folder):
    recipe = {"steps": 1, "batch": 2, "evaluated": 4, "validations": 0}
    return make_job(f"photographs:{folder}" if task == "photographs" else task, "quick", system, recipe=recipe)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("system", systems.all_systems())
def test_every_system_on_every_task(system, task, small):
    if task == "moving_digit" and not systems.find_system(system).videos:
        with pytest.raises(UserError, match=f"^{system} looks at still images and cannot learn from videos, .*\\.$"):
            a_job(task, system, small)
        return
    job = a_job(task, system, small)
    learned = tasks.find_task(job.task)
    before = {name: value.clone() for name, value in build(job).state_dict().items()}
    run = fit(job, progress=False)  # one training step
    assert any(not torch.equal(value, before[name]) for name, value in run.model.state_dict().items())
    row = result(run)  # one evaluation
    assert 0 <= row["test_accuracy"] <= 1 and row["model"] == system
    model, split = run.model.eval(), learned.open("test", profile="quick")
    batch = next(split.fixed(2))
    with torch.no_grad():
        output = model(batch.images)
    assert isinstance(output, Output) and output.logits.shape == (2, len(learned.question.classes))
    assert model.config.channels == learned.channels
    explorer = Explorer(model, FixedTest(split, learned.question), learned.question, steps=2)
    look = explorer.look(explorer.pictures[0])  # one look
    assert ((look.posterior >= 0) & (look.posterior <= 1)).all()
    if not learned.question.many:
        assert np.allclose(look.posterior.sum(-1), 1, atol=1e-5)
    figure = pictures.steps(explorer.pictures[0], look, learned.question.classes, len(look.posterior))  # one figure
    assert isinstance(figure, matplotlib.figure.Figure)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu)])
@pytest.mark.parametrize("side", [1500, 2528])
@pytest.mark.parametrize("system", [*systems.all_systems(), "dense"])
def test_autocast_moves_no_glimpse(system, side, device):
    """Under bfloat16 a model's places are float32, and what it reads there is what float64 reads, to a grey level."""
    config = {"posterior": "dense"} if system == "dense" else {}
    job = make_job("one_digit", "quick", system.replace("dense", "saccader"), config=config)
    if system.startswith("resnet18"):
        assert not hasattr(job.config, "glimpses")  # it has no places
        return
    pyramid, model = build_pyramid(noise(2, 1, side, side).to(device)), build(job).to(device)
    for training in (True, False):
        with torch.no_grad(), torch.autocast(device, torch.bfloat16):
            output = model.train(training)(pyramid)
        if output.where is None:
            assert system == "proxy_only"
            continue
        assert output.where.dtype == torch.float32
        exact = glimpse(pyramid, output.where.double(), output.glimpses.shape[-1])
        if output.glimpses.shape == exact.shape:
            torch.testing.assert_close(output.glimpses.double(), exact, atol=1 / 255, rtol=0)


SYSTEM = '''
    """A toy: the brightness of the proxy, and a linear layer."""
    from dataclasses import dataclass

    from torch import nn

    from ..saccader import Model, Output
    from ..sampler import proxy
    from . import System


    @dataclass(frozen=True)
    class ToyConfig:
        channels: int = 1


    class Toy(Model):
        def __init__(self, config, question):
            super().__init__()
            self.config = config
            self.linear = nn.Linear(config.channels * 16, len(question.classes))

        def forward(self, images, glimpses=None):
            return Output(self.linear(proxy(images, 4).flatten(1)), None, None, {})


    TOY = System(
        name="toy", label="a toy", says="A toy.", reads="coarse view", colour="#123456", marker="h",
        config=ToyConfig, make=Toy, sizes=dict.fromkeys(("quick", "laptop", "paper"), ToyConfig()),
    )
'''
TASK = '''
    """A toy: is it bright?"""
    import torch

    from ..reading import Question
    from ..sampler import build_pyramid
    from . import ALL, Batch, EndlessSplit, Recipe, Task


    class Split(EndlessSplit):
        protocol = "bright or dark, drawn"

        def draw(self, size, seed, index, part=ALL):
            labels = torch.arange(size)[part] % 2
            grey = (200 * labels).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 64, 64)
            return Batch(build_pyramid(grey), labels, None)


    BRIGHT = Task(
        "bright", Question(torch.arange(2), ("dark", "bright")), lambda split, device, profile: Split(),
        dict.fromkeys(("quick", "laptop", "paper"), Recipe(steps=40, batch=8, evaluated=20, learning_rate=0.1)),
    )
'''


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """A system's file and a task's file, each in a folder on its room's path."""
    for room, name, source in ((systems, "toy_system", SYSTEM), (tasks, "toy_task", TASK)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
        monkeypatch.setattr(room, "__path__", [*room.__path__, str(folder)])
    yield
    for name in ("vsacc.systems.toy_system", "vsacc.tasks.toy_task"):
        sys.modules.pop(name, None)


def test_a_new_system_and_a_new_task_are_a_file_each(toys):
    run = fit(make_job("bright", "laptop", "toy"), progress=False)
    row = result(run)
    assert row["test_accuracy"] == 1.0 and row["protocol"].startswith("bright or dark")
    found = group({"bright-toy-laptop-seed0": row}, [Planned(run.job)])  # tabulated
    assert by_task(found) == {"bright": {"toy": {"laptop": [1.0]}}}
    from vsacc.figures.results import systems as drawn

    figure = drawn(by_task(found), ["toy"], "random", systems.marks())
    assert any(line.get_color() == "#123456" for axes in figure.axes for line in axes.lines)
    assert evaluate(run.model, tasks.open_split("bright", "test", profile="quick").fixed(10)).accuracy == 1.0
    assert result(fit(make_job("bright", "quick", "saccader", recipe={"steps": 2}), progress=False))["seed"] == 0


def test_nothing_is_found_where_no_file_was_dropped():
    assert "toy" not in systems.all_systems() and "bright" not in tasks.all_tasks()


def test_no_other_place_lists_systems_or_tasks():
    """A name of a system stands in its own file, and elsewhere only where a study, a figure or a text is about it."""
    from test_imports import ROOT, modules

    rooms = ("training.", "figures.", "look.", "report.", "images.", "local.")
    for name, path in modules(ROOT).items():
        if not name.startswith(rooms):
            continue
        text = path.read_text()
        listed = [system for system in systems.all_systems() if f'"{system}"' in text]
        assert len(listed) <= 1, f"{name} names {listed}"
