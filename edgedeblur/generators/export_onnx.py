"""A generator as an ONNX file of fixed size: images in [0, 1] in and out, normalisation, padding and crop inside."""

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgedeblur.errors import UserError
from edgedeblur.generators.generator import Generator, run_network
from edgedeblur.storage.files import atomic_path

OPSET = 17
MAX_SIDE = 16384
MAX_DIFFERENCE = 1 / 255  # a step of uint8; float32 rounding amplified by statistics over few pixels stays below


def export_onnx(
    generator: Generator, path: str | Path, height: int, width: int, *, check: bool = False
) -> float | None:
    """Write `path`: input "image", output "restored", both float32 [1, 3, height, width] RGB in [0, 1].

    Args:
        check: compare ONNX Runtime's result with the generator's own before the file gets its name.

    Returns:
        The largest difference in [0, 1]; None where it was not asked for or ONNX Runtime is not installed.

    Raises:
        UserError: a size that is not 1..16384, a network that ONNX has no operators for, a file that cannot be written,
            or a result that differs by more than MAX_DIFFERENCE.
    """
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise UserError(f"cannot export for {height}x{width}; sides are 1 to {MAX_SIDE}", exit_code=2)
    image = torch.zeros(1, 3, height, width)
    with atomic_path(path) as temporary, warnings.catch_warnings(), torch.no_grad():
        # the exporter warns of its own deprecation and that instance normalisation uses the image's statistics
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                torch.jit.trace(_Traceable(generator), (image,), check_trace=False),
                (image,),
                str(temporary),
                input_names=["image"],
                output_names=["restored"],
                opset_version=OPSET,
                dynamo=False,  # the other exporter needs a further dependency
            )
        except (RuntimeError, NotImplementedError, torch.onnx.OnnxExporterError) as error:
            reason = str(error).strip().splitlines()[0][:300]
            raise UserError(f"{generator.info.variant} cannot be written as ONNX: {reason}") from error
        difference = _onnx_runtime_difference(generator, temporary, image.shape) if check else None
        if difference is not None and not difference <= MAX_DIFFERENCE:
            raise UserError(f"{path} was not written: ONNX Runtime's result differs by {difference:.2g} of 1")
    return difference


class _Traceable(nn.Module):
    """A generator as plain modules: the exporter's own tracing does not go into TorchScript programs, and looks at
    every property."""

    def __init__(self, generator: Generator):
        super().__init__()
        self.network, self.info = generator.network, generator.info
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        return run_network(self.network, self.info, image)


def _onnx_runtime_difference(generator: Generator, path: Path, shape: tuple[int, ...]) -> float | None:
    """Between ONNX Runtime's result and the generator's own on random pixels; None without ONNX Runtime."""
    try:
        import onnxruntime
    except ImportError:
        return None
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (restored,) = session.run(["restored"], {"image": image.numpy()})
    except Exception as error:  # its exception classes are private
        raise UserError(f"ONNX Runtime cannot run the network: {str(error).strip().splitlines()[0][:300]}") from error
    with torch.inference_mode():
        return float(np.abs(restored - generator(image).numpy()).max())
