"""Photographs through `deblur`: what their files say is still there, read by exiftool where it is installed.

The model inverts the picture, or adds a tint, so that every number of the output is known.
"""

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from model_files import photo
from photographs import deep_photo, exif, facts, profile, read_deep, sealed, write_deep, write_photograph
from PIL import Image, ImageOps, PngImagePlugin

from edgedeblur.errors import UserError
from edgedeblur.restore.deblur import deblur
from edgedeblur.restore.open import Restorer
from edgedeblur.restore.properties import upright_exif


def model(restore):
    return Restorer("model", "student", Path("model"), "0", 1, 0.1, 1, None, restore)


SAME = model(lambda image: image)
INVERT = model(lambda image: 255 - image)
TINT = model(lambda image: np.clip(image.astype(int) + [40, 0, -20], 0, 255).astype(np.uint8))
BRIGHTER = model(lambda image: np.clip(image.astype(int) + 3, 0, 255).astype(np.uint8))


def run(source, destination, restorer):
    result = deblur(source, destination, restorer, lambda *_: None)
    assert result.failed == []
    return sorted(note for _, note in result.notes)


EXPECTED = {"Orientation": 1, "Make": "Maker", "Model": "Camera 1", "ISO": 400, "ExposureTime": 0.008} | {
    "ExifImageWidth": 40,
    "ExifImageHeight": 60,
}


@pytest.mark.parametrize("written", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("read", [".jpg", ".png", ".tif", ".webp"])
def test_a_wide_gamut_photograph_is_upright_with_its_tags_and_profile(tmp_path, read, written):
    source, output = tmp_path / f"in{read}", tmp_path / f"out{written}"
    write_photograph(source, cv2.GaussianBlur(photo(40, 60), (0, 0), 2))  # noise costs a lossy format its numbers
    notes = run(source, output, INVERT)
    assert notes == []
    found = facts(output)
    assert found.pop("gps") == pytest.approx([48.1375, 11.575])
    assert {name: float(value) if name == "ExposureTime" else value for name, value in found.items()} == EXPECTED
    with Image.open(source) as before, Image.open(output) as after:
        assert after.info["icc_profile"] == profile()
        expected = 255 - np.asarray(ImageOps.exif_transpose(before).convert("RGB")).astype(int)
        difference = np.abs(np.asarray(ImageOps.exif_transpose(after)) - expected)  # the numbers: in P3 as before
        assert after.size == (40, 60) and difference.mean() < (3 if written in (".jpg", ".webp") else 1e-9)
        assert ".webp" in (read, written) or after.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    data = output.read_bytes()
    assert b'tiff:Orientation="1" dc:rights="me"' in data
    assert b"maker's own \0\1\2 notes" in data and (read != written or read != ".jpg" or b"a comment" in data)
    if read == written == ".png":
        assert Image.open(output).text["Author"] == "me"


def test_exif_is_kept_byte_for_byte_but_for_what_would_be_wrong(tmp_path):
    """A preview in the second directory, as cameras write it, and addresses inside the maker's notes."""
    before = bytearray(exif()[6:])
    order = {b"II": "<", b"MM": ">"}[bytes(before[:2])]
    first = struct.unpack_from(order + "I", before, 4)[0]
    link = first + 2 + 12 * struct.unpack_from(order + "H", before, first)[0]
    struct.pack_into(order + "I", before, link, len(before))
    before += struct.pack(order + "HHHII", 1, 0x0201, 4, 1, 0) + b"\0\0\0\0" + b"\xff\xd8preview\xff\xd9"
    after = upright_exif(bytes(before), 60, 40)
    changed = [index for index in range(len(before)) if before[index] != after[index]]
    assert len(after) == len(before) and 1 <= len(changed) <= 2 + 2 * 2 + 4
    assert struct.unpack_from(order + "I", after, link)[0] == 0
    tags = Image.Exif()
    tags.load(after)
    assert tags[0x0112] == 1 and tags.get_ifd(0x8769)[0xA002] == 40


@pytest.mark.parametrize(
    "damaged", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff\x12\x01", b"nothing"]
)
def test_damaged_exif_is_left_out_and_said(tmp_path, damaged):
    Image.fromarray(photo()).save(tmp_path / "in.jpg", exif=b"Exif\0\0" + damaged, icc_profile=b"not a profile")
    notes = run(tmp_path / "in.jpg", tmp_path / "out.jpg", SAME)
    assert any("EXIF is damaged" in note for note in notes) or damaged == b""
    assert "its colour profile is damaged and left out" in notes
    assert Image.open(tmp_path / "out.jpg").info.keys().isdisjoint({"exif", "icc_profile"})


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".ppm", ".webp"])
def test_grey_stays_grey_and_the_networks_tint_becomes_luminance(tmp_path, suffix):
    grey = photo(31, 45)[..., 0]
    Image.fromarray(grey).save(tmp_path / f"in{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
    before = Image.open(tmp_path / f"in{suffix}").convert("RGB")
    run(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}", TINT)
    after = Image.open(tmp_path / f"out{suffix}")
    expected = np.asarray(Image.fromarray(TINT.run(np.asarray(before))).convert("L")).astype(int)
    channels = np.asarray(after.convert("RGB")).astype(int)
    assert after.mode == ("RGB" if suffix == ".webp" else "L")
    assert np.abs(channels - expected[..., None]).mean() < (2 if suffix in (".jpg", ".webp") else 1e-9)
    assert np.ptp(channels, axis=2).max() <= (1 if suffix == ".webp" else 0)  # WebP holds YUV


def test_a_colour_file_without_colour_gets_none(tmp_path):
    Image.fromarray(np.repeat(photo()[..., :1], 3, axis=2)).save(tmp_path / "in.png")
    run(tmp_path / "in.png", tmp_path / "out.png", TINT)
    after = np.asarray(Image.open(tmp_path / "out.png"))
    assert after.shape == (48, 40, 3) and np.ptp(after, axis=2).max() == 0


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_kept_as_it_was(tmp_path, suffix, mode):
    rgb, alpha = photo(), np.random.default_rng(0).integers(0, 256, (48, 40), np.uint8)
    colours = rgb if mode == "RGBA" else rgb[..., :1]
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    Image.fromarray(np.dstack([colours, alpha])).save(tmp_path / f"in{suffix}", exif=exif(3), **options)
    run(tmp_path / f"in{suffix}", tmp_path / f"out{suffix}", INVERT)
    with Image.open(tmp_path / f"out{suffix}") as after:
        assert after.mode == ("RGBA" if suffix == ".webp" else mode)
        values = np.asarray(after.convert("RGBA"))
    np.testing.assert_array_equal(values[..., 3], alpha[::-1, ::-1])
    if suffix != ".webp":
        np.testing.assert_array_equal(values[..., :3], 255 - np.broadcast_to(colours, rgb.shape)[::-1, ::-1])


def test_a_palette_becomes_rgb_with_its_transparency(tmp_path):
    palette = Image.fromarray(photo()).quantize(16)
    palette.save(tmp_path / "in.png", transparency=3)
    notes = run(tmp_path / "in.png", tmp_path / "out.png", INVERT)
    before = np.asarray(Image.open(tmp_path / "in.png").convert("RGBA"))
    after = np.asarray(Image.open(tmp_path / "out.png"))
    assert after.shape == (48, 40, 4) and notes == [
        "its palette became RGB: restoring makes colours that are not in it"
    ]
    np.testing.assert_array_equal(after[..., 3], before[..., 3])
    np.testing.assert_array_equal(after[..., :3], 255 - before[..., :3])
    assert set(np.unique(after[..., 3])) == {0, 255}


@pytest.mark.parametrize("written", [".png", ".tif"])
@pytest.mark.parametrize("read", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_get_the_difference_at_eight(tmp_path, read, written, channels):
    source, output, values = tmp_path / f"in{read}", tmp_path / f"out{written}", deep_photo(channels)
    write_deep(source, values)
    assert run(source, output, SAME) == []
    np.testing.assert_array_equal(read_deep(output, channels), values)  # all 16 bits, where nothing changes
    assert run(source, output, BRIGHTER) == []
    rounded = np.rint(values.astype(float) / 257)
    expected = np.clip(values + 257 * (np.minimum(rounded + 3, 255) - rounded), 0, 65535)
    if channels == 4:
        expected[..., 3] = values[..., 3]
    np.testing.assert_array_equal(read_deep(output, channels), expected)
    if read == written == ".tif":
        with tifffile.TiffFile(output) as file:
            tags = file.pages[0].tags
            assert (tags["Make"].value, tags["XResolution"].value, tags["InterColorProfile"].value) == (
                "Maker",
                (300, 1),
                profile(),
            )


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sixteen_bit_tiff_that_lies_on_its_side_is_turned_once(tmp_path, channels):
    values = deep_photo(channels)
    write_deep(tmp_path / "in.tif", values, orientation=6)
    run(tmp_path / "in.tif", tmp_path / "out.tif", SAME)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out.tif"), np.rot90(values, 3))
    assert Image.open(tmp_path / "out.tif").getexif().get(0x0112, 1) == 1


def test_a_sixteen_bit_ppm_stays_one(tmp_path):
    write_deep(tmp_path / "in.ppm", deep_photo(3))
    assert run(tmp_path / "in.ppm", tmp_path / "out.ppm", SAME) == []
    np.testing.assert_array_equal(read_deep(tmp_path / "out.ppm", 3), deep_photo(3))


def test_what_a_format_cannot_hold_is_said(tmp_path):
    write_deep(tmp_path / "deep.png", deep_photo(4))
    assert run(tmp_path / "deep.png", tmp_path / "out.jpg", SAME) == [
        "JPEG holds 8 bits a sample: written with 8 of 16",
        "JPEG holds no transparency: left out",
    ]
    write_photograph(tmp_path / "in.jpg", photo(40, 60))
    notes = run(tmp_path / "in.jpg", tmp_path / "out.ppm", SAME)
    assert notes == ["PPM holds no EXIF, colour profile, XMP, resolution: left out"]
    first, second = Image.fromarray(photo()), Image.fromarray(photo(seed=1))
    first.save(tmp_path / "two.tif", save_all=True, append_images=[second])
    notes = run(tmp_path / "two.tif", tmp_path / "out.tif", SAME)
    assert notes == ["only the first of the 2 pictures in the file is restored; the others are left out"]
    first.convert("CMYK").save(tmp_path / "cmyk.jpg", icc_profile=profile().replace(b"RGB ", b"CMYK", 1))
    (note,) = run(tmp_path / "cmyk.jpg", tmp_path / "out.jpg", SAME)
    assert "profile is for CMYK" in note


def test_metadata_longer_than_a_jpeg_holds_is_said(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "x" * 70_000)
    tags = Image.Exif()
    tags.get_ifd(0x8769)[0x927C] = bytes(70_000)
    Image.fromarray(photo()).save(tmp_path / "in.png", pnginfo=info, exif=tags.tobytes())
    assert run(tmp_path / "in.png", tmp_path / "out.jpg", SAME) == [
        "its EXIF is longer than JPEG holds: left out",
        "its XMP is longer than JPEG holds: left out",
    ]


def test_a_grey_profile_stays_with_grey_and_iptc_with_jpeg(tmp_path):
    captions = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x08\x1c\x02\x78\0\x03cap"
    extra = b"\xff\xed" + struct.pack(">H", len(captions) + 2) + captions
    Image.fromarray(photo()[..., 0]).save(tmp_path / "in.jpg", icc_profile=profile("grey"), extra=extra)
    assert run(tmp_path / "in.jpg", tmp_path / "out.jpg", SAME) == []
    after = Image.open(tmp_path / "out.jpg")
    assert (
        after.mode == "L" and after.info["icc_profile"] == profile("grey") and captions in dict(after.applist).values()
    )


def test_the_colour_space_chunk_of_a_png_stays(tmp_path):
    file = io.BytesIO()
    Image.fromarray(photo()).save(file, "PNG")
    data = file.getvalue()
    chunk = struct.pack(">I", 4) + b"cICP\x0c\x0d\0\1"  # Display P3
    source = tmp_path / "in.png"
    source.write_bytes(data[:33] + chunk + struct.pack(">I", zlib.crc32(chunk[4:])) + data[33:])
    assert run(source, tmp_path / "out.png", INVERT) == []
    assert chunk in (tmp_path / "out.png").read_bytes()
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), 255 - photo())
    assert run(source, tmp_path / "out.jpg", SAME) == ["JPEG holds no cICP (the PNG's colour space): left out"]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_mutated_files_are_restored_or_refused_in_a_message(tmp_path, suffix):
    """Bytes changed, blocks zeroed or repeated, ends cut off, most of it in the metadata, which lies in front."""
    write_photograph(tmp_path / f"whole{suffix}", photo(16, 24))
    whole = (tmp_path / f"whole{suffix}").read_bytes()
    rng, restored = np.random.default_rng(0), 0
    for index in range(60):
        data = bytearray(whole)
        at = int(rng.integers(8, len(data)))
        length = int(rng.integers(1, 40))
        if index % 4 == 0:
            data[at : at + 2] = rng.bytes(2)
        elif index % 4 == 1:
            data[at : at + length] = bytes(length)
        elif index % 4 == 2:
            data[at:at] = data[at : at + length]
        else:
            del data[at:]
        (tmp_path / f"in{suffix}").write_bytes(sealed(data) if suffix == ".png" else data)
        try:
            deblur(tmp_path / f"in{suffix}", tmp_path / f"out{(suffix, '.tif')[index % 2]}", SAME, lambda *_: None)
            restored += 1
        except UserError as error:
            assert "in" + suffix in error.message
    assert restored >= 10
