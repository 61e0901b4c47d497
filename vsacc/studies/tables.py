"""From rows of finished runs to tables of results: JSON in, text and numbers out, nothing is trained or opened here.

A system is a model, with its variant where it has one. Seeds of the same system on the same task under the same profile
make a group; every group that is planned is there, whether it was run or not.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..training.evaluation import wilson
from .published import ALL, BATCH, EPOCH, PAPER, PEERS

PROFILES = ("paper", "laptop")
NOT_RUN = "not run"
HARD = "\N{NO-BREAK SPACE}"
READS = {  # by model: what it looks at of an image when it answers, with its number of glimpses
    "saccader": "coarse view + {} glimpses",
    "dram": "coarse view + {} glimpses",
    "attention_sampling": "coarse view + {} glimpses",
    "ram": "{} glimpses of 3 scales",
    "random": "{} glimpses",
    "proxy_only": "coarse view",
}


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


def system_of(model: str, variant: str = "") -> str:
    return f"{model} ({variant.replace('_', ' ')})" if variant else model


def variant_of(name: str, row: dict) -> str:
    """What the name of a row says behind its seed, see :func:`vsacc.studies.rows.row_name`."""
    return name.partition(f"-seed{row['seed']}")[2].removeprefix("-")


def group(rows: Mapping[str, dict], planned: Iterable[tuple[str, str, str, int]]) -> list[Group]:
    """Rows by name and plans (task, system, profile, seed) as groups, in the order of the plan, then of the names.

    What was run under another profile than those of PROFILES is left out.
    """
    groups: dict[tuple[str, str, str], Group] = {}

    def of(task: str, system: str, profile: str) -> Group:
        return groups.setdefault((task, system, profile), Group(task, system, profile))

    for task, system, profile, seed in planned:
        of(task, system, profile).planned.add(seed)
    for name, row in rows.items():
        if row["profile"] not in PROFILES:
            continue
        found = of(row["task"], system_of(row["model"], variant_of(name, row)), row["profile"])
        if "stopped" in row:
            found.stopped[row["seed"]] = row["stopped"]
            continue
        found.accuracy[row["seed"]] = row["test_accuracy"]
        found.standin |= "stand-in" in row["protocol"]
        found.parameters, found.steps = row["parameters"], row["steps"]
        found.glimpses = row["config"].get("glimpses")
        found.seconds.append(row["seconds"])
    return list(groups.values())


def find(groups: Iterable[Group], task: str, system: str, profile: str) -> Group:
    """The group of these names, an empty one where there is none."""
    wanted = (task, system, profile)
    return next((g for g in groups if (g.task, g.system, g.profile) == wanted), Group(*wanted))


def titles(groups: Iterable[Group]) -> dict[str, str]:
    """Every task and its title, which says where its numbers were made from a stand-in."""
    found: dict[str, bool] = {}
    for each in groups:
        found[each.task] = found.get(each.task, False) or each.standin
    return {task: f"{task} (stand-in)" if standin else task for task, standin in found.items()}


def percent(share: float | None, sign: str = " %") -> str:
    return NOT_RUN if share is None else f"{100 * share:.1f}{sign}"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def told(each: Group) -> str:
    """A group as the cell of a table: mean, range and number of seeds, in percent."""
    values, notes = each.values, []
    if len(values) > 1:
        notes.append(f"{percent(min(values), '')} to {percent(max(values), '')}")
    if values and each.waiting:
        notes.append(f"{len(values)} of {len(each.planned)} seeds")
    elif values:
        notes.append(count(len(values), "seed"))
    if each.stopped:
        notes.append(f"{len(each.stopped)} stopped")
    if not values:
        return ", ".join(notes) or NOT_RUN
    return f"{'stand-in: ' * each.standin}{percent(each.mean, '')} ({', '.join(notes)})"


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; all but the first ``left`` columns are set to the right."""
    rule = ["---" if column < left else "---:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)) + "\n"


def accuracy_table(groups: list[Group]) -> str:
    """The accuracies of Table 1: the paper's in a column of their own, this workbook's in one per profile."""
    head = ["side", "task", "method", "here", "the paper, %", *(f"ours, profile {name}, %" for name in PROFILES)]
    rows = []
    for side, task, system, method, accuracy, spread in PAPER:
        printed = f"{100 * accuracy:.4g}" + ("" if spread is None else f"{HARD}±{HARD}{spread:g}")
        found = [find(groups, task, system, profile) for profile in PROFILES]
        ours = [told(each) for each in found]
        rows.append([str(side), task, method, f"`{system}`", printed, *ours])
    return markdown(head, rows, left=4)


def cost_table(costs: list[dict], printed: Mapping[str, tuple[float, float, float]], side: int) -> str:
    """The costs of Table 1 at one side, per image: the paper's ``printed`` ones beside ``costs``, the rows of
    ``python -m vsacc.studies.bench cost``. The paper's are of training."""
    quantities = ("parameters, M", "memory, MB", "time, ms", "time, x saccader")
    rows = []
    for name in dict.fromkeys([*printed, *(row["name"] for row in costs if row["side"] == side)]):
        theirs = ["not in the paper"] * len(quantities)
        if name in printed:
            count, held, seconds = printed[name]
            times = seconds / printed["saccader"][2]
            theirs = [number(count / 1e6), number(held / BATCH / 1e6), number(1e3 * seconds / EPOCH), number(times)]
        ours = [costs_of(cost_of(costs, name, mode, side)) for mode in ("training", "inference")]
        columns = zip(quantities, theirs, *ours, strict=True)
        rows += [[name if first == 0 else "", *column] for first, column in enumerate(columns)]
    return markdown(["method", "", "the paper, training", "ours, training", "ours, inference"], rows, left=2)


def costs_of(row: dict) -> list[str]:
    """Parameters, memory, time and multiple of a row of the benchmark, as the cells of a table."""
    seconds = [number(row.get("seconds"), 1e3), number(row.get("ratio"))]
    return [number(row.get("parameters"), 1e-6), number(beyond(row), 1e-6), *seconds]


def cost_of(costs: list[dict], name: str, mode: str, side: int) -> dict:
    """The row of a method, of a colour image where there is one; empty where nobody measured it."""
    wanted = [row for row in costs if (row.get("name"), row["mode"], row["side"]) == (name, mode, side)]
    return max(wanted, key=lambda row: row["channels"], default={})


def beyond(row: dict) -> float | None:
    """Bytes of an image beyond what is resident whatever the batch, as in notebook 06."""
    return (row["bytes"] - row["resident"]) / row["batch"] if row.get("bytes") else None


def number(value: float | None, unit: float = 1.0) -> str:
    """Three digits of ``value`` times ``unit``, without an exponent."""
    return NOT_RUN if value is None else f"{float(f'{value * unit:.3g}'):,g}"


def systems_table(groups: list[Group], profile: str) -> str:
    """Every system (rows) on every task (columns) of a profile: mean and range over the seeds, in percent."""
    return by_system([each for each in groups if each.profile == profile], profile, told)


def by_system(mine: list[Group], profile: str, say: Callable[[Group], str]) -> str:
    """What there is to say of each group of a profile: a row per system, a column per task."""
    systems, named = list(dict.fromkeys(each.system for each in mine)), titles(mine)
    rows = [[f"`{name}`", *(say(find(mine, task, name, profile)) for task in named)] for name in systems]
    return markdown(["system", *named.values()], rows)


def by_task(groups: list[Group]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Accuracies of the seeds: title of a task -> system -> profile, of the tasks that somebody was run on."""
    named, found = titles(groups), {}
    for each in groups:
        if each.values:
            found.setdefault(named[each.task], {}).setdefault(each.system, {})[each.profile] = each.values
    return found


def training_table(groups: list[Group], profile: str) -> str:
    """What the systems of a profile were given: steps and minutes of a training, by task."""

    def given(each: Group) -> str:
        minutes = sum(each.seconds) / 60 / max(len(each.seconds), 1)
        return f"{each.steps:,} steps, {minutes:.1f} min" if each.values else ""

    return by_system([each for each in groups if each.profile == profile and each.values], profile, given)


def peers_table(groups: list[Group]) -> str:
    """What others published, and what was run here on the same tasks."""
    rows = [[p.task, p.method, p.reads, percent(p.accuracy, ""), p.source] for p in PEERS]
    tasks = list(dict.fromkeys(p.task for p in PEERS))
    for each in groups:
        if each.task in tasks:
            reads = READS.get(each.system.partition(" ")[0], ALL).format(each.glimpses or "some")
            rows.append([each.task, f"`{each.system}`", reads, told(each), f"here, profile {each.profile}"])
    rows.sort(key=lambda row: tasks.index(row[0]))
    return markdown(["task", "method", "reads", "%", "source"], rows, left=3)


def part_of(rows: list[dict], part: str) -> list[dict]:
    """Rows of ``python -m vsacc.studies.budget`` of one part, accuracies with their 95 % interval as "low" and "high"."""
    found = []
    for row in rows:
        if row["part"] == part:
            known = {} if "accuracy" not in row else bounds(row["accuracy"], row["images"])
            found.append(row | known)
    return found


def bounds(accuracy: float, images: int) -> dict[str, float]:
    low, high = wilson(round(accuracy * images), images)
    return {"low": low, "high": high}
