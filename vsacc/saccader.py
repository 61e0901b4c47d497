"""The saccader: proxy -> VRNN -> where -> glimpses -> classifier (Figure 3), and the contract of every model."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .reading import AnyLikelihood, PooledLikelihood, SetLikelihood, crop_network
from .sampler import Images, as_pyramid, glimpse, proxy
from .systems.noise import Corruption
from .vrnn import VRNN, Features, Normal, State, kl_normal


class Output(NamedTuple):
    """What every model returns. logits: (B, K) log-probabilities or logits; where: (B, T, 3) or None;
    glimpses: (B, T, C, L, L) or None; terms: the bound's further terms by name, each (B,), in nats."""

    logits: Tensor
    where: Tensor | None
    glimpses: Tensor | None
    terms: dict[str, Tensor]


@dataclass(frozen=True)
class Config:
    """Sizes and choices of a saccader: all that tells the paper's model from the laptop's."""

    glimpses: int = 2  # T
    size: int = 32  # L, pixels
    proxy: int = 32  # J, pixels
    channels: int = 1  # C
    hidden: int = 128
    features: int = 128
    proxy_widths: tuple[int, ...] = (16, 16, 24)
    crop_widths: tuple[int, ...] = (64, 128)
    crop_depth: int = 0  # residual blocks a stage
    grey: float = 0.0  # the level that the crop network measures pixels from
    posterior: str = "spatial"  # or "dense"
    inhibition: bool = True
    likelihood: str = "set"  # or "pooled"
    scale: tuple[float, float, float] = (0.2, 0.3, 0.6)  # smallest, largest, largest in the beginning
    sigma: tuple[float, float] = (0.02, 0.4)  # smallest, largest
    bright: float = 0.0  # how strongly looks start on bright places, 0 for not at all
    noise: str = "none"  # corruption of the proxy, a kind of vsacc.systems.noise
    noise_level: float = 0.0  # the worst; every image's own is uniform from 0 to it


class Saccade(NamedTuple):
    """One step: z (B, 3), the two distributions it came from, and the state h_{i-1} it was drawn in."""

    z: Tensor
    posterior: Normal
    prior: Normal
    state: State


class Model(nn.Module):
    """What training knows of a model: images in, :class:`Output` out.

    ``noise`` befalls the proxy, in a model that has one; set it to meet another than the one it was trained with.
    """

    noise = Corruption()

    def anneal(self, progress: float) -> None:
        """Called before every step with the share of the training that is done; most models need not know."""


def make_crop_network(config: Config, size: int) -> nn.Sequential:
    """g of a model, for pictures of side ``size``."""
    return crop_network(
        config.channels, size, config.crop_widths, config.crop_depth, config.features, config.grey,
    )  # fmt: skip


def make_likelihood(config: Config, labels: Tensor, many: bool = False) -> nn.Module:
    """p(y | o_1..T) for ``labels``, long (O,) or (O, O), the class of every combination of objects; ``many``: each
    class is a question of its own, "is it there?"."""
    classes = int(labels.max()) + 1
    if config.likelihood == "pooled":
        return PooledLikelihood(config.features, classes, many)
    return AnyLikelihood(config.features, classes) if many else SetLikelihood(config.features, labels)


def read_at(model: Model, images: Images, where: Tensor) -> tuple[Tensor, Tensor]:
    """What a model with a crop network and a likelihood reads at ``where`` (B, T, 3): logits (B, K), and the glimpses
    (B, T, C, L, L)."""
    o = glimpse(images, where, model.config.size)
    read = model.crop(o.flatten(0, 1)).unflatten(0, o.shape[:2])  # (B, T, F)
    return model.likelihood(read), o


class Saccader(Model):
    def __init__(self, config: Config, labels: Tensor, many: bool = False):
        super().__init__()
        self.config = config
        self.noise = Corruption(config.noise, 0.0, config.noise_level)
        self.vrnn = VRNN(
            config.channels, config.proxy, config.proxy_widths, config.hidden,
            config.posterior, config.inhibition, config.scale, config.sigma, config.bright,
        )  # fmt: skip
        self.crop = make_crop_network(config, config.size)
        self.likelihood = make_likelihood(config, labels, many)

    def anneal(self, progress: float) -> None:
        """Look broadly first: places scatter and frames are wide, less and less over the first half of a training."""
        self.vrnn.widen(max(0.0, 1 - 2 * progress))

    def see(self, images: Images, steps: int) -> tuple[Tensor, list[Features]]:
        """What each step is shown: proxies that broadcast to (T, B, C, J, J), and T times what phi_c makes of them.

        Of a still image every step sees the same, of a video step i sees frame i.
        """
        c = proxy(images, self.config.proxy)  # (B, C, J, J), of a video (B, F, C, J, J)
        if c.dim() == 4:
            c = self.noise(c, self.training)
            return c, [self.vrnn.observe(c)] * steps
        frames = c[:, :steps].transpose(0, 1)  # (T, B, C, J, J)
        c = self.noise(frames.flatten(0, 1), self.training)  # all at once, phi_c too
        c, *seen = (part.unflatten(0, frames.shape[:2]) for part in (c, *self.vrnn.observe(c)))
        return c, [Features(*view) for view in zip(*seen, strict=True)]

    def saccade(self, features: Features, state: State) -> tuple[Saccade, State]:
        """Step i: draw z_i (its mean in evaluation) and move on to h_i."""
        posterior, prior = self.vrnn.posterior(features, state), self.vrnn.prior(state)
        z = posterior.sample() if self.training else posterior.mean
        return Saccade(z, posterior, prior, state), self.vrnn.recur(features, z, state)

    def forward(self, images: Tensor | Images, glimpses: int | None = None) -> Output:
        images = as_pyramid(images)
        c, views = self.see(images, glimpses or self.config.glimpses)
        steps, state = [], self.vrnn.start(images.shape[0])
        for features in views:
            step, state = self.saccade(features, state)
            steps.append(step)
        # z_i depends on the proxy alone, never on what a glimpse showed: everything else happens for all i at once.
        where = self.vrnn.where(torch.stack([step.z for step in steps], 1))  # (B, T, 3)
        images.prefetch(where, self.config.size)  # a disk fetches it while log p(c) and the KL are computed
        log_c = self.vrnn.log_proxy(
            c, torch.stack([step.z for step in steps]), torch.stack([step.state.hidden for step in steps])
        )
        kl = torch.stack([kl_normal(step.posterior, step.prior) for step in steps])  # (T, B)
        logits, o = read_at(self, images, where)
        return Output(logits, where, o, {"log_c": log_c.sum(0), "kl": kl.sum(0)})
