"""`edgedeblur export`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import json_option, show_result
from edgedeblur.cli.progress import Progress, say
from edgedeblur.workflow.workdir import WorkDir


@click.command("export", short_help="ONNX, TFLite or a web page from the quantised network; ONNX from a teacher.")
@click.argument("network", type=options.PATH, required=False)
@click.option("--format", "file_format", type=click.Choice(["onnx", "tflite", "web"]), required=True)
@click.option(
    "--form",
    type=click.Choice(["qdq", "qlinear", "integer", "float"]),
    help="Quantised ONNX: quantise/dequantise pairs (default), ONNX Runtime's integer operators, plain integer "
    "operators that give the interpreter's bytes, or float32.",
)
@click.option("-o", "--output", type=options.PATH, help="Default: the network's name with the format's suffix.")
@click.option(
    "--check/--no-check",
    default=None,
    help="Run the file in ONNX Runtime or LiteRT and compare; default: of a teacher only.",
)
@click.option(
    "--pictures",
    type=options.PATH,
    help="Folder of pictures or pairs to check a quantised network with; default: held-back photographs.",
)
@options.size
@options.teacher_options
@json_option
@options.workdir
def command(
    network: Path | None,
    file_format: str,
    form: str | None,
    output: Path | None,
    check: bool | None,
    pictures: Path | None,
    size: tuple[int, int],
    teacher_options: dict,
    workdir: WorkDir,
) -> None:
    """Write a NETWORK for other runtimes: a quantised one (default: quantised.edq in the work directory), or a teacher.

    With --check the runtime's bytes are compared with the integer interpreter's on eight pictures, cut or mirrored to
    the file's size. docs/export.md says what to expect, and why.

    The web page is one file without any network: it restores photographs and the camera's pictures in a browser with
    WebGPU, and checks there that its bytes are the integer interpreter's (docs/gpu.md).

    A teacher becomes float32 ONNX for images of any one size in [0, 1], with its normalisation, padding and crop
    inside. Where ONNX Runtime is installed its result is compared with the teacher's own.
    """
    from edgedeblur.export.model import ExportOptions, export_model
    from edgedeblur.export.tables import checked_json, checked_table, saturation_sentence

    if pictures is not None and not check:
        raise click.UsageError("--pictures is for --check")
    settings = ExportOptions(file_format, form, size, teacher_options, check, pictures)
    source = network if network is not None else workdir.need_quantised(None)
    with Progress("export") as progress:
        destination, checked = export_model(source, output, settings, say, progress)
    shown = [str(destination)]
    if checked is not None:
        sentence = saturation_sentence(checked)
        shown += [checked_table(checked), *([] if sentence is None else [sentence])]
    show_result(checked_json(destination, checked), *shown)
