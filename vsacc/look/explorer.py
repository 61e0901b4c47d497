"""Pictures to look at, and what a trained model sees and says of one, step by step: arrays for figures and sliders.

A picture is an image of a test set or the reader's own file, made when it is asked for. Every system can be explored on
every task; what a model lacks, such as places or a bound, is None in its looks."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..figures.explorer import named
from ..images.develop import SUFFIXES, develop
from ..local.paths import UserError
from ..loss import answers, log_likelihood
from ..reading import Question
from ..saccader import Choice, Hand, Model, Policy, Turn, mean
from ..sampler import Images, build_pyramid, glimpse
from ..tasks import TEST_BATCH, TEST_SEED, FiniteSplit, Split, derive
from ..vrnn import cell_centres, kl_normal

DISPLAY = 400  # pixels, side of an image as it is shown


class Picture(NamedTuple):
    """One image, or video, to look at. images: of batch 1; truth: its class, or bool (K,) where the task asks K
    questions of yes or no, None where unknown; small: uint8 (h, w) or (h, w, 3), all of it at the size of the screen,
    of a video its first frame."""

    images: Images
    title: str
    truth: int | np.ndarray | None
    small: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the image itself."""
        return self.images.sizes[0]


def channels_last(images: Tensor) -> np.ndarray:
    """(N, C, h, w) -> (N, h, w) of grey or (N, h, w, 3) of colour images."""
    return (images[:, 0] if images.shape[1] == 1 else images.movedim(1, -1)).numpy()


def make_picture(images: Images, title: str, truth: int | np.ndarray | None = None) -> Picture:
    """A picture of images of batch 1; reads no more of them than the screen shows."""
    side = min(DISPLAY, max(images.sizes[0]))
    small = glimpse(images, torch.tensor([[1.0, 0.0, 0.0]]), side)
    return Picture(images, title, truth, channels_last((small * 255).round().to(torch.uint8))[0])


def open_picture(path: Path | str, channels: int) -> Picture:
    """The reader's own file, in grey where ``channels`` is 1. Raises UserError where it is no image to be read."""
    path = Path(os.path.expanduser(path))
    image = Image.fromarray(develop(path)).convert("L" if channels == 1 else "RGB")
    pixels = torch.tensor(np.atleast_3d(image)).movedim(-1, 0)  # (C, H, W)
    name = os.fsencode(path.name).decode(errors="replace")  # of whatever bytes the disk has
    return make_picture(build_pyramid(pixels[None]), f"{name}, {image.width} x {image.height}")


class Folder(Sequence[Picture]):
    """The reader's own files in a folder, by name; each is opened when it is asked for, as in :func:`open_picture`.
    Raises UserError where there are none."""

    def __init__(self, folder: str, channels: int):
        self.paths = sorted(p for p in Path(os.path.expanduser(folder)).glob("*") if p.suffix.lower() in SUFFIXES)
        self.channels = channels
        if not self.paths:
            raise UserError(f"{folder} holds no file that ends in {', '.join(SUFFIXES)}, name a folder of photographs.")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Picture:
        return open_picture(self.paths[index], self.channels)


@dataclass(frozen=True)
class FixedTest(Sequence[Picture]):
    """The fixed set of any split, image by image: drawn, or read from a store, where a look needs it."""

    split: Split
    question: Question

    def __len__(self) -> int:
        return len(self.split) if isinstance(self.split, FiniteSplit) else 10_000  # of a split without an end

    def __getitem__(self, index: int) -> Picture:
        index = range(len(self))[index]  # else raises IndexError, which ends a loop
        if isinstance(self.split, FiniteSplit):
            batch = self.split.take(torch.tensor([index]))
        else:
            number, row = divmod(index, TEST_BATCH)
            batch = self.split.draw(TEST_BATCH, TEST_SEED, number, slice(row, row + 1))
        truth = batch.labels[0].numpy() if self.question.many else batch.labels.item()
        source = "stand-in" if "stand-in" in self.split.protocol else "test image"
        (height, width), true = batch.images.sizes[0], named(truth, self.question.classes)
        return make_picture(batch.images, f"{source} {index}, {width} x {height}, true {true}", truth)


class Look(NamedTuple):
    """T looks at one picture; row t - 1 holds step t. L: side of a glimpse, J: of the proxy, K: classes.

    posterior: (T, K), p(y | o_1..t), of K questions that of each yes; said: (T,), the likeliest class, or bool (T, K).
    placed: bool (T,), chosen by hand; where: (T, 3) = (s, x, y) of the glimpses.
    glimpses: (T, L, L), and proxy: (T, J, J), what decides, in [0, 1]; with a last axis of 3 where there is colour.
    mean: (T, 3), where the mean of q(z_t | c, h) is; sigma: (T, 2), its standard deviation in x and y.
    log_y: (T,), log p(truth | o_1..t), None where the truth is unknown; log_c, kl: (T,), summed over steps 1..t; nats.
    """

    posterior: np.ndarray
    said: np.ndarray
    placed: np.ndarray
    where: np.ndarray | None = None
    glimpses: np.ndarray | None = None
    proxy: np.ndarray | None = None
    mean: np.ndarray | None = None
    sigma: np.ndarray | None = None
    log_y: np.ndarray | None = None
    log_c: np.ndarray | None = None
    kl: np.ndarray | None = None

    def stops(self, stop: float) -> int | None:
        """The first step, from 0, after which the likeliest class has this probability; None where none has."""
        sure = self.posterior.max(-1) >= stop
        return int(sure.argmax()) if sure.any() else None


@dataclass(frozen=True)
class Explorer:
    """A model in evaluation, the pictures it may be shown, what is asked of them, and how many steps it takes."""

    model: Model
    pictures: Sequence[Picture]
    question: Question
    steps: int = 6

    @property
    def trained(self) -> int:
        """T of the training, 1 for a model that has none."""
        return getattr(self.model.config, "glimpses", 1)

    @property
    def movable(self) -> bool:
        """Whether places can be chosen by hand and sampled: whether the model has a loop that takes a policy."""
        return hasattr(self.model, "roll_out")

    @torch.no_grad()
    def look(
        self,
        picture: Picture,
        places: Mapping[int, tuple] | None = None,
        seed: int | None = None,
        stop: float | None = None,
    ) -> Look:
        """All steps; of a video no more than it has frames, and one of a model that takes no glimpses.

        places: (s, x, y) by step, 0 the first, where the model's own choice is overruled; later saccades know of it.
        seed: of the sample z ~ q; None looks at the means. stop: no further than to the first step after which the
        likeliest class has this probability. Raises UserError where one of them is given and the model is not
        :attr:`movable`, or cannot stop."""
        places, level = places or {}, picture.images.level(-1)
        steps = min(self.steps, level.shape[1]) if level.dim() == 5 else self.steps
        if stop is not None:
            steps = self.looks_until(picture, stop)
        if self.movable:
            logits, seen = self._roll_out(picture.images, steps, Hand(places, mean if seed is None else sampled(seed)))
        elif places or seed is not None:
            raise UserError("this model chooses its places by itself, look without places and seed.")
        else:
            logits, seen = self._ask(picture.images, steps)
        logits = self.model.calibrated(logits, torch.arange(1, len(logits) + 1))
        if picture.truth is not None:
            labels = torch.as_tensor(picture.truth).expand(len(logits), *np.shape(picture.truth))
            seen["log_y"] = log_likelihood(logits, labels)
        seen |= {"said": answers(logits, self.question.many), "posterior": self.probabilities(logits)}
        seen["placed"] = [step in places for step in range(len(logits))]
        return Look(**{name: np.asarray(values) for name, values in seen.items()})

    @torch.no_grad()
    def looks_until(self, picture: Picture, stop: float) -> int:
        """How often a model looks that stops by itself, see :meth:`vsacc.saccader.Saccader.until`."""
        if not self.movable:
            raise UserError("this model does not stop by itself, leave out --stop or name weights of a saccader.")
        try:
            return int(self.model(picture.images, self.steps, stop=stop).looks)
        except ValueError as error:
            raise UserError(f"{error}.") from None

    def _roll_out(self, images: Images, steps: int, policy: Policy) -> tuple[Tensor, dict]:
        """All that a loop of saccades holds: logits (T, K), and fields of a :class:`Look`."""
        model, vrnn = self.model, self.model.vrnn
        roll = model.roll_out(images, steps, policy)
        o = glimpse(images, roll.where, model.config.size)[0]  # (T, C, L, L)
        features = model.crop(o)[None]  # (1, T, F)
        return model.after_each(features, roll.where)[0], {
            "where": roll.where[0],
            "glimpses": channels_last(o),
            "proxy": channels_last(roll.proxy.expand(steps, 1, *roll.proxy.shape[-3:])[:, 0]),
            "mean": vrnn.where(roll.posterior.mean)[:, 0],
            "sigma": roll.posterior.sigma[:, 0, 1:],
            "log_c": vrnn.log_proxy(roll.proxy, roll.z, roll.hidden)[:, 0].cumsum(0),
            "kl": kl_normal(roll.posterior, vrnn.prior(roll.hidden))[:, 0].cumsum(0),
        }

    def _ask(self, images: Images, steps: int) -> tuple[Tensor, dict]:
        """The same of any model, asked once for each number of glimpses."""
        outputs = [self.model(images, glimpses=1)]
        if outputs[0].where is not None:
            outputs += [self.model(images, glimpses=t) for t in range(2, steps + 1)]
        last, logits = outputs[-1], torch.cat([output.logits.float() for output in outputs])
        seen = {name: torch.cat([o.terms[name] for o in outputs]) for name in ("log_c", "kl") if name in last.terms}
        if last.where is not None:
            seen |= {"where": last.where[0], "glimpses": channels_last(last.glimpses[0])}
        return logits, seen

    def probabilities(self, logits: Tensor) -> Tensor:
        """(..., K) -> (..., K): of one class of K, or of yes to each of K questions."""
        return logits.sigmoid() if self.question.many else logits.softmax(-1)

    @torch.no_grad()
    def survey(self, picture: Picture, step: int, side: int = 25) -> np.ndarray:
        """p(y | o_1..t) had a model that reads anywhere looked elsewhere at ``step`` = t - 1, at its own scale. Returns
        (side, side, K): rows run down y, columns right along x, places at the centres of side x side cells."""
        where = torch.from_numpy(self.look(picture).where[: step + 1]).repeat(side**2, 1, 1)  # (side * side, t, 3)
        where[:, step, 1:] = cell_centres(side).flatten(0, 1)
        o = glimpse(picture.images, where.view(1, -1, 3), self.model.config.size)[0]
        features = self.model.crop(o).unflatten(0, (-1, step + 1))  # (side * side, t, F)
        logits = self.model.calibrated(self.model.likelihood(features, where), step + 1)
        return self.probabilities(logits).view(side, side, -1).numpy()

    def first_telling(self) -> int:
        """The first picture for which looking matters: read right after the second glimpse, or the only one, but wrong
        from most other places of it. Raises ValueError where there is none."""
        last = min(self.trained, 2) - 1
        for index, picture in enumerate(self.pictures):
            if self.look(picture).said[last] == picture.truth:
                if (self.survey(picture, last, side=9).argmax(-1) == picture.truth).mean() < 0.5:
                    return index
        raise ValueError("no picture is read right from few places only")


def sampled(seed: int) -> Policy:
    """A sample of q whose noise is a function of seed and step, whatever the number of steps."""

    def policy(turn: Turn) -> Choice:
        q = turn.posterior
        eps = torch.randn(q.mean.shape, generator=torch.Generator().manual_seed(derive(seed, turn.step)))
        return Choice(q.mean + q.sigma * eps)

    return policy
