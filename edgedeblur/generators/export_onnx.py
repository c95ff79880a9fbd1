"""A generator as an ONNX file of fixed size: images in [0, 1] in and out, normalisation, padding and crop inside."""

import warnings
from pathlib import Path

import torch

from edgedeblur.errors import UserError
from edgedeblur.files import atomic_path
from edgedeblur.generators.generator import Generator

OPSET = 17
MAX_SIDE = 16384


def export_onnx(generator: Generator, path: str | Path, height: int, width: int) -> Path:
    """Write `path`: input "image", output "restored", both float32 [1, 3, height, width] RGB in [0, 1].

    Raises:
        UserError: a size that is not 1..16384, a network that ONNX has no operators for, or a file that cannot be
            written.
    """
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise UserError(f"cannot export for {height}x{width}; sides are 1 to {MAX_SIDE}", exit_code=2)
    image = torch.zeros(1, 3, height, width)
    with atomic_path(path) as temporary, warnings.catch_warnings(), torch.no_grad():
        # the exporter warns of its own deprecation and that instance normalisation uses the image's statistics
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                generator,
                (image,),
                str(temporary),
                input_names=["image"],
                output_names=["restored"],
                opset_version=OPSET,
                dynamo=False,  # the other exporter needs a further dependency
            )
        except (RuntimeError, torch.onnx.OnnxExporterError) as error:
            reason = str(error).strip().splitlines()[0][:300]
            raise UserError(f"{generator.info.variant} cannot be written as ONNX: {reason}") from error
    return Path(path)
