r"""The variational lower bound that trains everything at once (the paper's Eq. 6), term by term.

    E_q [ log p(y | o_1..T) + sum_i ( log p(c | z_i, h_{i-1}) - KL(q(z_i | c, h_{i-1}) || p(z_i | h_{i-1})) ) ]

The label is read from all glimpses together, which is the reading of Eq. 1's sum over i that gains from looking again.
log p(o_i | z_i) is absent: o_i is a Dirac at the sampler's output. The expectation is one pathwise sample of z.
Notebook 01 derives the bound and says which of its steps hold when.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Bound(NamedTuple):
    """loss: scalar to minimise. log_y, log_c, kl: (B,) in nats, unweighted; value = log_y + w_c log_c - w_kl kl."""

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
) -> Bound:
    """Eq. 6 of a batch, as the negative mean to minimise.

    Args:
        logits: (B, K), normalised here; labels: long (B,).
        terms: "log_c" and "kl", each (B,), summed over the T saccades; a model without them (a baseline) is plain
            cross-entropy.
        weight_c, weight_kl: 1 and 1 is Eq. 6 itself.
        form: "sum" is Eq. 6. "product" multiplies the weighted ELBO of the proxy with the cross-entropy, which is what
            the authors' code trains: not a bound on anything, and as the cross-entropy of an image goes to 0 so does
            the training of its ELBO.
    """
    if form not in ("sum", "product"):
        raise ValueError(f"form must be 'sum' or 'product', not {form!r}")
    log_y = -F.cross_entropy(logits.float(), labels, reduction="none")
    log_c, kl = (terms.get(name, torch.zeros_like(log_y)) for name in ("log_c", "kl"))
    elbo = weight_c * log_c - weight_kl * kl
    value = log_y + elbo if form == "sum" else -elbo * log_y if terms else log_y
    return Bound(-value.mean(), log_y, log_c, kl)
