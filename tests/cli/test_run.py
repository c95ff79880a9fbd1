"""`run` goes the whole way once, keeps what is finished, redoes what changed, and resumes where it was interrupted."""

import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from model_files import photo, write_student, write_teacher
from reports import example_report

from edgedeblur.artefact.target import database_name, load_target
from edgedeblur.cli.main import cli
from edgedeblur.data.images import read_image, write_image
from edgedeblur.errors import UserError
from edgedeblur.report.schema import read_report, write_report
from edgedeblur.restore.evaluation.evaluate import PairInMemory
from edgedeblur.training.saved_state import finished_path
from edgedeblur.training.state import OtherRunError
from edgedeblur.workflow import run as pipeline

STEPS = ["distill", "quantize", "compile", "evaluate", "bench"]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A work directory in which distillation writes a tiny student at once, on two pairs that are held back."""
    monkeypatch.chdir(tmp_path)
    write_teacher(tmp_path / "teacher.safetensors")
    write_image(tmp_path / "calibration" / "1.png", photo(64, 64))
    pairs = [PairInMemory("held back", str(i), photo(64, 64, i), photo(64, 64, i + 7)) for i in range(2)]
    monkeypatch.setattr(pipeline, "distill", lambda options, console: write_student(options.output))
    monkeypatch.setattr(pipeline, "held_back_pairs", lambda options: pairs)
    return tmp_path / "edgedeblur-work"


@pytest.fixture
def light(work, monkeypatch):
    """As `work`, with compiling and measuring replaced too."""

    def compile_step(network, target, size, workdir, log):
        workdir.artefact("host").mkdir(exist_ok=True)
        (workdir.artefact("host") / "manifest.json").write_text(json.dumps(size))

    def bench_step(artefact, options, workdir, log):
        write_report(example_report([30.0 + options.threads] * 50), workdir.report, workdir.target_report("host"))

    monkeypatch.setattr(pipeline, "compile_step", compile_step)
    monkeypatch.setattr(pipeline, "bench_step", bench_step)
    return work


def run(*words):
    base = ["run", "--teacher", "teacher.safetensors", "--init", "none", "--calibration", "calibration"]
    base += ["--finetune-steps", "2"]
    result = CliRunner().invoke(cli, [*base, "--size", "64x64", "--threads", "1", *words])
    assert "unexpected" not in result.stderr, result.stderr
    return result


def steps_done(result):
    lines = [line.split("] ")[1] for line in result.stderr.splitlines() if line.startswith("[")]
    return [line.removesuffix(": resumed") for line in lines if "kept" not in line]


def test_the_whole_way_leaves_every_file_and_a_report_with_quality(work):
    result = run("--steps", "3")
    report = read_report(work / "report.json")
    assert result.exit_code == {"pass": 0, "fail": 3}[report.budget.verdict]
    assert report.quality_db.pairs == 2 and None not in vars(report.quality_db).values()
    assert report.model.input_shape == [64, 64, 3] and report.target.threads == 1
    for text in ("14,488", "PSNR int8 student (2 pairs)", "8 of 8", f"verdict: {report.budget.verdict}"):
        assert text in result.stdout
    assert read_image(work / "before-after.png").shape[1] > 3 * 64
    assert {path.name for path in work.iterdir()} >= {"student.safetensors", "quantised.edq", "evaluation.json"}


def test_finished_steps_are_kept(light):
    assert steps_done(run()) == STEPS
    assert steps_done(run()) == []


@pytest.mark.parametrize(
    ("words", "redone"),
    [
        (["--threads", "2"], ["bench"]),
        (["--size", "64x80"], ["compile", "bench"]),
        (["--seed", "1"], STEPS),
        (["--finetune-steps", "0"], ["quantize"]),  # a student of few steps is rounded without loss: the same network
        (["--steps", "7"], ["distill"]),  # its student is the same, so the steps after it are finished
    ],
)
def test_a_changed_option_redoes_its_step_and_those_that_depend_on_it(light, words, redone):
    run()
    assert steps_done(run(*words)) == redone


def test_changed_calibration_images_redo_the_steps_from_quantize_on(light):
    run()
    write_image(Path("calibration/1.png"), photo(64, 64, seed=9))
    assert steps_done(run()) == STEPS[1:]


def test_schedules_tuned_since_redo_the_step_that_uses_them(light):
    run()
    tuned = light / "tuned" / database_name(load_target("host"))
    tuned.parent.mkdir()
    tuned.write_text("schema_version = 1\n")
    assert steps_done(run()) == ["compile"]  # which is replaced here and makes the same artefact


def test_a_clock_that_drifts_redoes_nothing_and_another_number_of_cores_does(light, monkeypatch):
    clocks = iter(2.6 + 0.001 * number for number in range(1000))
    monkeypatch.setattr("edgedeblur.artefact.cpu.clock_ghz", lambda core: next(clocks))
    assert steps_done(run()) == STEPS
    assert steps_done(run()) == []
    monkeypatch.setattr("edgedeblur.artefact.cpu.physical_cores", lambda: (0, 1, 2, 3, 4, 5, 6))
    assert steps_done(run()) == ["compile"]  # which is replaced here and makes the same artefact


def test_a_clock_that_a_file_names_is_part_of_the_target():
    from edgedeblur.workflow.run import _target_key

    phone, host = load_target("android"), load_target("host")
    for target, same in ((phone, False), (host, True)):
        cores = tuple(dataclasses.replace(cluster, ghz=9.9) for cluster in target.clusters)
        assert (_target_key(dataclasses.replace(target, clusters=cores)) == _target_key(target)) is same


def test_the_state_of_a_finished_run_with_other_options_does_not_stop_a_new_one(light, monkeypatch):
    """As when the new run was killed before it saved anything."""
    seen = []

    def killed_once(options, console):
        seen.append(options.resume)
        finished_path(options.output).parent.mkdir(exist_ok=True)
        finished_path(options.output).write_bytes(b"another run's")
        if len(seen) == 1:
            raise KeyboardInterrupt
        if options.resume:
            raise OtherRunError("from a run with another seed")
        write_student(options.output)

    monkeypatch.setattr(pipeline, "distill", killed_once)
    result = run()
    assert result.exit_code == 130 and "nothing to resume from" in result.stderr
    assert steps_done(run()) == STEPS and seen == [False, True, False]


def test_a_lost_output_is_made_again(light):
    run()
    (light / "before-after.png").unlink()
    assert steps_done(run()) == ["evaluate", "bench"]  # the evaluation has other times per image


def test_an_interrupted_distillation_goes_on_from_its_saved_state(light, monkeypatch):
    resumed = []

    def interrupted(options, console):
        resumed.append(options.resume)
        options.output.with_suffix(".state.pt").parent.mkdir(exist_ok=True)
        options.output.with_suffix(".state.pt").write_bytes(b"state")
        if len(resumed) < 3:
            raise UserError("stopped at step 5", "the same command with --resume resumes", exit_code=130)
        write_student(options.output)

    monkeypatch.setattr(pipeline, "distill", interrupted)
    for _ in range(2):
        result = run()
        assert result.exit_code == 130 and "stopped at step 5" in result.stderr
    assert steps_done(run()) == STEPS and resumed == [False, True, True]


def test_an_interruption_later_keeps_the_steps_before_it(light, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    bench_step = pipeline.bench_step
    monkeypatch.setattr(pipeline, "bench_step", interrupt)
    result = run()
    assert (
        result.exit_code == 130
        and "what is finished is kept; to resume: edgedeblur run --teacher teacher.safetensors" in result.stderr
    )
    monkeypatch.setattr(pipeline, "bench_step", bench_step)
    assert steps_done(run()) == ["bench"]


def test_the_exit_code_is_that_of_the_verdict(light, monkeypatch):
    def slow(artefact, options, workdir, log):
        write_report(example_report([50.0] * 50), workdir.report, workdir.target_report("host"))

    monkeypatch.setattr(pipeline, "bench_step", slow)
    assert run().exit_code == 3
    assert run().exit_code == 3  # kept, and still a fail
