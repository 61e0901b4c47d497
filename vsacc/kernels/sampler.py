"""What :func:`vsacc.sampler.cut_in_torch` does, as one compiled loop: each pixel is read once, and its value and three
slopes are made while it is at hand."""

import math
from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from . import compiled, in_threads

AHEAD = 4  # rows of a glimpse that memory is asked for ahead of time, every fourth pixel of them
BYTE, INT = ir.IntType(8), ir.IntType(32)


def cut(layout, where: Tensor, size: int, teach: bool) -> tuple[Tensor, Tensor | None]:
    """:class:`vsacc.sampler.Layout`, where (N, 3) -> glimpses (N, C, L, L) and, to ``teach``, their slopes in s, x and
    y, (N, 3, C, L, L)."""
    count, shape = len(where), (layout.channels, size, size)
    values = where.new_empty(count, *shape)
    slopes = where.new_empty(count, 3, *shape) if teach else None
    places, levels = where.detach().contiguous().numpy(), layout.levels.numpy()
    # In one piece: the loop reads bytes by their number.
    pixels, origin = (each.contiguous().numpy() for each in (layout.pixels, layout.origin))
    share = count // max(1, len(layout.origin))
    geometry = layout.plane, layout.step, layout.bits, *layout.sides

    def work(first: int, last: int) -> None:
        made = slopes if teach else where.new_empty(1, 3, *shape)  # they cost nothing beside the reading
        cut_some(pixels, origin, share, levels, *geometry, places, values.numpy(), made.numpy(), first, last)

    in_threads(count, values.numel(), work)
    return values, slopes


def instruction(result: types.Type) -> Callable:
    """A function (bytes, index) of compiled code from one that emits LLVM's instruction for the address."""

    def decorate(emit: Callable):
        @intrinsic
        def function(typing, array, index):
            def generate(context, builder, signature, args):
                data = context.make_array(signature.args[0])(context, builder, args[0]).data
                return emit(context, builder, builder.gep(data, [args[1]]))

            return result(array, index), generate

        return function

    return decorate


@instruction(types.void)
def prefetch(context, builder, address):
    """Ask memory for the bytes at an index, without waiting."""
    kind = ir.FunctionType(ir.VoidType(), [BYTE.as_pointer(), INT, INT, INT])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [address, INT(0), INT(3), INT(1)])  # for reading, into all caches, data
    return context.get_dummy_value()


@instruction(types.uint16)
def neighbours(context, builder, address):
    """The bytes at an index and behind it, the second in the upper half."""
    return builder.load(builder.bitcast(address, ir.IntType(16).as_pointer()), align=1)


@compiled
def corners(centre, s, unit, half, shrink, length, band, pitch, bits, near, far, weight, slope):
    """What ``corners`` of :mod:`vsacc.sampler` does along one axis, and the offsets of :class:`~vsacc.sampler.Layout`.
    slope: of the weight in ``centre``, 0 beyond the border. Returns whether the second pixels lie behind the first."""
    zero, one = weight.dtype.type(0), weight.dtype.type(1)
    last, mask = max(length - 2, 0), (1 << bits) - 1  # the first of the last two pixels
    joined = length > 1
    for i in range(len(unit)):
        position = (centre + s * unit[i] + one) * half * shrink - weight.dtype.type(0.5)
        first = np.floor(position)
        weight[i], slope[i] = position - first, half * shrink
        pixel = np.int64(first) if abs(first) < 1e15 else 0  # a NaN too, its weight remains
        if pixel < 0:
            pixel, weight[i], slope[i] = 0, weight[i] * zero, zero
        elif pixel > last:
            pixel, weight[i], slope[i] = last, weight[i] * zero + one, zero
        second = min(pixel + 1, length - 1)
        near[i] = (pixel >> bits) * band + (pixel & mask) * pitch
        far[i] = (second >> bits) * band + (second & mask) * pitch
        joined &= far[i] == near[i] + 1
    return joined


@compiled
def blend_four(upper, lower, across, down):
    """Bilinear, of two pixels above and two below: the value, and its slopes in ``down`` and ``across``."""
    real = type(across)
    first, second = np.int32(upper), np.int32(lower)
    a, c = real(first & 255), real(second & 255)
    ab, cd = real(first >> 8) - a, real(second >> 8) - c
    above = a + across * ab
    gap = c + across * cd - above
    return above + down * gap, gap, ab + down * (cd - ab)


@compiled
def cut_some(pixels, origin, share, levels, plane, step, bits, height, width, where, values, slopes, begin, end):
    """Glimpses ``begin`` to ``end`` of :func:`cut`. Row by row: first the bytes are collected, one by one, then all
    arithmetic runs on whole registers; hence two loops where one would do, and no calls with
    arrays."""
    real = values.dtype.type
    zero, byte = real(0), real(1 / 255)
    channels, size, top = values.shape[1], values.shape[2], len(levels) - 1
    unit = np.empty(size, values.dtype)
    for i in range(size):
        unit[i] = (real(i) + real(0.5)) * real(2 / size) - real(1)
    near, far = np.empty((2, 2, size), np.int64), np.empty((2, 2, size), np.int64)  # level, axis, sample
    weight, slope = np.empty((2, 2, size), values.dtype), np.empty((2, 2, size), values.dtype)
    taps = np.empty((2, 2, size), np.uint16)  # level, row, sample: two pixels each
    joined = np.empty(2, np.bool_)
    for g in range(begin, end):
        s, x, y = where[g, 0], where[g, 1], where[g, 2]
        h = g if len(slopes) > 1 else 0
        fine, blend, depth = 0, zero, zero  # the finer level, the weight of the coarser, d level / d s
        if top > 0:
            level = np.log2(s * real(max(height, width) / size))
            if level >= zero and level <= real(top):
                depth = byte / (s * real(math.log(2)))
            if level == level:  # not a NaN, which stays one
                level = min(max(level, zero), real(top))
                fine = min(np.int64(np.floor(level)), top - 1)
            blend = level - real(fine)
        for q in range(min(top, 1) + 1):
            _, rows, cols, band, pitch = levels[fine + q]
            shrink = real(0.5 ** (fine + q))
            corners(
                y, s, unit, real(height) / real(2), shrink, rows, band, pitch, bits,
                near[q, 0], far[q, 0], weight[q, 0], slope[q, 0],
            )  # fmt: skip
            joined[q] = corners(
                x, s, unit, real(width) / real(2), shrink, cols, step, 1, bits,
                near[q, 1], far[q, 1], weight[q, 1], slope[q, 1],
            )  # fmt: skip
        for channel in range(channels):
            for i in range(size):
                for q in range(min(top, 1) + 1):
                    base = origin[g // share] + channel * plane + levels[fine + q, 0]
                    upper, lower = base + near[q, 0, i], base + far[q, 0, i]
                    if i + AHEAD < size:
                        soon, next_ = base + near[q, 0, i + AHEAD], base + far[q, 0, i + AHEAD]
                        for j in range(0, size, 4):
                            prefetch(pixels, soon + near[q, 1, j])
                            prefetch(pixels, next_ + near[q, 1, j])
                    if joined[q]:
                        for j in range(size):
                            taps[q, 0, j] = neighbours(pixels, upper + near[q, 1, j])
                            taps[q, 1, j] = neighbours(pixels, lower + near[q, 1, j])
                    else:  # somewhere a tile ends
                        for j in range(size):
                            one, other = pixels[upper + near[q, 1, j]], pixels[upper + far[q, 1, j]]
                            taps[q, 0, j] = np.uint16(one) | np.uint16(np.uint16(other) << 8)
                            one, other = pixels[lower + near[q, 1, j]], pixels[lower + far[q, 1, j]]
                            taps[q, 1, j] = np.uint16(one) | np.uint16(np.uint16(other) << 8)
                u, down, slope_down = unit[i], weight[0, 0, i], slope[0, 0, i] * byte
                down2, slope_down2 = weight[1, 0, i], slope[1, 0, i] * byte
                if top > 0:
                    for j in range(size):
                        value, gap, rise = blend_four(taps[0, 0, j], taps[0, 1, j], weight[0, 1, j], down)
                        along_y, along_x = gap * slope_down, rise * (slope[0, 1, j] * byte)
                        coarse, gap, rise = blend_four(taps[1, 0, j], taps[1, 1, j], weight[1, 1, j], down2)
                        deeper = coarse - value
                        along_y += blend * (gap * slope_down2 - along_y)
                        along_x += blend * (rise * (slope[1, 1, j] * byte) - along_x)
                        values[g, channel, i, j] = (value + blend * deeper) * byte
                        slopes[h, 0, channel, i, j] = along_x * unit[j] + along_y * u + deeper * depth
                        slopes[h, 1, channel, i, j] = along_x
                        slopes[h, 2, channel, i, j] = along_y
                else:
                    for j in range(size):
                        value, gap, rise = blend_four(taps[0, 0, j], taps[0, 1, j], weight[0, 1, j], down)
                        along_y, along_x = gap * slope_down, rise * (slope[0, 1, j] * byte)
                        values[g, channel, i, j] = value * byte
                        slopes[h, 0, channel, i, j] = along_x * unit[j] + along_y * u
                        slopes[h, 1, channel, i, j] = along_x
                        slopes[h, 2, channel, i, j] = along_y
