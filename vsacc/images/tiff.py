"""TIFF of 16 bits a sample, as FiveK's experts saved it.

Pillow would cut it to 8 bits before the colours are converted, so it is read by tifffile.
"""

from math import prod

import numpy as np
from imagecodecs import cms_profile
from tifffile import EXTRASAMPLE, PHOTOMETRIC, TiffPage

from .colour import PROPHOTO, to_srgb

ORIENTATION = 274  # the tag, in TIFF and in EXIF


def develop_deep(page: TiffPage, prophoto: bool) -> np.ndarray:
    """A page of uint16 grey or RGB, with or without alpha -> uint8 (H, W, 3) in sRGB, upright.

    prophoto: RGB without an ICC profile is ProPhoto RGB. Raises ValueError for other kinds of sample.
    """
    colour = page.photometric == PHOTOMETRIC.RGB
    if page.dtype != np.uint16 or page.bitspersample != 16 or not (colour or page.photometric <= 1):
        raise ValueError(f"{page.bitspersample}-bit {page.photometric.name} TIFF, not 8- or 16-bit grey or RGB")
    planes, _, height, width, samples = page.shaped
    pixels = page.asarray().reshape(planes, height, width, samples)
    pixels = np.moveaxis(pixels, 0, 2).reshape(height, width, planes * samples)
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        pixels = ~pixels
    channels = 3 if colour else 1
    if page.extrasamples and page.extrasamples[0] in (EXTRASAMPLE.UNASSALPHA, EXTRASAMPLE.ASSOCALPHA):
        pixels = over_white(pixels, channels, page.extrasamples[0] == EXTRASAMPLE.ASSOCALPHA)
    profile = page.iccprofile or (cms_profile("rgb", **PROPHOTO) if prophoto and colour else None)
    return upright(to_srgb(pixels[..., :channels], profile), orientation_of(page))


def check_segments(page: TiffPage, size: int) -> None:
    """Raises ValueError unless every strip or tile lies inside the file's ``size`` bytes: decoders fill what is not."""
    if len(page.dataoffsets) < prod(page.chunked):
        raise ValueError("strips are missing")
    segments = zip(page.dataoffsets, page.databytecounts, strict=True)
    if any(count == 0 or offset + count > size for offset, count in segments):
        raise ValueError("it is cut short")


def over_white(pixels: np.ndarray, channels: int, multiplied: bool) -> np.ndarray:
    """Lay uint16 (H, W, channels + alpha + ...) over white; ``multiplied``: the alpha is in the colours already."""
    alpha = pixels[..., channels : channels + 1].astype(np.uint32)
    colours = pixels[..., :channels] if multiplied else pixels[..., :channels] * alpha // 65535
    return np.minimum(colours + (65535 - alpha), 65535).astype(np.uint16)


def orientation_of(page: TiffPage) -> int:
    """The TIFF's orientation, 1 (upright) to 8."""
    value = page.tags.valueof(ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Undo a TIFF or EXIF orientation on (H, W, C)."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image[:, ::-1] if orientation in (2, 3, 6, 7) else image
