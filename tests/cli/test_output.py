"""-q, -v and --json are the same on every command, from one place; completion works as documented."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from artefacts import compiled
from click.testing import CliRunner
from model_files import photo, write_quantised, write_student, write_teacher
from reports import example_report

from edgedeblur.cli.main import COMMANDS, cli
from edgedeblur.data.images import write_image
from edgedeblur.report.schema import write_report
from edgedeblur.restore.readable import readable, readable_rows

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_quantised(tmp_path / "q.edq")
    write_student(tmp_path / "s.safetensors")
    write_teacher(tmp_path / "t.safetensors")
    write_report(example_report([30.0] * 60), tmp_path / "report.json")
    for side, seed in (("blur", 0), ("sharp", 1)):
        write_image(tmp_path / "pairs" / side / "1.png", photo(seed=seed))
    return tmp_path


def run(*words, code=0):
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


WITH_A_TABLE = {
    "evaluate": (["evaluate", "pairs", "-m", "q.edq"], "pairs"),
    "inspect": (["inspect", "q.edq"], "facts"),
    "targets": (["targets"], "targets"),
    "doctor": (["doctor"], "checks"),
    "report": (["report", "report.json"], "report"),
}


@pytest.mark.parametrize("name", WITH_A_TABLE)
def test_json_is_a_file_beside_the_table_or_all_of_stdout(here, name):
    words, key = WITH_A_TABLE[name]
    code = 0 if name != "doctor" else run("doctor").exit_code
    both = run(*words, "--json", "out.json", code=code)
    assert "│" in both.stdout  # the table
    document = json.loads(Path("out.json").read_text())
    assert document[key]
    alone = run(*words, "--json", "-", code=code).stdout
    assert json.loads(alone).keys() == document.keys()


def test_bench_gives_its_report_as_json(here):
    words = ["bench", compiled("host").path, "--runs", "50", "--warmup", "0", "--no-profile"]
    result = CliRunner().invoke(cli, [*map(str, words), "-q", "--json", "-"])
    assert result.exit_code in (0, 3) and result.stderr == ""
    report = json.loads(Path("edgedeblur-work/report.json").read_text())
    assert json.loads(result.stdout) == report


def test_every_command_has_quiet_and_verbose_and_those_with_a_table_json():
    for name in COMMANDS:
        text = run(name, "--help").stdout
        assert text.count("-q, --quiet") == text.count("-v, --verbose") == 1
    for name in [*WITH_A_TABLE, "bench", "run", "tune", "quantize"]:
        assert "--json FILE" in run(name, "--help").stdout


def test_quiet_leaves_the_result_and_errors_and_verbose_adds_every_piece_with_its_time(here):
    words = ["evaluate", "pairs", "-m", "t.safetensors", "-m", "q.edq"]
    usual, quiet, verbose = run(*words), run(*words, "-q"), run(*words, "-v")
    assert quiet.stderr == "" and "ms /" in quiet.stdout
    assert "1.png: 1 of 1" not in usual.stderr and re.search(
        r"\[ +\d+\.\d s\] evaluate .*1\.png: 1 of 1", verbose.stderr
    )
    assert re.search(r"edgedeblur 0.* peak memory [\d,]+ MB", verbose.stderr)
    assert "pairs/1.png" in verbose.stdout and "pairs/1.png" not in usual.stdout
    assert "no model nothing.edq" in run("inspect", "nothing.edq", "-q", code=1).stderr
    assert "give either" in run(*words, "-q", "-v", code=2).stderr


def test_quiet_still_lists_the_pictures_that_deblur_skipped(here):
    write_image(here / "in" / "1.png", photo())
    (here / "in" / "broken.png").write_text("text")
    result = run("deblur", "in", "out", "-m", "q.edq", "-q", code=1)
    assert "skipped in/broken.png" in result.stderr and "model:" not in result.stderr


def test_inspect_shows_text_and_writes_numbers(here):
    shown = run("inspect", "t.safetensors", "--json", "facts.json").stdout
    shown += run("inspect", "q.edq", "--json", "q.json").stdout + run("inspect", "s.safetensors").stdout
    assert "{" not in shown and "['" not in shown and "[8, " not in shown
    teacher, network = (json.loads(Path(name).read_text())["facts"] for name in ("facts.json", "q.json"))
    assert isinstance(teacher["parameters"], int) and teacher["options"]["widths"] == [8, 8, 16]
    assert teacher["cost"][1]["width_px"] == 512 and isinstance(teacher["cost"][1]["gmac"], float)
    assert isinstance(network["gmac_512x512"], float) and network["multiple_px"] > 0


def test_values_are_readable_down_to_dicts_without_dicts_in_them():
    value = {
        "rate": 2e-5,
        "on": False,
        "names": ["a", "b"],
        "blur": {"gammas": [1.0, 2.2], "count": 1200},
        "none": None,
    }
    assert dict(readable_rows("recipe", value)) == {
        "recipe: rate": "2e-05",
        "recipe: on": "no",
        "recipe: names": "a, b",
        "recipe: blur": "gammas (1, 2.2), count 1,200",
        "recipe: none": "not recorded",
    }
    assert dict(readable_rows("", {"a": {"b": {"c": 1}}})) == {"a: b": "c 1"}
    assert readable({}) == readable([]) == "none"


@pytest.mark.parametrize(("typed", "offered"), [("eval", "evaluate"), ("evaluate --proto", "--protocol")])
def test_completion_offers_commands_and_options(typed, offered):
    assert "_EDGEDEBLUR_COMPLETE=bash_source edgedeblur" in (DOCS / "command-line.md").read_text()
    words = f"edgedeblur {typed}"
    asked = {"_EDGEDEBLUR_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    program = [sys.executable, "-c", "from edgedeblur.cli.main import main; main()"]
    done = subprocess.run(program, env={**os.environ, **asked}, capture_output=True, text=True)
    assert f"plain,{offered}" in done.stdout.split("\n"), done.stderr
