"""`edgedeblur compile`."""

from pathlib import Path

import click

from edgedeblur.cli import options
from edgedeblur.cli.output import tell
from edgedeblur.cli.progress import say
from edgedeblur.workflow.workdir import WorkDir


@click.command("compile", short_help="Artefact for a target from the quantised network.")
@click.argument("network", type=options.PATH, required=False)
@options.target
@click.option(
    "--size",
    "sizes",
    type=options.Size(),
    multiple=True,
    default=["512x512"],
    show_default=True,
    help="Height x width, multiples of 16. May be repeated: the first is what bench and deblur use, and camera frames "
    "(ed_run_frame) of any of them are restored in one piece.",
)
@options.threads
@options.database
@click.option("--tuned/--no-tuned", default=True, show_default=True, help="Use tuned schedules where available.")
@click.option(
    "--dump", type=options.PATH, help="New folder for the result of each stage: graph, TIR, plan, assembly, C."
)
@click.option(
    "--precision",
    type=click.Choice(["int8", "fp16"]),
    default="int8",
    show_default=True,
    help="Of a GPU's kernels: int8 gives the interpreter's bytes; fp16 is the float student in float16 with float32 "
    "sums, whose bytes are others.",
)
@click.option(
    "--student",
    type=options.PATH,
    help="With --precision fp16: the student that the network was quantised from (default: the work directory's, or "
    "the shipped one).",
)
@options.workdir
def command(
    network: Path | None,
    target: str,
    sizes: tuple[tuple[int, int], ...],
    threads: int | None,
    database: Path | None,
    tuned: bool,
    dump: Path | None,
    precision: str,
    student: Path | None,
    workdir: WorkDir,
) -> None:
    """Compile a quantised NETWORK (default: quantised.edq in the work directory) to artefact-<target>/.

    The artefact holds the library with its header, the program edgedeblur-bench, and everything they were built from.
    --threads is its default number of threads; schedules are chosen for that number.
    With --precision fp16 the GPU computes the float student, and the CPU, which takes over where the GPU fails, the
    int8 network.
    Schedules found by `edgedeblur tune` for a layer's shape are used, and those that ship with edgedeblur.
    """
    from edgedeblur.artefact.int8_proof import int16_operands
    from edgedeblur.artefact.manifest import count_sources
    from edgedeblur.workflow.compile import compile_step

    size, *more = sizes
    source = workdir.need_quantised(network)
    with workdir.lock():
        artefact = compile_step(
            source, target, size, workdir, say, database, tuned, threads, None, dump, more, precision, student
        )
    int8 = artefact.manifest["int8"]
    wide = sum(bool(int16_operands(layer["int8"])) for layer in artefact.manifest["layers"] if "int8" in layer)
    said = f"{wide} with int16 activations, " if wide else ""
    sources = count_sources(layer["schedule_source"] for layer in artefact.manifest["layers"])
    tell(
        f"{artefact.path}: {int8['int8_convolutions']} of {int8['convolutions']} convolutions int8, {said}"
        f"{int8['dot_instructions']:,} int8 dot-product instructions; schedules: {sources}"
        + ("; on the GPU in fp16, not the interpreter's bytes" if precision == "fp16" else "")
    )
