"""Why a saccader of two digits errs: digits on top of each other, a look at the wrong place, or a misreading.

Every image is given to the same classifier again, with the glimpses put on the digits' true centres. Where that mends
an error, the place was to blame."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from ..loss import correct
from ..saccader import Saccader
from ..tasks import Batch
from ..tasks.cluttered import CANVAS, SPRITE
from ..training.evaluation import centres_of

TOUCHING = SPRITE / 2  # pixels between the centres of digits that overlap: strokes fill the middle of a sprite
BINS = (0, 4, 8, 12, 16, 20, 28, 150)  # of the distance between two digits, in pixels of the 100 x 100 canvas


class Traces(NamedTuple):
    """Over N images of two digits. right, told: bool (N,), called rightly by itself, and with glimpses on the true
    centres; distance: (N,), between the digits' centres in pixels of the 100 x 100 canvas."""

    right: Tensor
    told: Tensor
    distance: Tensor


@torch.no_grad()
def trace(model: Saccader, batches: Iterable[Batch]) -> Traces:
    """Both readings of every image. The model must be in evaluation mode, and two digits be in every image."""
    rows = []
    for batch in batches:
        output = model(batch.images)
        centres = centres_of(batch.boxes)  # (B, 2, 2)
        s = output.where[..., :1].mean(1, keepdim=True).expand(-1, centres.shape[1], 1)  # as wide as its own
        told = model.read(batch.images, torch.cat([s, centres], -1))[0][:, -1]
        apart = (centres[:, 0] - centres[:, 1]).norm(dim=-1) * CANVAS / 2
        rows.append((correct(output.logits, batch.labels), correct(told, batch.labels), apart))
    return Traces(*(torch.cat(parts).cpu() for parts in zip(*rows, strict=True)))


def causes(traces: Traces) -> dict[str, Tensor]:
    """Which images each cause spoils, bool (N,): of digits that overlap, the overlap; of others, the place where being
    told it mends the error, and else the reading."""
    wrong, near = ~traces.right, traces.distance < TOUCHING
    apart = wrong & ~near
    return {"overlap": wrong & near, "wrong place": apart & traces.told, "misread": apart & ~traces.told}


def by_distance(traces: Traces) -> dict[str, list[float]]:
    """By bin of the distance between the digits: "share" of the images, and accuracy "by itself" and "told"."""
    which = torch.bucketize(traces.distance, torch.tensor(BINS[1:-1], dtype=traces.distance.dtype), right=True)
    groups = [which == index for index in range(len(BINS) - 1)]
    found = {"share": [group.float().mean().item() for group in groups]}
    for name, right in (("by itself", traces.right), ("told", traces.told)):
        found[name] = [right[group].float().mean().item() for group in groups]
    return found


def overlap(traces: Traces) -> tuple[float, float]:
    """Share of the images whose digits lie on top of each other, and share of all images that reading from the true
    places loses to that: beyond what it misreads elsewhere."""
    near, told = traces.distance < TOUCHING, traces.told.float()
    share = near.float().mean().item()
    return share, share * (told[~near].mean() - told[near].mean()).item()
