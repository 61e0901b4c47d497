"""The README's figure and film, from committed weights: ``python -m vsacc.look.film``.

They go to reports/hero.png and reports/saccades.gif. The pictures are the first ones of the fixed test set whatever
is said of them, except that the figure shows the first one that is read right and for which looking matters.
"""

import numpy as np
import torch
from tqdm import tqdm

from ..figures.hero import Film, gif, hero
from ..figures.style import to_png
from ..local.paths import REPORTS, check_writable, one_sentence_exit, write_atomic
from ..sampler import glimpse
from ..tasks.base import kind_of, open_split
from ..training.weights import open_trained
from .explorer import Explorer, Look
from .pictures import FixedTest, Picture, channels_last

NAME, SIDE = "identification-laptop-seed0", 2528
PICTURES = 4  # in the film
BETWEEN = 9  # frames from one place to the next
MOVING, RESTING = 0.08, 1.3  # seconds a frame is shown


def travel(where: np.ndarray, between: int) -> np.ndarray:
    """The way of the gaze from the whole image over the places (T, 3): (T, between, 3), arriving with the last frame.

    It starts and stops smoothly; s changes by equal factors, as a zoom does.
    """
    places = np.concatenate([[[1.0, 0.0, 0.0]], where])
    places[:, 0] = np.log(places[:, 0])
    share = np.linspace(0, 1, between + 1)[1:, None]
    share = share**2 * (3 - 2 * share)
    way = places[:-1, None] + (places[1:] - places[:-1])[:, None] * share
    way[..., 0] = np.exp(way[..., 0])
    return way


def film(explorer: Explorer, looks: list[tuple[Picture, Look]]) -> bytes:
    """A GIF of the looks, one after another."""
    stage, frames, seconds = Film(explorer.steps, explorer.classes), [], []
    for picture, look in tqdm(looks, desc="film"):
        way = travel(look.where, BETWEEN)  # (T, F, 3)
        where = torch.from_numpy(way.reshape(1, -1, 3)).float()
        seen = channels_last(glimpse(picture.images, where, explorer.model.config.size)[0])
        for index, view in enumerate(seen):
            step, part = divmod(index, BETWEEN)
            arrived = part == BETWEEN - 1
            frames.append(stage.frame(picture, look, way[step, part], view, step + arrived))
            seconds.append(RESTING if arrived else MOVING)
    return gif(frames, seconds)


def main() -> None:
    check_writable(REPORTS)
    model, card = open_trained(NAME)
    kind = kind_of(card["task"])
    pictures = FixedTest(open_split(card["task"], "test"), kind.classes, SIDE)
    explorer = Explorer(model, pictures, kind.classes, model.config.glimpses)
    first = [pictures[index] for index in range(PICTURES)]
    write_atomic(REPORTS / "saccades.gif", film(explorer, [(picture, explorer.look(picture)) for picture in first]))
    shown = explorer.pictures[explorer.first_telling()]
    write_atomic(REPORTS / "hero.png", to_png(hero(shown, explorer.look(shown), kind.classes)))
    print("wrote hero.png and saccades.gif")


if __name__ == "__main__":
    one_sentence_exit(main)
