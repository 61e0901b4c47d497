"""Table 1 and what stands beside it: from rows of finished runs to tables, and to sentences made of the same numbers.

JSON in, text and numbers out, nothing is trained or opened here. Seeds of the same system, or variant of one, on the
same task under the same profile make a group; every group that is planned is there, whether it was run or not.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..systems import find_system, system_name
from ..tasks import Peer, Printed, all_tasks
from .plan import Planned

PROFILES = ("paper", "laptop")
NOT_RUN = "not run"
HARD = "\N{NO-BREAK SPACE}"


def published(kind: type) -> list[tuple[str, Any]]:
    """Of every task (task, figure), of one kind."""
    return [(task.name, one) for task in all_tasks().values() for one in task.published if isinstance(one, kind)]


PEERS = published(Peer)
_order = list(all_tasks())
# Ramapuram et al. 2018, Table 1, both parts, row by row.
PAPER = sorted(published(Printed), key=lambda row: (-row[1].side, -_order.index(row[0])))
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
        """Mean, range and number of seeds, in percent: the cell of a table."""
        values, notes = self.values, []
        if len(values) > 1:
            notes.append(f"{percent(min(values), '')} to {percent(max(values), '')}")
        if values and self.waiting:
            notes.append(f"{len(values)} of {len(self.planned)} seeds")
        elif values:
            notes.append(count(len(values), "seed"))
        if self.stopped:
            notes.append(f"{len(self.stopped)} stopped")
        if not values:
            return ", ".join(notes) or NOT_RUN
        return f"{'stand-in: ' * self.standin}{percent(self.mean, '')} ({', '.join(notes)})"


def group(rows: Mapping[str, dict], planned: Iterable[Planned]) -> list[Group]:
    """Rows by name and a plan as groups, in the order of the plan, then of the names.

    What was run under another profile than those of PROFILES is left out.
    """
    groups: dict[tuple[str, str, str], Group] = {}

    def of(task: str, system: str, variant: str, profile: str) -> Group:
        key = (task, system_name(system, variant), profile)
        return groups.setdefault(key, Group(*key))

    for job, variant in planned:
        of(job.task, job.model, variant, job.profile).planned.add(job.seed)
    for name, row in rows.items():
        if row["profile"] not in PROFILES:
            continue
        variant = name.partition(f"-seed{row['seed']}")[2].removeprefix("-")
        found = of(row["task"], row["model"], variant, row["profile"])
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


def number(value: float | None, unit: float = 1.0) -> str:
    """Three digits of ``value`` times ``unit``, without an exponent."""
    return NOT_RUN if value is None else f"{float(f'{value * unit:.3g}'):,g}"


def listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; all but the first ``left`` columns are set to the right."""
    rule = ["---" if column < left else "---:" for column in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)) + "\n"


def accuracy_table(groups: list[Group]) -> str:
    """The accuracies of Table 1: the paper's in a column of their own, this workbook's in one per profile."""
    head = ["side", "task", "method", "here", "the paper, %", *(f"ours, profile {name}, %" for name in PROFILES)]
    rows = []
    for task, (side, system, method, accuracy, spread) in PAPER:
        printed = f"{100 * accuracy:.4g}" + ("" if spread is None else f"{HARD}±{HARD}{spread:g}")
        ours = [str(find(groups, task, system, profile)) for profile in PROFILES]
        rows.append([str(side), task, method, f"`{system}`", printed, *ours])
    return markdown(head, rows, left=4)


def beside_the_paper(groups: list[Group], profile: str) -> str:
    """How the accuracies of Table 1 that were run compare with those that the paper prints."""
    said = []
    for task, printed in PAPER:
        each = find(groups, task, printed.system, profile)
        if each.mean is not None and not each.standin:
            apart = each.mean - printed.accuracy
            points = f"{abs(100 * apart):.1f} points {'above' if apart >= 0 else 'below'}"
            ours = f"*{each.system}* on {task} {percent(each.mean)} with {each.parameters / 1e6:.2g} M parameters"
            said.append(f"{ours}, {points} the paper's {percent(printed.accuracy)}")
    text = f"Profile {profile}: {len(said)} of these {len(PAPER)} rows were run on the paper's own task"
    return f"{text}: {'; '.join(said)}." if said else f"{text}."


def cost_table(costs: list[dict], printed: Mapping[str, tuple[float, float, float]], side: int) -> str:
    """The costs of Table 1 at one side, per image: the paper's ``printed`` ones beside ``costs``, the rows of
    ``vsacc bench cost``. The paper's are of training."""
    quantities = ("parameters, M", "memory, MB", "time, ms", "time, x saccader")
    rows = []
    for name in dict.fromkeys([*printed, *(row["name"] for row in costs if row["side"] == side)]):
        theirs = ["not in the paper"] * len(quantities)
        if name in printed:
            parameters, held, seconds = printed[name]
            times = seconds / printed["saccader"][2]
            theirs = [
                number(parameters / 1e6),
                number(held / BATCH / 1e6),
                number(1e3 * seconds / EPOCH),
                number(times),
            ]
        ours = [measured(cost_of(costs, name, mode, side)) for mode in ("training", "inference")]
        columns = zip(quantities, theirs, *ours, strict=True)
        rows += [[name if first == 0 else "", *column] for first, column in enumerate(columns)]
    return markdown(["method", "", "the paper, training", "ours, training", "ours, inference"], rows, left=2)


def measured(row: dict) -> list[str]:
    """Parameters, memory (beyond what is resident whatever the batch), time and multiple of a row of the benchmark."""
    memory = (row["bytes"] - row["resident"]) / row["batch"] if row.get("bytes") else None
    seconds = [number(row.get("seconds"), 1e3), number(row.get("ratio"))]
    return [number(row.get("parameters"), 1e-6), number(memory, 1e-6), *seconds]


def cost_of(costs: list[dict], name: str, mode: str, side: int) -> dict:
    """The row of a method, of a colour image where there is one; empty where nobody measured it."""
    wanted = [row for row in costs if (row.get("name"), row["mode"], row["side"]) == (name, mode, side)]
    return max(wanted, key=lambda row: row["channels"], default={})


def costs_in_words(rows: list[dict], printed: Mapping[str, tuple[float, float, float]], side: int) -> str:
    """The factor between each ResNet of the paper and its saccader, printed and measured."""
    said = []
    for name, (_, _, seconds) in printed.items():
        if name != "saccader":
            training, inference = (number(cost_of(rows, name, m, side).get("ratio")) for m in ("training", "inference"))
            theirs = number(seconds / printed["saccader"][2])
            said.append(f"*{name}*: {theirs} in the paper, {training} here; inference here {inference}")
    return f"Time of training at {side} x {side}, in multiples of the saccader's: {'; '.join(said)}."


def systems_table(groups: list[Group], profile: str, say: Callable[[Group], str] = str) -> str:
    """Every system (rows) on every task (columns) of a profile: mean and range over the seeds, in percent."""
    mine = [each for each in groups if each.profile == profile]
    systems, named = list(dict.fromkeys(each.system for each in mine)), titles(mine)
    rows = [[f"`{name}`", *(say(find(mine, task, name, profile)) for task in named)] for name in systems]
    return markdown(["system", *named.values()], rows)


def training_table(groups: list[Group], profile: str) -> str:
    """What the systems of a profile were given: steps and minutes of a training, by task."""

    def given(each: Group) -> str:
        minutes = sum(each.seconds) / 60 / max(len(each.seconds), 1)
        return f"{each.steps:,} steps, {minutes:.1f} min" if each.values else ""

    return systems_table([each for each in groups if each.values], profile, given)


def peers_table(groups: list[Group]) -> str:
    """What others published, and what was run here on the same tasks."""
    rows = [[task, p.method, p.reads, percent(p.accuracy, ""), p.source] for task, p in PEERS]
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


def compared(groups: list[Group], profile: str) -> list[str]:
    """A sentence a task: who is best, by how much, whether the seeds tell the first two apart, and who beats chance."""
    mine = [each for each in groups if each.profile == profile]
    said, nobody = [], []
    for task in dict.fromkeys(each.task for each in mine):
        ran = sorted((each for each in mine if each.task == task and each.values), key=lambda each: -each.mean)
        if not ran:
            nobody.append(task)
            continue
        shown = [f"*{each.system}* {percent(each.mean)} ({count(len(each.values), 'seed')})" for each in ran[:2]]
        title = f"**{task}**{' (stand-in)' * any(each.standin for each in ran)}"
        if len(ran) == 1:
            said.append(f"{title}: only {shown[0]} was run.")
            continue
        apart = "is" if min(ran[0].values) > max(ran[1].values) else "is not"
        text = f"{title}: {shown[0]}, next {shown[1]}; every seed of the first {apart} above every seed of the second."
        said.append(text + above_random(ran))
    return said + ([f"Not run: {listed(nobody)}."] if nobody else [])


def above_random(ran: list[Group]) -> str:
    """Whose worst seed is above the best seed of glimpses at random places."""
    chance = next((each for each in ran if each.system == "random"), None)
    if chance is None:
        return " Random glimpses: not run."
    better = {f"*{each.system}*": min(each.values) > max(chance.values) for each in ran if each is not chance}
    above, not_above = ([name for name, is_better in better.items() if is_better == which] for which in (True, False))
    text = f" Above random glimpses ({percent(chance.mean)}) with every seed: {listed(above) or 'nobody'}"
    return text + (f"; not so: {listed(not_above)}." if not_above else ".")


def missing(groups: list[Group]) -> str:
    """What was planned and not run, and what stopped."""
    planned, waiting = sum(len(g.planned) for g in groups), sum(len(g.waiting) for g in groups)
    names = [f"{g.task}, *{g.system}*, {g.profile}" for g in groups if g.stopped]
    text = f"Of {count(planned, 'planned run')}, {planned - waiting} were made and {waiting} not."
    return text + (f" Stopped before their end: {'; '.join(names)}." if names else " None stopped before its end.")
