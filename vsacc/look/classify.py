"""Classify one photograph, and show where the model looked.

python -m vsacc.look.classify IMAGE [--weights NAME] [--out picture.png]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..figures.photographs import looked_at
from ..figures.style import to_png, use_style
from ..local.paths import UserError, check_writable, one_sentence_exit, write_atomic
from ..sampler import Images
from ..tasks.base import kind_of
from ..training.weights import open_trained
from .pictures import Picture, channels_last, open_picture

WEIGHTS_NAME = "one_digit-laptop-seed0"
SHOWN = 5  # classes


class Verdict(NamedTuple):
    """What a model says of an image. ranking: (class, probability), the likeliest first; where: (T, 3);
    glimpses: (T, C, L, L) in [0, 1]; both are empty for a model that takes no glimpses."""

    ranking: list[tuple[str, float]]
    where: Tensor
    glimpses: Tensor


@torch.inference_mode()
def classify(model: nn.Module, images: Images, classes: Sequence[str]) -> Verdict:
    """The verdict of a model in evaluation on one image (a batch of 1)."""
    output = model(images)
    likeliest = output.logits[0].float().softmax(-1).sort(descending=True)
    ranking = [(classes[k], p) for k, p in zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)]
    if output.where is None:
        return Verdict(ranking, torch.empty(0, 3), torch.empty(0, 1, 1, 1))
    return Verdict(ranking, output.where[0].float(), output.glimpses[0].float())


def draw(picture: Picture, verdict: Verdict) -> bytes:
    """Where the model looked in a picture, as a PNG file."""
    use_style()
    height, width = picture.shape
    names, probabilities = zip(*verdict.ranking[:SHOWN], strict=True)
    seen = channels_last(verdict.glimpses)
    figure = looked_at(picture.small, height / width, verdict.where.numpy(), seen, names, probabilities, picture.title)
    return to_png(figure)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m vsacc.look.classify", description=__doc__.splitlines()[0])
    parser.add_argument("image", metavar="IMAGE", type=Path, help="JPEG, PNG, WebP, TIFF or DNG of any size")
    parser.add_argument("--weights", default=WEIGHTS_NAME, help="a model of data/weights, by its file's name")
    parser.add_argument("--out", type=Path, help="a .png for the picture of where the model looked")
    options = parser.parse_args()
    if options.out:
        if options.out.suffix.lower() != ".png":
            raise UserError(f"the picture is a PNG file, give --out {options.out.stem}.png.")
        check_writable(options.out.parent)
    model, card = open_trained(options.weights)
    classes = card.get("classes") or kind_of(card["task"]).classes
    picture = open_picture(options.image, model.config.channels)
    verdict = classify(model, picture.images, classes)
    print(f"{picture.title}, seen by {options.weights}:")
    for name, probability in verdict.ranking[:SHOWN]:
        print(f"  {name:12s}{100 * probability:6.2f} %")
    if options.out:
        write_atomic(options.out, draw(picture, verdict))
        print(f"where it looked: {options.out}")


if __name__ == "__main__":
    one_sentence_exit(main)
