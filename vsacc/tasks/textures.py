"""Six fine textures that look alike from afar: mean zero in every cell of the 32 x 32 proxy, and equal contrast.

A texture is a function of the place p = u + iv, complex and in periods, and of a random generator, to values of either
sign; no texture is told from another by colour, brightness, contrast or period.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.random import Generator

from ..sampler import area_matrix

CELLS = 32  # side of the proxy that must not tell the textures apart
PERIOD = (0.027, 0.031)  # in sides: below a cell of the proxy, which is 0.031
ROUNDS = 12  # of taking away what the proxy would show; each takes more than half
TILT = 0.2  # radians, at most
CONTRAST = 0.32  # standard deviation, as a share of the colour it modulates


def stripes(p: np.ndarray, rng: Generator) -> np.ndarray:
    return np.cos(2 * np.pi * p.real)


def rings(p: np.ndarray, rng: Generator) -> np.ndarray:
    return np.cos(2 * np.pi * np.abs(p))


def checks(p: np.ndarray, rng: Generator) -> np.ndarray:
    return np.cos(np.sqrt(2) * np.pi * p.real) * np.cos(np.sqrt(2) * np.pi * p.imag)


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


@lru_cache(maxsize=4)
def shares(side: int) -> np.ndarray:
    """Float32 (CELLS, side): what a pixel of a row weighs in a cell of the proxy of an image's pyramid."""
    block = 2 ** int(math.log2(side / (2 * CELLS)))  # pixels of the image, on a side, in one of the level that is read
    cells = area_matrix(math.ceil(side / block), side / block, CELLS, torch.device("cpu")).numpy()
    return np.repeat(cells, block, axis=1)[:, :side] / block


def even_out(texture: np.ndarray, cover: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """A texture as it lies under ``cover``, both float32 (H, W): of mean 0 in every cell of the proxy and of standard
    deviation CONTRAST where the cover is 1. Its values are pressed together, so that few would leave [0, 1].

    down, across: float32 (CELLS, H) and (CELLS, W), the :func:`shares` of the rows and columns.
    """
    down, across = down[down.any(1)], across[across.any(1)]
    weight = down @ cover @ across.T + 1e-6
    back_down, back_across = down / down.sum(0), across / across.sum(0)
    texture = cover * np.tanh(2 * texture / texture.std())
    for _ in range(ROUNDS):
        texture -= cover * (back_down.T @ (down @ texture @ across.T / weight) @ back_across)
    return texture * (CONTRAST / np.sqrt((texture**2).sum() / (cover**2).sum()))
