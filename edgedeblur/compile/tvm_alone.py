"""TVM without torch, which it imports where it is installed: three seconds and 200 MB that compiling has no use for."""

import sys


def load_tvm() -> None:
    """Imports TVM; called before anything that would. Torch can still be imported later.

    TVM imports torch first for the sake of one version of it on Windows (tvm_ffi/__init__.py).
    """
    if "torch" in sys.modules or "tvm" in sys.modules:
        return
    sys.modules["torch"] = None  # to whom imports it now, it is not installed
    try:
        import tvm  # noqa: F401
    finally:
        del sys.modules["torch"]
