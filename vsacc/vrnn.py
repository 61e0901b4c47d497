r"""The variational recurrent network that decides where to look (Chung et al. 2015; the paper's section 4, Eq. 7).

At step i it draws the latent z_i of a saccade from what the proxy c shows and what h_{i-1} remembers:

    prior       p(z_i | h_{i-1})        = N(mu, sigma^2)
    posterior   q(z_i | c, h_{i-1})     = N(mu, sigma^2)
    decoder     p(c | z_i, h_{i-1})     = N(mu, sigma_c^2), conv-transpose
    recurrence  h_i = LSTM([phi_c(c), phi_z(z_i)], h_{i-1})

Convention
    z = (z_s, x, y): x and y are the glimpse's centre in [-1, 1] image coordinates, z_s becomes its scale s through a
    sigmoid onto ``scale``, see :meth:`VRNN.where`. ``sigma`` is always a standard deviation, in the KL and in sampling.

Shapes: B batch, C channels, J side of the proxy, M = J/2 side of its feature map, F features, D hidden units."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .norm import Normed, normed

REACH = 0.3  # of attention around its peak, in half sides of the image; less where frames are narrower
LOG_LEVEL = math.log(255 * math.sqrt(2 * math.pi))  # Gaussian normaliser and one of 255 grey levels


class Normal(NamedTuple):
    """A diagonal Gaussian; mean and sigma (standard deviation) are (..., 3)."""

    mean: Tensor
    sigma: Tensor

    def sample(self) -> Tensor:
        """A pathwise (reparameterised) sample mean + sigma * eps."""
        return self.mean + self.sigma * torch.randn_like(self.mean)


def kl_normal(q: Normal, p: Normal) -> Tensor:
    """KL(q || p) in nats, summed over the last axis: (..., 3) -> (...,)."""
    ratio = (q.sigma / p.sigma) ** 2
    return 0.5 * (ratio + ((q.mean - p.mean) / p.sigma) ** 2 - 1 - ratio.log()).sum(-1)


class Features(NamedTuple):
    """What is made of the proxy, once per image: phi_c, a map (B, M, M, F) and a vector (B, D), and :func:`light`
    (B, M, M), which is 0 where nothing starts on it."""

    map: Tensor
    vector: Tensor
    light: Tensor


class State(NamedTuple):
    """h_{i-1}: hidden and cell (B, D) of the LSTM, and visited (B, M, M), how much each place has been looked at."""

    hidden: Tensor
    cell: Tensor
    visited: Tensor


class VRNN(nn.Module):
    """One saccade per step: :meth:`prior`, :meth:`posterior`, :meth:`where`, :meth:`decode`, :meth:`recur`.

    side: J, a multiple of 8, else ValueError. widths: feature maps of the convolutions over the proxy. posterior:
    "spatial", the mean place is the expectation over a softmax map of the proxy (fully convolutional, moves with the
    image), or "dense", an MLP on [phi_c(c), h] (the authors' choice). inhibition: subtract a learned multiple of
    ``visited`` from the map (inhibition of return); spatial only. scale: (smallest, largest, largest while
    :meth:`widen` is at 1) s. sigma: (smallest, largest) standard deviation of the posterior. bright: how strongly looks
    start on bright places, 0 for not at all; spatial only: for images so large and so empty that places between things,
    where all looks start otherwise, show nothing to learn from. told: how many features of each glimpse the recurrence
    is told; 0 is the paper's, whose h never knows what a glimpse showed. zoom: how far :meth:`widen` moves the smallest
    scale towards the largest; at 1 all frames are equally wide in the beginning."""

    def __init__(
        self,
        channels: int = 1,
        side: int = 32,
        widths: tuple[int, ...] = (16, 16, 24),
        hidden: int = 128,
        posterior: str = "spatial",
        inhibition: bool = True,
        scale: tuple[float, float, float] = (0.2, 0.3, 0.6),
        sigma: tuple[float, float] = (0.02, 0.4),
        bright: float = 0.0,
        told: int = 0,
        zoom: float = 0.0,
    ):
        super().__init__()
        if posterior not in ("spatial", "dense"):
            raise ValueError(f"posterior must be 'spatial' or 'dense', not {posterior!r}")
        if side % 8:
            raise ValueError(f"the proxy's side must be a multiple of 8, not {side}")
        self.side, self.spatial, self.inhibition = side, posterior == "spatial", inhibition
        self.scale, self.sigma, self.zoom, self.reach = scale, sigma, zoom, min(REACH, scale[1])
        cells, last = side // 2, widths[-1]
        self.encode = map_network(channels, 2, widths)
        self.summary = nn.Sequential(
            nn.AvgPool2d(4), nn.Flatten(), nn.Linear(last * (cells // 4) ** 2, hidden), nn.ReLU()
        )
        self.phi_z = nn.Sequential(nn.Linear(3, hidden), nn.ReLU())
        self.phi_o = nn.Linear(told, hidden) if told else None
        if told:  # a training starts as without
            nn.init.zeros_(self.phi_o.weight)
            nn.init.zeros_(self.phi_o.bias)
        self.cell = nn.LSTMCell(2 * hidden, hidden)
        self.prior_net = mlp(hidden, hidden, 6)
        if self.spatial:
            self.ask = nn.Linear(hidden, last)
            self.saliency = nn.Conv2d(last, 1, 1)
            self.extent = mlp(last + hidden, hidden, 4)  # mean of z_s, three raw sigmas
            self.inhibit = nn.Parameter(torch.tensor(5.0 + bright))  # what has been seen counts for more than light
            self.bright = nn.Parameter(torch.tensor(bright)) if bright else None
        else:
            self.bright = None
            self.posterior_net = mlp(2 * hidden, hidden, 6)
        self.seed = nn.Linear(2 * hidden, 32 * (side // 8) ** 2)
        self.paint = nn.Sequential(
            nn.ConvTranspose2d(32, 32, 4, 2, 1),
            nn.ReLU(),
            nn.Conv2d(32, 16 * channels, 1),  # a transposed convolution of kernel 4 and stride 4,
            nn.PixelShuffle(4),  # written as the product it is: several times faster on a CPU
        )
        self.log_sigma_c = nn.Parameter(torch.tensor(-1.0))
        self.register_buffer("grid", cell_centres(cells), persistent=False)
        self.register_buffer("sigma_floor", torch.tensor(sigma[0]), persistent=False)  # see widen
        self.register_buffer("scale_top", torch.tensor(scale[1]), persistent=False)
        self.register_buffer("scale_low", torch.tensor(scale[0]), persistent=False)

    def widen(self, amount: float) -> None:
        """Look broadly: 0 = as configured, 1 = places scattered by the largest sigma, scales up to the largest."""
        (low, high), (smallest, top, first) = self.sigma, self.scale
        self.sigma_floor.fill_(low * (high / low) ** amount)
        self.scale_top.fill_(top + (first - top) * amount)
        self.scale_low.fill_(smallest + (first - smallest) * self.zoom * amount)

    def observe(self, proxy: Tensor) -> Features:
        """phi_c: proxy (B, C, J, J) in [0, 1] -> :class:`Features`; the proxy is constant, so once per image."""
        features, dark = self.encode(proxy * 2 - 1), proxy.new_zeros(()).expand(len(proxy), *self.grid.shape[:2])
        by_cell = features.permute(0, 2, 3, 1)
        return Features(by_cell, self.summary(features), dark if self.bright is None else light(proxy))

    def start(self, batch: int) -> State:
        """h_0 = 0."""
        zeros = self.grid.new_zeros(batch, self.cell.hidden_size)
        return State(zeros, zeros, self.grid.new_zeros(batch, *self.grid.shape[:2]))

    def prior(self, hidden: Tensor) -> Normal:
        """p(z_i | h_{i-1}), of hidden (..., D): each (..., 3)."""
        mean, raw = in_full(self.prior_net, hidden).chunk(2, -1)
        return Normal(mean, 0.01 + F.softplus(raw))

    def posterior(self, features: Features, state: State) -> Normal:
        """q(z_i | c, h_{i-1})."""
        if not self.spatial:
            mean, raw = in_full(self.posterior_net, torch.cat([features.vector, state.hidden], -1)).chunk(2, -1)
            return Normal(torch.cat([mean[:, :1], mean[:, 1:].tanh()], -1), self.bounded(raw))
        share = self.attend(features, state).flatten(1)  # (B, M * M)
        # The expected place, (B, 2); not as a matrix product, which autocast would round.
        place = (share.unsqueeze(-1) * self.grid.flatten(0, 1)).sum(1)
        seen = (share.unsqueeze(1) @ features.map.flatten(1, 2)).squeeze(1)  # (B, F), the features there
        z_s, raw = in_full(self.extent, torch.cat([seen, state.hidden], -1)).split([1, 3], -1)
        return Normal(torch.cat([z_s, place], -1), self.bounded(raw))

    def attend(self, features: Features, state: State) -> Tensor:
        """The share of attention on each cell of the map: (B, M, M), sums to 1 per image.

        In evaluation 0 beyond REACH of the peak: the mean of two equally good places would be a place between them.
        In training such a mean is what teaches the map to make up its mind, so there nothing is cut off; unless it has
        made up its mind from the start, by what is bright."""
        logits = self.salience(features, state)
        if not self.training or self.bright is not None:
            peak = self.grid.flatten(0, 1)[logits.flatten(1).argmax(-1)]  # (B, 2)
            far = (self.grid - peak[:, None, None]).norm(dim=-1) > self.reach  # (B, M, M)
            logits = logits.masked_fill(far, -torch.inf)
        return logits.flatten(1).softmax(-1).view_as(logits)

    def salience(self, features: Features, state: State) -> Tensor:
        """How much each cell of the map calls for a look, less where there was one: (B, M, M)."""
        asked = F.relu(features.map + self.ask(state.hidden)[:, None, None])
        logits = F.linear(asked, self.saliency.weight.flatten(1), self.saliency.bias).squeeze(-1)
        if self.bright is not None:
            logits = logits + self.bright * features.light
        return logits - F.softplus(self.inhibit) * state.visited if self.inhibition else logits

    def bounded(self, raw: Tensor) -> Tensor:
        high = self.sigma[1]
        return self.sigma_floor + (high - self.sigma_floor) * (raw - 2).sigmoid()

    def where(self, z: Tensor) -> Tensor:
        """z (..., 3) -> (s, x, y) with s inside ``scale``: what the sampler takes."""
        low, top = self.scale_low, self.scale_top
        return torch.cat([low + (top - low) * z[..., :1].sigmoid(), z[..., 1:]], -1)

    def latent(self, where: Tensor) -> Tensor:
        """The z whose place is ``where`` (..., 3), with s moved into the scales that :meth:`where` can give."""
        low, top = self.scale_low, self.scale_top
        share = ((where[..., :1] - low) / (top - low).clamp(min=1e-6)).clamp(1e-3, 1 - 1e-3)
        return torch.cat([share.logit(), where[..., 1:]], -1)

    def decode(self, z: Tensor, hidden: Tensor) -> Tensor:
        """Mean of p(c | z_i, h_{i-1}): z (..., 3), hidden (..., D) -> (..., C, J, J)."""
        seed = self.seed(torch.cat([self.phi_z(z), hidden], -1)).relu()
        painted = self.paint(seed.flatten(0, -2).unflatten(1, (32, self.side // 8, self.side // 8)))
        return painted.sigmoid().unflatten(0, z.shape[:-1])

    def log_proxy(self, proxy: Tensor, z: Tensor, hidden: Tensor) -> Tensor:
        """log p(c | z_i, h_{i-1}) of the 8-bit proxy, in nats, summed over pixels: (..., 3), (..., D) -> (...,).
        A Gaussian density times the width of a grey level: a probability, hence negative, as Eq. 6 needs it to be."""
        log_sigma = self.log_sigma_c.clamp(min=math.log(0.01))
        error = (proxy - self.decode(z, hidden)).flatten(-3)
        squares = error.square().sum(-1)
        return -0.5 * torch.exp(-2 * log_sigma) * squares - (log_sigma + LOG_LEVEL) * error.shape[-1]

    def recur(self, features: Features, z: Tensor, state: State, read: Tensor | None = None) -> State:
        """h_i from h_{i-1}, the saccade z_i and, where h is told, the features (B, F) that were read there."""
        saccade = self.phi_z(z)
        if self.phi_o is not None:
            saccade = saccade + self.phi_o(read)
        hidden, cell = self.cell(torch.cat([features.vector, saccade], -1), (state.hidden, state.cell))
        s, place = self.where(z).split([1, 2], -1)
        distance = (self.grid - place[:, None, None]).square().sum(-1)  # (B, M, M)
        bump = torch.exp(-0.5 * distance / (0.5 * s[..., None]) ** 2)
        return State(hidden, cell, state.visited + bump)


def map_network(channels: int, block: int, widths: tuple[int, ...]) -> Normed:
    """Pictures (B, C, J, J) in [0, 1] or around 0 -> a map (B, F, J / block, J / block), fully convolutional."""
    layers: list[nn.Module] = [nn.PixelUnshuffle(block)]
    for inputs, outputs in zip((channels * block**2, *widths), widths, strict=False):
        layers += normed(nn.Conv2d(inputs, outputs, 3, 1, 1))
    return Normed(*layers)


def light(proxy: Tensor) -> Tensor:
    """How bright it is around each cell of 2 x 2 pixels: (B, C, J, J) -> (B, M, M), 1 where the image is brightest."""
    around = F.avg_pool2d(F.avg_pool2d(proxy.mean(1, keepdim=True), 2), 3, 1, 1).squeeze(1)
    return around / around.amax((1, 2), keepdim=True).clamp(min=1 / 255)


def cell_centres(cells: int) -> Tensor:
    """(x, y) of the centre of each cell of a map over the image, (M, M, 2): rows run down y, columns right along x."""
    centre = (torch.arange(cells) + 0.5) * (2 / cells) - 1
    return torch.stack(torch.meshgrid(centre, centre, indexing="xy"), -1)


def in_full(network: nn.Module, x: Tensor) -> Tensor:
    """Places in the precision of the weights, whatever autocast says: bfloat16 would round them to 5 pixels in 2528."""
    with torch.autocast(x.device.type, enabled=False):
        return network(x.to(next(network.parameters()).dtype))


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
