"""A stand-in for the Swedish speed limits: drawn frames in the data set's own layout and annotation format.

The four classes are equally frequent; to every ten frames comes one that the task's rule drops, as most of the real
set are. What is measured on the stand-in says nothing about photographs, and says "stand-in".

A frame is a function of (seed, set, number, width, kind) alone and every file appears whole or not at all, so an
interrupted run goes on where it stopped.
"""

import io
from functools import partial
from pathlib import Path
from typing import NamedTuple

from numpy.random import default_rng
from tqdm.auto import tqdm

from ..local.paths import DOWNLOADS, UserError, check_writable, write_atomic
from ..local.seeds import derive
from .signs import OTHERS, Sign, draw_posts, render, sign_box
from .speed_limits_labels import LIMITS, UNREADABLE
from .standin import NOTE, claim, in_parallel

FOLDER = DOWNLOADS / "speed-limits-standin"
SIZES = {  # profile: width, frames of the task in Set1 and Set2; the last line is the published task's own
    "quick": (320, (40, 24)),
    "laptop": (640, (400, 150)),
    "paper": (1280, (747, 684)),
}
SETS = ("Set1", "Set2")
EMPTY, BLURRED, ELSEWHERE = "EMPTY", "blurred limit", "other sign"  # kinds of frames beside LIMITS
DROPPED = 10  # frames of the task to one that the rule drops
COMPANY, SECOND, LITTER = 0.5, 0.15, 0.25  # chances of another sign, of a blurred limit, of signs nobody could read
VERSION = 1  # of the pictures: another one is another stand-in
ORDER, SCENE, SIGNS = 33, 34, 35  # purposes of the random streams that derive from one seed


class Scene(NamedTuple):
    """A frame to be: where it goes below the stand-in's folder, the seed of its scene, and its kind."""

    path: str
    seed: int
    kind: str


def write_standin(root: Path | str, width: int, counts: tuple[int, int], seed: int = 0) -> None:
    """Write the stand-in, or what is still missing of it.

    Args:
        root: its folder.
        width: of the frames in pixels, a multiple of 4; they are 3/4 as high.
        counts: frames that the task keeps in Set1 and Set2.
        seed: another seed, another set of scenes.

    Raises UserError where ``root`` holds anything but this stand-in, or where it cannot be written.
    """
    root = Path(root)
    check_writable(root)
    if any((root / name).exists() for name in SETS) and not (root / NOTE).exists():
        raise UserError(f"{root} holds the Swedish traffic signs already, name another folder for the stand-in.")
    claim(root, {"version": VERSION, "width": width, "counts": list(counts), "seed": seed})
    scenes = {
        name: plan(name, count, derive(seed, number))
        for number, (name, count) in enumerate(zip(SETS, counts, strict=True))
    }
    missing = [scene for part in scenes.values() for scene in part if not (root / scene.path).exists()]
    with tqdm(total=len(missing), desc="signs stand-in", unit="frame", delay=2) as bar:
        for _ in in_parallel(partial(write_frame, root, width), missing):
            bar.update()
    for name, part in scenes.items():  # last: a folder that has these is complete
        write_atomic(root / name / "annotations.txt", "".join(f"{annotate(scene, width)}\n" for scene in part))


def plan(name: str, count: int, seed: int) -> list[Scene]:
    """The frames of Set1 or Set2: ``count`` of the four classes by turns and those to be dropped, in random order."""
    kept = [(EMPTY, *LIMITS)[number % 4] for number in range(count)]
    dropped = [(BLURRED, ELSEWHERE)[number % 2] for number in range(count // DROPPED)]
    kinds = default_rng(derive(seed, ORDER)).permutation(kept + dropped).tolist()
    return [
        Scene(f"{name}/{name}Part0/standin{number:06d}.jpg", derive(seed, number, SCENE), kind)
        for number, kind in enumerate(kinds)
    ]


def signs_of(scene: Scene) -> list[Sign]:
    """The signs of a frame, the limit that it is about first."""
    posts = draw_posts(scene.seed, 4)
    rng = default_rng(derive(scene.seed, SIGNS))
    company, second, litter = (rng.random(3) < (COMPANY, SECOND, LITTER)).tolist()
    other, blurred = Sign(posts[1], str(rng.choice(OTHERS))), Sign(posts[2], str(rng.choice(LIMITS)), True)
    if scene.kind in LIMITS:
        signs = [Sign(posts[0], scene.kind), *[other] * company, *[blurred] * second]
    else:
        signs = {EMPTY: [], BLURRED: [blurred], ELSEWHERE: [other]}[scene.kind]
    small = posts[3]._replace(radius=posts[3].radius / 3)
    return signs + [Sign(small, UNREADABLE)] * litter


def write_frame(root: Path, width: int, scene: Scene) -> None:
    file = io.BytesIO()
    render(scene.seed, width, signs_of(scene)).save(file, "JPEG", quality=90)
    write_atomic(root / scene.path, file.getvalue())


def annotate(scene: Scene, width: int) -> str:
    """The line of a frame in annotations.txt."""
    words = []
    for sign in signs_of(scene):
        if sign.name == UNREADABLE:
            words.append(f"{UNREADABLE};")
            continue
        x0, y0, x1, y1 = sign_box(sign, width)
        corners = ", ".join(f"{value:.6f}" for value in (x1, y1, x0, y0))
        kind = "PROHIBITORY" if sign.name in LIMITS else "OTHER"
        words.append(f"{'BLURRED' if sign.blurred else 'VISIBLE'}, {corners}, {kind}, {sign.name};")
    return f"{Path(scene.path).name}:{''.join(words)}"
