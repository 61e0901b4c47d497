r"""Photograph-like scenes whose class cannot be seen from afar: the pictures of the FiveK stand-in.

A scene is a dead-leaves image (Lee, Mumford and Huang 2001): opaque leaves with sizes of density r^-3 that hide each
other, which gives the 1/f spectrum of photographs; every leaf has its own colour, shading and 1/f texture. On them lie
one subject, a warm ball, and a decoy, a cold one. The class is told by nothing but the fine texture on the subject,
see :mod:`.textures`: the 32 x 32 proxy shows where the subject is and not what.

Everything is drawn in coordinates relative to the side: at another side the scene is the same.
"""

from typing import NamedTuple

import numpy as np
from numpy.random import Generator, default_rng
from PIL import Image, ImageDraw

from ..local.seeds import derive
from .textures import CELLS, TEXTURES, even_out, shares, turn

SMALLEST_SIDE = 256  # pixels; a period of a texture is then 7 pixels
LEAVES, LEAF_RADIUS = 600, (0.02, 0.4)  # all lengths are in sides
DECOYS = 1
RADIUS = (0.14, 0.18)  # of subject and decoy
EDGE = 0.006  # softness of a ball's outline
GRAIN = 256  # highest frequency of the leaves' texture, in periods a side
LAYOUT, PATTERN = 11, 12  # purposes of the random streams that derive from one seed


class Ball(NamedTuple):
    """Centre (x, y) and radius in sides; waves: complex (2,), see :func:`outline`; colour: RGB in [0, 1]."""

    centre: np.ndarray
    radius: float
    waves: np.ndarray
    colour: np.ndarray


def render(seed: int, side: int, kind: int) -> np.ndarray:
    """The scene of a seed, uint8 sRGB (side, side, 3); pixels off the subject do not depend on ``kind``.

    Args:
        side: in pixels, a multiple of 32 and at least 256.
        kind: which of :data:`~.textures.TEXTURES` the subject wears.

    Raises ValueError for another side.
    """
    if side % CELLS or side < SMALLEST_SIDE:
        raise ValueError(f"side must be a multiple of {CELLS} from {SMALLEST_SIDE} on, not {side}")
    layout, pattern = default_rng(derive(seed, LAYOUT)), default_rng(derive(seed, PATTERN))
    subject, *decoys = draw_balls(layout)
    image = draw_leaves(layout, side)
    for ball in (*decoys, subject):
        add_ball(image, ball)
    dress(image, subject, kind, pattern)
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def subject_box(seed: int) -> list[float]:
    """Where the scene's subject is: (x0, y0, x1, y1) in [-1, 1] coordinates."""
    subject = draw_balls(default_rng(derive(seed, LAYOUT)))[0]
    direction = np.exp(1j * np.linspace(0, 2 * np.pi, 360))
    rim = subject.radius * outline(subject.waves, direction) * direction
    x, y = (v + centre for v, centre in zip((rim.real, rim.imag), subject.centre, strict=True))
    return [round(float(v) * 2 - 1, 5) for v in (x.min(), y.min(), x.max(), y.max())]


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
    while len(balls) <= DECOYS:
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
    place = (np.arange(side) + 0.5) / side
    x, y = place.astype(np.float32), place.astype(np.float32)[:, None]
    slope_x, slope_y, foot, rough = np.stack(
        [*slope, 1 - slope[0] * centre.real - slope[1] * centre.imag, roughness]
    ).astype(np.float32)
    shade = (slope_x.take(top) * x + slope_y.take(top) * y + foot.take(top)).clip(0.6, 1.4)
    dx, dy = (shift * side).astype(np.int32)
    col, row = np.arange(side, dtype=np.int32), np.arange(side, dtype=np.int32)[:, None]
    index = (row + dy.take(top)) % side * side + (col + dx.take(top)) % side
    shade *= 1 + rough.take(top) * pink_noise(rng, side).take(index)
    shade *= 1 - 0.6 * occlusion(top)
    light = rng.uniform(0.2, 0.6) * np.exp(2j * np.pi * rng.random())
    shade *= 1 + (light.real * (x - 0.5) + light.imag * (y - 0.5)).astype(np.float32)
    image *= shade[..., None]
    return image


def leaf_outlines(rng: Generator, centre: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Stretched and turned round shapes: complex (N,), (N,) -> corners, complex (N, 40), x + iy in sides."""
    count = (len(radius), 1)
    direction = np.exp(2j * np.pi * np.arange(40) / 40)
    waves = 0.18 * rng.uniform(0, 1, (*count, 2)) * np.exp(2j * np.pi * rng.random((*count, 2)))
    shape = outline(waves, direction) * direction
    shape = shape.real + 1j * rng.uniform(0.5, 1, count) * shape.imag
    return centre[:, None] + radius[:, None] * shape * np.exp(2j * np.pi * rng.random(count))


def paint(outlines: np.ndarray, colour: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """One leaf over another: int32 (side, side), the leaf seen at each pixel, and float32 RGB (side, side, 3)."""
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


def add_ball(image: np.ndarray, ball: Ball) -> None:
    """Paint a lit ball and its shadow onto float RGB (side, side, 3), in place."""
    rows, columns, offset = around(ball, len(image))
    window = image[rows, columns]
    window *= 1 - 0.5 * smooth_step(1.5 - np.abs(offset - (0.2 + 0.25j)))[..., None]
    cover, lit = cover_and_light(ball, offset)
    window += cover[..., None] * (lit[..., None] * ball.colour.astype(np.float32) - window)


def dress(image: np.ndarray, ball: Ball, kind: int, rng: Generator) -> None:
    """Let a ball that is painted already wear a texture, in place."""
    rows, columns, offset = around(ball, len(image))
    cover, lit = cover_and_light(ball, offset)
    texture = TEXTURES[kind](turn(offset * ball.radius, rng), rng)
    weights = shares(len(image))
    texture = even_out(texture, lit * cover, weights[:, rows], weights[:, columns])
    image[rows, columns] += texture[..., None] * ball.colour.astype(np.float32)


def around(ball: Ball, side: int) -> tuple[slice, slice, np.ndarray]:
    """Rows and columns of the ball and its shadow, and complex64 x + iy of these pixels from its centre, in radii."""
    first = np.floor((ball.centre - 1.5 * ball.radius) * side).astype(int).clip(0)
    last = np.ceil((ball.centre + 1.5 * ball.radius) * side).astype(int).clip(max=side)
    x, y = (
        ((np.arange(a, b) + 0.5) / side - c) / ball.radius for a, b, c in zip(first, last, ball.centre, strict=True)
    )
    return slice(first[1], last[1]), slice(first[0], last[0]), (x + 1j * y[:, None]).astype(np.complex64)


def cover_and_light(ball: Ball, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much of each pixel the ball covers, in [0, 1], and how it is lit there, about 1."""
    distance = np.abs(offset) + 1e-6
    rim = outline(ball.waves.astype(np.complex64), offset / distance)
    lit = 1 - 0.15 * (offset.real + offset.imag) - 0.1 * distance**2
    return smooth_step((rim - distance) * (ball.radius / EDGE) + 0.5), lit


def smooth_step(t: np.ndarray) -> np.ndarray:
    t = t.clip(0, 1)
    return t * t * (3 - 2 * t)
