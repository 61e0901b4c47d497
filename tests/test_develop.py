"""DNG, JPEG, PNG and WebP developed, and squashed to squares."""

import numpy as np
import pytest
import tifffile
import torch
from imagecodecs import cms_profile
from photo_files import from_prophoto, saved, smooth, srgb_curve, turned, write_dng
from PIL import Image, ImageCms
from torch.nn import functional as F

from vsacc.images.colour import PROPHOTO
from vsacc.images.develop import develop, develop_square, fit_square, size_of

# DNG


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_dng_is_developed_to_srgb_and_turned(tmp_path, orientation):
    """A flat grey mosaic has one answer: the sRGB curve of its share of the white level. The corner is marked."""
    cfa = np.full((64, 96), 3000, np.uint16)
    cfa[:16, :24] = 9000
    write_dng(tmp_path / "a.dng", cfa, orientation)
    image = develop(tmp_path / "a.dng").astype(int)
    width, height = size_of(tmp_path / "a.dng")
    assert image.shape == (height, width, 3) == ((64, 96, 3) if orientation in (1, 3) else (96, 64, 3))
    dark, light = srgb_curve(np.array([3000, 9000]) / 16383)
    assert np.abs(image[height // 2 - 4 : height // 2 + 4, width // 2 - 4 : width // 2 + 4] - dark).max() <= 2
    row, column = {1: (4, 4), 3: (-5, -5), 6: (4, -5), 8: (-5, 4)}[orientation]
    assert np.abs(image[row, column] - light).max() <= 2


def test_the_cameras_white_balance_makes_grey_grey(tmp_path):
    cfa = np.full((32, 32), 8000, np.uint16)
    cfa[::2, ::2], cfa[1::2, 1::2] = 4000, 6400  # red and blue sites
    write_dng(tmp_path / "a.dng", cfa, neutral=(5, 10, 8))
    assert np.ptp(develop(tmp_path / "a.dng")[16, 16].astype(int)) <= 2


def test_colours_of_a_mosaic_land_in_their_channels(tmp_path):
    cfa = np.zeros((32, 32), np.uint16)
    cfa[::2, ::2] = 16383  # the red sites of RGGB
    write_dng(tmp_path / "a.dng", cfa)
    red, green, blue = develop(tmp_path / "a.dng")[16, 16]
    assert red > 250 and green < 5 and blue < 5


# JPEG, PNG, WebP


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(file, kind, orientation):
    image, exif = smooth(48, 64), Image.Exif()
    exif[274] = orientation
    lossless = {"JPEG": {"quality": 100, "subsampling": 0}, "PNG": {}, "WEBP": {"lossless": True}}[kind]
    path = file(saved(Image.fromarray(turned(image, orientation)), kind, exif=exif, **lossless))
    assert size_of(path) == (64, 48)
    assert np.abs(develop(path).astype(int) - image).max() <= (4 if kind == "JPEG" else 0)


def test_every_mode_becomes_rgb(file):
    grey = np.array([[0, 100, 255]], np.uint8)
    three = np.repeat(grey[..., None], 3, -1)
    assert np.array_equal(develop(file(saved(Image.fromarray(grey), "PNG"))), three)
    assert np.array_equal(develop(file(saved(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"))), three)
    one = Image.fromarray(grey).convert("1", dither=Image.Dither.NONE)
    assert develop(file(saved(one, "PNG")))[0, :, 0].tolist() == [0, 0, 255]
    palette = Image.fromarray(smooth(8, 8)).quantize(5)
    assert np.array_equal(develop(file(saved(palette, "PNG"))), np.asarray(palette.convert("RGB")))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9, 8, 8, 8])
    seen = develop(file(saved(palette, "PNG", transparency=0)))
    assert (seen[np.asarray(palette) == 0] == 255).all(), "a transparent entry shows white"
    rgba = np.array([[[255, 0, 0, 51], [0, 0, 0, 0], [1, 2, 3, 255]]], np.uint8)
    assert develop(file(saved(Image.fromarray(rgba), "PNG"))).tolist() == [[[255, 204, 204], [255] * 3, [1, 2, 3]]]


def test_cmyk_jpeg(file):
    plain = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    red, green, blue = develop(file(saved(plain, "JPEG", quality=100)))[8, 8]
    assert red < 5 and green > 250 and blue > 250


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_embedded_profile_is_honoured(file, kind):
    photo, profile = Image.fromarray(smooth(32, 32) // 2 + 50), cms_profile("rgb", **PROPHOTO)
    stored = develop(file(saved(photo, kind))).astype(np.uint16)
    image = develop(file(saved(photo, kind, icc_profile=profile)))
    assert np.abs(image - from_prophoto(stored * 257)).max() <= 2


def test_a_grey_image_under_an_rgb_profile_follows_its_curve(file):
    grey = np.arange(256, dtype=np.uint8)[None]
    path = file(saved(Image.fromarray(grey), "PNG", icc_profile=cms_profile("rgb", **PROPHOTO)))
    expected = srgb_curve((grey / 255.0) ** 1.8)[0]
    assert np.abs(develop(path)[0] - expected[:, None]).max() <= 1.5


def test_a_profile_of_another_colour_space_is_ignored(file):
    path = file(saved(Image.fromarray(smooth(8, 8)), "PNG", icc_profile=ImageCms.ImageCmsProfile(
        ImageCms.createProfile("LAB")).tobytes()))  # fmt: skip
    assert np.array_equal(develop(path), smooth(8, 8))


def test_very_wide_and_very_narrow_pictures(tmp_path, file):
    wide = np.tile(smooth(1, 300), (1, 100, 1))
    for array in (wide, wide.swapaxes(0, 1)):
        path = file(saved(Image.fromarray(array), "PNG"))
        assert np.array_equal(develop(path), array) and size_of(path) == array.shape[1::-1]
        tifffile.imwrite(tmp_path / "a.tif", array.astype(np.uint16) * 257, photometric="rgb")
        assert np.array_equal(develop(tmp_path / "a.tif"), array)


# The square


def test_fit_square_agrees_with_an_anti_aliased_twin():
    image = np.random.default_rng(0).integers(0, 256, (90, 135, 3), dtype=np.uint8)
    image = image // 4 + smooth(90, 135) // 2
    square = fit_square(image, 48)
    assert square.shape == (3, 48, 48) and square.dtype == np.uint8 and square.flags.c_contiguous
    floats = torch.from_numpy(image).double().permute(2, 0, 1)[None]
    twin = F.interpolate(floats, (48, 48), mode="bicubic", align_corners=False, antialias=True)[0].numpy()
    difference = np.abs(square - twin)
    assert difference.mean() < 1.5 and difference.max() < 12, "another kernel, the same grid and width"
    shifted = np.abs(square[:, :, 1:] - twin[:, :, :-1])
    assert shifted.mean() > 3 * difference.mean()


def test_fit_square_keeps_means_and_does_not_alias():
    checks = (np.indices((600, 900)).sum(0) % 2 * 255).astype(np.uint8)
    square = fit_square(np.repeat(checks[..., None], 3, -1), 50)
    assert np.abs(square.astype(int) - 127.5).max() <= 2
    flat = fit_square(np.full((7, 11, 3), 93, np.uint8), 64)
    assert (flat == 93).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 20_000)])
def test_fit_square_of_a_line(shape):
    """A picture one pixel wide is constant across and keeps its ramp along."""
    ramp = np.linspace(0, 255, max(shape)).astype(np.uint8)
    line = ramp.reshape(1, -1) if shape[1] > 1 else ramp.reshape(-1, 1)
    square = fit_square(np.repeat(np.broadcast_to(line, shape)[..., None], 3, -1), 32).astype(int)
    along = square[0] if shape[1] > 1 else square[0].T
    assert np.abs(along - along[:1]).max() == 0
    centres = (np.arange(32) + 0.5) / 32 * 255 if max(shape) > 1 else np.zeros(32)
    assert np.abs(along[0] - centres).max() <= 2


def test_develop_square_is_both(tmp_path):
    Image.fromarray(smooth(40, 60)).save(tmp_path / "a.png")
    assert np.array_equal(develop_square(tmp_path / "a.png", 16), fit_square(smooth(40, 60), 16))
