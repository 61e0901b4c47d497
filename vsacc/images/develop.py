"""Photographs as pixels: any DNG, TIFF, JPEG, PNG, WebP or BMP file -> upright 8-bit sRGB.

What a file holds is told by its content, never by its name. Colours are converted with the embedded ICC profile;
without one they are taken as sRGB. A file that is damaged, cut short or too large is refused in one sentence: nothing
here returns a picture whose lower half is missing."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from io import BytesIO
from math import prod
from pathlib import Path

import numpy as np
import rawpy
import simplejpeg
from imagecodecs import CmsError, cms_profile, cms_transform
from PIL import Image, ImageCms, ImageOps
from tifffile import PHOTOMETRIC, TiffFile, TiffPage

from ..local.paths import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".dng")  # of the files that are looked for in folders
PIXELS = 10**9  # a file that declares more is not decoded
Image.MAX_IMAGE_PIXELS = None  # check_size stands in for Pillow's own limit, which no stitched panorama passes
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # classic and BigTIFF, of either byte order
ORIENTATION, DNG_VERSION = 274, 50706  # tags, the first in TIFF and in EXIF
DAMAGE = ("premature end", "bad huffman")  # of all that libjpeg only warns of, what costs pixels

# ROMM RGB (ISO 22028-2) as Adobe writes it: pure gamma 1.8, white D50.
PROPHOTO = {
    "whitepoint": [0.3457, 0.3585, 1],
    "primaries": [0.7347, 0.2653, 1, 0.1596, 0.8404, 1, 0.0366, 0.0001, 1],
    "gamma": 1.8,
}
LIGHT = np.arange(65536) / 65535  # linear, to sRGB by the table of IEC 61966-2-1
SRGB = np.rint(255 * np.where(LIGHT <= 0.0031308, 12.92 * LIGHT, 1.055 * LIGHT ** (1 / 2.4) - 0.055)).astype(np.uint8)
EXACT = 0x0100  # cmsFLAGS_NOOPTIMIZE
ROWS = 128  # at a time, so that only these are ever floats


def develop(path: Path | str, prophoto: bool = False) -> np.ndarray:
    """The photograph in ``path`` as uint8 (H, W, 3) in sRGB, turned upright.

    Args:
        path: a DNG (camera white balance, no automatic brightness), an 8- or 16-bit TIFF, a JPEG, PNG, WebP or BMP.
            Transparency is laid over white where there are 8 bits, and ignored where there are 16.
        prophoto: a 16-bit RGB TIFF without an ICC profile is ProPhoto RGB, as FiveK's experts saved it.

    Raises UserError, naming the file, where it is missing, damaged, cut short, of another format or larger than
    :data:`PIXELS`, the last before anything is decoded."""
    path = Path(path)
    with one_sentence_of(path):
        with path.open("rb") as file:
            start = file.read(4)
        if start not in TIFF_STARTS:
            return np.asarray(develop_pillow(path))
        with TiffFile(path) as tiff:
            page = tiff.pages.first
            if DNG_VERSION in page.tags:
                with rawpy.imread(str(path)) as raw:  # LibRaw turns the image by its orientation tag
                    check_size(path, raw.sizes.iwidth, raw.sizes.iheight)
                    return raw.postprocess(use_camera_wb=True, no_auto_bright=True, gamma=(2.4, 12.92))  # 8-bit sRGB
            check_size(path, page.imagewidth, page.imagelength)
            spans, size = list(zip(page.dataoffsets, page.databytecounts, strict=True)), path.stat().st_size
            if len(spans) < prod(page.chunked) or any(not count or first + count > size for first, count in spans):
                raise ValueError("it is cut short")  # decoders fill strips and tiles that are not there
            return np.asarray(develop_deep(page, prophoto) if page.bitspersample > 8 else develop_pillow(path))


def develop_square(path: Path | str, side: int, prophoto: bool = False) -> np.ndarray:
    """What a training store holds of a photograph: :func:`develop`, squashed to uint8 (3, side, side) as in the paper,
    anti-aliased (Lanczos on both axes). What is large is first reduced by whole factors to no less than 3 x side."""
    image = Image.fromarray(develop(path, prophoto))
    square = image.resize((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


@contextmanager
def one_sentence_of(path: Path) -> Iterator[None]:
    """Turn whatever a decoder throws at a damaged file, IndexError and KeyError included, into one sentence."""
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{path.name} needs more memory than is free, make it smaller or take it away.") from error
    except Exception as error:
        text = getattr(error, "strerror", None) or (error.args[0] if error.args else type(error).__name__)
        text = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        reason = " ".join(text.replace(str(path), path.name).split()).rstrip(".")
        raise UserError(f"{path.name} cannot be read ({reason}), fetch it again or take it away.") from error


def check_size(path: Path, width: int, height: int) -> None:
    if width * height > PIXELS:
        told = f"{width} x {height} pixels, more than the {PIXELS / 1e6:.0f} megapixels that are read"
        raise UserError(f"{path.name} declares {told}, save it smaller or take it away.")


def develop_pillow(path: Path) -> Image.Image:
    """What has 8 bits a sample or fewer, and 16-bit grey PNG, as an upright RGB image."""
    with Image.open(path, formats=("JPEG", "PNG", "WEBP", "TIFF", "BMP")) as image:
        check_size(path, *image.size)
        if image.format in ("JPEG", "MPO"):
            check_jpeg(path)
        icc = image.info.get("icc_profile")
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        image = Image.fromarray(to_8_bits(np.asarray(image).clip(0, 65535)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode not in ("L", "CMYK"):
        image = image.convert("RGB")
    with suppress(ImageCms.PyCMSError, OSError):  # a profile that is broken or of another colour space
        if icc:
            profile = ImageCms.ImageCmsProfile(BytesIO(icc))
            if image.mode == "L" and profile.profile.xcolor_space.strip() == "RGB":
                image = image.convert("RGB")
            return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return image.convert("RGB")


def check_jpeg(path: Path) -> None:
    """Pillow sees a JPEG that ends too early, but not one that was closed after the cut or filled with zeros."""
    try:
        simplejpeg.decode_jpeg(path.read_bytes(), "GRAY", fastdct=True, min_height=1, min_width=1, strict=True)
    except ValueError as error:
        if any(fault in str(error).lower() for fault in DAMAGE):
            raise


def develop_deep(page: TiffPage, prophoto: bool) -> Image.Image:
    """A page of uint16 grey or RGB as an upright sRGB image: Pillow would cut it to 8 bits before converting colours.
    prophoto: as of :func:`develop`. Raises ValueError for other kinds of sample."""
    colour = page.photometric == PHOTOMETRIC.RGB
    if (page.dtype, page.bitspersample) != (np.uint16, 16) or page.photometric.name not in ("RGB", "MINISBLACK"):
        raise ValueError(f"{page.bitspersample}-bit {page.photometric.name} TIFF, not 8- or 16-bit grey or RGB")
    planes, _, height, width, samples = page.shaped
    pixels = np.moveaxis(page.asarray().reshape(planes, height, width, samples), 0, 2).reshape(height, width, -1)
    profile = page.iccprofile or (cms_profile("rgb", **PROPHOTO) if prophoto and colour else None)
    image = Image.fromarray(np.ascontiguousarray(to_srgb(pixels[..., : 3 if colour else 1], profile)))
    image.getexif()[ORIENTATION] = page.tags.valueof(ORIENTATION, 1)
    return ImageOps.exif_transpose(image)


# Colours of 16-bit pixels, exact to one level. Little CMS is exact on 16 bits only without its precalculated grid (with
# it, saturated colours are up to 20 levels off), and then takes half a second a megapixel. Nearly every RGB profile,
# ProPhoto included, is one curve and one matrix: these two are measured through Little CMS itself, checked against it,
# and applied as table and product.


def to_srgb(pixels: np.ndarray, profile: bytes | None) -> np.ndarray:
    """uint16 (H, W, 1 or 3) -> uint8 (H, W, 3) in sRGB, as which they are taken where the profile is None, broken or of
    another colour space."""
    with suppress(CmsError):
        if profile and pixels.shape[-1] == 1:
            return transform(pixels[..., 0], profile, cms_profile("srgb"), "gray", "uint8")
        if profile:
            shaper = measure(profile)
            return apply(pixels, *shaper) if shaper else transform(pixels, profile, cms_profile("srgb"), "rgb", "uint8")
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
    """The RGB profile as (curve, matrix): float32 (65536,) and (3, 3), so that linear sRGB = curve[pixels] @ matrix, or
    None where that does not hold. Raises CmsError where it is no profile."""
    primaries = [0.64, 0.33, 1, 0.30, 0.60, 1, 0.15, 0.06, 1]  # sRGB's
    linear = cms_profile("rgb", whitepoint=[0.3127, 0.3290, 1], primaries=primaries, gamma=1.0)
    ramp = np.repeat(np.arange(65536, dtype=np.uint16), 3).reshape(-1, 1, 3)
    curve = transform(ramp, profile, linear, "rgb", "float32")[:, 0, 1]
    pure = (np.eye(3) * 65535).astype(np.uint16)[None]
    matrix = transform(pure, profile, linear, "rgb", "float32")[0]
    trial = np.random.default_rng(0).integers(65536, size=(64, 64, 3), dtype=np.uint16)
    exact = transform(trial, profile, cms_profile("srgb"), "rgb", "uint8")
    off = np.abs(apply(trial, curve, matrix).astype(int) - exact).max()
    return (curve, matrix) if off <= 1 else None


def apply(pixels: np.ndarray, curve: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """uint16 (H, W, 3) -> uint8 sRGB (H, W, 3)."""
    out = np.empty(pixels.shape, np.uint8)
    for row in range(0, len(pixels), ROWS):
        linear = curve[pixels[row : row + ROWS]] @ matrix  # (rows, W, 3)
        out[row : row + ROWS] = SRGB[np.rint(linear.clip(0, 1) * 65535).astype(np.uint16)]
    return out
