"""``vsacc look IMAGE...``: what a trained model says of images of any size, and where it looked in one."""

import sys
from argparse import Namespace
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from ..figures.explorer import hero
from ..figures.style import MAKER, to_png
from ..local.paths import UserError, write_atomic
from ..tasks import find_task
from ..training.weights import load
from .explorer import Explorer, open_picture

WEIGHTS = "one_digit-laptop-seed0"  # unless others are named


def command(options: Namespace) -> int:
    """Print what a model says of ``options.images``; returns 2 where one of them cannot be read, else 0. Raises
    UserError where the model ``weights`` (a name or a file) cannot be read, and unless ``out`` (None, or a .png for
    where it looked) is for one image that it does not replace, and can be written; or where ``stop`` (None, or the
    probability of the likeliest class at which it looks no further) is none, or not for this model."""
    images, name, code = options.images, options.weights or WEIGHTS, 0
    if options.stop is not None and not 0 < options.stop <= 1:
        raise UserError(f"--stop is a probability above 0, such as 0.95, not {options.stop:g}.")
    if options.out:
        check_picture(options.out, images)
    model = load(name)
    steps = getattr(model.config, "glimpses", 1)
    explorer = Explorer(model, (), find_task(model.task).question, steps)
    for path in images:
        try:
            picture = open_picture(path, model.config.channels)
        except UserError as error:
            print(f"vsacc: {error}", file=sys.stderr)
            code = 2
            continue
        look = explorer.look(picture, stop=options.stop)
        often = f" in {len(look.said)} of {steps} glimpses" if options.stop is not None else ""
        print(f"{picture.title}, seen by {name}{often}:")
        for k in np.argsort(-look.posterior[-1], kind="stable")[:5]:
            print(f"  {model.classes[k]:12s}{100 * look.posterior[-1, k]:6.2f} %")
        if options.out:
            write_atomic(options.out, to_png(hero(picture, look, model.classes)))
            print(f"where it looked: {options.out}")
    return code


def check_picture(out: Path, images: list[Path]) -> None:
    if out.suffix.lower() != ".png":
        raise UserError(f"the picture is a PNG file, give --out {out.stem}.png.")
    if len(images) > 1:
        raise UserError(f"--out is the picture of one image, name one instead of {len(images)} or leave it out.")
    with suppress(OSError):  # none there, or no picture
        if Image.open(out).info.get("Software") == MAKER:
            return
    if out.exists():
        raise UserError(f"{out} is not an earlier picture of where a model looked, give --out another name.")
