"""What the tables and figures of notebook 08 say: sentences made from the same numbers, so that they hold."""

from collections.abc import Mapping

from .published import PAPER
from .tables import NOT_RUN, Group, cost_of, count, find, number, percent

Curve = list[dict]  # rows of a budget, see vsacc.studies.tables.part_of


def listed(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def points(difference: float) -> str:
    """A difference of accuracies: above or below."""
    return f"{abs(100 * difference):.1f} points {'above' if difference >= 0 else 'below'}"


def beside_the_paper(groups: list[Group], profile: str) -> str:
    """How the accuracies of Table 1 that were run compare with those that the paper prints."""
    said = []
    for _, task, system, _, accuracy, _ in PAPER:
        each = find(groups, task, system, profile)
        if each.mean is not None and not each.standin:
            ours = f"*{system}* on {task} {percent(each.mean)} with {each.parameters / 1e6:.2g} M parameters"
            said.append(f"{ours}, {points(each.mean - accuracy)} the paper's {percent(accuracy)}")
    text = f"Profile {profile}: {len(said)} of these {len(PAPER)} rows were run on the paper's own task"
    return f"{text}: {'; '.join(said)}." if said else f"{text}."


def costs(rows: list[dict], printed: Mapping[str, tuple[float, float, float]], side: int) -> str:
    """The factor between each ResNet of the paper and its saccader, printed and measured."""
    said = []
    for name, (_, _, seconds) in printed.items():
        if name != "saccader":
            training, inference = (cost_of(rows, name, mode, side) for mode in ("training", "inference"))
            theirs, ours = number(seconds / printed["saccader"][2]), number(training.get("ratio"))
            answers = number(inference.get("ratio"))
            said.append(f"*{name}*: {theirs} in the paper, {ours} here; inference here {answers}")
    return f"Time of training at {side} x {side}, in multiples of the saccader's: {'; '.join(said)}."


def compared(groups: list[Group], profile: str) -> list[str]:
    """A sentence a task: who is best, by how much, whether the seeds tell the first two apart, and who beats chance."""
    mine = [each for each in groups if each.profile == profile]
    said, nobody = [], []
    for task in dict.fromkeys(each.task for each in mine):
        ran = sorted((each for each in mine if each.task == task and each.values), key=lambda each: -each.mean)
        title = f"**{task}**{' (stand-in)' * any(each.standin for each in ran)}"
        if len(ran) < 2:
            said += [f"{title}: only {shown(ran[0])} was run."] if ran else []
            nobody += [] if ran else [task]
            continue
        first, second = ran[:2]
        apart = "is" if min(first.values) > max(second.values) else "is not"
        text = f"{title}: {shown(first)}, next {shown(second)}; "
        text += f"every seed of the first {apart} above every seed of the second."
        said.append(text + above_random(ran))
    return said + ([f"Not run: {listed(nobody)}."] if nobody else [])


def shown(each: Group) -> str:
    return f"*{each.system}* {percent(each.mean)} ({count(len(each.values), 'seed')})"


def above_random(ran: list[Group]) -> str:
    """Whose worst seed is above the best seed of glimpses at random places."""
    chance = next((each for each in ran if each.system == "random"), None)
    if chance is None:
        return " Random glimpses: not run."
    others = [each for each in ran if each is not chance]
    better = [f"*{each.system}*" for each in others if min(each.values) > max(chance.values)]
    not_better = [f"*{each.system}*" for each in others if min(each.values) <= max(chance.values)]
    text = f" Above random glimpses ({percent(chance.mean)}) with every seed: {listed(better) or 'nobody'}"
    return text + (f"; not so: {listed(not_better)}." if not_better else ".")


def missing(groups: list[Group]) -> str:
    """What was planned and not run, and what stopped."""
    planned, waiting = sum(len(g.planned) for g in groups), sum(len(g.waiting) for g in groups)
    names = [f"{g.task}, *{g.system}*, {g.profile}" for g in groups if g.stopped]
    text = f"Of {count(planned, 'planned run')}, {planned - waiting} were made and {waiting} not."
    return text + (f" Stopped before their end: {'; '.join(names)}." if names else " None stopped before its end.")


def of_each(rows: Curve) -> dict[tuple[str, str], Curve]:
    """The rows by (task, model)."""
    found: dict[tuple[str, str], Curve] = {}
    for row in rows:
        found.setdefault((row["task"], row["model"]), []).append(row)
    return found


def more_glimpses(rows: Curve) -> list[str]:
    """What one glimpse, as many as in the training, and the best number of them reach."""
    said = []
    for (task, model), curve in of_each(rows).items():
        by_count = {row["glimpses"]: row for row in curve}
        own = by_count.get(curve[0]["trained"])
        if own is None or own["glimpses"] is None:
            continue
        few, best = by_count[min(by_count)], max(curve, key=lambda row: row["accuracy"])
        most = by_count[max(by_count)]
        said.append(
            f"**{task}**, *{model}*: {percent(few['accuracy'])} with {count(few['glimpses'], 'glimpse')}, "
            f"{percent(own['accuracy'])} with the {own['glimpses']} of its training, "
            f"{percent(most['accuracy'])} with {most['glimpses']}; best with {best['glimpses']}."
        )
    return said


def larger_images(sides: Curve, seconds: list[dict]) -> list[str]:
    """What accuracy and time do from the smallest side to the largest."""
    said, times = [], of_each(seconds)
    for (task, model), curve in of_each(sides).items():
        small, large = (pick(curve, key=lambda row: row["side"]) for pick in (min, max))
        taken = {row["side"]: row["seconds"] for row in times.get((task, model), [])}
        overlap = small["low"] <= large["high"] and large["low"] <= small["high"]
        timed = {small["side"], large["side"]} <= taken.keys()
        ratio = number(taken[large["side"]] / taken[small["side"]]) if timed else NOT_RUN
        said.append(
            f"**{task}**, *{model}*: {percent(small['accuracy'])} at {small['side']}, {percent(large['accuracy'])} at "
            f"{large['side']} (95 % intervals {'overlap' if overlap else 'do not overlap'}), time x {ratio}."
        )
    return said


def front(sides: Curve, seconds: list[dict]) -> list[str]:
    """At the smallest and the largest side of each task: whom nobody beats in both time and accuracy."""
    said = []
    taken = {(row["task"], row["model"], row["side"]): row["seconds"] for row in seconds}
    for task in dict.fromkeys(row["task"] for row in sides):
        measured = {row["side"] for row in sides if row["task"] == task}
        for side in sorted({min(measured), max(measured)}):
            here = {
                row["model"]: (taken[task, row["model"], side], -row["accuracy"])
                for row in sides
                if (row["task"], row["side"]) == (task, side) and (task, row["model"], side) in taken
            }
            best = [m for m, at in here.items() if not any(dominates(other, at) for other in here.values())]
            told = [f"*{m}* ({1e3 * here[m][0]:.3g} ms, {percent(-here[m][1])})" for m in sorted(best, key=here.get)]
            said.append(f"**{task}** at {side} x {side}: of {len(here)} systems nobody beats {listed(told)} in both.")
    return said


def dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Both are (seconds, minus accuracy): is ``one`` at least as good in both, and better in one of them?"""
    return one[0] <= other[0] and one[1] <= other[1] and one != other
