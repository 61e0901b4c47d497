"""TIFF in all its ways of storing, and its colours against float64 by hand."""

import numpy as np
import pytest
import tifffile
from imagecodecs import cms_profile, cms_transform
from photo_files import from_prophoto, smooth, turned

from vsacc.images import colour
from vsacc.images.colour import PROPHOTO
from vsacc.images.develop import develop, size_of
from vsacc.local.paths import UserError

DEEP = [
    {},
    {"compression": "zlib", "predictor": 2},
    {"compression": "lzw"},
    {"compression": "lzw", "predictor": 2, "byteorder": ">"},
    {"byteorder": ">"},
    {"compression": "zlib", "tile": (32, 48)},
    {"planarconfig": "separate"},
    {"bigtiff": True},
]


@pytest.mark.parametrize("how", DEEP, ids=str)
def test_prophoto_tiff_agrees_with_the_analytic_conversion(tmp_path, how):
    pixels = (smooth(70, 90).astype(np.uint16) * 257) // 2 + 12000 + np.arange(90, dtype=np.uint16)[None, :, None]
    stored = np.moveaxis(pixels, -1, 0) if "planarconfig" in how else pixels
    how = {"rowsperstrip": 16, **how} if "tile" not in how else how
    profile = cms_profile("rgb", **PROPHOTO)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", iccprofile=profile, **how)
    image = develop(tmp_path / "a.tif")
    assert image.shape == (70, 90, 3) and image.dtype == np.uint8
    assert np.abs(image - from_prophoto(pixels)).max() <= 1.25
    assert np.abs(image - pixels / 257).max() > 10, "the conversion does something"


def test_16_bits_without_a_profile_are_srgb_unless_the_caller_knows_better(tmp_path):
    pixels = np.array([[[0, 128, 129], [257, 65535, 40000], [30000, 30000, 30000]]], np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb")
    assert develop(tmp_path / "a.tif").tolist() == [[[0, 0, 1], [1, 255, 156], [117, 117, 117]]]
    assert np.abs(develop(tmp_path / "a.tif", prophoto=True) - from_prophoto(pixels)).max() <= 1.25
    tifffile.imwrite(tmp_path / "b.tif", pixels, photometric="rgb", iccprofile=cms_profile("srgb"))
    assert np.abs(develop(tmp_path / "b.tif", prophoto=True) - pixels / 257).max() <= 1.25, "the file's own goes first"


def test_a_broken_profile_costs_no_photograph(tmp_path):
    pixels = smooth(20, 30).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", iccprofile=b"not a profile")
    assert np.array_equal(develop(tmp_path / "a.tif"), pixels // 257)
    tifffile.imwrite(tmp_path / "b.tif", smooth(20, 30), photometric="rgb", iccprofile=b"not a profile")
    assert np.array_equal(develop(tmp_path / "b.tif"), smooth(20, 30))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("scale", [1, 257])
def test_tiff_is_turned_upright(tmp_path, orientation, scale):
    image = smooth(20, 30)
    stored = turned(image, orientation) * np.array(scale, np.uint8 if scale == 1 else np.uint16)
    tag = (274, "H", 1, orientation, True)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", extratags=[tag])
    assert np.array_equal(develop(tmp_path / "a.tif"), image)
    assert size_of(tmp_path / "a.tif") == (30, 20)


def test_grey_inverted_and_transparent_16_bit_tiff(tmp_path):
    grey = np.array([[0, 32896, 65535]], np.uint16)
    for photometric, expected in (("minisblack", [0, 128, 255]), ("miniswhite", [255, 127, 0])):
        tifffile.imwrite(tmp_path / "a.tif", grey, photometric=photometric)
        assert develop(tmp_path / "a.tif")[0].tolist() == [[value] * 3 for value in expected]
    half = np.array([[[65535, 0, 0, 32768], [9, 9, 9, 0]]], np.uint16)
    tifffile.imwrite(tmp_path / "b.tif", half, photometric="rgb", extrasamples=["unassalpha"])
    assert develop(tmp_path / "b.tif").tolist() == [[[255, 127, 127], [255, 255, 255]]]
    tifffile.imwrite(tmp_path / "c.tif", half[:, :1] // 2, photometric="rgb", extrasamples=["assocalpha"])
    assert develop(tmp_path / "c.tif").tolist() == [[[255, 191, 191]]], "its colours are multiplied already"


@pytest.mark.parametrize("how", [{}, {"compression": "lzw"}, {"compression": "zlib", "tile": (16, 32)}], ids=str)
def test_8_bit_tiff(tmp_path, how):
    tifffile.imwrite(tmp_path / "a.tif", smooth(40, 60), photometric="rgb", **how)
    assert np.array_equal(develop(tmp_path / "a.tif"), smooth(40, 60))


def test_other_samples_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5, 3), np.float32), photometric="rgb")
    with pytest.raises(UserError, match=r"a\.tif .*32-bit RGB TIFF"):
        develop(tmp_path / "a.tif")


def test_a_profile_that_is_no_matrix_goes_through_little_cms():
    """Three different curves: the shortcut must see that it does not hold."""
    step = np.linspace(0, 1, 64)
    profile = cms_profile(
        "rgb", whitepoint=PROPHOTO["whitepoint"], primaries=PROPHOTO["primaries"],
        transferfunction=np.stack([step**1.2, step**1.8, step**2.4]).astype(np.float32),
    )  # fmt: skip
    assert colour.measure(profile) is None
    pixels = smooth(20, 30).astype(np.uint16) * 257
    exact = cms_transform(pixels, profile, cms_profile("srgb"), colorspace="rgb", outcolorspace="rgb",
                          outdtype="uint8", flags=colour.EXACT)  # fmt: skip
    assert np.array_equal(colour.to_srgb(pixels, profile), exact)


@pytest.mark.parametrize("gamma", [1.0, 2.2])
def test_the_shortcut_agrees_with_little_cms(gamma):
    profile = cms_profile("rgb", **{**PROPHOTO, "gamma": gamma})
    assert colour.measure(profile) is not None
    pixels = np.random.default_rng(1).integers(65536, size=(150, 40, 3), dtype=np.uint16)
    exact = cms_transform(pixels, profile, cms_profile("srgb"), colorspace="rgb", outcolorspace="rgb",
                          outdtype="uint8", flags=colour.EXACT)  # fmt: skip
    assert np.abs(colour.to_srgb(pixels, profile).astype(int) - exact).max() <= 1


def test_a_grey_profile_is_honoured(tmp_path):
    grey = np.arange(0, 65536, 257, dtype=np.uint16)[None]
    profile = cms_profile("gray", whitepoint=PROPHOTO["whitepoint"], gamma=1.8)
    tifffile.imwrite(tmp_path / "a.tif", grey, photometric="minisblack", iccprofile=profile)
    expected = from_prophoto(np.repeat(grey[..., None], 3, -1))
    assert np.abs(develop(tmp_path / "a.tif") - expected).max() <= 1.25
