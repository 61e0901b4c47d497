"""Drawn road scenes with Swedish signs: the frames of the speed-limit stand-in.

What a scene looks like from afar, and where its signs stand, does not depend on the limit: only the digits do. All
lengths are shares of the frame's width, so a scene is the same at any width but for its noise.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, default_rng
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

from ..local.seeds import derive
from .speed_limits_labels import UNREADABLE

SHAPE = 0.75  # height over width
RADIUS = (0.02, 0.045)  # of a sign: 26 to 58 pixels across at 640, within the published signs' pixels
FOOT = 0.66  # where posts end
FINE = 3  # a sign is drawn this many times larger
NOISE = 12  # of the camera at most, in levels
YELLOW, RED, BLUE, WHITE, BLACK = (245, 200, 40), (190, 30, 40), (30, 70, 160), (235, 235, 235), (25, 25, 25)
GREY = (110, 112, 115)
OTHERS = ("OTHER", "NO_PARKING", "PRIORITY_ROAD", "GIVE_WAY", "PEDESTRIAN_CROSSING")  # signs that are not limits
LAYOUT, BACKDROP = 31, 32  # purposes of the random streams that derive from one seed


class Post(NamedTuple):
    """A place for a sign: its middle (x, y) and radius in widths; tilt in degrees; light, a factor on its colours."""

    x: float
    y: float
    radius: float
    tilt: float
    light: float


class Sign(NamedTuple):
    """A sign on its post. name: 50_SIGN and the like, one of OTHERS, or MISC_SIGNS, a plate that says nothing."""

    post: Post
    name: str
    blurred: bool = False


def draw_posts(seed: int, count: int) -> list[Post]:
    """Places for signs that do not touch; the first ones of a seed are the same whatever the count."""
    rng, posts = default_rng(derive(seed, LAYOUT)), []
    while len(posts) < count:
        post = Post(
            rng.uniform(0.06, 0.94), rng.uniform(0.15, 0.5), rng.uniform(*RADIUS), rng.normal(0, 3), rng.uniform(0.6, 1)
        )
        if all(np.hypot(post.x - other.x, post.y - other.y) > 1.2 * (post.radius + other.radius) for other in posts):
            posts.append(post)
    return posts


def render(seed: int, width: int, signs: list[Sign]) -> Image.Image:
    """A scene with signs, each before the ones that come earlier: RGB (width, 3/4 width)."""
    rng = default_rng(derive(seed, BACKDROP))
    image = draw_road(rng, width)
    brush = ImageDraw.Draw(image)
    for sign in signs:
        x, y, radius = (value * width for value in (sign.post.x, sign.post.y, sign.post.radius))
        thin = max(1, round(0.1 * radius))
        brush.rectangle([x - thin, y, x + thin, FOOT * width], fill=GREY)
        plate, corner = place_plate(sign, width)
        image.paste(plate, corner, plate)
    grain = Image.fromarray(rng.integers(0, 2 * NOISE, image.size[::-1], dtype=np.uint8)).convert("RGB")
    return ImageChops.add(image, grain, offset=-NOISE)


def sign_box(sign: Sign, width: int) -> tuple[int, int, int, int]:
    """Where a sign is in a frame, but for its post: (x0, y0, x1, y1) in pixels."""
    plate, (left, top) = place_plate(sign, width)
    x0, y0, x1, y1 = plate.getchannel("A").getbbox()
    return left + x0, top + y0, left + x1, top + y1


def place_plate(sign: Sign, width: int) -> tuple[Image.Image, tuple[int, int]]:
    """A sign as drawn on transparent ground, and the frame's pixel under its upper left corner."""
    plate = draw_plate(sign, round(2 * sign.post.radius * width))
    return plate, (round(sign.post.x * width - plate.width / 2), round(sign.post.y * width - plate.height / 2))


def draw_plate(sign: Sign, size: int) -> Image.Image:
    """A sign about ``size`` pixels across: RGBA."""
    name, side = sign.name, FINE * size
    plate = Image.new("RGBA", (side, side))
    brush, edge = ImageDraw.Draw(plate), round(0.13 * side)
    disc = {"outline": RED, "width": edge}
    if name == "NO_PARKING":
        brush.ellipse([0, 0, side - 1, side - 1], fill=BLUE, **disc)
        brush.line([0.2 * side, 0.2 * side, 0.8 * side, 0.8 * side], fill=RED, width=edge)
    elif name == "PRIORITY_ROAD":
        for colour, inset in ((WHITE, 0.0), (YELLOW, 0.14)):
            brush.regular_polygon((side / 2, side / 2, (0.5 - inset) * side), 4, rotation=45, fill=colour)
    elif name == "GIVE_WAY":
        for colour, inset in ((RED, 0.0), (YELLOW, 0.16)):
            brush.regular_polygon((side / 2, 0.4 * side, (0.5 - inset) * side), 3, rotation=180, fill=colour)
    elif name == "PEDESTRIAN_CROSSING":
        brush.rectangle([0, 0, side - 1, side - 1], fill=BLUE)
        brush.polygon([0.1 * side, 0.85 * side, 0.5 * side, 0.15 * side, 0.9 * side, 0.85 * side], fill=WHITE)
    elif name == UNREADABLE:
        brush.rectangle([0, 0.2 * side, side - 1, 0.8 * side], fill=WHITE)
    else:
        brush.ellipse([0, 0, side - 1, side - 1], fill=YELLOW, **disc)
        if name == "OTHER":
            brush.ellipse([0.3 * side, 0.3 * side, 0.7 * side, 0.7 * side], fill=BLACK)
        else:
            text, middle = name.removesuffix("_SIGN"), (side / 2, side / 2)
            brush.text(middle, text, BLACK, font(round(0.5 * side)), "mm", stroke_width=side // 60)
    plate = plate.rotate(sign.post.tilt, Image.Resampling.BILINEAR, expand=True).reduce(FINE)
    if sign.blurred:  # with premultiplied alpha, or the rim would turn black
        plate = ImageOps.expand(plate, size // 4).convert("RGBa").filter(ImageFilter.GaussianBlur(size / 9))
        plate = plate.convert("RGBA")
    shaded = np.asarray(plate) * np.array([sign.post.light] * 3 + [1.0])
    return Image.fromarray(shaded.astype(np.uint8), "RGBA")


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own, which unpacks it at every call."""
    return ImageFont.load_default(size)


def draw_road(rng: Generator, width: int) -> Image.Image:
    """Sky, wood, meadow and road, with houses and cars as red and yellow as the signs."""
    height = round(SHAPE * width)
    horizon, middle = rng.uniform(0.3, 0.42), rng.uniform(0.35, 0.65)
    image = Image.new("RGB", (width, height))
    brush = ImageDraw.Draw(image)

    def polygon(points: list[tuple[float, float]], colour: np.ndarray) -> None:
        brush.polygon([(x * width, y * width) for x, y in points], fill=tuple(colour.clip(0, 255).astype(int).tolist()))

    def box(x: float, y: float, w: float, h: float, colour: np.ndarray) -> None:
        polygon([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], colour)

    polygon([(0, 0), (1, 0), (1, horizon), (0, horizon)], np.array([150.0, 180, 210]) + rng.uniform(0, 40))
    polygon([(0, horizon), (1, horizon), (1, SHAPE), (0, SHAPE)], rng.uniform((70, 90, 30), (150, 140, 80)))
    for x in np.linspace(-0.05, 1.05, 45) + rng.normal(0, 0.015, 45):  # firs along the horizon
        half, top = rng.uniform(0.012, 0.04), rng.uniform(0.04, 0.16)
        polygon(
            [(x - half, horizon + 0.01), (x, horizon - top), (x + half, horizon + 0.01)],
            rng.uniform((20, 45, 20), (60, 85, 50)),
        )
    polygon(
        [(middle - 0.02, horizon), (middle + 0.02, horizon), (1.05, SHAPE), (-0.05, SHAPE)],
        np.full(3, rng.uniform(80, 125)),
    )
    for near in (0.25, 0.45, 0.7, 1.0):  # the line in the middle
        y, x = horizon + (SHAPE - horizon) * near * 0.9, middle + (0.5 - middle) * near * 0.9
        box(x - 0.006 * near, y, 0.012 * near, 0.05 * near, np.full(3, 220.0))
    for _ in range(rng.integers(1, 5)):  # houses, Falun red, ochre or white
        x, w, h = rng.uniform(-0.05, 1), rng.uniform(0.04, 0.14), rng.uniform(0.025, 0.07)
        colour = np.array([(140, 40, 35), (215, 165, 60), (225, 220, 210)])[rng.integers(3)] * rng.uniform(0.8, 1.1)
        box(x, horizon + 0.015 - h, w, h, colour)
        polygon(
            [(x - 0.01, horizon + 0.015 - h), (x + w / 2, horizon - 1.6 * h), (x + w + 0.01, horizon + 0.015 - h)],
            np.full(3, 70.0),
        )
    for _ in range(rng.integers(0, 3)):  # cars, seen from behind
        w = rng.uniform(0.04, 0.12)
        x, y = middle + rng.uniform(-0.2, 0.2) - w / 2, horizon + rng.uniform(0.02, 0.12)
        box(x, y, w, 0.7 * w, rng.uniform((30, 30, 30), (210, 190, 190)))
        box(x + 0.15 * w, y + 0.06 * w, 0.7 * w, 0.25 * w, np.full(3, 50.0))
        for lamp in (0.03, 0.82):
            box(x + lamp * w, y + 0.36 * w, 0.15 * w, 0.12 * w, np.array([210.0, 30, 30]))
    return Image.blend(image, rough(rng, image.size), 0.12)


def rough(rng: Generator, size: tuple[int, int]) -> Image.Image:
    """Grey blotches of two sizes, so that no surface is plain."""
    coarse, fine = (Image.fromarray(rng.integers(0, 256, (3 * n, 4 * n), dtype=np.uint8)) for n in (12, 50))
    coarse, fine = (blotches.resize(size, Image.Resampling.BILINEAR) for blotches in (coarse, fine))
    return Image.blend(coarse, fine, 0.5).convert("RGB")
