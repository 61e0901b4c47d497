"""The saccader: proxy -> VRNN -> where -> glimpses -> reader (Figure 3), and the contract that every system keeps.

Whatever looks at images here is a :class:`Model`: ``model(images, glimpses=None) -> Output``. The loop over saccades
stands once, in :meth:`Saccader.roll_out`. Who chooses a place is a value that is passed in, a :data:`Policy`: the mean
of q or a sample of it, a place chosen by a hand, or places that ask nobody, see :class:`Given`.

Shapes: B batch, T glimpses, C channels, L side of a glimpse, J of the proxy, D hidden units, K classes."""

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from .reading import CropNetwork, Question, crop_network, fine_network, make_likelihood
from .sampler import Images, as_pyramid, glimpse, proxy
from .vrnn import VRNN, Features, Normal, State, kl_normal

INSIDE = 0.8  # of the half side: no look goes astray nearer to the border


class Output(NamedTuple):
    """What every model returns. logits: (B, K) log-probabilities or logits; where: (B, T, 3) or None;
    glimpses: (B, T, C, L, L) or None; terms: the bound's further terms by name, each (B,), in nats; none where
    gradients are off and nobody learns from them; after: what it says after each glimpse, as ``logits`` says it after
    all, (B, T, K), or None; looks: long (B,), how often it looked, where it stopped by itself, or None."""

    logits: Tensor
    where: Tensor | None
    glimpses: Tensor | None
    terms: dict[str, Tensor]
    after: Tensor | None = None
    looks: Tensor | None = None


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
    crop: str = "coarse"  # or "fine"
    grey: float = 0.0  # the level that the crop network measures pixels from
    posterior: str = "spatial"  # or "dense"
    inhibition: bool = True
    likelihood: str = "set"  # or "placed", or "pooled"
    scale: tuple[float, float, float] = (0.2, 0.3, 0.6)  # smallest, largest, largest in the beginning
    zoom: float = 0.0  # how far the smallest scale moves towards the largest in the beginning
    sigma: tuple[float, float] = (0.02, 0.4)  # smallest, largest
    annealed: bool = True  # look broadly first; else sigma and scales are learned inside their bounds from the start
    feedback: str = "none"  # or "reader": h is told what was read where it looked
    bright: float = 0.0  # how strongly looks start on bright places, 0 for not at all
    astray: float = 0.0  # share of a training's looks, from the third on, that go anywhere, see Astray
    noise: str = "none"  # corruption of the proxy, a kind of vsacc.systems.noise
    noise_level: float = 0.0  # the worst; every image's own is uniform from 0 to it


def clean(c: Tensor, training: bool) -> Tensor:
    """The proxy as it is."""
    return c


class Model(nn.Module):
    """What training knows of a model: images in, :class:`Output` out. config: what it was built from.
    noise: (proxies (B, C, J, J), training?) -> the proxies that the model sees, of a model that has one; set it to let
    a model meet another noise than the one it was trained with. temperatures: what logits after 1, 2, ... glimpses are
    divided by before they are probabilities, fitted on validation images (Guo et al. 2017), see
    :func:`vsacc.training.evaluation.fit_temperatures`; the last of them for all further glimpses."""

    config: object
    temperatures: tuple[float, ...] = (1.0,)
    noise: Callable[[Tensor, bool], Tensor] = staticmethod(clean)

    def calibrated(self, logits: Tensor, looks: int | Tensor) -> Tensor:
        """Logits (..., K) after ``looks`` glimpses, a number or long (...), at their temperature."""
        which = torch.as_tensor(looks, device=logits.device).clamp(1, len(self.temperatures)) - 1
        return logits.float() / torch.tensor(self.temperatures, device=logits.device)[which].unsqueeze(-1)

    def anneal(self, progress: float) -> None:
        """Called before every step with the share of the training that is done; most models need not know."""

    def forward(self, images: Tensor | Images, glimpses: int | None = None) -> Output:
        """Look at images, ``glimpses`` times where a model takes any; None is as often as it is configured to."""
        raise NotImplementedError


class Reader(Model):
    """A model that reads glimpses with a crop network and a likelihood, wherever they are."""

    def add_reader(self, config: Config, question: Question) -> None:
        self.many = question.many
        self.crop = make_crop_network(config, config.size, CROPS[config.crop])
        self.likelihood = make_likelihood(config.likelihood, config.features, question)

    def read(self, images: Images, where: Tensor) -> tuple[Tensor, Tensor]:
        """What it reads at ``where`` (B, T, 3): logits after each glimpse (B, T, K), and those (B, T, C, L, L)."""
        o = glimpse(images, where, self.config.size)
        read = self.crop(o.flatten(0, 1)).unflatten(0, o.shape[:2])  # (B, T, features)
        return self.after_each(read, where), o

    def after_each(self, read: Tensor, where: Tensor) -> Tensor:
        """Logits after each glimpse: features (B, T, F), where (B, T, 3) -> (B, T, K)."""
        return torch.stack([self.likelihood(read[:, :t], where[:, :t]) for t in range(1, read.shape[1] + 1)], 1)


CROPS = {"coarse": crop_network, "fine": fine_network}


def make_crop_network(config: Config, size: int, make: Callable = crop_network) -> CropNetwork:
    """g of a configuration, for pictures of side ``size``."""
    return make(
        config.channels, size, config.crop_widths, config.crop_depth, config.features, config.grey,
    )  # fmt: skip


class Turn(NamedTuple):
    """What a policy is told before step ``step`` (0 is the first): q(z_i | c, h_{i-1}), and z_0 .. z_{i-1} so far."""

    step: int
    posterior: Normal
    past: list[Tensor]


class Choice(NamedTuple):
    """z (B, 3), what the recurrence goes on from; or where (B, 3) = (s, x, y), looked at exactly there: the recurrence
    then goes on from the nearest z that the model could have drawn."""

    z: Tensor | None
    where: Tensor | None = None


Policy = Callable[[Turn], Choice]


def mean(turn: Turn) -> Choice:
    """The mean of q: how a trained saccader looks."""
    return Choice(turn.posterior.mean)


def sample(turn: Turn) -> Choice:
    """A pathwise sample of q: how one is trained."""
    return Choice(turn.posterior.sample())


@dataclass(frozen=True)
class Astray:
    """A sample of q or, from the third look on and in a share of the images, any place: so a reader meets blank,
    repeated and half-hit looks, and the recurrence what comes after them. A coin decides that does not see the image:
    where it says so, the place is drawn from a prior of its own, and the bound holds as before, looser by the KL of q
    that is still subtracted."""

    share: float

    def __call__(self, turn: Turn) -> Choice:
        z = turn.posterior.sample()
        if turn.step < 2:
            return Choice(z)
        lost = torch.rand_like(z[:, :1]) < self.share
        anywhere = 2 * INSIDE * torch.rand_like(z[:, 1:]) - INSIDE
        return Choice(torch.where(lost, torch.cat([z[:, :1], anywhere], -1), z))


def stay(turn: Turn) -> Choice:
    """The first place, kept for all glimpses."""
    return Choice(turn.past[0] if turn.past else turn.posterior.mean)


@dataclass(frozen=True)
class Hand:
    """(s, x, y) by step where somebody overrules a policy."""

    places: Mapping[int, tuple[float, float, float]]
    otherwise: Policy = mean

    def __call__(self, turn: Turn) -> Choice:
        if turn.step not in self.places:
            return self.otherwise(turn)
        q = turn.posterior.mean
        return Choice(None, q.new_tensor(self.places[turn.step]).expand_as(q))


@dataclass(frozen=True)
class Given:
    """Places that ask nobody: where (B, T, 3)."""

    where: Tensor

    def __call__(self, turn: Turn) -> Choice:
        return Choice(None, self.where[:, turn.step].to(turn.posterior.mean))


@dataclass(frozen=True)
class Anywhere:
    """Uniform over the image, in frames of scale ``s``; the same places in every call."""

    s: float
    seed: int = 0

    def __call__(self, turn: Turn) -> Choice:
        q = turn.posterior.mean
        rng = Generator().manual_seed((self.seed << 8) + turn.step)
        return Choice(None, random_places(len(q), 1, self.s, rng)[:, 0].to(q))


def random_places(batch: int, steps: int, s: float, generator: Generator | None = None, device=None) -> Tensor:
    """Uniform over all places that keep a frame of scale ``s`` inside the image: (B, T, 3)."""
    place = (1 - s) * (2 * torch.rand(batch, steps, 2, generator=generator, device=device) - 1)
    return torch.cat([torch.full_like(place[..., :1], s), place], -1)


def grid_places(batch: int, steps: int, s: float) -> Tensor:
    """Evenly over the image, row by row, in the coarsest grid of at least T cells: (B, T, 3)."""
    side = math.ceil(math.sqrt(steps))
    centre = (torch.arange(side) + 0.5) * (2 / side) - 1
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    places = torch.stack([torch.full_like(x, s), x, y], -1).flatten(0, 1)[:steps]
    return places.expand(batch, -1, -1)


def coarse_to_fine(batch: int, steps: int) -> Tensor:
    """The whole image first, then its quarters, then theirs: (B, T, 3)."""
    levels, count = [], 0
    while count < steps:
        side = 2 ** len(levels)
        levels.append(grid_places(batch, side**2, 1 / side))
        count += side**2
    return torch.cat(levels, 1)[:, :steps]


def seeded_by(c: Tensor) -> Generator:
    """A generator on the device of proxies ``c``, seeded with their grey levels: the same images, the same chance."""
    grey = (c.detach().float() * 255).round().to(torch.uint8).cpu()
    return Generator(c.device).manual_seed(zlib.crc32(grey.numpy().tobytes()))


class Roll(NamedTuple):
    """T saccades, step by step. proxy: what each step was shown, broadcasts to (T, B, C, J, J); where: (B, T, 3), the
    glimpses; z: (T, B, 3); hidden: h_{i-1} (T, B, D); posterior: q(z_i | c, h_{i-1}), each (T, B, 3); looked: where h
    is told, what was read (B, T, features) and the glimpses (B, T, C, L, L), else None."""

    proxy: Tensor
    where: Tensor
    z: Tensor
    hidden: Tensor
    posterior: Normal
    looked: tuple[Tensor, Tensor] | None = None


class Saccader(Reader):
    """Variational saccading, as configured by :class:`Config`."""

    def __init__(self, config: Config, question: Question):
        super().__init__()
        if config.feedback not in ("none", "reader"):
            raise ValueError(f"feedback must be 'none' or 'reader', not {config.feedback!r}")
        self.config, self.tells = config, config.feedback == "reader"
        self.vrnn = VRNN(
            config.channels, config.proxy, config.proxy_widths, config.hidden,
            config.posterior, config.inhibition, config.scale, config.sigma, config.bright,
            config.features if self.tells else 0, config.zoom,
        )  # fmt: skip
        self.add_reader(config, question)

    def anneal(self, progress: float) -> None:
        """Look broadly first: places scatter and frames are wide, less and less over the first half of a training."""
        if self.config.annealed:
            self.vrnn.widen(max(0.0, 1 - 2 * progress))

    def see(self, images: Images, steps: int) -> tuple[Tensor, list[Features]]:
        """What each step is shown: proxies that broadcast to (T, B, C, J, J), and T times what phi_c makes of them.
        Of a still image every step sees the same, of a video step i sees frame i."""
        c = proxy(images, self.config.proxy)  # (B, C, J, J), of a video (B, F, C, J, J)
        if c.dim() == 4:
            c = self.noise(c, self.training)
            return c, [self.vrnn.observe(c)] * steps
        frames = c[:, :steps].transpose(0, 1)  # (T, B, C, J, J)
        c = self.noise(frames.flatten(0, 1), self.training)  # all at once, phi_c too
        c, *seen = (part.unflatten(0, frames.shape[:2]) for part in (c, *self.vrnn.observe(c)))
        return c, [Features(*view) for view in zip(*seen, strict=True)]

    def decide(
        self, features: Features, state: State, policy: Policy, past: list[Tensor]
    ) -> tuple[Normal, Tensor, Tensor]:
        """One saccade: q(z_i | c, h_{i-1}), the z_i (B, 3) that ``policy`` takes of it, and where (B, 3) that is."""
        q = self.vrnn.posterior(features, state)
        choice = policy(Turn(len(past), q, past))
        z = self.vrnn.latent(choice.where) if choice.z is None else choice.z
        return q, z, self.vrnn.where(z) if choice.where is None else choice.where

    def look_at(self, images: Images, place: Tensor) -> tuple[Tensor, Tensor]:
        """One glimpse of each image at ``place`` (B, 3): what is made of it (B, features), and itself (B, C, L, L)."""
        o = glimpse(images, place, self.config.size)
        return self.crop(o), o

    def roll_out(self, images: Images, steps: int, policy: Policy = mean) -> Roll:
        """Decide T places. z_i depends on the proxy alone and never on what a glimpse showed, unless h is told."""
        c, views = self.see(images, steps)
        if self.tells and c.dim() == 5:
            raise ValueError("h is told what it read in still images, not in videos")
        state, z, where, hidden, posterior, looked = self.vrnn.start(images.shape[0]), [], [], [], [], []
        for features in views:
            q, drawn, place = self.decide(features, state, policy, z)
            posterior.append(q)
            z.append(drawn)
            where.append(place)
            hidden.append(state.hidden)
            if self.tells:
                looked.append(self.look_at(images, place))
            state = self.vrnn.recur(features, drawn, state, looked[-1][0] if self.tells else None)
        q = Normal(*map(torch.stack, zip(*posterior, strict=True)))
        seen = tuple(torch.stack(part, 1) for part in zip(*looked, strict=True)) or None
        return Roll(c, torch.stack(where, 1), torch.stack(z), torch.stack(hidden), q, seen)

    def forward(
        self,
        images: Tensor | Images,
        glimpses: int | None = None,
        policy: Policy | None = None,
        stop: float | None = None,
    ) -> Output:
        """``policy``: who chooses the places; None is a sample in training and the mean in evaluation. ``stop``: see
        :meth:`until`, with ``glimpses`` as the most."""
        images, steps = as_pyramid(images), glimpses or self.config.glimpses
        if policy is None:
            policy = mean if not self.training else Astray(self.config.astray) if self.config.astray else sample
        if stop is not None:
            return self.until(images, stop, steps, policy)
        roll = self.roll_out(images, steps, policy)
        images.prefetch(roll.where, self.config.size)  # a disk fetches it while log p(c) and the KL are computed
        terms = {}
        if torch.is_grad_enabled():  # else nobody learns from them
            log_c = self.vrnn.log_proxy(roll.proxy, roll.z, roll.hidden)
            terms = {"log_c": log_c.sum(0), "kl": kl_normal(roll.posterior, self.vrnn.prior(roll.hidden)).sum(0)}
        if roll.looked is None:
            after, o = self.read(images, roll.where)
        else:
            read, o = roll.looked
            after = self.after_each(read, roll.where)
        return Output(after[:, -1], roll.where, o, terms, after)

    @torch.no_grad()
    def until(self, images: Images, stop: float, most: int, policy: Policy = mean) -> Output:
        """Look at each image until the likeliest class of it has a probability of ``stop``, ``most`` times at most;
        nothing is computed for an image that is done. ``policy`` is asked about those that are left. ``looks`` (B,) of
        what is returned says how often; after that places and glimpses repeat the last.

        Raises ValueError for videos, which are looked at frame by frame, and for questions of yes or no."""
        c, (features,) = self.see(images, 1)
        if c.dim() == 5 or self.many:
            raise ValueError("a model stops by itself on still images of one class each, leave out stop")
        batch, size = len(c), self.config.size
        where, o = c.new_empty(batch, most, 3), c.new_empty(batch, most, images.shape[1], size, size)
        logits, looks = [], torch.empty(batch, dtype=torch.long, device=c.device)
        left, state, past, read = torch.arange(batch, device=c.device), self.vrnn.start(batch), [], []
        for step in range(most):
            _, z, place = self.decide(features, state, policy, past)
            told, seen = self.look_at(images.take(left), place)
            where[left, step:], o[left, step:] = place.unsqueeze(1), seen.unsqueeze(1)
            past, read = [*past, z], [*read, told]
            said = self.likelihood(torch.stack(read, 1), where[left, : step + 1])
            looks[left] = step + 1
            logits = said if step == 0 else logits.index_copy(0, left, said)
            unsure = self.calibrated(said, step + 1).softmax(-1).amax(-1) < stop
            if step + 1 == most or not unsure.any():
                break
            state = self.vrnn.recur(features, z, state, told)
            left, past, read = left[unsure], [each[unsure] for each in past], [each[unsure] for each in read]
            features, state = (type(each)(*(part[unsure] for part in each)) for each in (features, state))
        return Output(logits, where, o, {}, looks=looks)
