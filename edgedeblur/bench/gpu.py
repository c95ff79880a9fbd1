"""What `bench` asks of a GPU: an artefact with kernels for one is measured on it, and only on it; how its output is
checked, which for the float16 form is by the self-test's picture in float32."""

import numpy as np

from edgedeblur.artefact import names
from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.artefact.manifest import damaged
from edgedeblur.artefact.self_test import fill_image, make_tile
from edgedeblur.artefact.target import Target
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter
from edgedeblur.report.schema import Gpu
from edgedeblur.runtime.program import BenchResult, NoRunner, run_program

SOFTWARE_GPU = (
    "latency and peak memory unknown: software simulates the GPU here, and compiles in the same process; bench it "
    "where there is a GPU, or the processor's kernels: edgedeblur bench --target host"
)

_NO_GPU = (
    "edgedeblur doctor says which GPU and driver there are; bench it where there is one, or the processor's kernels: "
    "edgedeblur bench --target host"
)


def unit_for(target: Target) -> str:
    """What has to compute for a report of this target, as `run_program` takes it."""
    return "auto" if target.gpu is None else "gpu"


def lacks_gpu(artefact: ArtefactInfo) -> bool:
    """Whether what would run an artefact's kernels for a GPU here is software.

    Raises:
        UserError: there is no driver, or it fails.
    """
    if artefact.target.gpu is None:
        return False
    image = np.zeros((artefact.height, artefact.width, 3), np.uint8)
    try:
        return run_program(artefact, image, runs=1, warmup=0, unit="gpu").simulated
    except NoRunner:
        raise
    except UserError as error:
        raise UserError(error.message, error.fix or _NO_GPU, error.exit_code) from None


def gpu_facts(result: BenchResult) -> Gpu | None:
    """The GPU's part of a report."""
    found = result.gpu
    return None if found is None else Gpu(found.name, found.driver, found.is_gpu, found.bytes / 1e6, result.precision)


def bench_image(artefact: ArtefactInfo) -> np.ndarray:
    """The picture that is restored, uint8 [H, W, 3]; the kernels' time does not depend on it. Where a GPU may compute
    in fp16 it is the self-test's, for which the artefact has the answer."""
    if _reference(artefact) is not None:
        return fill_image(make_tile(), artefact.height, artefact.width)
    return patches_and_noise(artefact.height, artefact.width)


def patches_and_noise(height: int, width: int) -> np.ndarray:
    """A fixed uint8 [H, W, 3] picture with flat, smooth and noisy parts."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (-(-height // 32), -(-width // 32), 3))
    patches = np.kron(coarse, np.ones((32, 32, 1), np.int64))[:height, :width]
    noise = rng.normal(0, 24, (height, width, 3)) * (np.arange(width) >= width // 2)[None, :, None]
    return np.clip(patches + noise, 0, 255).astype(np.uint8)


def check_output(artefact: ArtefactInfo, output: np.ndarray, precision: str) -> None:
    """Raises UserError unless the restored `bench_image` has the integer interpreter's bytes, or, in fp16, is as near
    to float32's as the artefact says.

    Args:
        precision: in which it was computed, "int8" or "fp16".
    """
    if precision == "int8":
        check_bytes(output, interpreter.run(artefact.network(), bench_image(artefact)))
        return
    reference = _reference(artefact)
    if reference is None:
        raise UserError(
            f"{artefact.path} computed in {precision}, which its manifest does not tell", "compile it again"
        )
    levels = int(np.abs(output.astype(int) - reference).max())
    allowed = artefact.manifest["gpu"]["tolerance_levels"]
    if levels > allowed:
        raise UserError(
            f"the artefact's fp16 output is up to {levels} levels from float32's; {allowed} are allowed",
            "compile without --precision fp16; if the int8 kernels are wrong there too, please report it",
        )


def check_bytes(output: np.ndarray, expected: np.ndarray) -> None:
    """Raises UserError unless the artefact gave exactly the integer interpreter's bytes."""
    if np.array_equal(output, expected):
        return
    wrong = np.argwhere(output != expected)
    y, x, channel = wrong[0]
    raise UserError(
        f"the artefact's output is not the integer interpreter's: {len(wrong):,} of {expected.size:,} bytes differ, "
        f"the first at row {y}, column {x}, channel {channel}: {output[y, x, channel]}, not {expected[y, x, channel]}",
        "compile it again: edgedeblur compile; if it stays so, this is a defect, please report it",
    )


def what_is_compared(artefact: ArtefactInfo) -> str:
    """For the log."""
    return (
        "the integer interpreter" if _reference(artefact) is None else "the float32 picture, as the GPU's form is fp16"
    )


def _reference(artefact: ArtefactInfo) -> np.ndarray | None:
    """Of the float16 form, what float32 makes of the self-test's picture, uint8 [H, W, 3].

    Raises:
        UserError: it is of another size.
    """
    if names.GPU_REFERENCE not in artefact.manifest["files"]:
        return None
    path, shape = artefact.path / names.GPU_REFERENCE, (artefact.height, artefact.width, 3)
    found = np.frombuffer(path.read_bytes(), np.uint8)
    if found.size != np.prod(shape):
        raise damaged(path, f"it has {found.size:,} bytes, not {np.prod(shape):,}")
    return found.reshape(shape)
