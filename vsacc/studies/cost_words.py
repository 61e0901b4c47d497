"""What the rows of the cost benchmark say: tables of text and sentences, made from the numbers so that they hold."""

from .tables import number

Rows = list[dict]
MODES = ("inference", "training")


def table_text(rows: Rows) -> str:
    """Rows of the part "table" as columns; an epoch is as many images as the rows were made for."""
    lines = [
        f"{'':26s}{'mode':>10s}{'C':>3s}{'batch':>6s}{'parameters':>12s}{'MB':>10s}{'ms/image':>10s}"
        f"{'epoch, h':>10s}{'x time':>9s}{'x memory':>10s}"
    ]
    for row in rows:
        start = f"{row['name']:26s}{row['mode']:>10s}{row['channels']:3d}"
        if row["seconds"] is None:
            lines.append(f"{start} {row['why']}")
            continue
        held = f"{row['batch']:6d}{row['parameters']:12,d}{row['bytes'] / 1e6:10.1f}"
        times = f"{1e3 * row['seconds']:10.1f}{row['epoch_seconds'] / 3600:10.2f}"
        lines.append(f"{start}{held}{times}{row['ratio']:9.3g}{row['memory_ratio']:10.3g}")
    return "\n".join(lines)


def floor_text(rows: Rows) -> str:
    """Rows of the part "floor" as columns."""
    lines = [
        f"{'':26s}{'mode':>10s}{'GFLOP':>10s}{'MB moved':>10s}{'FLOP/byte':>11s}{'floor, ms':>11s}{'ms':>10s}"
        f"{'x floor':>9s}"
    ]
    for row in rows:
        work = f"{row['flops'] / 1e9:10.4g}{row['moved'] / 1e6:10.4g}{row['intensity']:11.3g}"
        times = f"{1e3 * row['floor']:11.3g}{1e3 * row['seconds']:10.4g}{row['over']:9.3g}"
        lines.append(f"{row['name']:26s}{row['mode']:>10s}{work}{times}")
    return "\n".join(lines)


def against_the_saccader(rows: Rows) -> str:
    """A line of Markdown for everybody else of a table of one number of channels: multiples of time and memory."""
    of = {(row["name"], row["mode"]): row for row in rows}
    names = [name for name in dict.fromkeys(row["name"] for row in rows) if name != "saccader"]
    lines = [f"- *{name}*: {'; '.join(multiples(of[name, mode]) for mode in MODES)}." for name in names]
    return "\n".join(["In multiples of the saccader's:", "", *lines])


def multiples(row: dict) -> str:
    if row["seconds"] is None:
        return f"{row['mode']} {row['why']}"
    memory = f"{number(row['memory_ratio'])} times the memory beyond weights"
    return f"{row['mode']} **{number(row['ratio'])} times** the time and {memory}"


def beside_the_paper(rows: Rows, printed: dict[str, tuple[float, float, float]], name: str) -> str:
    """``name`` against the saccader in training: as ``printed`` (parameters, bytes, seconds an epoch), and as measured
    in ``rows``."""
    (_, their_bytes, theirs), (_, our_bytes, ours) = printed[name], printed["saccader"]
    row = next(row for row in rows if (row["name"], row["mode"]) == (name, "training"))
    time, memory = number(theirs / ours), number(their_bytes / our_bytes)
    paper = f"{time} times the time and {memory} times the memory in the paper, "
    here = f"; here {multiples(row).removeprefix('training ')}"
    return f"*{name}* against the saccader in training: {paper}weights included, on GPUs{here}."


def read_floors(rows: Rows) -> str:
    """The machine, and for each mode who is nearest to the floor, who farthest, and what of a saving in operations
    arrives as time."""
    flops, bandwidth = rows[0]["peak_flops"], rows[0]["peak_bandwidth"]
    ridge = f"below {flops / bandwidth:.3g} operations a byte moving is the limit, above it arithmetic"
    lines = [f"- The machine: {flops / 1e9:.3g} GFLOP/s and {bandwidth / 1e9:.3g} GB/s; {ridge}."]
    for mode in MODES:
        ran = {row["name"]: row for row in rows if row["mode"] == mode}
        ours, order = ran["saccader"], sorted(ran.values(), key=lambda row: row["over"])
        near, far = (f"*{row['name']}* ({number(row['over'])} times)" for row in (order[0], order[-1]))
        text = f"- {mode.capitalize()}: nearest to its floor is {near}, farthest from it {far}; the saccader takes "
        text += f"{number(ours['over'])} times its floor, which {ours['bound']} set."
        if "whole image" in ran:
            operations, taken = (ran["whole image"][key] / ours[key] for key in ("flops", "seconds"))
            text += f" The *whole image*: {number(operations)} times its operations, {number(taken)} times its time."
        lines.append(text)
    return "\n".join(lines)
