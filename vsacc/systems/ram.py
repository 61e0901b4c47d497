"""RAM, Recurrent Models of Visual Attention (Mnih et al. 2014), on the workbook's sampler and objective.

At step t a retina looks at place l_t, and a simple recurrent network decides from all it has seen where to look next:

    g_t = relu(W_g relu(retina(x, l_t)) + W_l relu(l_t))      glimpse network, 128 + 128 -> 256 units
    h_t = relu(U h_{t-1} + V g_t)                             core, 256 units
    l_{t+1} ~ N(tanh(W h_t), sigma^2)                         policy
    y ~ softmax(A h_T)                                        action, after the last glimpse

The class is trained by cross-entropy through core and glimpse network, the policy by REINFORCE ("hybrid supervised
loss"). The policy and its baseline read the state detached, as is customary: their noise would drown what the class
teaches the core.

What a laptop changes, because the published policy has not begun to move after its few thousand steps: the mean place
is the expectation over a map of the widest square seen last, a saccade towards something in the periphery; and the
places scatter more and the eye is wider in the beginning. Sizes and glimpses stay as published."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..reading import Question
from ..saccader import Model, Output
from ..sampler import Images, as_pyramid
from ..vrnn import map_network
from . import GREEN, System
from .gaze import Dense, GaussianPolicy, Retina, Spatial, stack_terms


@dataclass(frozen=True)
class RamConfig:
    """Sizes and choices; the defaults are those published for cluttered 100 x 100 digits."""

    glimpses: int = 8  # T
    size: int = 12  # g, pixels of each of the retina's squares
    finest: float = 0.12  # s of its smallest square: 12 pixels of 100
    scales: int = 3
    channels: int = 1  # C
    hidden: int = 256
    features: int = 128  # of what was seen and of where, each
    emission: str = "dense"  # or "spatial", see vsacc.systems.gaze
    widened: float = 1.0  # how many times as wide the retina is in the beginning
    sigma: tuple[float, float] = (0.1, 0.1)  # in the end and in the beginning
    idle: float = 0.0  # share of a training before the policy learns
    grey: float = 0.0  # the level that pixels are measured from


class Ram(Model):
    """Its ``where`` and ``glimpses`` are the retina's finest squares, the only ones that show an image's own pixels: a
    digit counts as found when the sharpest part of the eye met it. The first place is uniform over the image in
    training, as published, and its mean, the centre, in evaluation."""

    def __init__(self, config: RamConfig, question: Question):
        super().__init__()
        self.config = config
        self.wide = 1.0
        pixels = config.scales * config.channels * config.size**2
        self.seen = nn.Sequential(nn.Flatten(), nn.Linear(pixels, config.features), nn.ReLU())
        self.place = nn.Sequential(nn.Linear(2, config.features), nn.ReLU())
        self.join = nn.Linear(2 * config.features, config.hidden)
        self.recall, self.take = (nn.Linear(config.hidden, config.hidden) for _ in range(2))
        self.spatial = config.emission == "spatial"
        if self.spatial:
            self.periphery = map_network(config.channels, 2, (16, 16))
        self.emit = Spatial(config.hidden, 16, config.size // 2) if self.spatial else Dense(config.hidden)
        self.policy = GaussianPolicy(config.hidden, config.sigma, config.idle)
        self.action = nn.Linear(config.hidden, len(question.classes))
        self.wake()

    @torch.no_grad()
    def wake(self) -> None:
        """First weights that let the class feel every glimpse: PyTorch's own lose half of the signal at each layer, and
        a simple recurrent network that does not start as the identity (Le et al. 2015) forgets the first of eight."""
        layers = {self.seen[1]: 3.0, self.place[0]: 1.0, self.join: 1.0, self.take: 0.5}  # pixels are about 1 / 3
        for layer, gain in layers.items():
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu").mul_(gain)
            layer.bias.zero_()
        self.recall.weight.copy_(torch.eye(self.config.hidden))
        self.recall.bias.zero_()

    def anneal(self, progress: float) -> None:
        """Look broadly first, with a wide eye and scattered places, less and less over the first half of a training."""
        self.policy.anneal(progress)
        self.wide = self.config.widened ** max(0.0, 1 - 2 * progress)

    def forward(self, images: Tensor | Images, glimpses: int | None = None) -> Output:
        images = as_pyramid(images)
        retina = Retina(self.config.size, self.config.finest * self.wide, self.config.scales)
        state = self.action.weight.new_zeros(images.shape[0], self.config.hidden)
        place, where, seen, choices = self.first(state), [], [], []
        steps = glimpses or self.config.glimpses
        for step in range(steps):
            squares = retina.see(images, place)  # (B, k, C, g, g)
            state = self.observe(squares, place, state)
            where.append(retina.where(place)[:, 0])
            seen.append(squares[:, 0])
            if step < steps - 1:
                choices.append(self.policy(self.aim(retina, squares, place, state.detach()), state))
                place = choices[-1].place
        return Output(self.action(state), torch.stack(where, 1), torch.stack(seen, 1), stack_terms(choices))

    def first(self, state: Tensor) -> Tensor:
        """l_1, not a choice: (B, 2)."""
        place = state.new_zeros(len(state), 2)
        return place.uniform_(-1, 1) if self.training else place

    def aim(self, retina: Retina, squares: Tensor, place: Tensor, state: Tensor) -> Tensor:
        """Mean of the next place, (B, 2); spatial emission reads it off the widest square that was seen last."""
        if not self.spatial:
            return self.emit(state)
        widest = retina.finest * retina.factor ** (retina.scales - 1)
        return place + widest * self.emit(self.periphery(squares[:, -1]), state)

    def observe(self, squares: Tensor, place: Tensor, state: Tensor) -> Tensor:
        """One glimpse: (B, k, C, g, g), (B, 2), h_{t-1} (B, D) -> h_t (B, D)."""
        both = torch.cat([self.seen(squares - self.config.grey), self.place(place)], -1)
        return (self.recall(state) + self.take(self.join(both).relu())).relu()


LAPTOP = RamConfig(emission="spatial", widened=1.5, sigma=(0.1, 0.2), idle=0.1)
RAM = System(
    name="ram",
    label="RAM",
    says="A recurrent network moves an eye of three scales by reinforcement; the class comes after the last look.",
    reads="{} glimpses of 3 scales",
    colour=GREEN,
    marker="P",
    config=RamConfig,
    make=Ram,
    sizes={"quick": LAPTOP, "laptop": LAPTOP, "paper": RamConfig()},
    changes={"mit5k": {"glimpses": 4, "size": 24, "grey": 0.5}},
    recipes={(task, "laptop"): {"steps": 4500, "batch": 64} for task in ("one_digit", "identification")},
)
