"""`edgedeblur export`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.workdir import WorkDir


@click.command("export", short_help="ONNX or TFLite from the quantised network.")
@click.argument("network", type=options.PATH, required=False)
@click.option("--format", "file_format", type=click.Choice(["onnx", "tflite"]), required=True)
@click.option(
    "--form",
    type=click.Choice(["qdq", "qlinear", "float"]),
    default="qdq",
    show_default=True,
    help="ONNX: quantise/dequantise pairs, ONNX Runtime's integer operators, or float32.",
)
@click.option("-o", "--output", type=options.PATH, help="Default: the network's name with the format's suffix.")
@options.size
@options.workdir
def command(
    network: Path | None, file_format: str, form: str, output: Path | None, size: tuple[int, int], workdir: WorkDir
) -> None:
    """Write a quantised NETWORK (default: quantised.edq in the work directory) for other runtimes."""
    from edgedeblur.export.onnx import export_onnx
    from edgedeblur.export.tflite import export_tflite
    from edgedeblur.quantize.edq import load_edq

    source = workdir.need_quantised(network)
    destination = output or source.with_suffix(f".{file_format}")
    if file_format == "onnx":
        export_onnx(load_edq(source), destination, *size, form=form)
    else:
        export_tflite(load_edq(source), destination, *size)
    click.echo(destination)
