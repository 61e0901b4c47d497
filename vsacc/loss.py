r"""The variational lower bound that trains everything at once (the paper's Eq. 6), term by term.

    E_q [ log p(y | o_1..T) + sum_i ( log p(c | z_i, h_{i-1}) - KL(q(z_i | c, h_{i-1}) || p(z_i | h_{i-1})) ) ]

The label is read from all glimpses together, which is the reading of Eq. 1's sum over i that gains from looking again.
log p(o_i | z_i) is absent: o_i is a Dirac at the sampler's output. The expectation is one pathwise sample of z.
Notebook 01 derives the bound and says which of its steps hold when.

Models that decide by chance and without a pathwise gradient add the terms "log_pi" and "baseline" (score function), and
a model may add a "bonus" of its own, weighted already."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Bound(NamedTuple):
    """loss: scalar to minimise. log_y, log_c, kl: (B,) in nats, unweighted."""

    loss: Tensor
    log_y: Tensor
    log_c: Tensor
    kl: Tensor


def lower_bound(
    logits: Tensor,
    labels: Tensor,
    terms: dict[str, Tensor],
    weight_c: float = 1.0,
    weight_kl: float = 1.0,
    form: str = "sum",
    after: Tensor | None = None,
    early: tuple[float, ...] = (),
) -> Bound:
    """Eq. 6 of a batch, as the negative mean to minimise.

    Args:
        logits: (B, K), normalised here; labels: long (B,), or bool (B, K), see :func:`log_likelihood`.
        terms: "log_c" and "kl", each (B,), summed over the T saccades; "log_pi" and "baseline", each (B, T), see
            :func:`score_function`; "bonus" (B,), added as it is. Without any it is plain cross-entropy.
        weight_c, weight_kl: 1 and 1 is Eq. 6 itself.
        form: "sum" is Eq. 6. "product" multiplies the weighted ELBO of the proxy with the cross-entropy, which is what
            the authors' code trains: not a bound on anything, and as the cross-entropy of an image goes to 0 so does
            the training of its ELBO.
        after, early: logits after each glimpse (B, T, K), and what log p(y | o_1..t) counts beside that of all
            glimpses, for t = 1, 2, ..., the last of them for all further t < T. For each t it is a bound of the same
            kind: of the same proxy, and of a label that is read from fewer glimpses.
    """
    if form not in ("sum", "product"):
        raise ValueError(f"form must be 'sum' or 'product', not {form!r}")
    log_y = log_likelihood(logits, labels)
    log_c, kl = (terms.get(name, torch.zeros_like(log_y)) for name in ("log_c", "kl"))
    elbo = weight_c * log_c - weight_kl * kl
    value = log_y + elbo if form == "sum" else -elbo * log_y if "kl" in terms else log_y
    if "log_pi" in terms:
        value = value + score_function(correct(logits, labels).float(), terms["log_pi"], terms["baseline"])
    value = value + terms.get("bonus", 0.0)
    for t in range(after.shape[1] - 1 if early and after is not None else 0):
        value = value + early[min(t, len(early) - 1)] * log_likelihood(after[:, t], labels)
    return Bound(-value.mean(), log_y, log_c, kl)


def log_likelihood(logits: Tensor, labels: Tensor) -> Tensor:
    """log p(y | x) of each image in nats, (B,). logits: (B, K); labels: long (B,), one of K classes, or bool (B, K), K
    answers of yes or no, independent given the image."""
    if labels.dim() == 1:
        return -F.cross_entropy(logits.float(), labels, reduction="none")
    return -F.binary_cross_entropy_with_logits(logits.float(), labels.float(), reduction="none").sum(-1)


def answers(logits: Tensor, many: bool) -> Tensor:
    """What a model says: the likeliest class, long (B,); or, of ``many`` questions, bool (B, K)."""
    return logits > 0 if many else logits.argmax(-1)


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Which images are answered rightly, bool (B,); of many questions, all of them."""
    return agree(answers(logits, labels.dim() == 2), labels)


def agree(said: Tensor, labels: Tensor) -> Tensor:
    """Which images' answers are the labels, bool (B,): both long (B,), or bool (B, K) that must all be the same."""
    same = said == labels
    return same if labels.dim() == 1 else same.all(-1)


def score_function(reward: Tensor, log_pi: Tensor, baseline: Tensor) -> Tensor:
    """REINFORCE (Williams 1992; RAM's Eq. 9 of Mnih et al. 2014) as a value to maximise, (B,).

    Its gradient is sum_t d log pi_t (R - b_t), unbiased for d E[R], and it fits b_t to R by least squares. reward: R
    (B,), of the whole episode; log_pi: (B, T), log-probability of each choice that was drawn; baseline: b (B, T), what
    was expected before it, which must not depend on the choice itself."""
    advantage = reward.unsqueeze(1) - baseline  # (B, T)
    return (log_pi * advantage.detach() - advantage**2).sum(1)
