"""What a trained saccader sees and says, step by step, on one image: arrays for the explorer of notebook 05.

Any step's place can be chosen by hand. The glimpse is cut exactly there, and the recurrent state goes on from the
nearest z that the model could have drawn, so that later saccades know of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..local.seeds import derive
from ..saccader import Saccader
from ..sampler import glimpse, proxy
from ..vrnn import VRNN, cell_centres, kl_normal
from .pictures import Picture, channels_last, open_picture

Place = tuple[float, float, float]  # (s, x, y)


class Look(NamedTuple):
    """T saccades over one picture; row t - 1 holds step t. L: side of a glimpse, J: of the proxy, K: classes.

    where: (T, 3) = (s, x, y) of the glimpses; placed: bool (T,), chosen by hand.
    mean: (T, 3), the same of the mean of q(z_t | c, h); sigma: (T, 2), its standard deviation in x and y.
    glimpses: (T, L, L) and proxy: (J, J), in [0, 1]; with a last axis of 3 where there is colour.
    posterior: (T, K), p(y | o_1..t).
    log_y: (T,), log p(truth | o_1..t), NaN where the truth is unknown; log_c, kl: (T,), summed over steps 1..t; nats.
    """

    where: np.ndarray
    placed: np.ndarray
    mean: np.ndarray
    sigma: np.ndarray
    glimpses: np.ndarray
    proxy: np.ndarray
    posterior: np.ndarray
    log_y: np.ndarray
    log_c: np.ndarray
    kl: np.ndarray


@dataclass(frozen=True)
class Explorer:
    """A model, the pictures it may be shown, the names of its classes, and how many steps are taken (which may be
    more than in its training)."""

    model: Saccader
    pictures: Sequence[Picture]
    classes: Sequence[str]
    steps: int = 6

    @property
    def trained(self) -> int:
        """T of the training."""
        return self.model.config.glimpses

    @torch.no_grad()
    def look(self, picture: Picture, places: Mapping[int, Place] | None = None, seed: int | None = None) -> Look:
        """Roll out all steps.

        Args:
            places: (s, x, y) by step (0 is the first) where the model's own choice is overruled.
            seed: of the sample z ~ q; None looks at the means.
        """
        model, vrnn, places = self.model, self.model.vrnn, places or {}
        c = proxy(picture.images, model.config.proxy)
        features, state = vrnn.observe(c), vrnn.start(1)
        where, means, sigmas, latents, hidden, kl = [], [], [], [], [], []
        for step in range(self.steps):
            q, p = vrnn.posterior(features, state), vrnn.prior(state)
            z = q.mean if seed is None else q.mean + q.sigma * noise(seed, step)
            place = vrnn.where(z)
            if step in places:
                place = z.new_tensor([places[step]])
                z = nearest_latent(vrnn, place)
            where.append(place)
            means.append(vrnn.where(q.mean))
            sigmas.append(q.sigma[:, 1:])
            latents.append(z)
            hidden.append(state.hidden)
            kl.append(kl_normal(q, p))
            state = vrnn.recur(features, z, state)
        log_c = vrnn.log_proxy(c, torch.stack(latents), torch.stack(hidden))  # (T, 1)
        o = glimpse(picture.images, torch.stack(where, 1), model.config.size)  # (1, T, C, L, L)
        log_p = self.read(model.crop(o[0])[None])
        log_y = torch.full((self.steps,), torch.nan) if picture.truth is None else log_p[:, picture.truth]
        return Look(
            torch.cat(where).numpy(),
            np.array([step in places for step in range(self.steps)]),
            torch.cat(means).numpy(),
            torch.cat(sigmas).numpy(),
            channels_last(o[0]),
            channels_last(c)[0],
            log_p.exp().numpy(),
            log_y.numpy(),
            log_c[:, 0].cumsum(0).numpy(),
            torch.cat(kl).cumsum(0).numpy(),
        )

    def read(self, features: Tensor) -> Tensor:
        """log p(y | o_1..t) for each t: (1, T, F) -> (T, K)."""
        return torch.cat([self.model.likelihood(features[:, :t]) for t in range(1, features.shape[1] + 1)])

    @torch.no_grad()
    def survey(self, picture: Picture, step: int, side: int = 25) -> np.ndarray:
        """p(y | o_1..step) had the model looked elsewhere at ``step`` (0 is the first), at its own scale.

        Returns (side, side, K): rows run down y, columns right along x, places at the centres of side x side cells.
        """
        where = torch.from_numpy(self.look(picture).where[: step + 1])
        x, y = cell_centres(side).flatten(0, 1).unbind(-1)
        elsewhere = torch.stack([where[step, 0].expand_as(x), x, y], -1)  # (side * side, 3)
        size = self.model.config.size
        before = self.model.crop(glimpse(picture.images, where[None], size)[0])[:step]  # (step, F)
        there = self.model.crop(glimpse(picture.images, elsewhere[None], size)[0])  # (side * side, F)
        sets = torch.cat([before.expand(len(there), -1, -1), there[:, None]], 1)  # (side * side, step + 1, F)
        return self.model.likelihood(sets).exp().view(side, side, -1).numpy()

    def first_telling(self) -> int:
        """The first picture for which looking matters: read right after as many glimpses as in the training, but wrong
        from most other places of the last of them. Raises ValueError where there is none."""
        last = self.trained - 1
        for index, picture in enumerate(self.pictures):
            if self.look(picture).posterior[last].argmax() == picture.truth:
                if (self.survey(picture, last, side=9).argmax(-1) == picture.truth).mean() < 0.5:
                    return index
        raise ValueError("no picture is read right from few places only")

    def open(self, path: str) -> Picture:
        """The reader's own file. Raises UserError where it is no image that can be opened."""
        return open_picture(Path(path).expanduser(), self.model.config.channels)


def noise(seed: int, step: int) -> Tensor:
    """eps (1, 3) of a step, whatever the number of steps."""
    return torch.randn(1, 3, generator=torch.Generator().manual_seed(derive(seed, step)))


def nearest_latent(vrnn: VRNN, where: Tensor) -> Tensor:
    """The z whose place is ``where`` (..., 3), with s moved into the scales that the model can choose."""
    low, top = vrnn.scale[0], vrnn.scale_top
    share = ((where[..., :1] - low) / (top - low)).clamp(1e-3, 1 - 1e-3)
    return torch.cat([share.logit(), where[..., 1:]], -1)
