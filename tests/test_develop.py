"""DNG, TIFF, JPEG, PNG and WebP developed and squashed to squares; damaged or foreign ones refused in one sentence."""

import struct
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from imagecodecs import cms_profile, cms_transform
from photo_files import from_prophoto, smooth, srgb_curve, turned, write_dng, written
from PIL import Image, ImageCms
from torch.nn import functional as F

from vsacc.images import develop as module
from vsacc.images.develop import PROPHOTO, develop, develop_square
from vsacc.local.paths import UserError

PROPHOTO_ICC = cms_profile("rgb", **PROPHOTO)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_dng_is_developed_to_srgb_and_turned(tmp_path, orientation):
    """A flat grey mosaic has one answer: the sRGB curve of its share of the white level. The corner is marked."""
    cfa = np.full((64, 96), 3000, np.uint16)
    cfa[:16, :24] = 9000
    write_dng(tmp_path / "a.dng", cfa, orientation)
    image = develop(tmp_path / "a.dng").astype(int)
    height, width = (64, 96) if orientation in (1, 3) else (96, 64)
    assert image.shape == (height, width, 3)
    dark, light = srgb_curve(np.array([3000, 9000]) / 16383)
    assert np.abs(image[height // 2 - 4 : height // 2 + 4, width // 2 - 4 : width // 2 + 4] - dark).max() <= 2
    row, column = {1: (4, 4), 3: (-5, -5), 6: (4, -5), 8: (-5, 4)}[orientation]
    assert np.abs(image[row, column] - light).max() <= 2


def test_the_cameras_white_balance_makes_grey_grey_and_colours_keep_their_channels(tmp_path):
    cfa = np.full((32, 32), 8000, np.uint16)
    cfa[::2, ::2], cfa[1::2, 1::2] = 4000, 6400  # red and blue sites of RGGB
    write_dng(tmp_path / "a.dng", cfa, neutral=(5, 10, 8))
    assert np.ptp(develop(tmp_path / "a.dng")[16, 16].astype(int)) <= 2
    cfa[:], cfa[::2, ::2] = 0, 16383
    write_dng(tmp_path / "a.dng", cfa)
    red, green, blue = develop(tmp_path / "a.dng")[16, 16]
    assert red > 250 and green < 5 and blue < 5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(file, kind, orientation):
    image, exif = smooth(48, 64), Image.Exif()
    exif[274] = orientation
    lossless = {"JPEG": {"quality": 100, "subsampling": 0}, "PNG": {}, "WEBP": {"lossless": True}}[kind]
    path = file(written(Image.fromarray(turned(image, orientation)).save, kind, exif=exif, **lossless))
    assert np.abs(develop(path).astype(int) - image).max() <= (4 if kind == "JPEG" else 0)


def test_every_mode_becomes_rgb(file):
    grey = np.array([[0, 100, 255]], np.uint8)
    three = np.repeat(grey[..., None], 3, -1)
    assert np.array_equal(develop(file(written(Image.fromarray(grey).save, "PNG"))), three)
    assert np.array_equal(develop(file(written(Image.fromarray(grey.astype(np.uint16) * 257).save, "PNG"))), three)
    one = Image.fromarray(grey).convert("1", dither=Image.Dither.NONE)
    assert develop(file(written(one.save, "PNG")))[0, :, 0].tolist() == [0, 0, 255]
    palette = Image.fromarray(smooth(8, 8)).quantize(5)
    assert np.array_equal(develop(file(written(palette.save, "PNG"))), np.asarray(palette.convert("RGB")))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 8, 8, 8])
    seen = develop(file(written(palette.save, "PNG", transparency=0)))
    assert (seen[np.asarray(palette) == 0] == 255).all(), "a transparent entry shows white"
    rgba = Image.fromarray(np.array([[[255, 0, 0, 51], [0, 0, 0, 0], [1, 2, 3, 255]]], np.uint8))
    assert develop(file(written(rgba.save, "PNG"))).tolist() == [[[255, 204, 204], [255] * 3, [1, 2, 3]]]
    cmyk = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    red, green, blue = develop(file(written(cmyk.save, "JPEG", quality=100)))[8, 8]
    assert red < 5 and green > 250 and blue > 250


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_embedded_profile_is_honoured(file, kind):
    photo = Image.fromarray(smooth(32, 32) // 2 + 50)
    stored = develop(file(written(photo.save, kind))).astype(np.uint16)
    image = develop(file(written(photo.save, kind, icc_profile=PROPHOTO_ICC)))
    assert np.abs(image - from_prophoto(stored * 257)).max() <= 2


def test_profiles_of_another_colour_space(file):
    """A grey image follows the curve of an RGB profile; one that has no RGB is ignored."""
    grey = np.arange(256, dtype=np.uint8)[None]
    path = file(written(Image.fromarray(grey).save, "PNG", icc_profile=PROPHOTO_ICC))
    assert np.abs(develop(path)[0] - srgb_curve((grey.T / 255.0) ** 1.8)).max() <= 1.5
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    path = file(written(Image.fromarray(smooth(8, 8)).save, "PNG", icc_profile=lab))
    assert np.array_equal(develop(path), smooth(8, 8))


def test_very_wide_and_very_narrow_pictures(file, tiff):
    wide = np.tile(smooth(1, 300), (1, 100, 1))
    for array in (wide, wide.swapaxes(0, 1)):
        assert np.array_equal(develop(file(written(Image.fromarray(array).save, "PNG"))), array)
        assert np.array_equal(develop(tiff(array * np.uint16(257))), array)


@pytest.fixture
def tiff(tmp_path):
    """Pixels, as RGB unless told otherwise -> the path of a TIFF that holds them."""

    def write(pixels, photometric="rgb", **how):
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric, **how)
        return tmp_path / "a.tif"

    return write


@pytest.mark.parametrize("how", [
    {}, {"compression": "zlib", "predictor": 2}, {"compression": "lzw"}, {"byteorder": ">"}, {"bigtiff": True},
    {"compression": "lzw", "predictor": 2, "byteorder": ">"}, {"compression": "zlib", "tile": (32, 48)},
    {"planarconfig": "separate"}], ids=str)  # fmt: skip
def test_prophoto_tiff_agrees_with_the_analytic_conversion(tiff, how):
    pixels = (smooth(70, 90).astype(np.uint16) * 257) // 2 + 12000 + np.arange(90, dtype=np.uint16)[None, :, None]
    stored = np.moveaxis(pixels, -1, 0) if "planarconfig" in how else pixels
    image = develop(tiff(stored, iccprofile=PROPHOTO_ICC, **({} if "tile" in how else {"rowsperstrip": 16}), **how))
    assert image.shape == (70, 90, 3) and image.dtype == np.uint8
    assert np.abs(image - from_prophoto(pixels)).max() <= 1.25
    assert np.abs(image - pixels / 257).max() > 10, "the conversion does something"


def test_16_bits_without_a_profile_are_srgb_unless_the_caller_knows_better(tiff):
    pixels = np.array([[[0, 128, 129], [257, 65535, 40000], [30000, 30000, 30000]]], np.uint16)
    assert develop(tiff(pixels)).tolist() == [[[0, 0, 1], [1, 255, 156], [117, 117, 117]]]
    assert np.abs(develop(tiff(pixels), prophoto=True) - from_prophoto(pixels)).max() <= 1.25
    path = tiff(pixels, iccprofile=cms_profile("srgb"))
    assert np.abs(develop(path, prophoto=True) - pixels / 257).max() <= 1.25, "the file's own goes first"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("scale", [np.uint8(1), np.uint16(257)])
@pytest.mark.parametrize("how", [{}, {"compression": "lzw"}, {"compression": "zlib", "tile": (16, 32)}], ids=str)
def test_tiff_is_turned_upright_and_a_broken_profile_ignored(tiff, orientation, scale, how):
    image, how = smooth(40, 60), {"iccprofile": b"not a profile", **how}
    path = tiff(turned(image, orientation) * scale, extratags=[(274, "H", 1, orientation, True)], **how)
    assert np.array_equal(develop(path), image)


def test_grey_and_transparent_16_bit_tiff(tiff):
    ramp = np.arange(0, 65536, 257, dtype=np.uint16)[None]
    profile = cms_profile("gray", whitepoint=PROPHOTO["whitepoint"], gamma=1.8)
    expected = from_prophoto(np.repeat(ramp[..., None], 3, -1))
    assert np.abs(develop(tiff(ramp, "minisblack", iccprofile=profile)) - expected).max() <= 1.25
    grey = np.array([[0, 32896, 65535]], np.uint16)
    assert develop(tiff(grey, "minisblack"))[0].tolist() == [[value] * 3 for value in (0, 128, 255)]
    half = np.array([[[65535, 0, 0, 32768]]], np.uint16)
    assert develop(tiff(half, extrasamples=["unassalpha"])).tolist() == [[[255, 0, 0]]], "without its transparency"
    with pytest.raises(UserError, match="16-bit MINISWHITE TIFF"):
        develop(tiff(grey, "miniswhite"))


CURVES = np.stack([np.linspace(0, 1, 64) ** gamma for gamma in (1.2, 1.8, 2.4)]).astype(np.float32)


@pytest.mark.parametrize("profile, is_shaper", [({"gamma": 1.0}, True), ({"gamma": 2.2}, True), (
    {"gamma": None, "transferfunction": CURVES}, False)], ids=["linear", "gamma 2.2", "three curves"])  # fmt: skip
def test_the_shortcut_agrees_with_little_cms_and_sees_where_it_does_not_hold(profile, is_shaper):
    profile = cms_profile("rgb", **{**PROPHOTO, **profile})
    assert (module.measure(profile) is not None) == is_shaper
    pixels = np.random.default_rng(1).integers(65536, size=(150, 40, 3), dtype=np.uint16)
    exact = cms_transform(pixels, profile, cms_profile("srgb"), colorspace="rgb", outcolorspace="rgb",
                          outdtype="uint8", flags=module.EXACT)  # fmt: skip
    assert np.abs(module.to_srgb(pixels, profile).astype(int) - exact).max() <= is_shaper


def test_the_square_agrees_with_an_anti_aliased_twin(file):
    image = np.random.default_rng(0).integers(0, 256, (90, 135, 3), dtype=np.uint8)
    image = image // 4 + smooth(90, 135) // 2
    square = develop_square(file(written(Image.fromarray(image).save, "PNG")), 48)
    assert square.shape == (3, 48, 48) and square.dtype == np.uint8 and square.flags.c_contiguous
    floats = torch.from_numpy(image).double().permute(2, 0, 1)[None]
    twin = F.interpolate(floats, (48, 48), mode="bicubic", align_corners=False, antialias=True)[0].numpy()
    difference = np.abs(square - twin)
    assert difference.mean() < 1.5 and difference.max() < 12, "another kernel, the same grid and width"
    shifted = np.abs(square[:, :, 1:] - twin[:, :, :-1])
    assert shifted.mean() > 3 * difference.mean()


def test_the_square_keeps_means_and_does_not_alias(file):
    checks = (np.indices((600, 900)).sum(0) % 2 * 255).astype(np.uint8)
    for image, side, mean, off in ((checks, 50, 127.5, 2), (np.full((7, 11), 93, np.uint8), 64, 93, 0)):
        square = develop_square(file(written(Image.fromarray(image).save, "PNG")), side)
        assert np.abs(square - mean).max() <= off


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 20_000)])
def test_the_square_of_a_line(file, shape):
    """A picture one pixel wide is constant across and keeps its ramp along."""
    ramp = np.linspace(0, 255, max(shape)).astype(np.uint8)
    line = ramp.reshape(1, -1) if shape[1] > 1 else ramp.reshape(-1, 1)
    image = Image.fromarray(np.ascontiguousarray(np.broadcast_to(line, shape)))
    square = develop_square(file(written(image.save, "PNG")), 32).astype(int)
    along = square[0] if shape[1] > 1 else square[0].T
    assert np.abs(along - along[:1]).max() == 0
    centres = (np.arange(32) + 0.5) / 32 * 255 if max(shape) > 1 else np.zeros(32)
    assert np.abs(along[0] - centres).max() <= 2


# Files that are cut short, damaged, foreign or too large: one sentence, never half a picture
NOISE = np.random.default_rng(0)
NOISY = (smooth(96, 128) + NOISE.integers(0, 20, (96, 128, 3))).astype(np.uint8)
CFA, PHOTO = NOISE.integers(0, 16384, (96, 128), dtype=np.uint16), Image.fromarray(NOISY)
deep = partial(written, tifffile.imwrite, NOISY * np.uint16(257), photometric="rgb", rowsperstrip=8)
WHOLE = {
    "jpeg": written(PHOTO.save, "JPEG", quality=95),
    "progressive": written(PHOTO.save, "JPEG", quality=95, progressive=True),
    "png": written(PHOTO.save, "PNG"),
    "webp": written(PHOTO.save, "WEBP"),
    "tiff 8": written(PHOTO.save, "TIFF", compression="tiff_lzw"),
    "tiff 16": deep(),
    "deflate": deep(compression="zlib"),
    "lzw": deep(compression="lzw"),
    "dng": written(write_dng, CFA),
    "packed dng": written(write_dng, CFA, compression=7, compressionargs={"lossless": True, "bitspersample": 16}),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_cut_short_gives_no_partial_picture(file, kind):
    """At every cut: one sentence with the file's name, or every pixel."""
    content, refused = WHOLE[kind], 0
    whole = develop(file(content))
    for keep in (0, 1, 4, 9, 100, *(len(content) * k // 8 for k in range(1, 8)), len(content) - 40, len(content) - 1):
        path = file(content[:keep])
        try:
            image = develop(path)
        except UserError as error:
            refused += 1
            assert str(error).startswith(path.name) and len(str(error).splitlines()) == 1
        else:
            assert np.array_equal(image, whole), f"{kind} cut to {keep} of {len(content)} bytes"
    assert refused >= 12


@pytest.mark.parametrize("kind", ["jpeg", "progressive"])
@pytest.mark.parametrize("tail", ["closed", "zeros"])
def test_a_jpeg_with_a_hidden_cut_is_refused(file, kind, tail):
    """Pillow takes most of these for whole pictures, with a grey bottom."""
    content = WHOLE[kind]
    half = len(content) // 2
    with pytest.raises(UserError, match="fetch it again"):
        develop(file(content[:half] + (b"\xff\xd9" if tail == "closed" else bytes(half))))
    assert develop(file(content + bytes(100))).shape == (96, 128, 3), "padding behind a whole picture is none"


def overwrite(path: Path, **tags: object) -> Path:
    with tifffile.TiffFile(path, mode="r+b") as file:
        for tag, value in tags.items():
            file.pages.first.tags[tag].overwrite(value)
    return path


def test_a_tiff_of_other_samples_or_whose_strips_lie_nowhere_is_refused(tiff):
    with pytest.raises(UserError, match=r"a\.tif .*32-bit RGB TIFF"):
        develop(tiff(np.zeros((4, 5, 3), np.float32)))
    path = tiff(np.full((32, 32, 3), 7, np.uint16), rowsperstrip=8)
    with pytest.raises(UserError, match=r"a\.tif .*cut short"):
        develop(overwrite(path, StripByteCounts=[0, 0, 0, 0]))


@pytest.mark.parametrize("content", [b"", b"hello", b"II*\0" + bytes(60), b"\x89PNG\r\n\x1a\n", b"%PDF-1.4"], ids=repr)
def test_what_is_no_photograph_or_not_there_is_one_sentence(file, content):
    with pytest.raises(UserError, match=r"^a0001-a photo \(1\)\.bin cannot be read") as caught:
        develop(file(content))
    assert "/" not in str(caught.value), "the name, not the folder"
    with pytest.raises(UserError, match=r"^gone\.dng cannot be read .No such file"):
        develop(file(content).with_name("gone.dng"))


def test_a_small_file_that_declares_a_huge_picture_is_refused(tmp_path, file, tiff, monkeypatch):
    png = written(Image.new("L", (4, 4)).save, "PNG")
    header = struct.pack(">4sII", b"IHDR", 60_000, 60_000) + png[24:29]
    with pytest.raises(UserError, match="declares 60000 x 60000 pixels"):
        develop(file(png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]))
    for dtype in (np.uint8, np.uint16):
        path = overwrite(tiff(np.zeros((4, 4, 3), dtype)), ImageWidth=60_000, ImageLength=60_000)
        with pytest.raises(UserError, match=r"a\.tif declares 60000 x 60000 pixels"):
            develop(path)
    write_dng(tmp_path / "a.dng", np.zeros((64, 96), np.uint16))
    monkeypatch.setattr(module, "PIXELS", 64 * 96 - 1)
    with pytest.raises(UserError, match=r"a\.dng declares 96 x 64 pixels"):
        develop(tmp_path / "a.dng")


def test_memory_that_runs_out_is_one_sentence_of_one_photograph(monkeypatch, tmp_path):
    """The rest is prepared: what a preparation passes over is what raises UserError."""
    path = tmp_path / "huge.png"
    Image.new("RGB", (40, 30)).save(path)

    def none_left(_):
        raise MemoryError

    monkeypatch.setattr("vsacc.images.develop.develop_pillow", none_left)
    with pytest.raises(UserError, match=r"huge\.png needs more memory than is free"):
        develop(path)
