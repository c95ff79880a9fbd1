"""Photographs with everything that their files can say, written and read by others than edgedeblur."""

import functools
import json
import shutil
import struct
import subprocess
import zlib

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6" dc:rights="me"/></x:xmpmeta>'


def photo(height: int = 48, width: int = 40, seed: int = 0) -> np.ndarray:
    """Smooth colours with noise, uint8 RGB."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin((x * a + y * b) / 7 + c) for a, b, c in ((1, 0.5, 0), (0.3, 1, 1), (0.7, 0.7, 2))]
    return np.clip(128 + 80 * np.stack(waves, axis=2) + rng.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8)


@functools.cache  # it holds the time when it was made
def profile(kind="P3"):
    """A display profile with P3's primaries in its rXYZ, gXYZ and bXYZ tags, or LittleCMS's grey one."""
    srgb = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    if kind == "grey":
        srgb[16:20] = b"GRAY"
        return bytes(srgb)
    for index in range(struct.unpack_from(">I", srgb, 128)[0]):
        name, at, _ = struct.unpack_from(">4sII", srgb, 132 + 12 * index)
        primary = {
            b"rXYZ": (0.5151, 0.2412, -0.0011),
            b"gXYZ": (0.2919, 0.6922, 0.0419),
            b"bXYZ": (0.1572, 0.0666, 0.7841),
        }
        if name in primary:
            struct.pack_into(">3i", srgb, at + 8, *(round(value * 65536) for value in primary[name]))
    return bytes(srgb)


def exif(orientation=6):
    """Camera, exposure, a maker note, GPS, a preview, and the size of the picture as it lies in the file."""
    tags = Image.Exif()
    tags[0x0112], tags[0x010F], tags[0x0110] = orientation, "Maker", "Camera 1"
    inner = tags.get_ifd(0x8769)
    inner[0x829A], inner[0x8827], inner[0xA002], inner[0xA003] = TiffImagePlugin.IFDRational(1, 125), 400, 60, 40
    inner[0x927C] = b"maker's own \0\1\2 notes"
    place = tags.get_ifd(0x8825)
    place[1], place[2], place[3], place[4] = "N", (48.0, 8.0, 15.0), "E", (11.0, 34.0, 30.0)
    return tags.tobytes()


def facts(path):
    """Tags by name, by exiftool, else by Pillow."""
    if shutil.which("exiftool"):
        done = subprocess.run(["exiftool", "-json", "-n", "-G0", str(path)], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)[0]
        names = ("Orientation", "Make", "Model", "ISO", "ExposureTime", "ExifImageWidth", "ExifImageHeight")
        gps = [found.get("EXIF:GPSLatitude"), found.get("EXIF:GPSLongitude")]
        assert "EXIF:ThumbnailImage" not in found
        return {name: found.get(f"EXIF:{name}") for name in names} | {"gps": gps}
    with Image.open(path) as image:
        tags = image.getexif()
        inner, place = tags.get_ifd(0x8769), tags.get_ifd(0x8825)
        named = (tags.get(0x0112), tags.get(0x010F), tags.get(0x0110), inner.get(0x8827), inner.get(0x829A))
        gps = [sum(float(part) / 60**index for index, part in enumerate(place[tag])) for tag in (2, 4)]
    names = ("Orientation", "Make", "Model", "ISO", "ExposureTime", "ExifImageWidth", "ExifImageHeight")
    return dict(zip(names, (*named, inner.get(0xA002), inner.get(0xA003)), strict=True)) | {"gps": gps}


def write_photograph(path, rgb):
    """A wide-gamut photograph with orientation 6, GPS, XMP and 300 dpi, in the suffix's format."""
    options = {"exif": exif(), "icc_profile": profile(), "dpi": (300, 300)}
    if path.suffix == ".png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
        options["pnginfo"].add_text("Author", "me")
    elif path.suffix == ".tif":
        options["exif"] = Image.Exif()
        options["exif"].load(exif())
        options["exif"][700] = XMP
    else:
        options["xmp"] = XMP
    if path.suffix == ".jpg":
        options |= {"quality": 100, "subsampling": 0, "comment": b"a comment"}
    Image.fromarray(rgb).save(path, **options | ({"lossless": True} if path.suffix == ".webp" else {}))


def deep_photo(channels):
    shape = (20, 30) if channels == 1 else (20, 30, channels)
    values = np.random.default_rng(1).integers(0, 65536, shape, np.uint16)
    values.flat[:3] = 0, 65535, 65400
    return values


def write_deep(path, values, orientation=1):
    """By OpenCV or tifffile, neither of which writes our files."""
    channels = 1 if values.ndim == 2 else values.shape[2]
    if path.suffix == ".tif":
        kind = {"photometric": "minisblack" if channels == 1 else "rgb"} | (
            {"extrasamples": [2]} if channels == 4 else {}
        )
        tags = [(274, "H", 1, orientation, True), (271, "s", 0, "Maker", True)]
        tifffile.imwrite(
            path, values, compression="zlib", iccprofile=profile(), resolution=(300, 300), extratags=tags, **kind
        )
        return
    order = {1: slice(None), 3: (..., [2, 1, 0]), 4: (..., [2, 1, 0, 3])}[channels]
    assert cv2.imwrite(str(path), values[order])


def read_deep(path, channels):
    if path.suffix == ".tif":
        return tifffile.imread(path)
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return values[{1: slice(None), 3: (..., [2, 1, 0]), 4: (..., [2, 1, 0, 3])}[channels]]


def sealed(png):
    """With checksums that agree, so that what changed gets past them."""
    at, parts = 8, [bytes(png[:8])]
    while at + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, at)
        body = bytes(png[at + 4 : at + 8 + length])
        parts.append(struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + length
    return b"".join(parts)
