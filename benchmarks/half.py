"""What float16 costs in dB on a GPU, on pairs: the float student, its float16 form, the int8 network, and its
weights in float32.

    PYTHONPATH=. python benchmarks/half.py ../shared/material/pairs --tier small

The float16 form is torch's with every stored tensor rounded. --opencl N computes N of the crops by the kernels on this
machine's first OpenCL as well: in software that takes minutes, so it is a few.
"""

import argparse
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime

from edgedeblur.compile.gpu.build import build_gpu_plan
from edgedeblur.compile.gpu.half.network import half_network
from edgedeblur.compile.gpu.half.reference import restore_in_float16, restore_in_float32
from edgedeblur.data.pairs import find_pairs
from edgedeblur.export.onnx import onnx_model
from edgedeblur.metrics import psnr
from edgedeblur.quantize.edq import load_edq
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.quantize.simulate import run_simulated
from edgedeblur.student import Student
from edgedeblur.student.model_file import load_student
from edgedeblur.workflow.shipped import shipped_network, shipped_student

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from opencl import build, builds, image_of, image_words, run_plan

Restore = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--tier", default="small")
    parser.add_argument("--side", type=int, default=256, help="of the crop from the middle of each picture")
    parser.add_argument("--opencl", type=int, default=0, help="crops that the kernels compute too")
    options = parser.parse_args()
    student, _ = load_student(shipped_student(options.tier))
    forms = restorers(student, load_edq(shipped_network(options.tier)))
    scores: dict[str, list[float]] = {name: [] for name in ("blurred", *forms)}
    kernels = opencl(student, options.side) if options.opencl else None
    for number, (blurred, sharp) in enumerate(crops(options.pairs, options.side)):
        scores["blurred"].append(psnr(blurred, sharp))
        made = {name: restore(blurred) for name, restore in forms.items()}
        for name, image in made.items():
            scores[name].append(psnr(image, sharp))
        if kernels is not None and number < options.opencl:
            tell_kernels(kernels(blurred), made, sharp)
    count = len(scores["blurred"])
    print(
        f"{options.tier}, {count} crops of at most {options.side}x{options.side}, mean PSNR against the sharp picture:"
    )
    exact = np.array(scores["float student"])
    for name, values in scores.items():
        off = np.array(values) - exact
        print(f"  {name:28} {np.mean(values):7.3f} dB, {off.mean():+.4f} ({off.min():+.4f} to {off.max():+.4f})")


def restorers(student: Student, network: QuantisedNetwork) -> dict[str, Restore]:
    @functools.cache
    def session(height: int, width: int) -> onnxruntime.InferenceSession:
        model = onnx_model(network, height, width, "float").SerializeToString()
        return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def dequantised(image: np.ndarray) -> np.ndarray:
        running = session(*image.shape[:2])
        return np.asarray(running.run(None, {running.get_inputs()[0].name: image[None]})[0][0])

    return {
        "float student": lambda image: restore_in_float32(student, image),
        "float16 in memory": lambda image: restore_in_float16(student, image),
        "int8 network": lambda image: run_simulated(network, image),
        "int8's weights in float32": dequantised,
    }


def opencl(student: Student, side: int) -> Restore:
    plan = build_gpu_plan(half_network(student), side, side)
    device, options = builds()[0]
    built = build(device, plan.text, options)
    print(f"kernels on {device.platform.name}, {device.name}", flush=True)
    return lambda image: image_of(run_plan(built, plan, image_words(image)), image.shape)


def tell_kernels(found: np.ndarray, made: dict[str, np.ndarray], sharp: np.ndarray) -> None:
    levels = {name: np.abs(found.astype(int) - made[name]) for name in ("float16 in memory", "float student")}
    told = [f"{name} by at most {off.max()} level, {(off > 0).mean():.2%} of bytes" for name, off in levels.items()]
    off = psnr(found, sharp) - psnr(made["float student"], sharp)
    print(f"  kernels differ from {'; from '.join(told)}; {off:+.4f} dB", flush=True)


def crops(folder: Path, side: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The middles of all pairs below a folder, sides in multiples of 16."""
    for sub in sorted(path for path in folder.iterdir() if path.is_dir()):
        for pair in find_pairs(sub):
            yield tuple(middle(image, side) for image in pair.read())


def middle(image: np.ndarray, side: int) -> np.ndarray:
    height, width = (min(side, length // 16 * 16) for length in image.shape[:2])
    y, x = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[y : y + height, x : x + width])


if __name__ == "__main__":
    main()
