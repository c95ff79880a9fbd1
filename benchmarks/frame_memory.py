"""Peak memory of a whole process that restores one NV12 frame: the table of docs/camera.md.

    PYTHONPATH=.:tests/support python benchmarks/frame_memory.py [-m NETWORK.edq] [--size 512]

The network is compiled for this machine, linked with tests/support/frames.c to a static program, and run with one
thread on noise. The peak is the kernel's (VmHWM), in MB of 1,000,000 bytes.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from frame_program import build_program, random_frame, run_program

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.quantize.edq import load_edq
from edgedeblur.workflow.shipped import shipped_network

SIZES = ((512, 512), (1080, 1920), (3000, 4000))
OVERLAP = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", type=Path, default=shipped_network("small"))
    parser.add_argument("--size", type=int, default=512)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgedeblur-memory-") as name:
        folder = Path(name)
        network = load_edq(given.model)
        artefact = compile_network(network, load_target("host"), given.size, given.size, folder / "artefact")
        program = build_program(artefact, folder / "frames")
        print(
            "| NV12 frame | tiles | peak | of it input and output frame | beside the input frame |\n" + "|---" * 5 + "|"
        )
        for height, width in SIZES:
            rng = np.random.default_rng(0)
            frame, out = (random_frame(rng, "nv12", (height, width), False) for _ in range(2))
            tiles, peak_kb = run_program(program, (), frame, out, 0, OVERLAP)
            peak, one = peak_kb * 1024 / 1e6, sum(plane.nbytes for plane in frame.planes) / 1e6
            print(
                f"| {width}x{height} | {tiles} | {peak:.1f} MB | {2 * one:.1f} MB | {peak - one:.1f} MB |", flush=True
            )


if __name__ == "__main__":
    main()
