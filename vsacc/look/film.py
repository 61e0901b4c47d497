"""The README's figure and film, from committed weights, to reports/hero.png and reports/saccades.gif.

The film shows the first pictures of the fixed test set, the figure the first one for which looking matters."""

import numpy as np
import torch
from tqdm import tqdm

from ..figures.explorer import gaze, gif, hero
from ..figures.style import to_png
from ..local.paths import REPORTS, write_atomic
from ..sampler import glimpse
from ..tasks import find_task
from ..training.weights import load
from .explorer import Explorer, FixedTest, channels_last

WEIGHTS, ENLARGED = "identification-laptop-seed0", "identification_2528"  # the same canvases, at 2528 x 2528
PICTURES, BETWEEN = 4, 9  # in the film, and frames from one place to the next
MOVING, RESTING = 0.08, 1.3  # seconds a frame is shown


def travel(where: np.ndarray, between: int) -> np.ndarray:
    """The way of the gaze from the whole image over the places (T, 3): (T, between, 3), arriving with the last frame.
    It starts and stops smoothly; s changes by equal factors, as a zoom does."""
    places = np.concatenate([[[1.0, 0.0, 0.0]], where])
    places[:, 0] = np.log(places[:, 0])
    share = np.linspace(0, 1, between + 1)[1:, None]
    share = share**2 * (3 - 2 * share)
    way = places[:-1, None] + (places[1:] - places[:-1])[:, None] * share
    way[..., 0] = np.exp(way[..., 0])
    return way


def film(explorer: Explorer) -> bytes:
    """A GIF of the looks at the first pictures, one after another."""
    frames, seconds = [], []
    for picture in (explorer.pictures[index] for index in tqdm(range(PICTURES), desc="film")):
        look = explorer.look(picture)
        way = travel(look.where, BETWEEN)  # (T, F, 3)
        where = torch.from_numpy(way.reshape(1, -1, 3)).float()
        seen = channels_last(glimpse(picture.images, where, explorer.model.config.size)[0])
        for index, view in enumerate(seen):
            step, part = divmod(index, BETWEEN)
            arrived = part == BETWEEN - 1
            frames.append(gaze(picture, look, way[step, part], view, step + arrived, explorer.question.classes))
            seconds.append(RESTING if arrived else MOVING)
    return gif(frames, seconds)


def command() -> None:
    """Write both."""
    model, task = load(WEIGHTS), find_task(ENLARGED)
    explorer = Explorer(model, FixedTest(task.open("test"), task.question), task.question, model.config.glimpses)
    write_atomic(REPORTS / "saccades.gif", film(explorer))
    shown = explorer.pictures[explorer.first_telling()]
    write_atomic(REPORTS / "hero.png", to_png(hero(shown, explorer.look(shown), task.question.classes)))
    print("wrote hero.png and saccades.gif")
