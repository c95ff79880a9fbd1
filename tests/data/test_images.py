"""Every kind of image file becomes uint8 RGB; every bad file becomes a message."""

import os
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from edgedeblur.data.images import image_or_folder, list_images, read_image, write_image
from edgedeblur.errors import UserError
from edgedeblur.restore.deblur import output_name


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".ppm"])
def test_lossless_formats_come_back_unchanged(picture, tmp_path, suffix):
    write_image(tmp_path / f"a{suffix}", picture)
    assert np.array_equal(read_image(tmp_path / f"a{suffix}"), picture)


def test_grey_is_repeated_in_three_channels(picture, tmp_path):
    Image.fromarray(picture[..., 0]).save(tmp_path / "grey.png")
    assert np.array_equal(read_image(tmp_path / "grey.png"), picture[..., :1].repeat(3, axis=2))


def test_alpha_is_dropped_and_the_colours_under_it_stay(picture, tmp_path):
    alpha = np.zeros((6, 9, 1), np.uint8)
    Image.fromarray(np.concatenate([picture, alpha], axis=2)).save(tmp_path / "rgba.png")
    assert np.array_equal(read_image(tmp_path / "rgba.png"), picture)


def test_a_palette_is_looked_up(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    image.save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png").tolist() == [[[10, 20, 30], [200, 100, 50]]]


@pytest.mark.parametrize("value, expected", [(0, 0), (128, 0), (129, 1), (32768, 128), (65535, 255)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_are_scaled_and_rounded_to_eight(tmp_path, value, expected, channels):
    shape = (2, 3) if channels == 1 else (2, 3, channels)
    cv2.imwrite(str(tmp_path / "deep.png"), np.full(shape, value, np.uint16))
    assert np.array_equal(read_image(tmp_path / "deep.png"), np.full((2, 3, 3), expected, np.uint8))


def test_sixteen_bit_colours_keep_their_order(tmp_path):
    cv2.imwrite(str(tmp_path / "deep.png"), np.array([[[3, 2, 1]]], np.uint16) * 257)  # OpenCV writes BGR
    assert read_image(tmp_path / "deep.png").tolist() == [[[1, 2, 3]]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bits", [8, 16])
def test_exif_orientation_is_applied_as_pillow_does(picture, tmp_path, orientation, bits):
    exif = Image.Exif()
    exif[0x0112] = orientation
    eight = tmp_path / "eight.png"
    Image.fromarray(picture).save(eight, exif=exif)
    path = eight
    if bits == 16:
        path = tmp_path / "sixteen.png"
        path.write_bytes(sixteen_bit_png_with_exif_of(eight, picture, tmp_path))
    upright = picture
    for operation in UPRIGHT[orientation]:
        upright = operation(upright)
    assert np.array_equal(read_image(path), upright)


def transpose(image):
    return image.transpose(1, 0, 2)


UPRIGHT = {
    1: (),
    2: (np.fliplr,),
    3: (np.fliplr, np.flipud),
    4: (np.flipud,),
    5: (transpose,),
    6: (transpose, np.fliplr),
    7: (transpose, np.fliplr, np.flipud),
    8: (transpose, np.flipud),
}


def sixteen_bit_png_with_exif_of(path, picture, folder) -> bytes:
    """OpenCV's 16-bit PNG with the eXIf chunk of an 8-bit one put behind its header chunk."""
    cv2.imwrite(str(folder / "plain.png"), picture[..., ::-1].astype(np.uint16) * 257)
    plain, tagged = (folder / "plain.png").read_bytes(), path.read_bytes()
    start = tagged.index(b"eXIf") - 4
    chunk = tagged[start : start + 12 + int.from_bytes(tagged[start : start + 4], "big")]
    return plain[:33] + chunk + plain[33:]


def test_a_truncated_image_is_a_message(picture, tmp_path):
    write_image(tmp_path / "a.png", np.tile(picture, (20, 20, 1)))
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="cannot be read as an image"):
        read_image(tmp_path / "a.png")


def test_text_is_not_an_image(tmp_path):
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(UserError, match="is not an image"):
        read_image(tmp_path / "a.png")


def test_a_missing_image_is_a_message(tmp_path):
    with pytest.raises(UserError, match="no image file"):
        read_image(tmp_path / "none.png")


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    header = b"P6 60000 60000 255\n"
    (tmp_path / "bomb.ppm").write_bytes(header)
    with pytest.raises(UserError, match=r"more than 178,956,970 pixels|60000x60000"):
        read_image(tmp_path / "bomb.ppm")


def test_an_unknown_suffix_is_refused_before_anything_is_written(picture, tmp_path):
    with pytest.raises(UserError, match=r"\.xyz"):
        write_image(tmp_path / "a.xyz", picture)
    assert not list(tmp_path.iterdir())


def test_a_folder_lists_its_images_sorted_and_nothing_else(picture, tmp_path):
    for name in ("b.png", "a.jpg", ".hidden.png"):
        write_image(tmp_path / name, picture)
    (tmp_path / "notes.txt").write_text("no")
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.png"]
    assert image_or_folder(tmp_path / "b.png") == [tmp_path / "b.png"]


def test_missing_and_empty_folders_are_messages(tmp_path):
    with pytest.raises(UserError, match="no images in"):
        list_images(tmp_path)
    with pytest.raises(UserError, match="no folder"):
        list_images(tmp_path / "none")
    with pytest.raises(UserError, match="no image or folder"):
        image_or_folder(tmp_path / "none")


def written(path, data: bytes):
    path.write_bytes(data)
    return path


def test_postscript_under_an_images_name_starts_no_program(tmp_path, monkeypatch):
    """Pillow would run `gs`, found on PATH, on what the file holds."""
    ghostscript, marker = tmp_path / "bin" / "gs", tmp_path / "started"
    ghostscript.parent.mkdir()
    ghostscript.write_text(f"#!/bin/sh\ntouch {marker}\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ghostscript.parent}:/usr/bin:/bin")
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(UserError, match=r"a.png is not an image: it holds PostScript \(EPS\)"):
        read_image(written(tmp_path / "a.png", eps))
    assert not marker.exists()


@pytest.mark.parametrize("name", ["AVIF", "GIF", "DDS", "QOI", "PSD"])
def test_a_format_that_is_not_read_is_named(picture, tmp_path, name):
    path = tmp_path / "a.png"
    if name == "PSD":
        path.write_bytes(b"8BPS" + bytes(60))
    else:
        Image.fromarray(picture).save(path, format=name)
    with pytest.raises(UserError, match=rf"a.png is not an image: it holds {name}") as refused:
        read_image(path)
    assert "PNG, JPEG, WEBP, BMP, TIFF, PPM" in refused.value.fix


def test_an_image_of_another_accepted_format_than_its_name_says_is_read(picture, tmp_path):
    Image.fromarray(picture).save(tmp_path / "a.png", format="BMP")
    assert np.array_equal(read_image(tmp_path / "a.png"), picture)


def test_a_phones_jpeg_with_a_second_picture_in_it_is_read(picture, tmp_path):
    image = Image.fromarray(picture)
    image.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[image])
    assert read_image(tmp_path / "a.jpg").shape == picture.shape


def test_heic_is_read_where_pillow_heif_is_installed(picture, tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    smooth = np.full((64, 48, 3), (200, 120, 40), np.uint8)
    image = pillow_heif.from_pillow(Image.fromarray(smooth))
    for name in ("a.heic", "b.jpg"):  # the content decides
        image.save(tmp_path / name, quality=90)
        assert np.abs(read_image(tmp_path / name).astype(int) - smooth).max() <= 4
    assert [path.name for path in list_images(tmp_path)] == ["a.heic", "b.jpg"]


def test_heic_without_pillow_heif_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    written(tmp_path / "a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    assert [path.name for path in list_images(tmp_path)] == ["a.heic"]
    with pytest.raises(UserError, match="a.heic is HEIC, which is read with pillow-heif") as refused:
        read_image(tmp_path / "a.heic")
    assert refused.value.fix == "pip install 'edgedeblur[heic]'"


def test_the_output_for_a_heic_file_is_a_jpeg_of_its_own():
    assert [output_name(name) for name in ("a.heic", "A.HEIF", "a.jpg")] == ["a.heic.jpg", "A.HEIF.jpg", "a.jpg"]


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_a_small_file_with_more_pixels_than_allowed_is_refused_with_the_numbers(tmp_path, suffix):
    path = tmp_path / f"bomb{suffix}"
    Image.new("1", (20_000, 10_000)).save(path, **({"compression": "group4"} if suffix == ".tif" else {}))
    with pytest.raises(UserError, match="has 20000x10000 pixels; allowed are at most 178,956,970|more than"):
        read_image(path)


def test_a_pipe_and_an_endless_file_are_no_images(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    for name, kind in (("pipe.png", "a named pipe"), ("endless.png", "a device")):
        for read in (read_image, image_or_folder):
            with pytest.raises(UserError, match=f"{name} is {kind}, not a regular file"):
                read(tmp_path / name)


def test_a_header_that_claims_more_pixels_than_the_file_can_hold_is_refused(tmp_path):
    path = tmp_path / "claim.png"
    Image.new("RGB", (64, 64), (1, 2, 3)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 12000, 12000)  # IHDR's width and height, and its checksum
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(UserError, match="claims 12000x12000 pixels, more than its 153 bytes can hold"):
        read_image(path)


def test_a_chunk_that_claims_gigabytes_takes_no_memory(picture, tmp_path):
    """OpenCV, which reads the 16 bits, takes what a chunk's length says."""
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), picture.astype(np.uint16) * 257)
    path.write_bytes(path.read_bytes().replace(path.read_bytes()[33:41], struct.pack(">I4s", 0x7FFFFFF0, b"IDAT")))
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_megabytes()
    with pytest.raises(UserError, match="cannot be read as a"):
        read_image(path)
    assert peak_megabytes() - before < 100


def peak_megabytes() -> float:
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


def with_size(data: bytes, width: int, height: int) -> bytes:
    """A little-endian TIFF whose first directory gives this width, height and rows per strip."""
    changed, (at,) = bytearray(data), struct.unpack_from("<I", data, 4)
    for entry in range(at + 2, at + 2 + 12 * struct.unpack_from("<H", data, at)[0], 12):
        value = {256: width, 257: height, 278: height}.get(struct.unpack_from("<H", data, entry)[0])
        if value is not None:
            struct.pack_into("<HII", changed, entry + 2, 4, 1, value)
    return bytes(changed)


@pytest.mark.parametrize(
    ("mode", "compression"),
    [
        ("RGB", "raw"),
        ("RGBA", "jpeg"),
        ("RGB", "tiff_adobe_deflate"),
        ("L", "tiff_lzw"),
        ("1", "group3"),
        ("1", "group4"),
        ("1", "tiff_ccitt"),
        ("F", "zstd"),
        ("CMYK", "lzma"),
        ("I;16", "zstd"),
    ],
)
def test_a_tiff_that_claims_more_pixels_than_it_can_hold_is_refused_before_memory_is_taken(tmp_path, mode, compression):
    path = tmp_path / "claim.tif"
    image = Image.new(mode, (24, 20))
    image.save(path, compression=compression)
    path.write_bytes(with_size(path.read_bytes(), 13_000, 13_000))
    with pytest.raises(UserError, match="claims 13000x13000 pixels, more than its [0-9,]+ bytes can hold"):
        read_image(path)


@pytest.mark.parametrize("size", [(1, 178_000_000), (178_000_000, 1)])
def test_sides_for_whose_rows_alone_gigabytes_are_taken_are_refused(tmp_path, size):
    path = tmp_path / "long.tif"
    Image.new("1", (24, 20)).save(path, compression="group4")
    path.write_bytes(with_size(path.read_bytes(), *size))
    with pytest.raises(UserError, match="allowed are at most 178,956,970 pixels, 65,535 on a side"):
        read_image(path)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd", "lzma"])
def test_one_colour_which_compresses_best_is_still_read(tmp_path, compression):
    path = tmp_path / ("flat.tif" if compression else "flat.png")
    Image.new("RGB", (3000, 2000), (7, 7, 7)).save(path, **({"compression": compression} if compression else {}))
    assert read_image(path).shape == (2000, 3000, 3)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_an_empty_page_is_still_read(tmp_path, compression):
    path = tmp_path / "page.tif"
    Image.new("1", (2480, 3508), 1).save(path, compression=compression)
    assert read_image(path).shape == (3508, 2480, 3)
