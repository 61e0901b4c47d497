"""Photographs for the tests, written in their true formats."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image


def smooth(height: int, width: int) -> np.ndarray:
    """A picture without symmetry, uint8 (H, W, 3): every turn and flip of it differs."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = np.stack([np.sin(9 * x + 5 * y), np.cos(7 * y - 2 * x), np.sin(4 * x * y + 1)], -1)
    return (127 + 100 * waves).astype(np.uint8)


def srgb_curve(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1: linear [0, 1] -> [0, 255], float64."""
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def from_prophoto(pixels: np.ndarray) -> np.ndarray:
    """uint16 ProPhoto -> sRGB in [0, 255], float64, by hand: gamma 1.8, then Lindbloom's matrices at D50."""
    to_xyz = np.array([[0.7976749, 0.1351917, 0.0313534], [0.2880402, 0.7118741, 0.0000857], [0, 0, 0.8252100]])
    to_rgb = np.array([[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.0334540],
                       [0.0719453, -0.2289914, 1.4052427]])  # fmt: skip
    return srgb_curve((pixels / 65535.0) ** 1.8 @ to_xyz.T @ to_rgb.T)


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """How a camera stores an upright image under each orientation: Pillow's transpositions, undone."""
    back = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_90 TRANSVERSE ROTATE_270".split()
    if orientation == 1:
        return image
    return np.asarray(Image.fromarray(image).transpose(Image.Transpose[back[orientation - 2]]))


def write_dng(
    path: Path, cfa: np.ndarray, orientation: int = 1, neutral: tuple[int, ...] = (10, 10, 10), **kwargs: object
) -> None:
    """A DNG of one RGGB mosaic, uint16 of 14 bits, of a camera whose primaries are sRGB's.

    neutral: what grey was in red, green and blue, in tenths of the white level.
    """
    matrix = [32405, -15371, -4985, -9693, 18760, 416, 556, -2040, 10572]  # XYZ -> sRGB, in ten thousandths
    tags = [
        (274, "H", 1, orientation, True),
        (271, "s", 0, "Make", True),
        (33421, "H", 2, (2, 2), True),  # CFA pattern: size, colours
        (33422, "B", 4, bytes([0, 1, 1, 2]), True),
        (50706, "B", 4, bytes([1, 4, 0, 0]), True),  # DNG version
        (50717, "I", 1, 16383, True),  # white level
        (50721, "2i", 9, [number for value in matrix for number in (value, 10000)], True),  # XYZ -> camera
        (50778, "H", 1, 21, True),  # D65
        (50728, "2I", 3, tuple(number for tenths in neutral for number in (tenths, 10)), True),  # as shot
    ]
    tifffile.imwrite(path, cfa, photometric="CFA", extratags=tags, **kwargs)


def written(write: Callable, *content: object, **how: object) -> bytes:
    """The bytes of a file that ``write`` makes, such as ``image.save`` with a kind, or :func:`write_dng`."""
    file = BytesIO()
    write(file, *content, **how)
    return file.getvalue()
