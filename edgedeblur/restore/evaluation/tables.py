"""Evaluations and model facts as tables for a terminal."""

from rich.table import Table

from edgedeblur.report.numbers import number
from edgedeblur.restore.evaluation.align import Aligned
from edgedeblur.restore.evaluation.evaluate import Evaluation, GroupMeans, Score, group_means
from edgedeblur.restore.evaluation.protocol import PROTOCOLS
from edgedeblur.restore.facts import Facts
from edgedeblur.runtime.engine import is_slow


def evaluation_table(evaluation: Evaluation) -> Table:
    """A row per group and model: the blurred input first, then each model with its gain over it. Where the protocol
    has it, the same after alignment beside it, and by how much the image lay beside the sharp one."""
    protocol = PROTOCOLS[evaluation.protocol]
    title = f"protocol {protocol.name}: {protocol.described}; SSIM {evaluation.ssim}"
    table = Table("pairs", title=title, title_justify="left", caption=_caption(evaluation))
    table.add_column("image", overflow="fold")
    headings = ["params", "GMAC\n512x512", "PSNR dB", "gain dB", "SSIM"]
    headings += ["aligned\ndB", "gain dB", "SSIM", "shift\npx"] if protocol.aligned else []
    for heading in (*headings, "ms /\nimage"):
        table.add_column(heading, justify="right")
    table.add_column("ran in")
    for means in group_means(evaluation):
        _add_group(table, evaluation, means)
    return table


def _caption(evaluation: Evaluation) -> str | None:
    """A word on times that say nothing about the compiled network, where there are some."""
    slow = [model for model in evaluation.models if model.kind == "quantised" and is_slow(model.runs_in)]
    return "ms of a quantised network are not the compiled network's: edgedeblur bench measures that" if slow else None


def _add_group(table: Table, evaluation: Evaluation, means: GroupMeans) -> None:
    label = f"{means.group} ({means.pairs})"
    if means.aligned_pairs not in (None, means.pairs):
        label += f"\naligned: {means.aligned_pairs}"
    table.add_row(label, "blurred", "", "", *_score_cells(means.blurred, None), "", "")
    for model, score in zip(evaluation.models, means.models, strict=True):
        table.add_row(
            "",
            f"{model.name} ({model.kind})",
            f"{model.parameters / 1e6:.2f} M",
            "-" if model.gmac is None else f"{model.gmac:.2f}",
            *_score_cells(score, means.blurred),
            number(score.ms, 0),
            model.runs_in,
        )
    table.add_section()


def _score_cells(score: Score, blurred: Score | None) -> tuple[str, ...]:
    cells = _quality_cells(score, blurred)
    if score.aligned is None:
        return cells
    return *cells, *_quality_cells(score.aligned, blurred and blurred.aligned), number(score.aligned.displacement_px, 2)


def _quality_cells(score: Score | Aligned, blurred: Score | Aligned | None) -> tuple[str, str, str]:
    if score.psnr_db is None:
        return "-", "", "-"
    gain = "" if blurred is None else f"{score.psnr_db - blurred.psnr_db:+.2f}"
    return f"{score.psnr_db:.2f}", gain, f"{score.ssim:.4f}"


def pairs_table(evaluation: Evaluation) -> Table:
    """A row per pair: the PSNR of the blurred input, and each model's gain over it."""
    table = Table("pair", "blurred dB", title="pairs, gain in dB over the blurred input", title_justify="left")
    for model in evaluation.models:
        table.add_column(model.name, justify="right")
    for pair in evaluation.pairs:
        gains = (f"{score.psnr_db - pair.blurred.psnr_db:+.2f}" for score in pair.models)
        table.add_row(f"{pair.group}/{pair.name}", f"{pair.blurred.psnr_db:.2f}", *gains)
    return table


def facts_table(facts: Facts) -> Table:
    """What a model is."""
    table = Table(title=f"{facts.path}: {facts.kind}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for label, text in (row for fact in facts.known for row in fact.rows()):
        table.add_row(label, text)
    return table


def layer_facts_table(facts: Facts) -> Table:
    """Each layer as stored, with its dtypes in the file; of its kernel the dot-product instructions, the products
    that they make of those that int8 needs, the floats multiplied of those that requantising takes, how often it reads
    and writes a tensor in memory ("1 + 1": all is done in one pass), and its schedule's source."""
    table = Table("layer", "operation", title="convolutions", title_justify="left")
    compiled = any(layer.dot_instructions is not None for layer in facts.layers)
    for heading in (
        "params",
        "MMAC",
        "weight",
        "bias",
        "activation",
        *(("dot instructions", "int8 M\n/ needed", "float M\n/ allowed", "passes", "schedule") if compiled else ()),
    ):
        table.add_column(heading, justify="right")
    for layer in facts.layers:
        macs = "-" if layer.macs is None else f"{layer.macs / 1e6:,.1f}"
        passes = "-" if layer.input_passes is None else f"{layer.input_passes} + 1"
        products = (_millions(layer.int8, "products", "products_needed"),)
        products += (_millions(layer.int8, "float_products", "float_products_allowed"),)
        source = layer.schedule_source if layer.int8 or layer.macs else "-"
        kernel = (str(layer.dot_instructions), *products, passes, source) if compiled else ()
        cells = (f"{layer.parameters:,}", macs, layer.weight, layer.bias, layer.activation, *kernel)
        table.add_row(layer.name, layer.op, *cells)
    return table


def _millions(evidence: dict | None, done: str, due: str) -> str:
    return "-" if evidence is None else f"{evidence[done] / 1e6:,.3g} / {evidence[due] / 1e6:,.3g}"
