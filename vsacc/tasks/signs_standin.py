"""A stand-in for the Swedish speed limits: drawn road scenes in the data set's own layout and annotation format.

What a scene looks like from afar, and where its signs stand, does not depend on the limit: only the digits do. Houses
and cars are as red and yellow as the signs. The four classes are equally frequent. A number made from it says nothing
about photographs, and says "stand-in".

All lengths are shares of the frame's width. A frame is a function of (seed, set, number, width, kind) alone and every
file appears whole or not at all, so an interrupted run goes on where it stopped.
"""

import io
import itertools
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import default_rng

from ..local.paths import DOWNLOADS, write_atomic
from . import derive
from .photographs import Scene, draw_standin

FOLDER = DOWNLOADS / "speed-limits-standin"
SIZES = {  # profile: width, frames of the task in Set1 and Set2; the last line is the published task's own
    "quick": (320, (40, 24)),
    "laptop": (640, (400, 150)),
    "paper": (1280, (747, 684)),
}
SETS = ("Set1", "Set2")
LIMITS = ("50_SIGN", "70_SIGN", "80_SIGN")
OTHERS = ("NO_PARKING", "PRIORITY_ROAD")  # signs that are not limits
COMPANY = 0.5  # chance of another sign beside a limit
SHAPE = 0.75  # height over width
RADIUS = (0.02, 0.045)  # of a sign: 26 to 58 pixels across at 640, within the published signs' pixels
FOOT = 0.66  # where posts end
FINE = 3  # everything is drawn this many times larger
NOISE = 12  # of the camera at most, in levels
BYTES = 0.3  # of a file, for each pixel
YELLOW, RED, BLUE, WHITE, BLACK = (245, 200, 40), (190, 30, 40), (30, 70, 160), (235, 235, 235), (25, 25, 25)
GREY = (110, 112, 115)
VERSION = 2  # of the pictures: another one is another stand-in
BACKDROP, ORDER, SCENE, SIGNS = 32, 33, 34, 35  # purposes of the random streams derived from one seed


class Sign(NamedTuple):
    """Its middle (x, y) and radius; name: one of LIMITS or OTHERS."""

    x: float
    y: float
    radius: float
    name: str


def write_standin(root: Path, width: int, counts: tuple[int, int], seed: int = 0) -> None:
    """Write the stand-in into ``root``, or what is still missing of it.

    Args:
        width: of the frames in pixels, a multiple of 4; they are 3/4 as high.
        counts: frames that the task keeps in Set1 and Set2.
        seed: another seed, another set of scenes.

    Raises UserError where :func:`draw_standin` does.
    """
    made_from = {"version": VERSION, "width": width, "counts": list(counts), "seed": seed}
    sets = {name: plan(name, count, derive(seed, n)) for n, (name, count) in enumerate(zip(SETS, counts, strict=True))}
    lists = {
        f"{name}/annotations.txt": "".join(f"{annotate(scene, width)}\n" for scene in scenes)
        for name, scenes in sets.items()
    }
    scenes, size = itertools.chain(*sets.values()), width**2 * SHAPE * BYTES
    draw_standin(root, made_from, "the Swedish traffic signs", lists, scenes, partial(write_frame, root, width), size)


def plan(name: str, count: int, seed: int) -> list[Scene]:
    """The frames of Set1 or Set2: ``count`` of the four classes by turns, in random order."""
    kinds = default_rng(derive(seed, ORDER)).permutation([("EMPTY", *LIMITS)[number % 4] for number in range(count)])
    return [
        Scene(f"{name}/{name}Part0/standin{number:06d}.jpg", derive(seed, number, SCENE), kind)
        for number, kind in enumerate(kinds.tolist())
    ]


def signs_of(scene: Scene) -> list[Sign]:
    """The limit that a frame is about, and perhaps another sign that does not touch it; none where it is empty."""
    if scene.kind == "EMPTY":
        return []
    rng, places = default_rng(derive(scene.seed, SIGNS)), []
    while len(places) < 2:
        x, y, radius = place = rng.uniform(0.06, 0.94), rng.uniform(0.15, 0.5), rng.uniform(*RADIUS)
        if all(np.hypot(x - other[0], y - other[1]) > 1.2 * (radius + other[2]) for other in places):
            places.append(place)
    signs = [Sign(*places[0], scene.kind), Sign(*places[1], str(rng.choice(OTHERS)))]
    return signs if rng.random() < COMPANY else signs[:1]


def annotate(scene: Scene, width: int) -> str:
    """The line of a frame in annotations.txt."""
    words = []
    for sign in signs_of(scene):
        edges = (sign.x + sign.radius, sign.y + sign.radius, sign.x - sign.radius, sign.y - sign.radius)
        corners = ", ".join(f"{edge * width:.6f}" for edge in edges)
        kind = "PROHIBITORY" if sign.name in LIMITS else "OTHER"
        words.append(f"VISIBLE, {corners}, {kind}, {sign.name};")
    return f"{Path(scene.path).name}:{''.join(words)}"


def write_frame(root: Path, width: int, scene: Scene) -> None:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(render(scene.seed, width, signs_of(scene))).save(file, "JPEG", quality=90)
    write_atomic(root / scene.path, file.getvalue())


def render(seed: int, width: int, signs: list[Sign]) -> np.ndarray:
    """A scene with signs, the first one in front: uint8 (3/4 width, width, 3). The rest does not depend on them."""
    from PIL import Image, ImageDraw, ImageFont

    rng, scale = default_rng(derive(seed, BACKDROP)), FINE * width
    horizon, middle = rng.uniform(0.3, 0.42), rng.uniform(0.35, 0.65)
    image = Image.new("RGB", (scale, round(SHAPE * scale)), (170, 200, 230))
    brush = ImageDraw.Draw(image)

    def polygon(colour, *corners):
        brush.polygon([(x * scale, y * scale) for x, y in corners], tuple(np.asarray(colour).astype(int).tolist()))

    def box(colour, x, y, w, h):
        polygon(colour, (x, y), (x + w, y), (x + w, y + h), (x, y + h))

    box(rng.uniform((70, 90, 30), (150, 140, 80)), 0, horizon, 1, SHAPE)  # a meadow, and a road through it
    polygon([rng.uniform(80, 125)] * 3, (middle - 0.02, horizon), (middle + 0.02, horizon), (1.05, SHAPE), (0, SHAPE))
    for x in np.linspace(-0.05, 1.05, 45) + rng.normal(0, 0.015, 45):  # firs along the horizon
        half, top = rng.uniform(0.012, 0.04), horizon - rng.uniform(0.04, 0.16)
        polygon(rng.uniform((20, 45, 20), (60, 85, 50)), (x - half, horizon), (x, top), (x + half, horizon))
    for _ in range(rng.integers(2, 7)):  # houses and cars
        w, h = rng.uniform(0.04, 0.12, 2)
        colour = np.array([RED, YELLOW, WHITE])[rng.integers(3)] * rng.uniform(0.6, 1)
        box(colour, rng.uniform(-0.05, 1), horizon + rng.uniform(-0.02, 0.1) - h, w, h)
    for sign in reversed(signs):
        x, y, r = (value * scale for value in (sign.x, sign.y, sign.radius))
        brush.rectangle([x - 0.1 * r, y, x + 0.1 * r, FOOT * scale], GREY)
        frame, edge = [x - r, y - r, x + r, y + r], round(0.26 * r)
        if sign.name == "NO_PARKING":
            brush.ellipse(frame, BLUE, RED, edge)
            brush.line([x - 0.6 * r, y - 0.6 * r, x + 0.6 * r, y + 0.6 * r], RED, edge)
        elif sign.name == "PRIORITY_ROAD":
            brush.regular_polygon((x, y, r), 4, 45, WHITE)
            brush.regular_polygon((x, y, 0.7 * r), 4, 45, YELLOW)
        else:
            brush.ellipse(frame, YELLOW, RED, edge)
            text, font = sign.name.removesuffix("_SIGN"), ImageFont.load_default(round(r))
            brush.text((x, y), text, BLACK, font, "mm", stroke_width=round(r) // 30)
    grain = rng.integers(-NOISE, NOISE, (round(SHAPE * width), width, 1))
    return (np.asarray(image.reduce(FINE)).astype(int) + grain).clip(0, 255).astype(np.uint8)
