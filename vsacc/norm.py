"""Sequences of layers in which a group norm and the ReLU behind it are computed as one.

The two are most of the time of a small convolutional network on a CPU. The modules and their names stay those of
torch, and so do weights and results."""

from functools import cache

import torch
from torch import Tensor, nn

GROUPS = 4  # of the group norms, unless others are named
LEAST = 2**14  # numbers, from which the compiled loop pays
# Of inputs and weights that it takes.
PAIRS = (torch.float32, torch.float32), (torch.bfloat16, torch.float32), (torch.float64, torch.float64)


def normed(convolution: nn.Conv2d, groups: int = GROUPS) -> list[nn.Module]:
    """A convolution, its group norm and ReLU."""
    return [convolution, nn.GroupNorm(groups, convolution.out_channels), nn.ReLU()]


class Normed(nn.Sequential):
    """A ``torch.nn.Sequential``, its pairs of ``GroupNorm`` and ``ReLU`` by :func:`norm_relu`."""

    def forward(self, x: Tensor) -> Tensor:
        done = None
        for layer, behind in zip(self, [*self[1:], None], strict=True):
            if layer is done:
                done = None
            elif isinstance(layer, nn.GroupNorm) and isinstance(behind, nn.ReLU):
                x, done = norm_relu(layer, x), behind
            else:
                x = layer(x)
        return x


def norm_relu(norm: nn.GroupNorm, x: Tensor, plus: Tensor | None = None) -> Tensor:
    """relu(norm(x) + plus), of (N, C, H, W)."""
    able = x.device.type == "cpu" and x.numel() >= LEAST and (x.dtype, norm.weight.dtype) in PAIRS
    fused = fastest() if able else None
    if fused is None:
        x = norm(x)
        return (x if plus is None else x + plus).relu()
    return fused(x, norm.weight, norm.bias, norm.num_groups, norm.eps, plus)


@cache
def fastest():
    """A compiled loop for CPUs where numba is installed, see :func:`vsacc.sampler.fastest_cut`, else None."""
    try:
        from .kernels.norm import GroupNormReLU
    except (ImportError, RuntimeError):
        return None
    return GroupNormReLU.apply
