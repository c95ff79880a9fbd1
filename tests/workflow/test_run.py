"""`run` goes the whole way once, keeps what is finished, redoes what changed, and resumes where it was interrupted."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from model_files import photo, write_student, write_teacher
from reports import example_report

from edgedeblur.artefact.target import database_name, load_target
from edgedeblur.cli.main import cli
from edgedeblur.data.images import read_image, write_image
from edgedeblur.data.pairs import PairInMemory
from edgedeblur.errors import UserError
from edgedeblur.report.schema import read_report, write_report
from edgedeblur.training.saved_state import finished_path
from edgedeblur.training.state import OtherRunError
from edgedeblur.workflow.run import Stages

STEPS = ["distill", "quantize", "compile", "evaluate", "bench"]


@dataclass
class Way:
    """A work directory, and what its steps call."""

    root: Path
    stages: Stages

    def run(self, *words):
        base = ["run", "--teacher", "teacher.safetensors", "--init", "none", "--calibration", "calibration"]
        base += ["--finetune-steps", "2", "--size", "64x64", "--threads", "1"]
        result = CliRunner().invoke(cli, [*base, *words], obj=self.stages)
        assert "unexpected" not in result.stderr, result.stderr
        return result

    def steps_done(self, *words):
        return steps_done(self.run(*words))

    def call(self, **stages):
        """Other stages from now on."""
        self.stages = dataclasses.replace(self.stages, **stages)


def compile_nothing(network, target, size, workdir, log):
    workdir.artefact("host").mkdir(exist_ok=True)
    (workdir.artefact("host") / "manifest.json").write_text(json.dumps(size))


def bench_nothing(artefact, options, workdir, log):
    write_report(example_report([30.0 + options.threads] * 50), workdir.report, workdir.target_report("host"))


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Distillation writes a tiny student at once, on two pairs that are held back."""
    monkeypatch.chdir(tmp_path)
    write_teacher(tmp_path / "teacher.safetensors")
    write_image(tmp_path / "calibration" / "1.png", photo(64, 64))
    pairs = [PairInMemory("held back", str(i), photo(64, 64, i), photo(64, 64, i + 7)) for i in range(2)]
    stages = Stages(
        distill=lambda options, console: write_student(options.output), held_back_pairs=lambda options: pairs
    )
    return Way(tmp_path / "edgedeblur-work", stages)


@pytest.fixture
def light(work):
    """As `work`, with nothing compiled or measured either."""
    work.call(compile=compile_nothing, bench=bench_nothing)
    return work


def steps_done(result):
    lines = [line.split("] ")[1] for line in result.stderr.splitlines() if line.startswith("[")]
    return [line.removesuffix(": resumed") for line in lines if "kept" not in line]


def test_the_whole_way_leaves_every_file_and_a_report_with_quality(work):
    result = work.run("--steps", "3")
    report = read_report(work.root / "report.json")
    assert result.exit_code == {"pass": 0, "fail": 3}[report.budget.verdict]
    assert report.quality_db.pairs == 2 and None not in vars(report.quality_db).values()
    assert report.model.input_shape == [64, 64, 3] and report.target.threads == 1
    for text in ("14,488", "PSNR int8 student (2 pairs)", "8 of 8", f"verdict: {report.budget.verdict}"):
        assert text in result.stdout
    assert read_image(work.root / "before-after.png").shape[1] > 3 * 64
    assert {path.name for path in work.root.iterdir()} >= {"student.safetensors", "quantised.edq", "evaluation.json"}


def test_finished_steps_are_kept(light):
    assert light.steps_done() == STEPS
    assert light.steps_done() == []


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
    light.run()
    assert light.steps_done(*words) == redone


def test_changed_calibration_images_redo_the_steps_from_quantize_on(light):
    light.run()
    write_image(Path("calibration/1.png"), photo(64, 64, seed=9))
    assert light.steps_done() == STEPS[1:]


def test_schedules_tuned_since_redo_the_step_that_uses_them(light):
    light.run()
    tuned = light.root / "tuned" / database_name(load_target("host"))
    tuned.parent.mkdir()
    tuned.write_text("schema_version = 1\n")
    assert light.steps_done() == ["compile"]  # which is replaced here and makes the same artefact


def test_a_clock_that_drifts_redoes_nothing_and_another_number_of_cores_does(light, monkeypatch):
    clocks = iter(2.6 + 0.001 * number for number in range(1000))
    monkeypatch.setattr("edgedeblur.artefact.cpu.clock_ghz", lambda core: next(clocks))
    assert light.steps_done() == STEPS
    assert light.steps_done() == []
    monkeypatch.setattr("edgedeblur.artefact.cpu.physical_cores", lambda: (0, 1, 2, 3, 4, 5, 6))
    assert light.steps_done() == ["compile"]  # which is replaced here and makes the same artefact


def test_a_clock_that_a_file_names_is_part_of_the_target():
    from edgedeblur.workflow.run import _target_key

    phone, host = load_target("android"), load_target("host")
    for target, same in ((phone, False), (host, True)):
        cores = tuple(dataclasses.replace(cluster, ghz=9.9) for cluster in target.clusters)
        assert (_target_key(dataclasses.replace(target, clusters=cores)) == _target_key(target)) is same


def test_the_state_of_a_finished_run_with_other_options_does_not_stop_a_new_one(light):
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

    light.call(distill=killed_once)
    result = light.run()
    assert result.exit_code == 130 and "nothing to resume from" in result.stderr
    assert light.steps_done() == STEPS and seen == [False, True, False]


def test_a_lost_output_is_made_again(light):
    light.run()
    (light.root / "before-after.png").unlink()
    assert light.steps_done() == ["evaluate", "bench"]  # the evaluation has other times per image


def test_an_interrupted_distillation_goes_on_from_its_saved_state(light):
    resumed = []

    def interrupted(options, console):
        resumed.append(options.resume)
        options.output.with_suffix(".state.pt").parent.mkdir(exist_ok=True)
        options.output.with_suffix(".state.pt").write_bytes(b"state")
        if len(resumed) < 3:
            raise UserError("stopped at step 5", "the same command with --resume resumes", exit_code=130)
        write_student(options.output)

    light.call(distill=interrupted)
    for _ in range(2):
        result = light.run()
        assert result.exit_code == 130 and "stopped at step 5" in result.stderr
    assert light.steps_done() == STEPS and resumed == [False, True, True]


def test_an_interruption_later_keeps_the_steps_before_it(light):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    light.call(bench=interrupt)
    result = light.run()
    assert (
        result.exit_code == 130
        and "what is finished is kept; to resume: edgedeblur run --teacher teacher.safetensors" in result.stderr
    )
    light.call(bench=bench_nothing)
    assert light.steps_done() == ["bench"]


def test_the_exit_code_is_that_of_the_verdict(light):
    def slow(artefact, options, workdir, log):
        write_report(example_report([50.0] * 50), workdir.report, workdir.target_report("host"))

    light.call(bench=slow)
    assert light.run().exit_code == 3
    assert light.run().exit_code == 3  # kept, and still a fail
