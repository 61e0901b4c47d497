"""What is measured on a set: accuracy, how honest the probabilities are, and whether the glimpses found the digits."""

import math
from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..loss import agree, answers, log_likelihood
from ..saccader import Model
from ..tasks import Batch
from .processes import agree_on_buffers, put_together, rank_and_world


class Evaluation(NamedTuple):
    """Over N images. accuracy; log_y: mean log p(y | x) in nats, and ece, see :func:`calibration_error`, both at the
    model's temperatures; looks: mean number of glimpses where it stopped by itself, else None; localised (share of
    objects whose centre lies in a glimpse), iou (of an object's box with the best glimpse), scale (mean s): None where
    a model has no glimpses or its images no boxes; labels, predictions: long (N,), or bool (N, K) where the task asks K
    questions; found: bool (N, D), of videos (N, T, D), or None."""

    accuracy: float
    log_y: float
    ece: float
    looks: float | None
    localised: float | None
    iou: float | None
    scale: float | None
    labels: Tensor
    predictions: Tensor
    found: Tensor | None


def centres_of(boxes: Tensor) -> Tensor:
    """(..., 4) = (x0, y0, x1, y1) -> (..., 2) = (x, y)."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def centre_inside(where: Tensor, boxes: Tensor) -> Tensor:
    """Which boxes have their centre inside some glimpse: (..., T, 3), (..., D, 4) -> bool (..., D)."""
    distance = (centres_of(boxes)[..., :, None, :] - where[..., None, :, 1:]).abs().amax(-1)  # (..., D, T)
    return (distance <= where[..., None, :, 0]).any(-1)


def best_iou(where: Tensor, boxes: Tensor) -> Tensor:
    """Intersection over union of each box with its best glimpse: (..., T, 3), (..., D, 4) -> (..., D)."""
    s, centre = where[..., :1], where[..., 1:]
    seen, wanted = torch.cat([centre - s, centre + s], -1)[..., None, :, :], boxes[..., :, None, :]  # (..., D, T, 4)
    low, high = torch.maximum(seen[..., :2], wanted[..., :2]), torch.minimum(seen[..., 2:], wanted[..., 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    union = (seen[..., 2:] - seen[..., :2]).prod(-1) + (wanted[..., 2:] - wanted[..., :2]).prod(-1) - overlap
    return (overlap / union).amax(-1)


@torch.no_grad()
def evaluate(model: Model, batches: Iterable[Batch], **options: Any) -> Evaluation:
    """The model, in evaluation mode, on the batches of a split's fixed set. options: for the model (``glimpses=4``
    looks four times, ``policy`` says where). Of several processes all must call; they take the batches in turn, and
    each returns what was seen by all."""
    training, (rank, world) = model.training, rank_and_world()
    model.eval()
    agree_on_buffers(model)
    columns: dict[str, list[Tensor]] = {}
    for batch in islice(batches, rank, None, world):
        output = model(batch.images, **options)
        looks = 1 if output.where is None else output.where.shape[1] if output.looks is None else output.looks
        logits = model.calibrated(output.logits, looks)
        row = {"labels": batch.labels, "log_y": log_likelihood(logits, batch.labels)}
        row["predictions"] = answers(logits, many := batch.labels.dim() == 2)
        row["confidence"] = logits.abs().sigmoid() if many else logits.softmax(-1).amax(-1)
        if output.looks is not None:
            row["looks"] = output.looks
        if output.where is not None:
            row["scale"] = output.where[..., 0]
            if batch.boxes is not None:
                where, boxes = output.where, batch.boxes
                if boxes.dim() == 4:  # a video: glimpse i against the boxes of frame i alone
                    where, boxes = where.unsqueeze(2), boxes[:, : where.shape[1]]
                row["found"], row["iou"] = centre_inside(where, boxes), best_iou(where, boxes)
        for name, values in row.items():
            columns.setdefault(name, []).append(values)
    model.train(training)
    seen = {name: torch.cat(values) for name, values in put_together(columns).items()}
    means = (seen[n].float().mean().item() if n in seen else None for n in ("looks", "found", "iou", "scale"))
    said, labels, log_y = seen["predictions"], seen["labels"], seen["log_y"].mean().item()
    accuracy = agree(said, labels).float().mean().item()
    ece = calibration_error(seen["confidence"], said == labels)
    return Evaluation(accuracy, log_y, ece, *means, labels, said, seen.get("found"))


@torch.no_grad()
def fit_temperatures(model: Model, batches: Iterable[Batch]) -> tuple[float, ...]:
    """What logits are divided by so that log p(y | o_1..t) of these images is largest (temperature scaling, Guo et al.
    2017): for each t where a model speaks after each glimpse, else once. Of several processes all must call, with the
    same."""
    from scipy.optimize import minimize_scalar  # here: it takes a second that a look need not pay

    training = model.training
    model.eval()
    said, labels = [], []
    for batch in batches:
        output = model(batch.images)
        said.append((output.logits.unsqueeze(1) if output.after is None else output.after).float())
        labels.append(batch.labels)
    model.train(training)
    said, labels = torch.cat(said), torch.cat(labels)

    def surprise(log_temperature: float, logits: Tensor) -> float:
        return -log_likelihood(logits / math.exp(log_temperature), labels).mean().item()

    fits = (minimize_scalar(surprise, bounds=(-2, 2), method="bounded", args=(logits,)) for logits in said.unbind(1))
    return tuple(math.exp(fit.x) for fit in fits)


def calibration_error(confidence: Tensor, right: Tensor, bins: int = 15) -> float:
    """Expected calibration error (Naeini et al. 2015): how far the share of right answers is from their mean confidence
    in each of ``bins`` equal intervals of confidence, averaged over the answers. confidence: in [0, 1]; right: bool."""
    interval = (confidence * bins).ceil().clamp(1, bins).long().flatten() - 1
    gap = torch.zeros(bins).index_add(0, interval, (right.float() - confidence).flatten())
    return gap.abs().sum().item() / interval.numel()


def spread(where: Tensor) -> Tensor:
    """How differently images are looked at: standard deviation of the places over the batch, mean over glimpses and
    axes; (B, T, 3) -> scalar, 0 when every image is looked at in the same places."""
    return where[..., 1:].std(0).mean()


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927): it stays inside [0, 1] and is good for few images."""
    from scipy.stats import binomtest  # here: it takes a second that a training need not pay

    return tuple(map(float, binomtest(right, total).proportion_ci(method="wilson")))
