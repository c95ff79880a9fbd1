"""From CUDA text to PTX without a GPU and without CUDA: zig's clang has LLVM's back end for NVIDIA's GPUs.

The driver of a GPU of CUDA_ARCH or later compiles PTX for itself and keeps the result.
"""

import tempfile
from pathlib import Path

from edgedeblur.compile.gpu.source import CUDA_ARCH
from edgedeblur.compile.linking import link

_FLAGS = ("-x", "c++", "-std=c++17", "-O2", "-ffp-contract=off", "-fno-exceptions", "-w", "-S")


def make_ptx(text: str) -> str:
    """The PTX of kernels in CUDA, with the prelude of source.py.

    Raises:
        UserError: zig is missing, or fails.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "kernels.cu").write_text(text, encoding="ascii")
        compiler = [*link.zig_cc("nvptx64-cuda"), f"-mcpu={CUDA_ARCH}", *_FLAGS]
        link.run_compiler([*compiler, "kernels.cu", "-o", "kernels.ptx"], folder, folder / "cache")
        return (folder / "kernels.ptx").read_text(encoding="ascii")
