"""From a model to a file for another runtime: the quantised network as ONNX or TFLite, a teacher as float ONNX."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from edgedeblur.errors import UserError
from edgedeblur.restore.kinds import model_kind

Log = Callable[[str], None]


@dataclass(frozen=True)
class ExportOptions:
    """file_format: onnx or tflite. form: of quantised ONNX, qdq (None), qlinear or float. size: (height, width) of the
    images. teacher: how to read a teacher, `load_generator`'s options. check: compare a teacher's ONNX with itself."""

    file_format: str
    form: str | None = None
    size: tuple[int, int] = (512, 512)
    teacher: dict = field(default_factory=dict)
    check: bool = True


def export_model(network: Path, output: Path | None, options: ExportOptions, log: Log) -> Path:
    """Write a network for another runtime; `output` None is the network's name with the format's suffix.

    Raises:
        UserError: no such network, a format that it has not, a size that does not fit, a file that cannot be written.
    """
    if not network.is_dir() and model_kind(network) == "teacher":
        return _export_teacher(network, output, options, log)
    from edgedeblur.export.onnx import export_onnx
    from edgedeblur.export.tflite import export_tflite
    from edgedeblur.quantize.edq import load_edq

    quantised, destination = load_edq(network), output or network.with_suffix(f".{options.file_format}")
    if options.file_format == "onnx":
        export_onnx(quantised, destination, *options.size, form=options.form or "qdq")
    else:
        export_tflite(quantised, destination, *options.size)
    return destination


def _export_teacher(teacher: Path, output: Path | None, options: ExportOptions, log: Log) -> Path:
    from edgedeblur.generators.export_onnx import export_onnx
    from edgedeblur.generators.load import load_generator

    if options.file_format != "onnx" or options.form is not None:
        fix = "use --format onnx without --form, or export the quantised network"
        raise UserError(f"{teacher} is a teacher, which is written as float32 ONNX only", fix, exit_code=2)
    generator = load_generator(teacher, **options.teacher)
    for note in generator.info.notes:
        log(f"note: {note}")
    destination = output or Path(str(teacher).rpartition(":")[2]).with_suffix(".onnx")
    difference = export_onnx(generator, destination, *options.size, check=options.check)
    if difference is None:
        log("not compared with ONNX Runtime" + (": pip install onnxruntime" if options.check else ""))
    else:
        log(f"ONNX Runtime's result differs by at most {difference:.1g} of 1")
    return destination
