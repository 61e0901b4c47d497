"""Files that are cut short, damaged, foreign or too large: one sentence, never half a picture."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from photo_files import saved, smooth, write_dng
from PIL import Image

from vsacc.images import develop as module
from vsacc.images.develop import develop, size_of
from vsacc.local.paths import UserError


def whole_files(folder: Path) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    noisy = (smooth(96, 128) + rng.integers(0, 20, (96, 128, 3))).astype(np.uint8)
    photo = Image.fromarray(noisy)
    files = {
        "jpeg": saved(photo, "JPEG", quality=95),
        "progressive": saved(photo, "JPEG", quality=95, progressive=True),
        "png": saved(photo, "PNG"),
        "webp": saved(photo, "WEBP"),
        "tiff 8": saved(photo, "TIFF", compression="tiff_lzw"),
    }
    for name, how in {"tiff 16": {}, "deflate": {"compression": "zlib"}, "lzw": {"compression": "lzw"}}.items():
        tifffile.imwrite(folder / "a", noisy.astype(np.uint16) * 257, photometric="rgb", rowsperstrip=8, **how)
        files[name] = (folder / "a").read_bytes()
    cfa = rng.integers(0, 16384, (96, 128), dtype=np.uint16)
    for name, how in {"dng": {}, "packed dng": {"compression": 7, "compressionargs": {"lossless": True,
                      "bitspersample": 16}}}.items():  # fmt: skip
        write_dng(folder / "a", cfa, **how)
        files[name] = (folder / "a").read_bytes()
    return files


KINDS = ["jpeg", "progressive", "png", "webp", "tiff 8", "tiff 16", "deflate", "lzw", "dng", "packed dng"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_short_gives_no_partial_picture(tmp_path, file, kind):
    """At every cut: one sentence with the file's name, or every pixel."""
    content = whole_files(tmp_path)[kind]
    whole = develop(file(content))
    refused = 0
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
def test_a_jpeg_with_a_hidden_cut_is_refused(tmp_path, file, kind, tail):
    """Pillow takes most of these for whole pictures, with a grey bottom."""
    content = whole_files(tmp_path)[kind]
    half = len(content) // 2
    with pytest.raises(UserError, match="fetch it again"):
        develop(file(content[:half] + (b"\xff\xd9" if tail == "closed" else bytes(half))))
    assert develop(file(content + bytes(100))).shape == (96, 128, 3), "padding behind a whole picture is none"


def test_a_tiff_whose_strips_lie_nowhere_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.full((32, 32, 3), 7, np.uint16), photometric="rgb", rowsperstrip=8)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags["StripByteCounts"].overwrite([0, 0, 0, 0])
    with pytest.raises(UserError, match=r"a\.tif .*cut short"):
        develop(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"II*\0" + bytes(60), b"\x89PNG\r\n\x1a\n", b"%PDF-1.4"], ids=repr)
def test_what_is_no_photograph_is_one_sentence(file, content):
    for read in (develop, size_of):
        with pytest.raises(UserError, match=r"^a0001-a photo \(1\)\.bin cannot be read") as caught:
            read(file(content))
        assert "/" not in str(caught.value), "the name, not the folder"


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"gone\.dng cannot be read .No such file"):
        develop(tmp_path / "gone.dng")


def test_a_small_file_that_declares_a_huge_picture_is_refused(tmp_path, file, monkeypatch):
    def grown(png: bytes) -> bytes:
        header = struct.pack(">4sII", b"IHDR", 60_000, 60_000) + png[24:29]
        return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]

    with pytest.raises(UserError, match="declares 60000 x 60000 pixels"):
        develop(file(grown(saved(Image.new("L", (4, 4)), "PNG"))))
    for dtype in (np.uint8, np.uint16):
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4, 3), dtype), photometric="rgb")
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
            for tag in ("ImageWidth", "ImageLength"):
                tiff.pages.first.tags[tag].overwrite(60_000)
        with pytest.raises(UserError, match=r"a\.tif declares 60000 x 60000 pixels"):
            develop(tmp_path / "a.tif")
    write_dng(tmp_path / "a.dng", np.zeros((64, 96), np.uint16))
    monkeypatch.setattr(module, "PIXELS", 64 * 96 - 1)
    with pytest.raises(UserError, match=r"a\.dng declares 96 x 64 pixels"):
        develop(tmp_path / "a.dng")
