"""What :func:`vsacc.norm.norm_relu` does, as one compiled loop over channels that lie side by side: an image is read
while it is in the nearest cache, and nothing in between is written."""

import math

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import compiled, in_threads

ROW = 128  # numbers that are computed with at once


class GroupNormReLU(torch.autograd.Function):
    """relu(group norm(x) + plus): x (N, C, H, W), in bfloat16 or as the weights are; weight, bias (C,); plus as x."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, plus: Tensor | None) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        added = x[:0] if plus is None else plus.to(x.dtype).contiguous(memory_format=torch.channels_last)
        y, mean, rstd = torch.empty_like(x), *weight.new_empty(2, len(x), groups)
        repeats = pixels_in_a_row(x)
        given = rows(x, repeats), rows(added, repeats), *(tiled(each, repeats) for each in (weight, bias)), eps
        made = rows(y, repeats), mean.numpy(), rstd.numpy(), group_of(x, groups, repeats)
        in_threads(len(x), x.numel(), lambda first, last: forth(*given, *made, first, last))
        ctx.save_for_backward(x, y, weight, mean, rstd)
        ctx.adds = plus is not None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weight, mean, rstd = ctx.saved_tensors
        gradient = gradient.to(x.dtype).contiguous(memory_format=torch.channels_last)
        to_x, to_plus = torch.empty_like(x), torch.empty_like(x[: len(x) * ctx.adds])
        repeats = pixels_in_a_row(x)
        given = *(rows(each, repeats) for each in (x, y, gradient)), tiled(weight, repeats)
        given = *given, mean.numpy(), rstd.numpy(), group_of(x, mean.shape[1], repeats)
        made = rows(to_x, repeats), rows(to_plus, repeats)

        def work(first: int, last: int) -> Tensor:
            of_weights = weight.new_zeros(2, repeats, len(weight))
            back(*given, *made, of_weights.flatten(1).numpy(), first, last)
            return of_weights.sum(1)

        to_weight, to_bias = sum(in_threads(len(x), x.numel(), work))
        return to_x, to_weight, to_bias, None, None, to_plus if ctx.adds else None


def pixels_in_a_row(x: Tensor) -> int:
    """How many pixels are computed at once: loops over a few channels alone would end before they are fast."""
    return math.gcd(x.shape[2] * x.shape[3], max(1, ROW // x.shape[1]))


def rows(x: Tensor, repeats: int) -> np.ndarray:
    """A view of x (N, C, H, W) as (N, H * W / repeats, repeats * C); of bfloat16, which numpy has not, as its bits."""
    _, channels, height, width = x.shape
    x = x.detach().permute(0, 2, 3, 1).reshape(len(x), height * width // repeats, repeats * channels)
    return (x.view(torch.uint16) if x.dtype == torch.bfloat16 else x).numpy()


def tiled(weight: Tensor, repeats: int) -> np.ndarray:
    return weight.detach().repeat(repeats).numpy()


def group_of(x: Tensor, groups: int, repeats: int) -> np.ndarray:
    """The group of each column of ``rows``."""
    return np.tile(np.arange(groups).repeat(x.shape[1] // groups), repeats)


@intrinsic
def from_bits(typing, bits):
    """The float32 of 32 bits."""
    return types.float32(types.uint32), lambda context, builder, _, args: builder.bitcast(args[0], ir.FloatType())


@intrinsic
def to_bits(typing, value):
    """The 32 bits of a float32."""
    return types.uint32(types.float32), lambda context, builder, _, args: builder.bitcast(args[0], ir.IntType(32))


def wide(value):
    """A number to compute with."""
    raise NotImplementedError


def narrow(value, like):
    """The number as it is kept, in the type of ``like``."""
    raise NotImplementedError


@overload(wide)
def _(value):
    if isinstance(value, types.Integer):
        return lambda value: from_bits(np.uint32(np.uint32(value) << np.uint32(16)))
    return lambda value: value


@overload(narrow)
def _(value, like):
    if isinstance(like, types.Integer):

        def rounded(value, like):  # to the nearest, of two as near to the even one
            bits = to_bits(value)
            half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
            return np.uint16(np.uint32(bits + half) >> np.uint32(16))

        return rounded
    return lambda value, like: value


@compiled
def forth(x, plus, weight, bias, eps, y, mean, rstd, group, begin, end):
    """y (N, P, C) of images ``begin`` to ``end`` of x, and the mean and 1 / sigma (N, G) of their groups."""
    real = weight.dtype.type
    (_, lines, width), zero, add = x.shape, real(0), len(plus) > 0
    count = real(lines * width // mean.shape[1])
    values = np.empty((lines, width), weight.dtype)
    total, middle = np.empty(width, weight.dtype), np.empty(width, weight.dtype)
    slope, shift = np.empty(width, weight.dtype), np.empty(width, weight.dtype)
    for n in range(begin, end):
        total[:] = zero
        for p in range(lines):
            for c in range(width):
                value = wide(x[n, p, c])
                values[p, c] = value
                total[c] += value
        mean[n] = zero
        for c in range(width):
            mean[n, group[c]] += total[c] / count
        for c in range(width):
            middle[c] = mean[n, group[c]]
        total[:] = zero
        for p in range(lines):
            for c in range(width):
                value = values[p, c] - middle[c]
                total[c] += value * value
        rstd[n] = zero
        for c in range(width):
            rstd[n, group[c]] += total[c] / count
        for g in range(len(rstd[n])):
            rstd[n, g] = real(1) / np.sqrt(rstd[n, g] + real(eps))
        for c in range(width):
            slope[c] = weight[c] * rstd[n, group[c]]
            shift[c] = bias[c] - middle[c] * slope[c]
        for p in range(lines):
            if add:
                for c in range(width):
                    values[p, c] = values[p, c] * slope[c] + shift[c] + wide(plus[n, p, c])
            else:
                for c in range(width):
                    values[p, c] = values[p, c] * slope[c] + shift[c]
            for c in range(width):
                y[n, p, c] = narrow(zero if values[p, c] <= zero else values[p, c], y[n, p, c])


@compiled
def back(x, y, gradient, weight, mean, rstd, group, to_x, to_plus, of_weights, begin, end):
    """The gradients of x and plus for images ``begin`` to ``end``, and what they add to those of weight and bias."""
    real = weight.dtype.type
    (_, lines, width), zero, add = x.shape, real(0), len(to_plus) > 0
    count = real(lines * width // mean.shape[1])
    slopes, values = np.empty((lines, width), weight.dtype), np.empty((lines, width), weight.dtype)
    middle, scale = np.empty(width, weight.dtype), np.empty(width, weight.dtype)
    straight, along = np.empty(width, weight.dtype), np.empty(width, weight.dtype)  # sums of slopes, and times values
    of_group = np.empty((2, mean.shape[1]), weight.dtype)
    for n in range(begin, end):
        for c in range(width):
            middle[c], scale[c] = mean[n, group[c]], rstd[n, group[c]]
        straight[:], along[:] = zero, zero
        for p in range(lines):
            for c in range(width):
                slopes[p, c] = zero if wide(y[n, p, c]) <= zero else wide(gradient[n, p, c])
            for c in range(width):
                values[p, c] = (wide(x[n, p, c]) - middle[c]) * scale[c]
            for c in range(width):
                straight[c] += slopes[p, c]
                along[c] += slopes[p, c] * values[p, c]
        of_group[:] = zero
        for c in range(width):
            of_weights[0, c] += along[c]
            of_weights[1, c] += straight[c]
            of_group[0, group[c]] += straight[c] * weight[c] / count
            of_group[1, group[c]] += along[c] * weight[c] / count
        for c in range(width):
            straight[c], along[c] = scale[c] * of_group[0, group[c]], scale[c] * of_group[1, group[c]]
            scale[c] *= weight[c]
        for p in range(lines):
            if add:
                for c in range(width):
                    to_plus[n, p, c] = narrow(slopes[p, c], to_plus[n, p, c])
            for c in range(width):
                slopes[p, c] = scale[c] * slopes[p, c] - straight[c] - values[p, c] * along[c]
            for c in range(width):
                to_x[n, p, c] = narrow(slopes[p, c], to_x[n, p, c])
