r"""Tasks on data sets that have to be asked for, and what stands in where one is not there: drawn scenes.

A scene is a dead-leaves image (Lee, Mumford and Huang 2001): opaque leaves with sizes of density r^-3 that hide each
other, which gives the 1/f spectrum of photographs; every leaf has its own colour, shading and 1/f texture. On them lie
one subject, a warm ball, and a decoy, a cold one. The class is told by nothing but the fine texture on the subject, one
of six or none: it has mean zero in every cell of a 32 x 32 proxy and the same contrast, colour and period in every
class, so that proxy shows where the subject is and not what; a finer one, 64 x 64, shows both.

All lengths are in sides, so at another side the scene is the same. An image is a function of (number, side, texture)
alone."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator, default_rng
from torch import Tensor

from ..images.store import MANIFEST, Store, open_store
from ..images.store_writing import Photo, write_store
from ..local.paths import DOWNLOADS, UserError
from ..reading import Question
from ..sampler import area_matrix
from . import Peer, Printed, Recipe, Task, derive
from .photographs import RECIPES, PhotoSplit, largest_store

SPLITS = ("train", "validation", "test")
SEED = 0  # of the pictures: another one is another stand-in
STEP = 64  # between 16-bit values: ten bits hold the eight of sRGB
LAYOUT, PATTERN, ORDER, IMAGE = 11, 12, 13, 14  # purposes of the random streams that derive from one seed

CELLS = 32  # side of the proxy that must not tell the textures apart
LEAVES, LEAF_RADIUS = 600, (0.02, 0.4)
RADIUS = (0.14, 0.18)  # of subject and decoy
EDGE = 0.006  # softness of a ball's outline
GRAIN = 256  # highest frequency of the leaves' texture, in periods a side
PERIOD = (0.027, 0.031)  # of a texture: below a cell of the proxy, which is 0.031
TILT = 0.2  # of a texture in radians, at most
CONTRAST = 0.32  # of a texture: standard deviation, as a share of the colour it modulates
ROUNDS = 12  # of taking away what the proxy would show; each takes more than half


class Standin(NamedTuple):
    """A data set, and what is drawn in its place.

    name: of its folder. data: the data set in words. classes: each with its frequency. textures: what the drawn subject
    of each class wears, see :func:`texture`, or None. sizes: by profile, the side of the square pictures in pixels, a
    multiple of 32 from 256 on, and how many are in the training, validation and test split."""

    name: str
    data: str
    classes: Mapping[str, int]
    textures: Sequence[int | None]
    sizes: Mapping[str, tuple[int, tuple[int, int, int]]]

    def open(self, profile: str) -> tuple[Store, Tensor]:
        """A profile's store, and the boxes (N, 1, 4) of its subjects in [-1, 1] coordinates. It is drawn first where it
        is not there, or what is missing of it, while other processes that want it wait."""
        side, counts = self.sizes[profile]
        folder, scenes = DOWNLOADS / f"{self.name}-standin" / profile / "stores" / f"c-{side}", plan(self, counts)
        if not (folder / MANIFEST).exists():
            drawn = {Path(name): scene for name, scene in scenes.items()}
            photos = [Photo(path.name, path, scene.label, scene.split) for path, scene in drawn.items()]

            def draw(path: Path) -> np.ndarray:
                return developed(render(drawn[path].seed, side, self.textures[drawn[path].label]))

            write_store(folder, photos, list(self.classes), side, draw, f"stand-in for {self.data}, drawn")
        store = open_store(folder)
        return store, torch.tensor([[subject_box(scenes[name].seed)] for name in store.names])

    def task(
        self,
        name: str,
        files: Mapping[str, str],
        recipes: Mapping[str, Recipe] = RECIPES,
        published: tuple[Printed | Peer, ...] = (),
        splits_of: Callable[[Tensor], Sequence[str]] | None = None,
    ) -> Task:
        """A task on the largest store in the data set's folder, or on the stand-in: always in "quick", which CI runs.
        files: the command that makes a store of the data set -> pattern of the files it reads; UserError where some are
        there and no store. splits_of: labels, long (N,) -> split of each photograph, where the store does not tell."""

        def opener(split: str, device: torch.device | str, profile: str) -> PhotoSplit:
            folder, store, boxes = DOWNLOADS / self.name, None, None
            if profile != "quick" and not (store := largest_store(folder)):
                if commands := [command for command, pattern in files.items() if any(folder.rglob(pattern))]:
                    raise UserError(f"{folder} has the files and no store of them, develop them with {commands[0]}.")
            if not store:
                store, boxes = self.open(profile)
            if splits_of:
                store = store._replace(splits=tuple(splits_of(store.labels)))
            return PhotoSplit(store, store.rows(split), boxes, device)

        question = Question(torch.arange(len(self.classes)), tuple(self.classes))
        return Task(name, question, opener, recipes, channels=3, published=published)


FIVEK = Standin(
    "fivek",
    "MIT-Adobe FiveK",
    {"abstract": 35, "animals": 300, "man_made": 1869, "nature": 1089, "None": 366, "people": 1341},
    range(6),
    {"quick": (256, (48, 16, 24)), "laptop": (512, (1280, 120, 240)), "paper": (2528, (3500, 500, 1000))},
)


def prepare(profile: str) -> None:
    """Draw FiveK's stand-in of a profile."""
    store, _ = FIVEK.open(profile)
    counts = " + ".join(str(store.splits.count(split)) for split in SPLITS)
    print(f"the stand-in for FiveK is whole: {counts} images of {store.sizes[0][1]} x {store.sizes[0][0]}")


class Scene(NamedTuple):
    """What an image shows: its seed, and the place of its class; and the split it is in."""

    seed: int
    label: int
    split: str


def plan(standin: Standin, counts: Sequence[int]) -> dict[str, Scene]:
    """The scenes of all splits by name: in each split, the classes in their shares and in random order."""
    rng, scenes = default_rng(derive(SEED, ORDER)), {}
    for split, count in zip(SPLITS, counts, strict=True):
        given = quotas(count, list(standin.classes.values()))
        for label in rng.permutation(np.repeat(np.arange(len(given)), given)).tolist():
            number = len(scenes) + 1
            scenes[f"a{number:04d}-standin"] = Scene(derive(SEED, number, IMAGE), label, split)
    return scenes


def quotas(count: int, frequencies: Sequence[int]) -> np.ndarray:
    """Images of each class among ``count``: one of each, then each where its share is furthest off."""
    share = np.array(frequencies) / sum(frequencies)
    given = np.full(len(share), min(count, 1))
    while given.sum() < count:
        given[np.argmax(count * share - given)] += 1
    return given


def developed(picture: np.ndarray) -> np.ndarray:
    """uint8 sRGB (side, side, 3) -> (3, side, side), as it would come out of one of FiveK's 16-bit ProPhoto files."""
    from imagecodecs import cms_profile, cms_transform

    from ..images.develop import PROPHOTO, to_srgb

    profile = cms_profile("rgb", **PROPHOTO)
    # From 8 bits Little CMS is right to half a STEP or so without its slow exact mode.
    spaces = {"colorspace": "rgb", "outcolorspace": "rgb"}
    deep = cms_transform(picture, cms_profile("srgb"), profile, outdtype="uint16", **spaces)
    deep = (deep.clip(max=65535 - STEP // 2) + STEP // 2) // STEP * STEP
    return np.ascontiguousarray(to_srgb(deep, profile).transpose(2, 0, 1))


# The pictures


class Ball(NamedTuple):
    """Centre (x, y) and radius; waves: complex (2,), see :func:`outline`; colour: RGB in [0, 1]."""

    centre: np.ndarray
    radius: float
    waves: np.ndarray
    colour: np.ndarray


def render(seed: int, side: int, kind: int | None) -> np.ndarray:
    """The scene of a seed, uint8 sRGB (side, side, 3), whose subject wears the texture ``kind``, or None; the rest does
    not depend on it."""
    layout, pattern = default_rng(derive(seed, LAYOUT)), default_rng(derive(seed, PATTERN))
    subject, decoy = draw_balls(layout)
    image = draw_leaves(layout, side)
    add_ball(image, decoy, None, pattern)
    add_ball(image, subject, kind, pattern)
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def subject_box(seed: int) -> list[float]:
    """Where the scene's subject is: (x0, y0, x1, y1) in [-1, 1] coordinates."""
    subject, _ = draw_balls(default_rng(derive(seed, LAYOUT)))
    direction = np.exp(1j * np.linspace(0, 2 * np.pi, 360))
    rim = subject.radius * outline(subject.waves, direction) * direction + complex(*subject.centre)
    return [round(float(edge) * 2 - 1, 5) for edge in (rim.real.min(), rim.imag.min(), rim.real.max(), rim.imag.max())]


def colours(hue: np.ndarray, chroma: np.ndarray, value: np.ndarray) -> np.ndarray:
    """RGB (..., 3) of mean ``value``; hue 0, 1/3 and 2/3 are red, green and blue, chroma 0 is grey."""
    wave = np.cos(2 * np.pi * (np.asarray(hue)[..., None] - np.arange(3) / 3))
    return np.asarray(value)[..., None] * (1 + np.asarray(chroma)[..., None] * wave)


def outline(waves: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Radius over mean radius of a round shape with two and three waves: complex (..., 2), unit complex (...)."""
    return 1 + (waves[..., 0] * direction**2 + waves[..., 1] * direction**3).real


def draw_balls(rng: Generator) -> list[Ball]:
    """The subject, uniform over where it fits whatever its size, and a decoy that does not touch it."""
    balls: list[Ball] = []
    while len(balls) < 2:
        centre, radius = rng.uniform(1.3 * RADIUS[1], 1 - 1.3 * RADIUS[1], 2), rng.uniform(*RADIUS)
        waves = rng.uniform(0, 0.1, 2) * np.exp(2j * np.pi * rng.random(2))
        hue = rng.uniform(0.5, 0.75) if balls else rng.uniform(0.0, 0.13)
        colour = colours(hue, 0.55, rng.uniform(0.36, 0.4))
        if all(np.hypot(*(centre - other.centre)) > 1.1 * (radius + other.radius) for other in balls):
            balls.append(Ball(centre, radius, waves, colour))
    return balls


def draw_leaves(rng: Generator, side: int) -> np.ndarray:
    """The background: float32 RGB (side, side, 3)."""
    small, large = (radius**-2 for radius in LEAF_RADIUS)
    radius = (small - rng.random(LEAVES) * (small - large)) ** -0.5  # density r^-3
    radius = radius[np.argsort(-radius * rng.lognormal(0, 1.2, LEAVES))]  # large ones rather below
    centre = rng.uniform(-0.1, 1.1, LEAVES) + 1j * rng.uniform(-0.1, 1.1, LEAVES)
    hue = rng.choice(rng.uniform(0.02, 0.62, 2), LEAVES) + rng.normal(0, 0.05, LEAVES)  # around two hues an image
    colour = colours(hue, rng.uniform(0.02, 0.22, LEAVES), 0.12 + 0.58 * rng.beta(2, 2.4, LEAVES))
    slope = rng.normal(0, 0.16, (2, LEAVES)) / radius  # of the shading, over x and y
    roughness = rng.uniform(0.04, 0.2, LEAVES)
    shift = rng.integers(0, 1 << 16, (2, LEAVES)) / (1 << 16)  # no two leaves show the same part of the noise

    top, image = paint(leaf_outlines(rng, centre, radius), colour, side)
    x = ((np.arange(side) + 0.5) / side).astype(np.float32)
    y, foot = x[:, None], 1 - slope[0] * centre.real - slope[1] * centre.imag
    slope_x, slope_y, foot, rough = np.stack([*slope, foot, roughness]).astype(np.float32)
    shade = (slope_x.take(top) * x + slope_y.take(top) * y + foot.take(top)).clip(0.6, 1.4)
    dx, dy = (shift * side).astype(np.int32)
    col, row = np.arange(side, dtype=np.int32), np.arange(side, dtype=np.int32)[:, None]
    index = (row + dy.take(top)) % side * side + (col + dx.take(top)) % side
    shade *= 1 + rough.take(top) * pink_noise(rng, side).take(index)
    shade *= 1 - 0.6 * occlusion(top)
    light = rng.uniform(0.2, 0.6) * np.exp(2j * np.pi * rng.random())
    shade *= 1 + (light.real * (x - 0.5) + light.imag * (y - 0.5)).astype(np.float32)
    return image * shade[..., None]


def leaf_outlines(rng: Generator, centre: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Stretched and turned round shapes: complex (N,), (N,) -> corners, complex (N, 40), x + iy."""
    count = (len(radius), 1)
    direction = np.exp(2j * np.pi * np.arange(40) / 40)
    waves = 0.18 * rng.uniform(0, 1, (*count, 2)) * np.exp(2j * np.pi * rng.random((*count, 2)))
    shape = outline(waves, direction) * direction
    shape = shape.real + 1j * rng.uniform(0.5, 1, count) * shape.imag
    return centre[:, None] + radius[:, None] * shape * np.exp(2j * np.pi * rng.random(count))


def paint(outlines: np.ndarray, colour: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """One leaf over another: int32 (side, side), the leaf seen at each pixel, and float32 RGB (side, side, 3)."""
    from PIL import Image, ImageDraw

    tones = [tuple(tone) for tone in (colour * 255).astype(int).tolist()]
    picture, numbers = Image.new("RGB", (2 * side, 2 * side), tones[0]), Image.new("I", (side, side))
    brush, pen = ImageDraw.Draw(picture), ImageDraw.Draw(numbers)
    corners = np.stack([outlines.real, outlines.imag], -1).reshape(len(outlines), -1) * side
    for number, (tone, fine, plain) in enumerate(zip(tones, (2 * corners).tolist(), corners.tolist(), strict=True)):
        brush.polygon(fine, fill=tone)
        pen.polygon(plain, fill=number)
    return np.asarray(numbers), np.asarray(picture.reduce(2)).astype(np.float32) / 255


def occlusion(order: np.ndarray) -> np.ndarray:
    """Soft shadows beside what lies higher, in [0, 1]: how far the blurred height exceeds the height (Luft 2006)."""
    from PIL import Image

    height = order.astype(np.float32) / LEAVES
    blurred = Image.fromarray(height).resize((64, 64), Image.Resampling.BOX)
    return (np.asarray(blurred.resize(height.shape, Image.Resampling.BICUBIC)) - height).clip(0, 1)


def pink_noise(rng: Generator, side: int) -> np.ndarray:
    """Periodic noise (side, side) of unit variance, amplitude 1/f up to GRAIN periods a side; the same at any side."""
    spectrum = rng.standard_normal((2, 2 * GRAIN, GRAIN))
    f = np.hypot(np.fft.fftfreq(2 * GRAIN, 0.5 / GRAIN)[:, None], np.arange(GRAIN))
    spectrum *= ((f > 0) & (f < GRAIN)) / np.maximum(f, 1)
    held = min(GRAIN, side // 2)
    padded = np.zeros((side, side // 2 + 1), np.complex64)
    for rows in (slice(held), slice(-held + 1, None)):
        padded[rows, :held] = spectrum[0, rows, :held] + 1j * spectrum[1, rows, :held]
    noise = np.fft.irfft2(padded, (side, side)).astype(np.float32)
    return noise / noise.std()


def add_ball(image: np.ndarray, ball: Ball, kind: int | None, rng: Generator) -> None:
    """Paint a lit ball and its shadow onto float RGB (side, side, 3), in place; ``kind`` is the texture that it wears,
    a little turned and of a random period, or None."""
    side, reach = len(image), 1.5 * ball.radius
    first = np.floor((ball.centre - reach) * side).astype(int).clip(0)
    last = np.ceil((ball.centre + reach) * side).astype(int).clip(max=side)
    columns, rows = map(slice, first, last)
    ends = zip(first, last, ball.centre, strict=True)
    x, y = (((np.arange(start, stop) + 0.5) / side - centre) / ball.radius for start, stop, centre in ends)
    offset = (x + 1j * y[:, None]).astype(np.complex64)  # of each pixel from the centre, in radii
    colour, window = ball.colour.astype(np.float32), image[rows, columns]
    window *= 1 - 0.5 * smooth_step(1.5 - np.abs(offset - (0.2 + 0.25j)))[..., None]
    distance = np.abs(offset) + 1e-6
    rim = outline(ball.waves.astype(np.complex64), offset / distance)
    lit = 1 - 0.15 * (offset.real + offset.imag) - 0.1 * distance**2
    cover = smooth_step((rim - distance) * (ball.radius / EDGE) + 0.5)  # share of each pixel that is the ball's
    window += cover[..., None] * (lit[..., None] * colour - window)
    if kind is not None:
        turn = np.exp(1j * rng.uniform(-TILT, TILT)) / rng.uniform(*PERIOD)
        values, weights = texture(kind, (offset * ball.radius * turn).astype(np.complex64), rng), shares(side)
        window += even_out(values, lit * cover, weights[:, rows], weights[:, columns])[..., None] * colour


def smooth_step(t: np.ndarray) -> np.ndarray:
    t = t.clip(0, 1)
    return t * t * (3 - 2 * t)


def texture(kind: int, p: np.ndarray, rng: Generator) -> np.ndarray:
    """One of six fine textures at places p = u + iv, complex and in periods: values of either sign."""
    match kind:
        case 0:  # dots
            return sum(np.cos(2 * np.pi * (p * np.exp(1j * angle)).real) for angle in np.pi / 3 * np.arange(3))
        case 1:  # stripes
            return np.cos(2 * np.pi * p.real)
        case 2:  # checks
            return np.cos(np.sqrt(2) * np.pi * p.real) * np.cos(np.sqrt(2) * np.pi * p.imag)
        case 3:  # rings
            return np.cos(2 * np.pi * np.abs(p))
        case 4:  # noise: twenty waves of any direction and phase, with periods around one
            pace = rng.uniform(0.7, 1.3, 20) * np.exp(2j * np.pi * rng.random(20))
            waves = zip(pace, rng.random(20), strict=True)
            return sum(np.cos(2 * np.pi * ((p * wave).real + phase)) for wave, phase in waves)
        case 5:  # weave
            over = (np.floor(p.real / 2) + np.floor(p.imag / 2)) % 2 > 0
            return np.cos(2 * np.pi * np.where(over, p.real, p.imag))


@lru_cache(maxsize=4)
def shares(side: int) -> np.ndarray:
    """Float32 (CELLS, side): what a pixel of a row weighs in a cell of the proxy of an image's pyramid."""
    block = 2 ** int(math.log2(side / (2 * CELLS)))  # pixels of the image, on a side, in one of the level that is read
    cells = area_matrix(math.ceil(side / block), side / block, CELLS, torch.device("cpu")).numpy()
    return np.repeat(cells, block, axis=1)[:, :side] / block


def even_out(texture: np.ndarray, cover: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """A texture as it lies under ``cover``, both float32 (H, W): of mean 0 in every cell of the proxy and of standard
    deviation CONTRAST where the cover is 1, its values pressed together, so that few would leave [0, 1]. down, across:
    float32 (CELLS, H) and (CELLS, W), the :func:`shares` of the rows and columns."""
    down, across = down[down.any(1)], across[across.any(1)]
    weight = down @ cover @ across.T + 1e-6
    back_down, back_across = down / down.sum(0), across / across.sum(0)
    texture = cover * np.tanh(2 * texture / texture.std())
    for _ in range(ROUNDS):
        texture -= cover * (back_down.T @ (down @ texture @ across.T / weight) @ back_across)
    return texture * (CONTRAST / np.sqrt((texture**2).sum() / (cover**2).sum()))
