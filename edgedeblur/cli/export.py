"""`edgedeblur export`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import tell
from edgedeblur.cli.progress import say
from edgedeblur.workflow.workdir import WorkDir


@click.command("export", short_help="ONNX or TFLite from the quantised network; ONNX from a teacher.")
@click.argument("network", type=options.PATH, required=False)
@click.option("--format", "file_format", type=click.Choice(["onnx", "tflite"]), required=True)
@click.option(
    "--form",
    type=click.Choice(["qdq", "qlinear", "float"]),
    help="Quantised ONNX: quantise/dequantise pairs (default), ONNX Runtime's integer operators, or float32.",
)
@click.option("-o", "--output", type=options.PATH, help="Default: the network's name with the format's suffix.")
@click.option("--check/--no-check", default=True, show_default=True, help="Teacher: compare with ONNX Runtime.")
@options.size
@options.teacher_options
@options.workdir
def command(
    network: Path | None,
    file_format: str,
    form: str | None,
    output: Path | None,
    check: bool,
    size: tuple[int, int],
    teacher_options: dict,
    workdir: WorkDir,
) -> None:
    """Write a NETWORK for other runtimes: a quantised one (default: quantised.edq in the work directory), or a teacher.

    A teacher becomes float32 ONNX for images of any one size in [0, 1], with its normalisation, padding and crop
    inside. Where ONNX Runtime is installed its result is compared with the teacher's own.
    """
    from edgedeblur.export.model import ExportOptions, export_model

    settings = ExportOptions(file_format, form, size, teacher_options, check)
    source = network if network is not None else workdir.need_quantised(None)
    tell(export_model(source, output, settings, say))
