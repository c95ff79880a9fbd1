"""Small whole images, photographs and videos, made when they are needed, and what reads them.

Apart from corpus.py and loaders.py, which bring in torch: a video is read by a forked process, which takes several
times as long with torch in it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import mutate
import numpy as np
import pillow_heif
from clips import picture, write_clip
from photographs import exif, photo, profile
from PIL import Image

from edgedeblur.data.images import read_image
from edgedeblur.restore.each_frame import FrameRestorer
from edgedeblur.restore.encode import write_photograph
from edgedeblur.restore.photograph import in_kind, read_photograph
from edgedeblur.restore.video.frames import deblur_video


@dataclass(frozen=True)
class Loader:
    """corpus: makes whole files in a folder. damage: what is done to one. load: what reads the damaged file.

    names_file: whether a refusal must name the file.
    """

    corpus: Callable[[Path], list[Path]]
    damage: mutate.Mutate
    load: Callable[[Path], object]
    names_file: bool = True


def images(folder: Path, *formats: str) -> list[Path]:
    """Of 24x20 pixels: RGB, grey, palette and alpha where the format has them."""
    paths = []
    rgb = Image.fromarray(photo(24, 20))
    for suffix in formats:
        for mode in ("RGB", "L", "P", "RGBA"):
            path = folder / f"{mode}.{suffix}"
            try:
                rgb.convert(mode).save(path)
            except (OSError, KeyError):  # the format does not have the mode
                continue
            paths.append(path)
    return paths


def deep_png(folder: Path) -> list[Path]:
    """16 bits a channel, of three channels and of one."""
    deep = photo(24, 20).astype(np.uint16) * 257
    paths = [folder / "deep.png", folder / "deep-grey.png"]
    cv2.imwrite(str(paths[0]), deep)
    cv2.imwrite(str(paths[1]), deep[..., 0])
    return paths


def compressed_tiff(folder: Path) -> list[Path]:
    """One file for each compression that libtiff has here; 1 bit a pixel for fax, 16 bits for deflate."""
    rgb, grey = Image.fromarray(photo(24, 20)), Image.fromarray(photo(24, 20)[..., 0].astype(np.uint16) * 257)
    kinds = {"tiff_lzw": rgb, "tiff_adobe_deflate": grey, "packbits": rgb.convert("P"), "jpeg": rgb, "zstd": rgb}
    kinds |= {"lzma": rgb.convert("CMYK"), **dict.fromkeys(("group3", "group4", "tiff_ccitt"), rgb.convert("1"))}
    for compression, image in kinds.items():
        image.save(folder / f"{compression}.tif", compression=compression)
    return sorted(folder.glob("*.tif"))


def photographs(folder: Path, suffix: str) -> list[Path]:
    """With EXIF, a colour profile and resolution; of PNG and TIFF one with 16 bits a sample too."""
    path, deep = folder / f"photograph.{suffix}", photo(24, 20).astype(np.uint16) * 257
    Image.fromarray(photo(24, 20)).save(path, exif=exif(), icc_profile=profile(), dpi=(300, 300))
    if suffix in ("jpg", "webp"):
        return [path]
    cv2.imwrite(str(folder / f"deep.{suffix}"), deep)
    return [path, folder / f"deep.{suffix}"]


def video(folder: Path, suffix: str, codec: str) -> list[Path]:
    path = folder / f"clip.{suffix}"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 25, (48, 32))
    for seed in range(4):
        writer.write(photo(32, 48, seed))
    writer.release()
    return [path]


def further_videos(folder: Path) -> list[Path]:
    """A clip in each of the less common containers that are read."""
    kinds = {"webm": "VP80", "mpg": "mpg1", "ts": "MPG2", "3gp": "mp4v"}
    return [path for suffix, codec in kinds.items() for path in video(folder, suffix, codec)]


def clip(folder: Path, suffix: str) -> list[Path]:
    """H.264 with sound, subtitles and a rotation where the container has them: what PyAV reads and writes."""
    frames = [picture(index, 32, 48) for index in range(4)]
    return [write_clip(folder / f"clip.{suffix}", frames, rotation=90 * (suffix == "mp4"))]


def heic(folder: Path) -> list[Path]:
    pillow_heif.register_heif_opener()
    path = folder / "photograph.heic"
    Image.fromarray(photo(24, 20)).save(path, "HEIF", exif=exif(), icc_profile=profile())
    return [path]


def _image_of(*suffixes: str) -> Loader:
    return Loader(lambda folder: images(folder, *suffixes), mutate.raw, read_image)


def _photograph_of(suffix: str, damage: mutate.Mutate = mutate.raw) -> Loader:
    """Restored and written, so that what is kept of its file goes through the encoder too."""
    return Loader(lambda folder: photographs(folder, suffix), damage, _photograph)


def _photograph(path: Path) -> None:
    found, suffix = read_photograph(path), ".jpg" if path.suffix == ".heic" else path.suffix
    write_photograph(path.with_name(f"out{suffix}"), in_kind(found, found.rgb), found.alpha, found.properties)


def _video(path: Path) -> None:
    deblur_video(path, path.with_name("out.avi"), FrameRestorer(lambda image: image), lambda *done: None)


def _streams(path: Path) -> None:
    """As `_video`, but through PyAV with all tracks."""
    deblur_video(path, path.with_name(f"out{path.suffix}"), FrameRestorer(lambda image: image), lambda *done: None)


PICTURES: dict[str, Loader] = {
    "image PNG": _image_of("png"),
    "image PNG of 16 bits": Loader(deep_png, mutate.raw, read_image),
    "image JPEG": _image_of("jpg"),
    "image WebP": _image_of("webp"),
    "image BMP": _image_of("bmp"),
    "image TIFF": _image_of("tif"),
    "image TIFF, compressed": Loader(compressed_tiff, mutate.raw, read_image),
    "image PPM": _image_of("ppm"),
    "photograph JPEG": _photograph_of("jpg"),
    "photograph PNG": _photograph_of("png", mutate.png_chunks),
    "photograph WebP": _photograph_of("webp"),
    "photograph TIFF": _photograph_of("tif"),
    "photograph HEIC": Loader(heic, mutate.raw, _photograph),
    "video AVI": Loader(lambda folder: video(folder, "avi", "MJPG"), mutate.raw, _video),
    "video MP4": Loader(lambda folder: video(folder, "mp4", "mp4v"), mutate.raw, _video),
    "video Matroska": Loader(lambda folder: video(folder, "mkv", "mp4v"), mutate.raw, _video),
    "video WebM, MPEG, transport stream, 3GP": Loader(further_videos, mutate.raw, _video),
    "video with sound, MP4": Loader(lambda folder: clip(folder, "mp4"), mutate.raw, _streams),
    "video with sound, Matroska": Loader(lambda folder: clip(folder, "mkv"), mutate.raw, _streams),
}
