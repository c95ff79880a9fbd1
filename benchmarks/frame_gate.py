"""The figures of docs/frame-gate.md: the blur score's ROC on real pairs, and faults that are put into real frames.

    python benchmarks/frame_gate.py MATERIAL [--roc docs/frame-gate-roc.svg]

MATERIAL holds pairs/, pairs_train/, gopro_video_240fps/ and photos/. The limit of blur is from pairs_train/ alone: the
score that 2 % of its blurred frames are below.
"""

import argparse
import importlib.util
import io
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edgedeblur.data.images import list_images, read_image
from edgedeblur.restore.gate.gate import FLAGS, GateLimits, flags_of
from edgedeblur.restore.gate.measures import blur_score, grey, measure

Frames = list[np.ndarray]
PASSED_WRONGLY = 0.02
SIZE = (720, 1280)


def scores(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Of the blurred and of the sharp frames of every folder of pairs."""
    found = {"blur": [], "sharp": []}
    for kind, values in found.items():
        for path in sorted(folder.glob(f"*/{kind}/*")):
            values.append(blur_score(grey(read_image(path))))
    return np.array(found["blur"]), np.array(found["sharp"])


def area_under(blurred: np.ndarray, sharp: np.ndarray) -> float:
    """Of the ROC: how often a blurred frame scores higher than a sharp one."""
    return float((blurred[:, None] > sharp).mean() + (blurred[:, None] == sharp).mean() / 2)


def print_roc(blurred: np.ndarray, sharp: np.ndarray, chosen: float) -> None:
    print("| sharp below | sharp frames passed | blurred frames passed |\n|---|---|---|")
    for limit in sorted({0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, chosen}):
        print(f"| {limit:.2f} | {(sharp < limit).mean():.0%} | {(blurred < limit).mean():.0%} |")


def draw_roc(path: Path, sets: dict[str, tuple[np.ndarray, np.ndarray]], chosen: float) -> None:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "frame-gate"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 4))
    for name, (blurred, sharp) in sets.items():
        limits = np.sort(np.concatenate([blurred, sharp, [0, 1.01]]))
        lines = [[(values < limit).mean() for limit in limits] for values in (blurred, sharp)]
        (line,) = axes.plot(*lines, label=f"{name} (area {area_under(blurred, sharp):.2f})")
        axes.plot((blurred < chosen).mean(), (sharp < chosen).mean(), "o", color=line.get_color())
    axes.set(xlabel="blurred frames passed", ylabel="sharp frames passed", title=f"dots: sharp below {chosen:g}")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")


def clips(material: Path) -> dict[str, Frames]:
    """Luminance of consecutive frames: a walk, a street with fast motion, and a blurred clip; at about 30, 12, 12 a
    second."""

    def read(folder: str, step: int) -> Frames:
        return [grey(read_image(path)) for path in list_images(material / folder)[::step]]

    return {
        "gopro 0477": read("gopro_video_240fps", 8),
        "reds 020": read("pairs_train/reds720_020/sharp", 1),
        "gopro 0372, blurred": read("pairs_train/gopro720_0372/blur", 2),
    }


def torn(frame: np.ndarray, before: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The lower part is still the frame before."""
    row = int(rng.integers(frame.shape[0] // 8, frame.shape[0] * 7 // 8))
    return np.vstack([frame[:row], before[row:]])


def shifted(frame: np.ndarray, before: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The lower part has lost its place by 8 to 60 columns, as after a loss of synchronisation."""
    row = int(rng.integers(frame.shape[0] // 8, frame.shape[0] * 7 // 8))
    return np.vstack([frame[:row], np.roll(frame[row:], int(rng.integers(8, 60)), axis=1)])


def damaged(frame: np.ndarray, before: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three runs of 4 to 19 blocks of 16x16 are grey, from elsewhere, or have lost all but a wrong mean."""
    made = frame.copy()
    for kind in range(3):
        count = int(rng.integers(4, 20))
        y, x = 16 * int(rng.integers(frame.shape[0] // 16)), 16 * int(rng.integers(frame.shape[1] // 16 - 4))
        if kind == 0:
            made[y : y + 16, x : x + 16 * count] = 128
        elif kind == 1:
            elsewhere = np.roll(frame, (48, 80), (0, 1))
            made[y : y + 16, x : x + 16 * count] = elsewhere[y : y + 16, x : x + 16 * count]
        else:
            for at in range(x, min(x + 16 * count, frame.shape[1]), 16):
                mean = frame[y : y + 16, at : at + 16].mean() + rng.integers(-30, 31)
                made[y : y + 16, at : at + 16] = np.clip(mean, 0, 255)
    return made


def noisy(level: float) -> Callable:
    def make(frame: np.ndarray, before: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.clip(np.rint(rng.normal(level, 2, frame.shape)), 0, 255).astype(np.uint8)

    return make


def brightened(frame: np.ndarray, before: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposed three to four stops more."""
    linear = (frame / 255.0) ** 2.2 * 2 ** rng.uniform(3, 4)
    return np.clip(np.rint(255 * np.minimum(linear, 1) ** (1 / 2.2)), 0, 255).astype(np.uint8)


def darkened(frame: np.ndarray, before: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposed six to eight stops less, with read noise."""
    linear = (frame / 255.0) ** 2.2 / 2 ** rng.uniform(6, 8)
    return np.clip(np.rint(255 * linear ** (1 / 2.2) + rng.normal(0, 1.5, frame.shape)), 0, 255).astype(np.uint8)


FAULTS = {
    "frozen": lambda frame, before, rng: before,
    "torn (an older frame below)": torn,
    "torn (shifted below)": shifted,
    "damaged": damaged,
    "blank (black, noise of 2 levels)": noisy(4),
    "blank (grey, noise of 2 levels)": noisy(128),
    "overexposed by 3 to 4 stops": brightened,
    "dark by 6 to 8 stops": darkened,
}


def print_faults(clips_: dict[str, Frames], others: Frames, limits: GateLimits) -> None:
    rng = np.random.default_rng(0)
    pairs = [(frame, before) for frames in clips_.values() for before, frame in zip(frames, frames[1:], strict=False)]
    clean = [flags_of(measure(frame, before), limits) for frame, before in pairs]
    print(f"\n| fault, in {len(pairs)} frames | found | flag | raised in the frames without it |\n|---|---|---|---|")
    for name, make in FAULTS.items():
        flag = name.split(" ")[0]
        found = [flag in flags_of(measure(make(*pair, rng), pair[1]), limits) for pair in pairs]
        print(f"| {name} | {np.mean(found):.1%} | {flag} | {np.mean([flag in each for each in clean]):.1%} |")
    ends = [frame for frames in clips_.values() for frame in frames[::4]]
    cuts = list(zip(rng.permutation(np.array(others)), rng.permutation(np.array(ends)), strict=False))
    found = ["cut" in flags_of(measure(one, other), limits) for one, other in cuts]
    share = np.mean(["cut" in each for each in clean])
    print(f"| cut to one of {len(cuts)} photographs | {np.mean(found):.1%} | cut | {share:.1%} |")


def print_stills(stills: Frames, limits: GateLimits) -> None:
    """Flags of photographs without a frame before them, as they are and as poor JPEG."""
    print(f"\n| false alarms in {len(stills)} photographs | " + " | ".join(FLAGS) + " |\n" + "|---" * 9 + "|")
    for name, quality in (("as they are", None), ("JPEG, quality 40", 40), ("JPEG, quality 20", 20)):
        again = stills if quality is None else [_jpeg(frame, quality) for frame in stills]
        flags = [flags_of(measure(frame), limits) for frame in again]
        shares = {flag: f"{np.mean([flag in each for each in flags]):.1%}" for flag in FLAGS}
        cells = ["-" if flag in ("frozen", "cut") else share for flag, share in shares.items()]
        print(f"| {name} | " + " | ".join(cells) + " |")


def _jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)


def print_streams(clips_: dict[str, Frames], limits: GateLimits) -> None:
    """H.264 streams with overwritten bytes, as FFmpeg's decoder gives their frames."""
    whole, broken, visible = [], [], []
    for frames in clips_.values():
        stream = _encode(frames)
        clean, hurt = _decode(stream), _decode(_overwrite(stream))
        for index in range(1, min(len(clean), len(hurt))):
            whole.append("damaged" in flags_of(measure(clean[index], clean[index - 1]), limits))
            broken.append("damaged" in flags_of(measure(hurt[index], hurt[index - 1]), limits))
            visible.append(cv2.PSNR(clean[index], hurt[index]) < 25)
    broken, visible = np.array(broken), np.array(visible)
    print(
        f"\nH.264 with bytes overwritten: {visible.sum()} of {visible.size} decoded frames are below 25 dB against the "
        f"whole stream's; {broken[visible].mean():.1%} of these are flagged damaged, and {np.mean(whole):.1%} of "
        "the whole stream's frames"
    )


def _encode(frames: Frames) -> bytes:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="h264") as output:
        stream = output.add_stream("libx264", rate=30, width=frames[0].shape[1], height=frames[0].shape[0])
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "23", "preset": "veryfast", "g": "12"}
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        output.mux(stream.encode(None))
    return file.getvalue()


def _overwrite(stream: bytes) -> bytes:
    rng, data = np.random.default_rng(1), bytearray(stream)
    for at in rng.integers(2000, len(data) - 200, 6):
        data[at : at + 40] = rng.bytes(40)
    return bytes(data)


def _decode(stream: bytes) -> Frames:
    import av

    with av.open(io.BytesIO(stream), format="h264") as source:
        return [frame.to_ndarray(format="gray") for frame in source.decode(video=0)]


def print_time(frames: Frames) -> None:
    start = time.process_time()
    for before, frame in zip(frames, frames[1:], strict=False):
        measure(frame, before)
    each = (time.process_time() - start) / (len(frames) - 1)
    print(f"\n{1e3 * each:.1f} ms of one core for a frame of 1280x720 (process time)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("material", type=Path)
    parser.add_argument("--roc", type=Path, help="draw the ROC into this SVG file")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    limits = GateLimits()
    train, held = scores(given.material / "pairs_train"), scores(given.material / "pairs")
    fitted = float(np.quantile(train[0], PASSED_WRONGLY))
    print(f"{PASSED_WRONGLY:.0%} of {len(train[0])} blurred frames of pairs_train are below {fitted:.3f}")
    print(f"area under the ROC: {area_under(*train):.3f} (pairs_train), {area_under(*held):.3f} (pairs)")
    ordered = [np.mean(blurred > sharp) for blurred, sharp in (train, held)]
    print(f"pairs whose blurred frame scores higher: {ordered[0]:.1%} (pairs_train), {ordered[1]:.1%} (pairs)\n")
    print_roc(*held, limits.blur)
    if given.roc:
        draw_roc(given.roc, {"pairs_train": train, "pairs": held}, limits.blur)
    found = clips(given.material)
    photos = [
        path
        for name in ("kodak", "cid22", "elementary", "unsplash")
        for path in list_images(given.material / "photos" / name)
    ]
    stills = [grey(read_image(path)) for path in photos[::2]]
    print_faults(found, [cv2.resize(frame, SIZE[::-1]) for frame in stills[:40]], limits)
    print_stills(stills, limits)
    if importlib.util.find_spec("av"):
        print_streams(found, limits)
    else:
        print("\nH.264 with bytes overwritten: not tried, PyAV is not installed")
    print_time(found["gopro 0477"])


if __name__ == "__main__":
    main()
