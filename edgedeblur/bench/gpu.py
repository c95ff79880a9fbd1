"""What `bench` asks of a GPU: an artefact with kernels for one is measured on it, and only on it."""

import numpy as np

from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.artefact.target import Target
from edgedeblur.errors import UserError
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
    return None if found is None else Gpu(found.name, found.driver, found.is_gpu, found.bytes / 1e6)
