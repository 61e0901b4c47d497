r"""Reading glimpses: the crop network g(o) and the likelihoods p(y | o_1..T).

"pooled" is the paper's (Eq. 8 on glimpses): the features are summed and one dense network names the class.
"set" takes Eq. 6 at its word: every glimpse has its own p(object | o_i), and because a label is a function of the
objects in the image, p(y | o_1..T) follows by summing over which glimpse holds which object. The gates say how likely a
glimpse holds an object at all, so glimpses may outnumber objects. Where the task asks which objects are there at all,
an object is where any glimpse shows it.
"placed" is the set, where a glimpse may show both objects, and a correction that knows where the glimpses were: two on
one digit, a digit cut by its neighbour, an overlap seen from two sides are things that verdicts of single glimpses
cannot say. All likelihoods take any number of glimpses, so the same networks say p(y | o_1..t) for every t.

Shapes: B batch, C channels, L side of a glimpse, T glimpses, F features, K classes, O kinds of object.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .norm import GROUPS, Normed, norm_relu, normed


class Question(NamedTuple):
    """What is asked of an image, and all that a model must know of a task to answer.

    labels: long (O,) or (O, O), the class of every combination of one or two objects; classes: their names; many: they
    are K questions of yes or no, "is it there?", instead of one of K classes.
    """

    labels: Tensor
    classes: tuple[str, ...]
    many: bool = False


class Residual(nn.Module):
    """x + f(x), two 3 x 3 convolutions."""

    def __init__(self, width: int, groups: int = GROUPS):
        super().__init__()
        first, second = (normed(nn.Conv2d(width, width, 3, 1, 1), groups) for _ in range(2))
        self.body = Normed(*first, *second[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return norm_relu(self.body[-1], self.body[:-1](x), plus=x)


class Blocks(nn.PixelUnshuffle):
    """Blocks of pixels as channels, measured from a level of grey."""

    def __init__(self, side: int, grey: float):
        super().__init__(side)
        self.grey = grey

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - self.grey)


class CropNetwork(Normed):
    """What is made of glimpses, (N, C, L, L) -> (N, F). half: it is trained in bfloat16, which processors that have it
    multiply several times faster."""

    half = False

    def forward(self, o: Tensor) -> Tensor:
        if not (self.half and self.training):
            return super().forward(o)
        with torch.autocast(o.device.type, torch.bfloat16):
            return super().forward(o).to(o.dtype)


def crop_network(
    channels: int, size: int, widths: tuple[int, ...], depth: int, features: int, grey: float = 0.0
) -> CropNetwork:
    """g: glimpses (N, C, L, L) in [0, 1] -> (N, F); group norm and ReLU as in the paper's section 4.

    Pixels are measured from ``grey``: 0 for digits on black, 0.5 for photographs, whose mean level would drown their
    detail. The first stage works on 4 x 4 blocks of pixels (as channels), the others halve the side; ``depth`` residual
    blocks follow each.
    """
    stages: list[nn.Module] = [Blocks(4, grey)]
    inputs = 16 * channels
    for index, width in enumerate(widths):
        convolution = nn.Conv2d(inputs, width, 2, 2) if index else nn.Conv2d(inputs, width, 3, 1, 1)
        stages += [*normed(convolution), *(Residual(width) for _ in range(depth))]
        inputs = width
    side = size // 4 // 2 ** (len(widths) - 1)
    return CropNetwork(*stages, nn.Flatten(), nn.Linear(inputs * side**2, features), nn.ReLU())


def fine_network(
    channels: int, size: int, widths: tuple[int, ...], depth: int, features: int, grey: float = 0.0
) -> CropNetwork:
    """g: as :func:`crop_network`, but from 2 x 2 blocks, so that the first two convolutions see a stroke in detail,
    with eight groups, and a layer norm on the features: without it what is said stays constant for thousands of
    steps."""
    stages: list[nn.Module] = [Blocks(2, grey)]
    inputs, side = 4 * channels, size // 2
    for width in (widths[0], widths[0]):
        stages += normed(nn.Conv2d(inputs, width, 3, 1, 1), 8)
        inputs = width
    for width in widths[1:]:
        stages += [*normed(nn.Conv2d(inputs, width, 2, 2), 8), *(Residual(width, 8) for _ in range(depth))]
        inputs, side = width, side // 2
    last = nn.Linear(inputs * side**2, features), nn.LayerNorm(features), nn.ReLU()
    return CropNetwork(*stages, nn.Flatten(), *last)


class PooledLikelihood(nn.Module):
    """log p(y | mean of the features); of ``many`` questions, the log-odds of each."""

    def __init__(self, features: int, classes: int, many: bool = False):
        super().__init__()
        self.many = many
        self.dense = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, classes))

    def forward(self, features: Tensor, where: Tensor | None = None) -> Tensor:
        """(B, T, F) -> log-probabilities, or log-odds, (B, K)."""
        scores = self.dense(features.mean(1))
        return scores if self.many else scores.log_softmax(-1)


class AnyLikelihood(nn.Module):
    """Log-odds that some glimpse shows an object of kind k, each looking for itself: p = 1 - prod_i (1 - p(k | o_i)),
    the noisy or of Pearl (1988)."""

    def __init__(self, features: int, kinds: int):
        super().__init__()
        self.read = nn.Linear(features, kinds)

    def forward(self, features: Tensor, where: Tensor | None = None) -> Tensor:
        """(B, T, F) -> log-odds (B, O)."""
        scores = self.read(features).to(self.read.weight.dtype)  # out of bfloat16, where there is autocast
        absent = -nn.functional.logsigmoid(-scores).sum(1).clamp(max=-1e-30)  # -log of the product, > 0
        return absent + (-torch.expm1(-absent)).log()


class SetLikelihood(nn.Module):
    """log p(y | o_1..T) where y is a function of one or two objects, each seen in one of the glimpses.

    labels: long (O,) or (O, O), the class of one object or of two; symmetric where there are two.
    """

    def __init__(self, features: int, labels: Tensor):
        super().__init__()
        if labels.dim() not in (1, 2):
            raise ValueError(f"a label must depend on one or two objects, not {labels.dim()}")
        self.objects, self.classes = labels.dim(), int(labels.max()) + 1
        self.kinds = len(labels)
        self.read = nn.Linear(features, self.kinds + 1)
        member = labels.flatten() == torch.arange(self.classes).unsqueeze(1)  # (K, O or O * O)
        fill, index = torch.sort(~member, stable=True)  # what makes a class of it comes first in its row
        most = int(member.sum(1).max())  # M
        self.register_buffer("index", index[:, :most], persistent=False)  # (K, M)
        self.register_buffer("fill", fill[:, :most], persistent=False)  # where a class is made of fewer

    def forward(self, features: Tensor, where: Tensor | None = None) -> Tensor:
        """(B, T, F) -> log-probabilities (B, K)."""
        joint, gate = self.verdicts(features)
        return self.of_classes(torch.logsumexp(joint + gate.log_softmax(-1).unsqueeze(-1), 1))

    def verdicts(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Of each single glimpse, or pair of them: what it says of all objects, log-probabilities (B, V, O or O * O),
        and how much that counts, (B, V)."""
        scores = self.read(features).to(self.read.weight.dtype)  # out of bfloat16, where there is autocast
        seen, gate = scores[..., :-1].log_softmax(-1), scores[..., -1]  # (B, T, O), (B, T)
        if self.objects == 1:
            return seen, gate
        if seen.shape[1] == 1:  # one glimpse cannot show both: the other object may be anything
            seen = torch.cat([seen, torch.full_like(seen, 1 / self.kinds).log()], 1)
            gate = torch.cat([gate, torch.zeros_like(gate)], 1)
        first, second = torch.triu_indices(seen.shape[1], seen.shape[1], 1, device=seen.device)
        joint = (seen[:, first, :, None] + seen[:, second, None, :]).flatten(2)  # (B, pairs, O * O)
        return joint, gate[:, first] + gate[:, second]  # (B, pairs)

    def of_classes(self, objects: Tensor) -> Tensor:
        """Log-probabilities of objects (B, O or O * O) -> of classes (B, K)."""
        # Logarithms all the way: a class of probability e^-100 still has a slope to come back by.
        return torch.logsumexp(objects[:, self.index].masked_fill(self.fill, -torch.inf), -1)


class PlacedLikelihood(SetLikelihood):
    """:class:`SetLikelihood` where a glimpse may show two objects, corrected by what glimpses show together and where.

    The correction is a small network on each glimpse and on each pair of them, their maxima and their means, weighted
    by how much each has to say: what a blank look adds, when there are more of them than ever in training, hardly
    counts. Where a class is one object, which may be the one that is there most often, each glimpse adds evidence too,
    as far as its gate is open. All this starts at zero: what to look at is learned from the set, the rest on top."""

    def __init__(self, features: int, labels: Tensor, hidden: int = 256):
        super().__init__(features, labels)
        first, second = torch.triu_indices(self.kinds, self.kinds)
        number = torch.empty(self.kinds, self.kinds, dtype=torch.long)
        number[first, second] = number[second, first] = torch.arange(len(first))
        self.register_buffer("unordered", number.flatten(), persistent=False)  # (O * O,)
        halves = torch.where(torch.eye(self.kinds, dtype=torch.bool), 0.0, -math.log(2)).flatten()
        self.register_buffer("halves", halves, persistent=False)  # 3 and 7 is 37 or 73
        self.both = nn.Linear(features, len(first) + 1) if self.objects == 2 else None
        self.add = nn.Linear(features, self.classes + 1) if self.objects == 1 else None
        self.one, self.apart = nn.Linear(features + 1, hidden), nn.Linear(3, hidden)
        self.left, self.right = nn.Linear(features, hidden), nn.Linear(features, hidden)
        self.weigh_one, self.weigh_pair = nn.Linear(hidden, 1), nn.Linear(hidden, 1)
        self.join, self.correct = nn.Linear(4 * hidden, hidden), nn.Linear(hidden, self.classes)
        for layer in (self.weigh_one, self.weigh_pair, self.correct, *filter(None, [self.add])):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor, where: Tensor | None = None) -> Tensor:
        """(B, T, F), (B, T, 3) -> log-probabilities (B, K)."""
        found = super().forward(features)
        return (found + self.correction(features, where.to(features.dtype)).to(found.dtype)).log_softmax(-1)

    def verdicts(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Those of pairs of glimpses, and of each glimpse that shows both objects."""
        if self.both is None:
            return super().verdicts(features)
        scores = self.both(features).to(self.both.weight.dtype)
        joint, gate = scores[..., :-1].log_softmax(-1)[..., self.unordered] + self.halves, scores[..., -1]
        if features.shape[1] == 1:
            return joint, gate
        of_pairs, gate_of_pairs = super().verdicts(features)
        return torch.cat([of_pairs, joint], 1), torch.cat([gate_of_pairs, gate], 1)

    def correction(self, features: Tensor, where: Tensor) -> Tensor:
        """(B, T, F), (B, T, 3) -> (B, K), added to the logarithms."""
        alone = self.one(torch.cat([features, where[..., :1]], -1)).relu()  # (B, T, H)
        steps = features.shape[1]
        first, second = (~torch.eye(steps, dtype=torch.bool) if steps > 1 else torch.ones(1, 1)).nonzero().T.tolist()
        distance = 3 * (where[:, first] - where[:, second])
        pairs = (self.left(features)[:, first] + self.right(features)[:, second] + self.apart(distance)).relu()
        means = (
            (weigh(said).softmax(1) * said).sum(1)
            for weigh, said in ((self.weigh_one, alone), (self.weigh_pair, pairs))
        )
        together = torch.cat([*means, alone.amax(1), pairs.amax(1)], -1)
        found = self.correct(self.join(together).relu())
        if self.add is None:
            return found
        evidence = self.add(features)
        return found + (evidence[..., -1:].sigmoid() * evidence[..., :-1]).sum(1)


def make_likelihood(kind: str, features: int, question: Question) -> nn.Module:
    """p(y | o_1..T) of a question: ``kind`` is "set", "placed" or "pooled"."""
    if kind == "pooled":
        return PooledLikelihood(features, len(question.classes), question.many)
    if question.many:
        return AnyLikelihood(features, len(question.classes))
    return {"set": SetLikelihood, "placed": PlacedLikelihood}[kind](features, question.labels)
