"""Other runtimes on the same quantised network: same image, same threads, turns taken in one session.

Turns are blocks of runs. A turn begins when the threads of the one before no longer spin for work, which would take a
core from it, and its first run, whose data has left the caches, is not counted. Clock changes and other load then hit
all of them alike.

Other runtimes have no int8 convolution whose scales an image decides. They run a network with gates with the factors of
one image: fewer operations than ours, said beside the precision. So is a picture that is not the network's.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from edgedeblur.bench.environment import version_of
from edgedeblur.bench.latency import percentile
from edgedeblur.errors import UserError
from edgedeblur.export.runtimes import open_litert, open_mnn, open_onnx, open_openvino
from edgedeblur.quantize import interpreter
from edgedeblur.quantize.network import QuantisedNetwork, in_plain_form
from edgedeblur.report.schema import Peer
from edgedeblur.storage.temporary import scratch_folder

ROUNDS = 10
BLOCK = 5
_IDLE_WINDOW_S = 0.02
_IDLE_SHARE = 0.1  # of a core
_COARSE = 32  # pixels
_OTHER_PICTURE = 0.9  # levels of 255 on average: rounding, saturation and bfloat16 stay below

Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Runtime:
    """A network loaded in some runtime. run: uint8 [H, W, 3] RGB in and out."""

    name: str
    version: str
    precision: str
    run: Run


def compare(network: QuantisedNetwork, ours: Run, names: Sequence[str], image: np.ndarray, threads: int) -> list[Peer]:
    """Time the peers against ours.

    Args:
        network: what ours was compiled from.
        ours: runs the artefact on the image, with `threads` threads.
        names: keys of `PEERS`.
        image: uint8 [H, W, 3] RGB.
        threads: for every runtime.

    Raises:
        UserError: no such peer, or its package is not installed.
    """
    check_names(names)
    picture, said = _smooth(image), ", gates fixed" if network.spec.gated else ""
    plain = in_plain_form(interpreter.with_fixed_gates(network, picture))
    with scratch_folder() as folder:
        peers = [PEERS[name](plain, image.shape[:2], threads, folder) for name in names]
        right = interpreter.run(plain, picture)
        notes = [said + _difference(peer.run(picture), right) for peer in peers]
        times = take_turns([ours, *(peer.run for peer in peers)], image)
    medians = [percentile(samples, 50) for samples in times]
    return [
        Peer(peer.name, peer.version, peer.precision + note, threads, median, median / medians[0])
        for peer, note, median in zip(peers, notes, medians[1:], strict=True)
    ]


def _smooth(image: np.ndarray) -> np.ndarray:
    """A picture of that size without the noise of the one that is timed, on which runtimes saturate in other places."""
    few = Image.fromarray(96 + image[::_COARSE, ::_COARSE] // 4)
    return np.asarray(few.resize((image.shape[1], image.shape[0]), Image.Resampling.BICUBIC))


def _difference(restored: np.ndarray, right: np.ndarray) -> str:
    """A word on a peer whose picture is not the network's: it may have computed something else, or less."""
    levels = float(np.abs(restored.astype(np.int16) - right).mean())
    return f", its picture {levels:.1f} levels off on average" if levels > _OTHER_PICTURE else ""


def check_names(names: Sequence[str]) -> None:
    """Raises UserError for a peer that does not exist or is not installed."""
    for name in names:
        if name not in PEERS:
            raise UserError(f"no peer {name!r}; there are {', '.join(PEERS)}", exit_code=2)
        if all(version_of(package) is None for package in _PACKAGES[name]):
            package = _PACKAGES[name][0]
            extra = _EXTRAS.get(package, "peers")
            raise UserError(f"{package} is not installed", f"pip install 'edgedeblur[{extra}]'")


def take_turns(runs: Sequence[Run], image: np.ndarray, rounds: int = ROUNDS, block: int = BLOCK) -> list[list[float]]:
    """Milliseconds of `rounds * block` runs each, in turns of `block` runs after one that is not counted."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, samples in zip(runs, times, strict=True):
            wait_until_idle()
            run(image)
            for _ in range(block):
                start = time.perf_counter_ns()
                run(image)
                samples.append((time.perf_counter_ns() - start) / 1e6)
    return times


def wait_until_idle(longest_s: float = 2.0) -> None:
    """Return when no thread of this process works any more; ONNX Runtime's spin for some time after a run."""
    end = time.perf_counter() + longest_s
    while time.perf_counter() < end:
        start, busy = time.perf_counter(), time.process_time()
        time.sleep(_IDLE_WINDOW_S)
        if time.process_time() - busy < _IDLE_SHARE * (time.perf_counter() - start):
            return


def _onnxruntime(network: QuantisedNetwork, size: tuple[int, int], threads: int, folder: Path) -> Runtime:
    return _onnx("onnxruntime", network, size, threads, folder / "qlinear.onnx", "int8 (QLinearConv)")


def _onnxruntime_float(network: QuantisedNetwork, size: tuple[int, int], threads: int, folder: Path) -> Runtime:
    return _onnx("onnxruntime-float32", network, size, threads, folder / "float.onnx", "float32")


def _onnx(
    name: str, network: QuantisedNetwork, size: tuple[int, int], threads: int, path: Path, precision: str
) -> Runtime:
    """The network in the form that the file is named after."""
    from edgedeblur.export.onnx import export_onnx

    export_onnx(network, path, *size, form=path.stem)
    loaded = open_onnx(path, threads)
    return Runtime(name, loaded.version, precision, loaded.run)


def _openvino(network: QuantisedNetwork, size: tuple[int, int], threads: int, folder: Path) -> Runtime:
    return _in_openvino("openvino", network, size, threads, folder / "qdq.onnx", "int8 (QDQ)")


def _openvino_bf16(network: QuantisedNetwork, size: tuple[int, int], threads: int, folder: Path) -> Runtime:
    return _in_openvino("openvino-bf16", network, size, threads, folder / "float.onnx", "bfloat16")


def _in_openvino(
    name: str, network: QuantisedNetwork, size: tuple[int, int], threads: int, path: Path, precision: str
) -> Runtime:
    """The network in the form that the file is named after."""
    from edgedeblur.export.onnx import export_onnx

    export_onnx(network, path, *size, form=path.stem)
    loaded = open_openvino(path, threads, bf16=precision == "bfloat16")
    return Runtime(name, loaded.version, precision, loaded.run)


def _litert(network: QuantisedNetwork, size: tuple[int, int], threads: int, folder: Path) -> Runtime:
    from edgedeblur.export.tflite import export_tflite

    path = folder / "network.tflite"
    export_tflite(network, path, *size)
    loaded = open_litert(path, threads)
    return Runtime("litert", loaded.version, "int8 (XNNPACK)", loaded.run)


def _mnn(network: QuantisedNetwork, size: tuple[int, int], threads: int, folder: Path) -> Runtime:
    from edgedeblur.export.tflite import export_tflite

    path = folder / "for-mnn.tflite"
    export_tflite(network, path, *size)
    loaded = open_mnn(path, threads)
    return Runtime("mnn", loaded.version, "int8 (its conversion of the .tflite file)", loaded.run)


PEERS = {
    "onnxruntime": _onnxruntime,
    "litert": _litert,
    "mnn": _mnn,
    "openvino": _openvino,
    "openvino-bf16": _openvino_bf16,
    "onnxruntime-float32": _onnxruntime_float,
}
_PACKAGES = {
    "onnxruntime": ("onnxruntime",),
    "litert": ("ai-edge-litert", "tflite-runtime"),
    "mnn": ("MNN",),
    "openvino": ("openvino",),
    "openvino-bf16": ("openvino",),
    "onnxruntime-float32": ("onnxruntime",),
}
_EXTRAS = {"MNN": "mnn", "openvino": "openvino"}  # others: peers
