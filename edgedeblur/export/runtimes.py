"""Exported files in other runtimes, on the CPU: ONNX Runtime, OpenVINO, LiteRT, MNN, with a given number of threads."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from edgedeblur.artefact.cpu import cpu_flags
from edgedeblur.errors import UserError
from edgedeblur.processes import run_to_end

_EXACT_DOT_FLAGS = {"avx512_vnni", "avx_vnni"}
_INSTALL = "pip install 'edgedeblur[peers]'"
_CONVERSION_S = 120


@dataclass(frozen=True)
class Loaded:
    """A file in a runtime. run: uint8 [H, W, 3] RGB in, uint8 [H, W, 3] RGB out."""

    runtime: str
    version: str
    run: Callable[[np.ndarray], np.ndarray]


def open_onnx(path: Path, threads: int = 1) -> Loaded:
    """An exported `.onnx` file in ONNX Runtime, with its kernels made exact.

    Raises:
        UserError: the package onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise UserError("onnxruntime is not installed", _INSTALL) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not cpu_flags() & _EXACT_DOT_FLAGS:
        # x86 CPUs that lack VNNI saturate sums of products in 16 bits: quicker, and other numbers than ours. Where they
        # have it, the option is not needed and costs ONNX Runtime two thirds of its speed.
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0].name
    return Loaded("onnxruntime", onnxruntime.__version__, lambda image: session.run(None, {source: image[None]})[0][0])


def open_openvino(path: Path, threads: int = 1, bf16: bool = False) -> Loaded:
    """An exported `.onnx` file in OpenVINO, tuned for latency; layers that are not int8 in float32, or in bfloat16.

    Raises:
        UserError: the package openvino is not installed, or this processor does not multiply bfloat16: OpenVINO would
            compute in float32 without a word.
    """
    try:
        import openvino
    except ImportError:
        raise UserError("openvino is not installed", "pip install 'edgedeblur[openvino]'") from None
    core = openvino.Core()
    wanted = "bf16" if bf16 else "f32"
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": "1",
        "INFERENCE_PRECISION_HINT": wanted,
    }
    compiled = core.compile_model(core.read_model(path), "CPU", options)
    if bf16 and "bfloat16" not in str(compiled.get_property("INFERENCE_PRECISION_HINT")):
        raise UserError(
            "this processor does not multiply bfloat16, so OpenVINO would compute in float32", "leave out openvino-bf16"
        )
    request = compiled.create_infer_request()
    version = openvino.__version__.partition("-")[0]
    return Loaded("openvino", version, lambda image: request.infer([image[None]])[0][0])


def open_litert(path: Path, threads: int = 1, xnnpack: bool = True) -> Loaded:
    """An exported `.tflite` file in LiteRT, or in tflite-runtime where that is what is installed.

    Args:
        xnnpack: with XNNPACK's kernels, else with LiteRT's own.

    Raises:
        UserError: neither package is installed.
    """
    try:
        from ai_edge_litert import interpreter as litert

        package = "ai-edge-litert"
    except ImportError:
        try:
            from tflite_runtime import interpreter as litert
        except ImportError:
            raise UserError("ai-edge-litert is not installed", _INSTALL) from None
        package = "tflite-runtime"
    kinds = litert.OpResolverType
    kernels = kinds.AUTO if xnnpack else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = litert.Interpreter(str(path), num_threads=threads, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]

    def run(image: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(source, image[None])
        interpreter.invoke()
        return interpreter.get_tensor(result)[0]

    name = "litert, XNNPACK" if xnnpack else "litert, own kernels"
    return Loaded(name, metadata.version(package), run)


def open_mnn(path: Path, threads: int = 1) -> Loaded:
    """An exported `.tflite` file in MNN, which converts it to its own format first, into the same folder.

    Its converter is called without MNN's command line, which installs a package and reports each use to its makers.
    What it computes of an int8 file need not be what the file says: compare its picture.

    Raises:
        UserError: the package MNN is not installed, or does not take the file.
    """
    if find_spec("MNN") is None:
        raise UserError("MNN is not installed", "pip install 'edgedeblur[mnn]'")
    import MNN

    converted = path.with_suffix(".mnn")
    words = ["mnnconvert", "-f", "TFLITE", "--modelFile", str(path), "--MNNModel", str(converted), "--bizCode", "none"]
    program = "import sys, _tools; _tools.mnnconvert(sys.argv[1:])"  # a process of its own: it prints, and may end it
    said = run_to_end([sys.executable, "-c", program, *words], timeout_s=_CONVERSION_S)
    if said.returncode or not converted.is_file():
        raise UserError(f"MNN does not take {path.name}: {said.stdout[-300:].strip()}")
    interpreter = MNN.Interpreter(str(converted))
    session = interpreter.createSession({"backend": "CPU", "numThread": threads})
    source, result = interpreter.getSessionInput(session), interpreter.getSessionOutput(session)
    layout = MNN.Tensor_DimensionType_Tensorflow  # [N, H, W, C]
    restored = np.zeros(result.getShape(), np.uint8)

    def run(image: np.ndarray) -> np.ndarray:
        source.copyFrom(MNN.Tensor(source.getShape(), source.getDataType(), image[None], layout))
        interpreter.runSession(session)
        host = MNN.Tensor(result.getShape(), result.getDataType(), restored, layout)
        result.copyToHostTensor(host)
        return np.array(host.getNumpyData())[0]

    return Loaded("mnn", metadata.version("MNN"), run)
