"""From a model to a file for another runtime: the quantised network as ONNX or TFLite, a teacher as float ONNX."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.export.check import Checked, check_export, to_size
from edgedeblur.progress import Progress, silent
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.restore.kinds import model_kind

Log = Callable[[str], None]
MOST_PICTURES = 8
_SUFFIXES = {"onnx": ".onnx", "tflite": ".tflite", "web": ".html"}


@dataclass(frozen=True)
class ExportOptions:
    """file_format: onnx, tflite or web. form: of quantised ONNX, qdq (None), qlinear, integer or float. size: (height,
    width) of the images. teacher: how to read a teacher, `load_generator`'s options. check: run the file in the other
    runtime; None: of a teacher only. pictures: a folder, or a picture, to check a quantised network with."""

    file_format: str
    form: str | None = None
    size: tuple[int, int] = (512, 512)
    teacher: dict = field(default_factory=dict)
    check: bool | None = None
    pictures: Path | None = None


def export_model(
    network: Path, output: Path | None, options: ExportOptions, log: Log, progress: Progress = silent
) -> tuple[Path, Checked | None]:
    """Write a network for another runtime; `output` None is the network's name with the format's suffix.

    Returns:
        The file, and of a quantised network what its check found; None where it was not asked for.

    Raises:
        UserError: no such network, a format that it has not, a size that does not fit, a file that cannot be written,
            or, of a check, no pictures or no runtime.
    """
    if not network.is_dir() and model_kind(network) == "teacher":
        return _export_teacher(network, output, options, log), None
    from edgedeblur.export.onnx import export_onnx
    from edgedeblur.export.tflite import export_tflite
    from edgedeblur.quantize.edq import load_edq

    quantised, destination = load_edq(network), output or network.with_suffix(_SUFFIXES[options.file_format])
    if options.file_format == "web":
        _export_page(quantised, destination, options)
    elif options.file_format == "onnx":
        export_onnx(quantised, destination, *options.size, form=options.form or "qdq")
    else:
        export_tflite(quantised, destination, *options.size)
    return destination, _check(quantised, destination, options, progress) if options.check else None


def _export_page(network: QuantisedNetwork, destination: Path, options: ExportOptions) -> None:
    from edgedeblur.export.web.page import export_page  # loads TVM

    if options.check or options.form is not None:
        option = "--check" if options.check else "--form"
        raise UserError(
            f"{option} is not for a page, which checks itself where it is opened", f"leave out {option}", exit_code=2
        )
    export_page(network, destination, *options.size)


def _check(network: QuantisedNetwork, destination: Path, options: ExportOptions, progress: Progress) -> Checked:
    pictures = [to_size(picture, *options.size) for picture in _pictures(options.pictures)]
    return check_export(network, destination, options.file_format, pictures, progress)


def _pictures(folder: Path | None) -> Sequence[np.ndarray]:
    """At most MOST_PICTURES: of the folder, evenly spread, else of the default photographs that are held back."""
    from edgedeblur.quantize.calibration_set import calibration_images, held_back_images

    found = held_back_images(None, 0).blurred if folder is None else calibration_images(folder, 0)[0]
    return found[:: -(-len(found) // MOST_PICTURES)]


def _export_teacher(teacher: Path, output: Path | None, options: ExportOptions, log: Log) -> Path:
    from edgedeblur.generators.export_onnx import export_onnx
    from edgedeblur.generators.load import load_generator

    if options.file_format != "onnx" or options.form is not None:
        fix = "use --format onnx without --form, or export the quantised network"
        raise UserError(f"{teacher} is a teacher, which is written as float32 ONNX only", fix, exit_code=2)
    generator, check = load_generator(teacher, **options.teacher), options.check is not False
    for note in generator.info.notes:
        log(f"note: {note}")
    destination = output or Path(str(teacher).rpartition(":")[2]).with_suffix(".onnx")
    difference = export_onnx(generator, destination, *options.size, check=check)
    if difference is None:
        log("not compared with ONNX Runtime" + (": pip install onnxruntime" if check else ""))
    else:
        log(f"ONNX Runtime's result differs by at most {difference:.1g} of 1")
    return destination
