"""Every command with what users give it: right things, wrong things and nothing. Never a traceback."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from artefacts import compiled
from click.testing import CliRunner
from model_files import photo, write_bad_models, write_odd_images, write_quantised, write_student, write_teacher

from edgedeblur.cli.main import cli
from edgedeblur.data.images import read_image, write_image
from edgedeblur.quantize.edq import load_edq
from edgedeblur.quantize.interpreter import run as interpret
from edgedeblur.restore.tiling import restore_any_size
from edgedeblur.workflow.shipped import shipped_network

BAD_MODELS = ["text.txt", "empty.pth", "photo.png", "json.safetensors", "cut.edq", "empty-folder", "missing"]
MODEL_COMMANDS = {
    "quantize": ["quantize", "{model}"],
    "compile": ["compile", "{model}"],
    "bench": ["bench", "{model}"],
    "export": ["export", "--format", "onnx", "{model}"],
    "inspect": ["inspect", "{model}"],
    "report": ["report", "{model}"],
    "deblur": ["deblur", "photo.png", "out.png", "--model", "{model}"],
    "evaluate": ["evaluate", "pairs", "--model", "{model}"],
    "distill": ["distill", "--teacher", "{model}", "--init", "none", "--steps", "1"],
    "run": ["run", "--teacher", "{model}", "--init", "none", "--steps", "1"],
    "train": ["train", "--init", "{model}", "--steps", "1"],
}
PERCENTILE = ["--observer", "percentile", "--percentile"]


def run(*words, code=None):
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert "unexpected" not in result.stderr and "Traceback" not in result.output, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    if code is not None:
        assert result.exit_code == code, result.output
    return result


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def inputs(here):
    """photo.png and pairs/ with two groups."""
    write_image(here / "photo.png", photo())
    for group in ("first", "second"):
        for side, seed in (("blur", 0), ("sharp", 1)):
            write_image(here / "pairs" / group / side / "1.png", photo(seed=seed))
    return here


@pytest.mark.parametrize("bad", BAD_MODELS)
@pytest.mark.parametrize("command", MODEL_COMMANDS)
def test_what_is_not_a_model_is_a_message_that_names_it(inputs, command, bad):
    path = write_bad_models(inputs / "bad")[bad]
    result = run(*(word.format(model=path) for word in MODEL_COMMANDS[command]))
    assert result.exit_code in (1, 2)
    assert re.search("^error: ", result.stderr, re.MULTILINE) and str(path) in result.stderr
    assert not (inputs / "out.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["quantize"], "edgedeblur distill"),
        (["compile"], "edgedeblur quantize"),
        (["bench"], "edgedeblur compile"),
        (["bench", "--target", "android"], "edgedeblur compile --target android"),
        (["export", "--format", "tflite"], "edgedeblur quantize"),
        (["report"], "edgedeblur bench"),
        (["evaluate", "pairs"], "edgedeblur distill"),
        (["train"], "a number of steps or of minutes"),
    ],
)
def test_a_command_in_an_empty_work_directory_names_the_one_before_it(inputs, words, message):
    assert message in run(*words, code=2 if words == ["train"] else 1).stderr


@pytest.mark.parametrize("words", [["deblur"], ["evaluate"], ["export"], ["bench", "--threads", "0"]])
def test_missing_and_impossible_arguments_are_bad_use(here, words):
    assert "Usage:" in run(*words, code=2).stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compile", "{edq}", "--target", "iphone"], "no target 'iphone'"),
        (["compile", "{edq}", "--size", "500x501"], "multiples of 8"),
        (["compile", "{edq}", "--size", "big"], "is not a size"),
        (["bench", "{artefact}", "--runs", "10"], "at least 50"),
        (["bench", "{artefact}", "--against", "tensorrt"], "no peer 'tensorrt'"),
        (
            ["quantize", "{student}", *["--calibration", "{image}", "--percentile", "20", "--observer", "percentile"]],
            "above 50",
        ),
        (["distill", "--tier", "huge"], "'huge' is not one of"),
        (["quantize", "{student}", "--workdir", "{edq}"], "is a file"),
        (["quantize", "{student}", "--recipe", "{image}"], "give that too"),
        (["quantize", "{student}", "--finetune-data", "pairs:.@1.5"], "above 0 and below 1"),
    ],
)
def test_values_that_are_not_allowed_are_bad_use_and_say_what_is(here, words, message):
    write_image(here / "photo.png", photo())
    paths = {
        "image": "photo.png",
        "edq": write_quantised(here / "q.edq"),
        "student": write_student(here / "s.safetensors"),
        "artefact": compiled("host").path,
    }
    assert message in run(*(word.format(**paths) for word in words), code=2).stderr


@pytest.mark.parametrize("kind", ["grey", "rgba", "sixteen-bit", "palette", "one-pixel"])
def test_every_kind_of_image_is_restored_to_its_own_size(here, kind):
    write_student(here / "s.safetensors")
    path = write_odd_images(here / "in")[kind]
    run("deblur", path, "out.png", "--model", "s.safetensors", code=0)
    assert read_image(here / "out.png").shape == read_image(path).shape


def test_without_a_model_the_most_finished_one_that_runs_here_is_taken(inputs):
    work = inputs / "edgedeblur-work"
    write_quantised(work / "quantised.edq")
    (work / "artefact-android").mkdir()
    (work / "artefact-android" / "manifest.json").write_text('{"target": {"triple": "aarch64-linux-android"}}')
    assert "model: edgedeblur-work/quantised.edq" in run("deblur", "photo.png", code=0).stderr
    assert (work / "deblurred" / "photo.png").is_file()
    shutil.copytree(compiled("host").path, work / "artefact-host")
    assert "model: edgedeblur-work/artefact-host" in run("deblur", "photo.png", code=0).stderr
    assert "edgedeblur-work/artefact-host: artefact" in run("inspect", code=0).stdout


def test_deblur_lists_what_it_skipped_and_exits_with_one(here):
    write_quantised(here / "edgedeblur-work" / "quantised.edq")
    write_odd_images(here / "in")
    (here / "in" / "broken.png").write_text("text")
    result = run("deblur", "in", "out", code=1)
    assert "5 images in out" in result.stdout and "skipped in/broken.png" in result.stderr
    assert "model: edgedeblur-work/quantised.edq" in result.stderr


def test_without_a_work_directory_the_shipped_int8_network_restores_and_the_speed_says_where(inputs):
    result = run("deblur", "photo.png", "out.png", code=0)
    assert re.search(r"model: .*student-small.edq \(quantised\), in NumPy, PyTorch or compiled", result.stderr)
    assert re.search(
        r"1 images, 0.00 megapixels in .* megapixels/s, .* ms per image .* in (NumPy|PyTorch int8)", result.stderr
    )
    restored = restore_any_size(photo(), lambda image: interpret(load_edq(shipped_network("small")), image), 16)
    np.testing.assert_array_equal(read_image(inputs / "out.png"), restored)
    compiled_one = run("deblur", "photo.png", "second.png", "-m", compiled("host").path, code=0)
    assert re.search(r"ms per image .* in compiled, \d+ threads", compiled_one.stderr)


@pytest.mark.parametrize("arguments", [["photo.png", "photo.png"], ["missing.png", "o.png"], ["empty", "out"]])
def test_deblur_refuses_what_it_cannot_do(inputs, arguments):
    write_quantised(inputs / "edgedeblur-work" / "quantised.edq")
    (inputs / "empty").mkdir()
    before = (inputs / "photo.png").read_bytes()
    assert run("deblur", *arguments).exit_code in (1, 2)
    assert (inputs / "photo.png").read_bytes() == before


@pytest.mark.parametrize("words, corrected", [([], True), (["--no-bias-correction"], False)])
def test_bias_correction_is_the_option_s_and_equalisation_is_free(here, words, corrected):
    write_student(here / "student.safetensors")
    write_image(here / "calibration" / "1.png", photo(64, 64))
    arguments = ["student.safetensors", "--calibration", "calibration", "--observer", "min-max", "-o", "made.edq"]
    run("quantize", *arguments, *words, "--finetune-steps", "0", code=0)
    recipe = load_edq(here / "made.edq").recipe
    assert recipe == {"observer": "min-max", "equalise": True, "bias_correction": corrected}


def test_each_step_finds_the_output_of_the_one_before(here):
    work = here / "edgedeblur-work"
    write_student(work / "student.safetensors")
    write_image(here / "calibration" / "1.png", photo(64, 64))
    assert "8 of 8 convolutions with int8 weights" in run("quantize", "--calibration", "calibration", code=0).stdout
    assert "int8 dot-product instructions" in run("compile", "--size", "64x64", code=0).stdout
    bench = run("bench", "--runs", "50", "--warmup", "0", "--no-profile")
    report = json.loads((work / "report.json").read_text())
    assert bench.exit_code == {"pass": 0, "fail": 3}[report["budget"]["verdict"]]
    assert f"verdict: {report['budget']['verdict']}" in bench.stdout
    assert (work / "report-host.json").read_bytes() == (work / "report.json").read_bytes()
    run("report", code=0)
    assert (work / "report.html").read_text().startswith("<!doctype html>")
    for file_format in ("onnx", "tflite"):
        run("export", "--format", file_format, "--size", "64x64", code=0)
        assert (work / f"quantised.{file_format}").stat().st_size > 10_000
    for model in (work / "student.safetensors", work / "quantised.edq", work / "artefact-host"):
        run("inspect", model, "--json", "facts.json", code=0)
        assert json.loads(Path("facts.json").read_text())["layers"]


def test_bench_with_pairs_reports_the_quality_of_the_artefacts_own_network(inputs):
    work = inputs / "edgedeblur-work"
    write_teacher(work / "teacher.safetensors")
    write_student(work / "student.safetensors")
    run("bench", compiled("host").path, "--runs", "50", "--no-profile", "--pairs", "pairs")
    quality = json.loads((work / "report.json").read_text())["quality_db"]
    means = json.loads((work / "evaluation.json").read_text())["means"][-1]
    assert quality["pairs"] == 2 and quality["blurred"] == means["blurred"]["psnr_db"]
    roles = ("teacher", "student_float", "student_int8")
    assert [quality[role] for role in roles] == [score["psnr_db"] for score in means["models"]]


def test_a_failed_verdict_is_exit_code_three(here, monkeypatch):
    from edgedeblur.bench import assemble

    judge = assemble.judge
    monkeypatch.setattr(assemble, "judge", lambda latency, memory, ms, mb: judge(latency, memory, 1e-6, mb))
    result = run("bench", compiled("host").path, "--runs", "50", "--warmup", "0", "--no-profile", code=3)
    assert "verdict: fail" in result.stdout


@pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="needs qemu-aarch64")
def test_a_simulated_verdict_is_unknown_and_exits_with_zero(here):
    result = run("bench", compiled("android").path, code=0)
    assert "verdict: unknown (latency unknown (simulated: no time can be taken)" in result.stdout
    assert json.loads(Path("edgedeblur-work/report.json").read_text())["latency_ms"]["p90"] is None


def test_evaluate_tables_every_model_on_every_group(inputs):
    write_student(inputs / "s.safetensors")
    write_teacher(inputs / "t.safetensors")
    models = ["-m", "s.safetensors", "-m", "t.safetensors", "-m", compiled("host").path]
    result = run("evaluate", "pairs", *models, "--json", "scores.json", code=0)
    for text in ("first (1)", "second (1)", "all (2)", "s (student)", "t (teacher)", "host (artefact)"):
        assert text in result.stdout
    scores = json.loads(Path("scores.json").read_text())
    assert [mean["group"] for mean in scores["means"]] == ["first", "second", "all"]


def test_a_folder_without_pairs_is_refused(inputs):
    write_student(inputs / "s.safetensors")
    (inputs / "nothing").mkdir()
    assert "no pairs in nothing" in run("evaluate", "nothing", "-m", "s.safetensors", code=1).stderr


def test_targets_and_doctor_answer(here):
    assert "android" in run("targets", code=0).stdout
    doctor = run("doctor")
    assert doctor.exit_code in (0, 1) and "zig" in doctor.stdout and "qemu-aarch64" in doctor.stdout


@pytest.mark.parametrize(
    ("words", "code"), [(["--version"], 0), (["inspect", "nothing.edq"], 1), (["export"], 2), (["--help"], 0)]
)
def test_the_real_program_gives_the_same_exit_codes(here, words, code):
    program = [sys.executable, "-m", "edgedeblur.cli.main"]
    done = subprocess.run([*program, *words], capture_output=True, text=True, env={**os.environ, "COLUMNS": "100"})
    assert done.returncode == code and "Traceback" not in done.stderr
    assert done.stdout or done.stderr
