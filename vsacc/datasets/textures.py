"""Six fine textures that look alike from afar: mean zero in every cell of the 32 x 32 proxy, and equal contrast.

A texture is a function of the place p = u + iv, complex and in periods, and of a random generator, to values of either
sign; no texture is told from another by colour, brightness, contrast or period.
"""

import numpy as np
from numpy.random import Generator
from PIL import Image

CELLS = 32  # side of the proxy that must not tell the textures apart
PERIOD = (0.026, 0.030)  # in sides: below a cell of the proxy, which is 0.031
TILT = 0.2  # radians, at most
CONTRAST = 0.28  # standard deviation, as a share of the colour it modulates


def stripes(p: np.ndarray, rng: Generator) -> np.ndarray:
    return np.cos(2 * np.pi * p.real)


def rings(p: np.ndarray, rng: Generator) -> np.ndarray:
    return np.cos(2 * np.pi * np.abs(p))


def checks(p: np.ndarray, rng: Generator) -> np.ndarray:
    return np.tanh(3 * np.cos(np.sqrt(2) * np.pi * p.real) * np.cos(np.sqrt(2) * np.pi * p.imag))


def dots(p: np.ndarray, rng: Generator) -> np.ndarray:
    return sum(np.cos(2 * np.pi * (p * np.exp(1j * angle)).real) for angle in np.pi / 3 * np.arange(3))


def weave(p: np.ndarray, rng: Generator) -> np.ndarray:
    over = (np.floor(p.real / 2) + np.floor(p.imag / 2)) % 2 > 0
    return np.cos(2 * np.pi * np.where(over, p.real, p.imag))


def noise(p: np.ndarray, rng: Generator) -> np.ndarray:
    """Twenty waves of any direction and phase, with periods around one."""
    pace = rng.uniform(0.7, 1.3, 20) * np.exp(2j * np.pi * rng.random(20))
    return sum(np.cos(2 * np.pi * ((p * wave).real + phase)) for wave, phase in zip(pace, rng.random(20), strict=True))


TEXTURES = (dots, stripes, checks, rings, noise, weave)


def turn(offset: np.ndarray, rng: Generator) -> np.ndarray:
    """Offsets from the middle in sides -> places in periods, a little turned and of a random period."""
    return (offset * (np.exp(1j * rng.uniform(-TILT, TILT)) / rng.uniform(*PERIOD))).astype(np.complex64)


def even_out(texture: np.ndarray, cover: np.ndarray, pixels: int) -> np.ndarray:
    """``texture`` under ``cover`` in [0, 1], both (H, W), H and W multiples of ``pixels``, the side of a cell: less its
    mean in every cell, and of standard deviation CONTRAST over the cover."""
    shape = (len(texture) // pixels, pixels, -1, pixels)
    weight = cover.reshape(shape).sum((1, 3)) + 1e-6
    texture = texture * cover

    def means() -> np.ndarray:
        return (texture.reshape(shape).sum((1, 3)) / weight).astype(np.float32)

    for _ in range(4):  # smoothly, so that no cell shows
        smooth = Image.fromarray(means()).resize(texture.shape[::-1], Image.Resampling.BILINEAR)
        texture = texture - cover * np.asarray(smooth)
    texture = texture - cover * np.kron(means(), np.ones((pixels, pixels), np.float32))  # and what is left, exactly
    return texture * (CONTRAST / np.sqrt((texture**2).sum() / (cover**2).sum()))
