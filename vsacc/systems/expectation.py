r"""An expectation over many positions from a few draws: Monte Carlo estimates that autograd can differentiate.

Attention sampling (Katharopoulos and Fleuret 2019) wants F = sum_k a_k f_k, where a is an attention over K positions
and the features f_k there are dear. It draws N positions q_1 .. q_N from a and computes the features of those alone:

    with replacement      F = 1/N sum_i f_i
    without replacement   F = 1/N sum_i ( sum_{j<i} p_j f_j + r_i f_i ),  p_i = a[q_i],  r_i = 1 - sum_{j<i} p_j

Each term of the second is an unbiased estimate of its own: what was drawn counts with its exact share, and the new draw
stands for all the rest. Written as one sum over the draws it is F = sum_i w_i f_i with w_i = (r_i + (N - i) p_i) / N.

The same argument with f_k / a_k in place of f_k gives an unbiased gradient, d F / d log a_i = w_i f_i in both schemes
(w_i = 1/N with replacement). It is the gradient of F itself, exact wherever F enters the loss linearly; through a
loss that bends, the slope at F is itself a random number, as in any method that differentiates at a sample.

Shapes: B batch, K positions, N draws, F features.
"""

import torch
from torch import Generator, Tensor

GRADIENTS = ("exact", "reference")


def sample(log_a: Tensor, count: int, replacement: bool, generator: Generator | None = None) -> Tensor:
    """Draw N positions of each image: log_a (B, K), log-probabilities -> long (B, N), in the order of the draws.

    Without replacement by Gumbel top-k (Vieira 2014; Kool et al. 2019): the largest log a + Gumbel noise are a sequence
    of draws, each from what the earlier ones left. Probabilities stay logarithms, so none of them is too small to draw.

    Raises ValueError for more draws than positions where none may be drawn twice.
    """
    log_a = log_a.detach().float()
    if replacement:
        return torch.multinomial(log_a.exp(), count, replacement=True, generator=generator)
    if count > log_a.shape[1]:
        raise ValueError(f"{count} positions cannot be drawn without replacement from {log_a.shape[1]}")
    gumbel = -torch.empty_like(log_a).exponential_(generator=generator).log()
    return (log_a + gumbel).topk(count, sorted=True).indices


def expectation(features: Tensor, log_p: Tensor, replacement: bool, gradient: str = "exact") -> Tensor:
    """Estimate F, differentiable in the features and in the attention.

    Args:
        features: f (B, N, F), at the positions drawn, in the order of the draws.
        log_p: log a (B, N) there; gradients flow from here into the attention.
        replacement: how they were drawn.
        gradient: "exact", see above; or "reference", what the authors' code returns for draws without replacement,

                d F / d a_i = 1/N ( F_i r_i / p_i + sum_{j<i} f_j - (i - 1) f_i ),  F_i the i-th term of the sum above,

            which is biased for N > 1, the more the sharper the attention. With replacement the two are the same.

    Returns:
        (B, F), float32 at least.

    Raises ValueError for another gradient.
    """
    if gradient not in GRADIENTS:
        raise ValueError(f"gradient must be one of {', '.join(GRADIENTS)}, not {gradient!r}")
    with torch.autocast(features.device.type, enabled=False):  # bfloat16 has no room for 1 - sum of shares
        dtype = torch.promote_types(features.dtype, torch.float32)
        features, log_p = features.to(dtype), log_p.to(dtype)
        weight, rest = weights(log_p.detach(), replacement)
        if gradient == "exact" or replacement:
            slope = weight.unsqueeze(-1) * features.detach()  # (B, N, F), d F / d log a_i
        else:
            slope = reference_slope(features.detach(), log_p.detach().exp(), rest)
        nothing = (log_p - log_p.detach()).unsqueeze(-1)  # 0, with a gradient
        return (weight.unsqueeze(-1) * features + nothing * slope).sum(1)


def weights(log_p: Tensor, replacement: bool) -> tuple[Tensor, Tensor]:
    """w (B, N), what each draw counts, and r (B, N), the share of attention that was left before it."""
    p, count = log_p.exp(), log_p.shape[1]
    if replacement:
        return torch.full_like(p, 1 / count), torch.ones_like(p)
    rest = (1 - before(p)).clamp(min=0)  # rounding may draw more than there is
    later = torch.arange(count - 1, -1, -1, device=p.device, dtype=p.dtype)  # N - i
    return (rest + later * p) / count, rest


def reference_slope(features: Tensor, p: Tensor, rest: Tensor) -> Tensor:
    """p_i times the authors' d F / d a_i: (B, N, F), (B, N), (B, N) -> (B, N, F)."""
    p, rest, count = p.unsqueeze(-1), rest.unsqueeze(-1), features.shape[1]
    term = before(p * features) + rest * features  # F_i
    earlier = torch.arange(count, device=p.device, dtype=p.dtype).view(1, -1, 1)  # i - 1
    return (rest * term + p * (before(features) - earlier * features)) / count


def before(values: Tensor) -> Tensor:
    """Sum over j < i along axis 1."""
    return values.cumsum(1) - values
