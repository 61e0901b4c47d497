"""What the annotations of the Swedish traffic signs say, and which frames make the speed-limit task of them.

A line a frame; the corners of a sign are in pixels, the lower right one first (Larsson and Felsberg 2011):

    1277381616Image000004.jpg:VISIBLE, 992.000000, 510.000000, 958.000000, 475.000000, PROHIBITORY, 70_SIGN;MISC_SIGNS;

The rule is that of Katharopoulos and Fleuret (2019). A frame without signs is EMPTY, one whose most visible limit sign
is VISIBLE shows that limit, and every other frame is dropped. Limits are 50, 70 and 80 only. MISC_SIGNS, signs that
nobody could read, count as none. Of equally visible signs the largest counts.
"""

import re
from pathlib import Path
from typing import NamedTuple

from ..local.paths import UserError

CLASSES = ("EMPTY", "50", "70", "80")
LIMITS = ("50_SIGN", "70_SIGN", "80_SIGN")
VISIBILITIES = ("VISIBLE", "BLURRED", "SIDE_ROAD", "OCCLUDED")  # the best first
UNREADABLE = "MISC_SIGNS"
FIELDS = 7  # of a sign: visibility, four numbers, type and name
NUMBER = re.compile(r"-?\d+(\.\d+)?")

Box = tuple[float, float, float, float]


class Sign(NamedTuple):
    """A sign that can be read. name: 50_SIGN, PRIORITY_ROAD, ...; box: (x0, y0, x1, y1) in pixels, None where it is
    not a limit: nobody asks for it."""

    visibility: str
    name: str
    box: Box | None


class Frame(NamedTuple):
    """A frame of the task. name: of its file; label: place in CLASSES; box: of the limit sign in pixels, None where the
    frame is EMPTY."""

    name: str
    label: int
    box: Box | None


def read_frames(path: Path) -> list[Frame]:
    """The frames that the task keeps, in the order of the annotations.

    Raises UserError where the file cannot be read, or a line is not of the format.
    """
    frames = []
    for name, signs in read_signs(path).items():
        if not signs:
            frames.append(Frame(name, 0, None))
        elif sign := shown_limit(signs):
            frames.append(Frame(name, 1 + LIMITS.index(sign.name), sign.box))
    return frames


def shown_limit(signs: list[Sign]) -> Sign | None:
    """The sign that a frame is about, None where no limit can be read from it."""
    limits = [sign for sign in signs if sign.name in LIMITS]
    best = min(limits, key=lambda sign: (VISIBILITIES.index(sign.visibility), -area(sign.box)), default=None)
    return best if best and best.visibility == "VISIBLE" else None


def area(box: Box) -> float:
    x0, y0, x1, y1 = box
    return (x1 - x0) * (y1 - y0)


def read_signs(path: Path) -> dict[str, list[Sign]]:
    """Name of a frame -> its signs, but for those that nobody could read."""
    again = "fetch the file again"
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}), {again}.") from error
    frames: dict[str, list[Sign]] = {}
    for number, line in enumerate(lines, 1):
        name, colon, rest = line.strip().partition(":")
        if not name and not colon:
            continue
        try:
            if not name or not colon:
                raise ValueError("it does not start with the name of a frame and a colon")
            parts = [part.strip() for part in rest.split(";")]
            signs = [parse_sign(part) for part in parts if part and part.split(",")[0] != UNREADABLE]
        except ValueError as error:
            raise UserError(f"{path} line {number} cannot be read ({error}), {again}.") from None
        frames.setdefault(name, []).extend(signs)
    if not frames:
        raise UserError(f"{path} names no frames, {again}.")
    return frames


def parse_sign(text: str) -> Sign:
    fields = [field.strip() for field in text.split(",")]
    if len(fields) != FIELDS:
        raise ValueError(f"a sign of {len(fields)} fields instead of {FIELDS}")
    visibility, *corners, _, name = fields
    if name not in LIMITS:
        return Sign(visibility, name, None)
    if visibility not in VISIBILITIES:
        raise ValueError(f"a sign that is {visibility!r}, which is none of {', '.join(VISIBILITIES)}")
    x1, y1, x0, y0 = (parse_number(corner) for corner in corners)
    return Sign(visibility, name, (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)))


def parse_number(text: str) -> float:
    """A coordinate; some numbers of the published file are followed by a stray character."""
    match = NUMBER.match(text)
    if not match:
        raise ValueError(f"{text!r} is no number")
    return float(match[0])
