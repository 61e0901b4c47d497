"""Table 1 and what stands beside it: from rows of finished runs to Markdown, nothing is trained or opened here.

Seeds of the same system, or variant of one, on the same task under the same profile make a group; every group that is
planned is there, whether it was run or not. Accuracies are in percent, their means and ranges are over the seeds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import comb

from ..systems import find_system, system_name
from ..tasks import Peer, Printed, all_tasks
from .plan import Planned

PROFILES = ("paper", "desk", "laptop")
NOT_RUN = "not run"
_order = list(all_tasks())
_published = [(task.name, figure) for task in all_tasks().values() for figure in task.published]
PEERS = [(task, figure) for task, figure in _published if isinstance(figure, Peer)]
# Ramapuram et al. 2018, Table 1, both parts, row by row.
PAPER = [(task, figure) for task, figure in _published if isinstance(figure, Printed)]
PAPER.sort(key=lambda row: (-row[1].side, -_order.index(row[0])))
EPOCH, BATCH = 60_000, 160  # of its cost columns: images of an epoch, of a batch
# The cost columns of its second part, 100 x 100: parameters, bytes at batch 160, seconds per epoch. Those of its first
# part, 2528 x 2528, are vsacc.studies.cost.PRINTED, under the same names.
PAPER_COST_100 = {"whole image": (11e6, 6.6e9, 59.27), "saccader": (7.4e6, 2.8e9, 37.0)}


@dataclass
class Group:
    """All runs of a system on a task under a profile, by seed. accuracy: 0 .. 1; stopped: sentences; planned: seeds."""

    task: str
    system: str
    profile: str
    standin: bool = False
    accuracy: dict[int, float] = field(default_factory=dict)
    stopped: dict[int, str] = field(default_factory=dict)
    planned: set[int] = field(default_factory=set)
    parameters: int | None = None
    steps: int | None = None
    images: int | None = None  # seen in a training, each drawn anew or again
    glimpses: int | None = None
    seconds: list[float] = field(default_factory=list)

    @property
    def values(self) -> list[float]:
        return [self.accuracy[seed] for seed in sorted(self.accuracy)]

    @property
    def mean(self) -> float | None:
        return sum(self.values) / len(self.values) if self.values else None

    @property
    def waiting(self) -> set[int]:
        """Planned seeds that nobody has run."""
        return self.planned - self.accuracy.keys() - self.stopped.keys()

    def __str__(self) -> str:
        """Mean, range and number of seeds: the cell of a table."""
        values, notes = self.values, []
        if len(values) > 1:
            notes.append(f"{percent(min(values))} to {percent(max(values))}")
        if values:
            some = f"{len(values)} of {len(self.planned)} seeds"
            notes.append(some if self.waiting else count(len(values), "seed"))
        if self.stopped:
            notes.append(f"{len(self.stopped)} stopped")
        if not values:
            return ", ".join(notes) or NOT_RUN
        return f"{'stand-in: ' * self.standin}{percent(self.mean)} ({', '.join(notes)})"


def group(rows: Mapping[str, dict], planned: Iterable[Planned]) -> list[Group]:
    """Rows by name and a plan as groups, in the order of the plan, then of the names."""
    groups: dict[tuple[str, str, str], Group] = {}
    for job, variant in planned:
        key = (job.task, system_name(job.model, variant), job.profile)
        groups.setdefault(key, Group(*key)).planned.add(job.seed)
    for name, row in rows.items():
        variant = name.partition(f"-seed{row['seed']}")[2].removeprefix("-")
        key = (row["task"], system_name(row["model"], variant), row["profile"])
        found = groups.setdefault(key, Group(*key))
        if "stopped" in row:
            found.stopped[row["seed"]] = row["stopped"]
            continue
        found.accuracy[row["seed"]] = row["test_accuracy"]
        found.standin |= "stand-in" in row["protocol"]
        found.parameters, found.steps = row["parameters"], row["steps"]
        found.images = row["steps"] * row["recipe"]["batch"]
        found.glimpses = find_system(row["model"]).glimpses(row["config"])
        found.seconds.append(row["seconds"])
    return list(groups.values())


def find(groups: Iterable[Group], task: str, system: str, profile: str) -> Group:
    """The group of these names, an empty one where there is none."""
    wanted = (task, system, profile)
    return next((g for g in groups if (g.task, g.system, g.profile) == wanted), Group(*wanted))


def titles(groups: list[Group]) -> dict[str, str]:
    """Every task and its title, which says where its numbers were made from a stand-in."""
    standins = {each.task for each in groups if each.standin}
    return {each.task: each.task + " (stand-in)" * (each.task in standins) for each in groups}


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def number(value: float | None, unit: float = 1.0) -> str:
    """Three digits of ``value`` times ``unit``, without an exponent."""
    return NOT_RUN if value is None else f"{float(f'{value * unit:.3g}'):,g}"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; all but the first ``left`` columns are set to the right."""
    rule = ["---" if column < left else "---:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)) + "\n"


def accuracy_table(groups: list[Group]) -> str:
    """The accuracies of Table 1: the paper's in a column of their own, this workbook's in one per profile, with the
    points that they are above the paper's where they are on the paper's own task."""
    head = ["side", "task", "method", "here", "the paper, %", *(f"ours, profile {name}, %" for name in PROFILES)]
    rows = []
    for task, (side, system, method, accuracy, spread) in PAPER:
        printed = f"{100 * accuracy:.4g}" + ("" if spread is None else f" ± {spread:g}")
        row = [str(side), task, method, f"`{system}`", printed]
        for each in (find(groups, task, system, profile) for profile in PROFILES):
            told = f": {100 * (each.mean - accuracy):+.1f}, {each.parameters / 1e6:.2g} M" if each.values else ""
            row.append(str(each) + told * (not each.standin))
        rows.append(row)
    return markdown(head, rows, left=4)


def cost_table(costs: list[dict], printed: Mapping[str, tuple[float, float, float]], side: int) -> str:
    """The costs of Table 1 at one side, per image: the paper's ``printed`` ones, which are of training, beside
    ``costs``, the rows of ``vsacc bench cost``. Memory is without what is resident whatever the batch."""
    rows = []
    for name in dict.fromkeys([*printed, *(row["name"] for row in costs if row["side"] == side)]):
        theirs = ["not in the paper"] * 4
        if name in printed:
            parameters, held, seconds = printed[name]
            ratio = seconds / printed["saccader"][2]
            theirs = measured(parameters, held / BATCH, seconds / EPOCH, ratio)
        ours = []
        for mode in ("training", "inference"):
            found = [row for row in costs if (row["name"], row["mode"], row["side"]) == (name, mode, side)]
            row = max(found, key=lambda row: row["channels"], default={})  # of a colour image where there is one
            memory = (row["bytes"] - row["resident"]) / row["batch"] if row.get("bytes") else None
            ours.append(measured(row.get("parameters"), memory, row.get("seconds"), row.get("ratio")))
        columns = zip(("parameters, M", "memory, MB", "time, ms", "time, x saccader"), theirs, *ours, strict=True)
        rows += [[name if first == 0 else "", *column] for first, column in enumerate(columns)]
    return markdown(["method", "", "the paper, training", "ours, training", "ours, inference"], rows, left=2)


def measured(parameters: float | None, memory: float | None, seconds: float | None, ratio: float | None) -> list[str]:
    return [number(parameters, 1e-6), number(memory, 1e-6), number(seconds, 1e3), number(ratio)]


def systems_table(groups: list[Group], profile: str, say: Callable[[Group], str] = str) -> str:
    """Every system (rows) on every task (columns) of a profile."""
    mine = [each for each in groups if each.profile == profile]
    systems, named = list(dict.fromkeys(each.system for each in mine)), titles(mine)
    rows = [[f"`{name}`", *(say(find(mine, task, name, profile)) for task in named)] for name in systems]
    return markdown(["system", *named.values()], rows)


def training_table(groups: list[Group], profile: str) -> str:
    """What the systems of a profile were given: steps, images and minutes of a training, and glimpses, by task."""

    def given(each: Group) -> str:
        if not each.values:
            return ""
        taken = f", {each.glimpses} glimpses" if each.glimpses else ""
        minutes = sum(each.seconds) / 60 / len(each.seconds)
        return f"{each.steps:,} steps, {each.images:,} images, {minutes:.1f} min{taken}"

    return systems_table([each for each in groups if each.values], profile, given)


def peers_table(groups: list[Group]) -> str:
    """What others published, and what was run here on the same tasks."""
    rows = [[task, p.method, p.reads, percent(p.accuracy), p.source] for task, p in PEERS]
    tasks = list(dict.fromkeys(task for task, _ in PEERS))
    for each in groups:
        if each.task in tasks:
            reads = find_system(each.system.partition(" ")[0]).reads.format(each.glimpses or "some")
            rows.append([each.task, f"`{each.system}`", reads, str(each), f"here, profile {each.profile}"])
    rows.sort(key=lambda row: tasks.index(row[0]))
    return markdown(["task", "method", "reads", "%", "source"], rows, left=3)


def by_task(groups: list[Group]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Accuracies of the seeds: title of a task -> system -> profile, of the tasks that somebody was run on."""
    named, found = titles(groups), {}
    for each in groups:
        if each.values:
            found.setdefault(named[each.task], {}).setdefault(each.system, {})[each.profile] = each.values
    return found


def compared(groups: list[Group], profile: str) -> str:
    """Every task that was run: who is best and next, whether every seed of the best is above every seed of the next,
    and how often chance alone would put them so, were the two the same: 2 in the number of ways to deal the seeds."""
    mine, rows = [each for each in groups if each.profile == profile and each.values], []
    for task, title in titles(mine).items():
        ran = sorted((each for each in mine if each.task == task), key=lambda each: -each.mean)
        best = [f"`{each.system}` {percent(each.mean)}" for each in ran[:2]]
        apart = len(ran) > 1 and min(ran[0].values) > max(ran[1].values)
        seeds = [len(each.values) for each in ran[:2]]
        told = f"{2 / comb(sum(seeds), seeds[0]):.2g}" if len(ran) > 1 else ""
        rows.append([title, best[0], best[1] if len(ran) > 1 else NOT_RUN, "yes" if apart else "no", told])
    return markdown(["task", "best", "next", "apart with every seed", "by chance"], rows, left=4)


def missing(groups: list[Group]) -> str:
    """What was planned and not run, and what stopped."""
    planned, waiting = sum(len(g.planned) for g in groups), sum(len(g.waiting) for g in groups)
    stopped = sum(len(g.stopped) for g in groups)
    return f"Of {planned} planned runs, {planned - waiting} were made and {waiting} not; {stopped} stopped early."
