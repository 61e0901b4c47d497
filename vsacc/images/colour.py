"""Colours of 16-bit pixels: from an ICC profile to 8-bit sRGB, exact to one level.

Little CMS is exact on 16 bits only without its precalculated grid (with it, saturated colours are up to 20 levels
off), and then takes half a second a megapixel. Nearly every RGB profile, ProPhoto included, is one curve and one
matrix: these two are measured through Little CMS itself, checked against it, and applied as table and product.
"""

from functools import lru_cache

import numpy as np
from imagecodecs import CmsError, cms_profile, cms_transform

# ROMM RGB (ISO 22028-2) as Adobe writes it: pure gamma 1.8, white D50.
PROPHOTO = {
    "whitepoint": [0.3457, 0.3585, 1],
    "primaries": [0.7347, 0.2653, 1, 0.1596, 0.8404, 1, 0.0366, 0.0001, 1],
    "gamma": 1.8,
}
LINEAR_SRGB = {
    "whitepoint": [0.3127, 0.3290, 1],
    "primaries": [0.64, 0.33, 1, 0.30, 0.60, 1, 0.15, 0.06, 1],
    "gamma": 1.0,
}
EXACT = 0x0100  # cmsFLAGS_NOOPTIMIZE
ROWS = 128  # at a time, so that only these are ever floats


def to_srgb(pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """uint16 (H, W, 1 or 3) -> uint8 (H, W, 3) in sRGB.

    Without a profile, or under one that is broken or of another colour space, the pixels are sRGB already.
    """
    grey = pixels.shape[-1] == 1
    try:
        if profile and grey:
            return transform(pixels[..., 0], profile, cms_profile("srgb"), "gray", "uint8")
        if profile and (shaper := measure(profile)):
            return apply(pixels, *shaper)
        if profile:
            return transform(pixels, profile, cms_profile("srgb"), "rgb", "uint8")
    except CmsError:
        pass
    return np.broadcast_to(to_8_bits(pixels), (*pixels.shape[:2], 3))


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """uint16 -> uint8, rounded: 65535 becomes 255."""
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def transform(pixels: np.ndarray, source: bytes, target: bytes, space: str, dtype: str) -> np.ndarray:
    return cms_transform(
        np.ascontiguousarray(pixels), source, target, colorspace=space, outcolorspace="rgb", outdtype=dtype, flags=EXACT
    )


@lru_cache(maxsize=16)
def measure(profile: bytes) -> tuple[np.ndarray, np.ndarray] | None:
    """The RGB profile as (curve, matrix): float32 (65536,) and (3, 3), so that linear sRGB = curve[pixels] @ matrix.

    None where it is no such profile. Raises CmsError where it is none at all.
    """
    linear = cms_profile("rgb", **LINEAR_SRGB)
    ramp = np.repeat(np.arange(65536, dtype=np.uint16), 3).reshape(-1, 1, 3)
    curve = transform(ramp, profile, linear, "rgb", "float32")[:, 0, 1]
    primaries = (np.eye(3) * 65535).astype(np.uint16)[None]
    matrix = transform(primaries, profile, linear, "rgb", "float32")[0]

    trial = np.random.default_rng(0).integers(65536, size=(64, 64, 3), dtype=np.uint16)
    exact = transform(trial, profile, cms_profile("srgb"), "rgb", "uint8")
    off = np.abs(apply(trial, curve, matrix).astype(int) - exact).max()
    return (curve, matrix) if off <= 1 else None


def apply(pixels: np.ndarray, curve: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """uint16 (H, W, 3) -> uint8 sRGB (H, W, 3)."""
    table, out = srgb_table(), np.empty(pixels.shape, np.uint8)
    for row in range(0, len(pixels), ROWS):
        linear = curve[pixels[row : row + ROWS]] @ matrix  # (rows, W, 3)
        out[row : row + ROWS] = table[np.rint(linear.clip(0, 1) * 65535).astype(np.uint16)]
    return out


@lru_cache
def srgb_table() -> np.ndarray:
    """uint8 (65536,): linear light in 1/65535 -> sRGB (IEC 61966-2-1)."""
    light = np.arange(65536) / 65535
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * curve).astype(np.uint8)
