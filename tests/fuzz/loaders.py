"""Every loader of edgedeblur, with the files that it is tried on and how these are damaged."""

import functools
from pathlib import Path

import corpus
import mutate
import numpy as np
import torch
from pictures import PICTURES, Loader, images

from edgedeblur.artefact.target import load_target
from edgedeblur.bench.quality import recorded_quality
from edgedeblur.compile.schedules.tuned import read_database
from edgedeblur.data.pairs import find_pairs
from edgedeblur.data.synth import write_pairs
from edgedeblur.distill.recipe import DistillRecipe
from edgedeblur.generators.load import load_generator
from edgedeblur.progress import silent
from edgedeblur.quantize.calibration_set import calibration_images
from edgedeblur.report.schema import read_report
from edgedeblur.restore.facts import model_facts
from edgedeblur.restore.open import open_model
from edgedeblur.runtime.program import parse_bench_output
from edgedeblur.student.importing.onnx_graph import import_onnx
from edgedeblur.student.model_file import load_student
from edgedeblur.student.table import read_student_table
from edgedeblur.train.borrowed import read_borrowed
from edgedeblur.train.recipe import GeneratorRecipe
from edgedeblur.training.recipe import read_recipe
from edgedeblur.workflow.resume import Step, run_steps
from edgedeblur.workflow.synth import read_blur_table


def _calibration(path: Path) -> None:
    calibration_images(path.parent, 0)


def _pairs(path: Path) -> None:
    for pair in find_pairs(path.parent.parent):
        pair.read()


def _synth(path: Path) -> None:
    write_pairs(corpus.synth_options(path.parent.parent), silent)


def _run_state(path: Path) -> None:
    run_steps(path.parent, [Step("distill", {}, [], [], lambda begun: None)], lambda line: None)


def _facts(path: Path) -> None:
    model_facts(path)


def _model(path: Path) -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    open_model(path).restore(image)


torch.set_num_threads(1)  # the processes are forked, and a pool of threads does not survive that

OTHERS: dict[str, Loader] = {
    "calibration images": Loader(lambda folder: images(folder, "png"), mutate.raw, _calibration),
    "pairs": Loader(lambda folder: corpus.pairs(folder, "blur/000001.png"), mutate.raw, _pairs),
    "synth.json": Loader(lambda folder: corpus.pairs(folder, "synth.json"), mutate.json_values, _synth),
    "pairs.jsonl": Loader(lambda folder: corpus.pairs(folder, "pairs.jsonl"), mutate.json_lines, _synth),
    "teacher v1, zip": Loader(
        lambda folder: corpus.torch_file(folder, corpus.v1_state(), True), mutate.zip_members, load_generator
    ),
    "teacher v1, older pickle": Loader(
        lambda folder: corpus.torch_file(folder, corpus.v1_state(), False), mutate.raw, load_generator
    ),
    "teacher v1, safetensors": Loader(corpus.safetensors_weights, mutate.safetensors, load_generator),
    "teacher v2": Loader(corpus.v2_file, mutate.zip_members, functools.partial(load_generator, accept_half=True)),
    "teacher U-Net": Loader(corpus.unet, mutate.safetensors, load_generator),
    "TorchScript": Loader(corpus.torchscript, mutate.zip_members, load_generator),
    "torch.export, not trusted": Loader(corpus.exported, mutate.zip_members, load_generator),
    "borrowed weights": Loader(
        lambda folder: corpus.torch_file(folder, {"features.0.weight": corpus.v1_state()["model.1.weight"]}, True),
        mutate.zip_members,
        lambda path: read_borrowed(path, "VGG19", "give another file"),
    ),
    "student": Loader(corpus.student, mutate.safetensors, load_student),
    "student, opened": Loader(corpus.student, mutate.safetensors, _model),
    "edq": Loader(corpus.quantised, mutate.zip_members, _facts),
    "artefact's manifest": Loader(corpus.manifest, mutate.json_values, lambda path: model_facts(path.parent)),
    "report": Loader(corpus.report, mutate.json_values, read_report),
    "evaluation.json": Loader(corpus.evaluation, mutate.json_values, lambda path: recorded_quality(path, "quantised")),
    "run-state.json": Loader(corpus.run_state, mutate.json_values, _run_state),
    "target": Loader(corpus.targets, mutate.toml_lines, load_target),
    "student's TOML": Loader(corpus.student_tables, mutate.toml_lines, read_student_table),
    "network in ONNX": Loader(corpus.onnx_network, mutate.raw, import_onnx),
    "tuned schedules": Loader(corpus.tuned, mutate.toml_lines, read_database),
    "recipe of a generator": Loader(
        corpus.recipes, mutate.toml_lines, functools.partial(read_recipe, recipe_type=GeneratorRecipe)
    ),
    "recipe of a student": Loader(
        corpus.student_recipes, mutate.toml_lines, functools.partial(read_recipe, recipe_type=DistillRecipe)
    ),
    "recipe of blur": Loader(corpus.student_recipes, mutate.toml_lines, read_blur_table),
    "training state": Loader(
        corpus.training_state, mutate.zip_members, lambda path: corpus.training(path.parent).restore(path)
    ),
    "bench program's output": Loader(
        corpus.bench_output,
        mutate.json_values,
        lambda path: parse_bench_output(path.read_text("utf-8", "replace")),
        names_file=False,
    ),
}

LOADERS = PICTURES | OTHERS
