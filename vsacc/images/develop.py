"""Photographs as pixels: any DNG, TIFF, JPEG, PNG or WebP file -> upright 8-bit sRGB.

What a file holds is told by its content, never by its name. Colours are converted with the embedded ICC profile;
without one they are taken as sRGB. A file that is damaged, cut short or too large is refused in one sentence: nothing
here returns a picture whose lower half is missing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import rawpy
import simplejpeg
from PIL import Image, ImageCms, ImageOps
from tifffile import TiffFile

from ..local.paths import UserError
from .colour import to_8_bits
from .tiff import ORIENTATION, check_segments, develop_deep, orientation_of

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".dng")  # of the files that are looked for in folders
PIXELS = 10**9  # a file that declares more is not decoded
Image.MAX_IMAGE_PIXELS = None  # check_size stands in for Pillow's own limit, which no stitched panorama passes
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # classic and BigTIFF, of either byte order
DNG_VERSION = 50706  # tag
DAMAGE = ("premature end", "bad huffman")  # of all that libjpeg only warns of, what costs pixels


def develop(path: Path | str, prophoto: bool = False) -> np.ndarray:
    """The photograph in ``path`` as uint8 (H, W, 3) in sRGB, turned upright.

    Args:
        path: a DNG (camera white balance, no automatic brightness), an 8- or 16-bit TIFF, a JPEG, PNG or WebP.
            Transparency is laid over white.
        prophoto: a 16-bit RGB TIFF without an ICC profile is ProPhoto RGB, as FiveK's experts saved it.

    Raises UserError, naming the file, where it is missing, damaged, cut short, of another format or larger than
    :data:`PIXELS`, the last before anything is decoded.
    """
    path = Path(path)
    with one_sentence_of(path):
        kind = kind_of(path)
        if kind == "DNG":
            return np.ascontiguousarray(develop_dng(path))
        if kind == "TIFF":
            with TiffFile(path) as tiff:
                page = tiff.pages.first
                check_size(path, page.imagewidth, page.imagelength)
                check_segments(page, path.stat().st_size)
                if page.bitspersample > 8:
                    return np.ascontiguousarray(develop_deep(page, prophoto))
        return np.asarray(develop_pillow(path))


def develop_square(path: Path | str, side: int, prophoto: bool = False) -> np.ndarray:
    """What a training store holds of a photograph: :func:`develop`, then :func:`fit_square`."""
    return fit_square(develop(path, prophoto), side)


def fit_square(image: np.ndarray, side: int) -> np.ndarray:
    """Squash uint8 (H, W, 3) to uint8 (3, side, side), anti-aliased (Lanczos on both axes).

    The aspect is not kept: so the paper makes 2528 x 2528 squares of 3:2 photographs. A large image is first reduced
    by whole factors to no less than 3 x side, which bounds the memory.
    """
    square = Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def size_of(path: Path | str) -> tuple[int, int]:
    """(width, height) of the upright photograph in pixels, from the header alone. Raises UserError as develop does."""
    path = Path(path)
    with one_sentence_of(path):
        kind = kind_of(path)
        if kind == "DNG":
            with rawpy.imread(str(path)) as raw:
                width, height, turned = raw.sizes.iwidth, raw.sizes.iheight, raw.sizes.flip & 4
        elif kind == "TIFF":
            with TiffFile(path) as tiff:
                page = tiff.pages.first
                width, height, turned = page.imagewidth, page.imagelength, orientation_of(page) >= 5
        else:
            with Image.open(path, formats=("JPEG", "PNG", "WEBP")) as image:
                (width, height), turned = image.size, image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
        return (height, width) if turned else (width, height)


@contextmanager
def one_sentence_of(path: Path) -> Iterator[None]:
    """Turn whatever a decoder throws at a damaged file into one sentence."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:  # decoders of damaged files raise anything, IndexError and KeyError included
        text = getattr(error, "strerror", None) or (error.args[0] if error.args else type(error).__name__)
        text = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        reason = " ".join(text.replace(str(path), path.name).split()).rstrip(".")
        raise UserError(f"{path.name} cannot be read ({reason}), fetch it again or take it away.") from error


def check_size(path: Path, width: int, height: int) -> None:
    if width * height > PIXELS:
        raise UserError(
            f"{path.name} declares {width} x {height} pixels, more than the {PIXELS / 1e6:.0f} megapixels "
            "that are read, save it smaller or take it away."
        )


def kind_of(path: Path) -> str:
    """ "DNG", "TIFF" or "other", by content."""
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise ValueError("it is empty")
    if start not in TIFF_STARTS:
        return "other"
    with TiffFile(path) as tiff:
        return "DNG" if DNG_VERSION in tiff.pages.first.tags else "TIFF"


def develop_dng(path: Path) -> np.ndarray:
    """Through LibRaw, which turns the image by its orientation tag. Gamma is sRGB's."""
    with rawpy.imread(str(path)) as raw:
        check_size(path, raw.sizes.iwidth, raw.sizes.iheight)
        return raw.postprocess(
            use_camera_wb=True,
            no_auto_bright=True,
            gamma=(2.4, 12.92),
            output_bps=8,
            output_color=rawpy.ColorSpace.sRGB,
        )


def develop_pillow(path: Path) -> Image.Image:
    """Everything of 8 bits a sample or fewer, and 16-bit grey PNG, as an upright RGB image."""
    with Image.open(path, formats=("JPEG", "PNG", "WEBP", "TIFF")) as image:
        check_size(path, *image.size)
        if image.format in ("JPEG", "MPO"):
            check_jpeg(path)
        profile = image.info.get("icc_profile")
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):
            image = Image.fromarray(to_8_bits(np.asarray(image).clip(0, 65535)))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        if image.mode not in ("L", "CMYK"):
            image = image.convert("RGB")
        return pillow_to_srgb(image, profile)


def check_jpeg(path: Path) -> None:
    """Pillow sees a JPEG that ends too early, but not one that was closed after the cut or filled with zeros."""
    try:
        simplejpeg.decode_jpeg(path.read_bytes(), "GRAY", fastdct=True, min_height=1, min_width=1, strict=True)
    except ValueError as error:
        if any(fault in str(error).lower() for fault in DAMAGE):
            raise


def pillow_to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    """RGB, L or CMYK -> sRGB. A profile that is broken or of another colour space is ignored."""
    if icc:
        try:
            profile = ImageCms.ImageCmsProfile(BytesIO(icc))
            if image.mode == "L" and profile.profile.xcolor_space.strip() == "RGB":
                image = image.convert("RGB")
            srgb = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            pass
    return image.convert("RGB")
