"""DRAM, Multiple Object Recognition with Visual Attention (Ba, Mnih, Kavukcuoglu 2015), on the workbook's sampler.

Two recurrent levels share the work: the lower one reads glimpses and names the class, the upper one decides places.

    r2_0 = context(coarse view), r1_0 = 0           a coarse view of the whole image says where to begin
    l_t ~ N(tanh(W r2_{t-1}), sigma^2)              emission
    g_t = glimpse(retina(x, l_t)) * embed(l_t)      what times where, element by element
    r1_t = LSTM(g_t, r1_{t-1})
    r2_t = LSTM(r1_t, r2_{t-1})
    y ~ softmax(O r1_T)

The emission of a laptop is spatial instead, see ``vsacc.systems.gaze``, on the context's map: a linear layer does not
begin to localise within its few thousand steps. The convolutions are the workbook's own crop network.

Nothing leads from the context to r1 but the places, so it cannot answer by itself. The class is trained by
cross-entropy, the places by REINFORCE with a learned baseline and the reward of a right answer. r2 reads r1 detached,
so that the noise of the one does not disturb the other."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..reading import Question, crop_network
from ..saccader import Model, Output
from ..sampler import Images, as_pyramid, proxy
from ..vrnn import map_network
from . import PURPLE, System
from .gaze import Dense, GaussianPolicy, Retina, Spatial, stack_terms


@dataclass(frozen=True)
class DramConfig:
    """Sizes and choices."""

    glimpses: int = 4  # T
    size: int = 16  # g, pixels of each of the retina's squares
    finest: float = 0.2  # s of its smallest square: 20 pixels of 100
    scales: int = 2
    proxy: int = 32  # J, side of the coarse view
    channels: int = 1  # C
    hidden: int = 128  # of each LSTM
    features: int = 128  # of a glimpse
    widths: tuple[int, ...] = (64, 128)  # of the convolutions over glimpses
    context_widths: tuple[int, ...] = (32, 32)  # of those over the coarse view
    emission: str = "spatial"  # or "dense", as published; see vsacc.systems.gaze
    sigma: tuple[float, float] = (0.1, 0.5)  # in the end and in the beginning
    idle: float = 0.1  # share of a training before the places are learned
    grey: float = 0.0  # the level that pixels are measured from


class Dram(Model):
    """Its ``where`` and ``glimpses`` are the retina's finest squares."""

    def __init__(self, config: DramConfig, question: Question):
        super().__init__()
        self.config = config
        self.retina = Retina(config.size, config.finest, config.scales)
        inputs = config.scales * config.channels
        width, cells = config.context_widths[-1], config.proxy // 4
        self.context = map_network(config.channels, 4, config.context_widths)
        self.begin = nn.Sequential(nn.Flatten(), nn.Linear(width * cells**2, config.hidden), nn.Tanh())
        self.spatial = config.emission == "spatial"
        self.emit = Spatial(config.hidden, width, cells) if self.spatial else Dense(config.hidden)
        self.seen = crop_network(inputs, config.size, config.widths, 0, config.features, config.grey)
        self.place = nn.Sequential(nn.Linear(2, config.features), nn.ReLU())
        self.lower = nn.LSTMCell(config.features, config.hidden)
        self.upper = nn.LSTMCell(config.hidden, config.hidden)
        self.policy = GaussianPolicy(config.hidden, config.sigma, config.idle)
        self.action = nn.Linear(config.hidden, len(question.classes))

    def anneal(self, progress: float) -> None:
        self.policy.anneal(progress)

    def forward(self, images: Tensor | Images, glimpses: int | None = None) -> Output:
        images = as_pyramid(images)
        c = self.noise(proxy(images, self.config.proxy), self.training)
        view = self.context(c)  # (B, F, M, M)
        begin = self.begin(view)  # (B, D)
        nought = torch.zeros_like(begin)
        lower, upper = (nought, nought), (begin, nought)
        where, seen, choices = [], [], []
        for _ in range(glimpses or self.config.glimpses):
            mean = self.emit(view, upper[0]) if self.spatial else self.emit(upper[0])
            choices.append(self.policy(mean, upper[0]))
            place = choices[-1].place
            squares = self.retina.see(images, place)  # (B, k, C, g, g)
            read = self.seen(squares.flatten(1, 2)) * self.place(place)  # (B, F)
            lower = self.lower(read, lower)
            upper = self.upper(lower[0].detach(), upper)
            where.append(self.retina.where(place)[:, 0])
            seen.append(squares[:, 0])
        return Output(self.action(lower[0]), torch.stack(where, 1), torch.stack(seen, 1), stack_terms(choices))


DRAM = System(
    name="dram",
    label="DRAM",
    says="Two recurrent levels, one reads glimpses and one decides places by reinforcement, from a coarse view on.",
    reads="coarse view + {} glimpses",
    colour=PURPLE,
    marker="X",
    config=DramConfig,
    make=Dram,
    sizes={
        "quick": DramConfig(),
        "laptop": DramConfig(),
        "paper": DramConfig(6, hidden=512, features=512, emission="dense", sigma=(0.1, 0.1), idle=0.0),
    },
    changes={"mit5k": {"glimpses": 3, "size": 32, "finest": 0.25, "grey": 0.5}},
    recipes={(task, "laptop"): {"steps": 4500, "batch": 64} for task in ("one_digit", "identification")},
)
