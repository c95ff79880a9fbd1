"""File names, metadata and messages with markup, escape sequences and line breaks: printed as text, never obeyed."""

import ast
import io
import os
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from model_files import photo, write_quantised
from networks import random_network, tiny_spec
from reports import example_report

import edgedeblur
from edgedeblur.artefact.target import load_target
from edgedeblur.cli import output
from edgedeblur.cli.main import cli
from edgedeblur.cli.output import PlainConsole, plain
from edgedeblur.cli.progress import Progress
from edgedeblur.data.images import write_image
from edgedeblur.quantize.edq import save_edq
from edgedeblur.report.html import write_html
from edgedeblur.report.schema import write_report
from edgedeblur.report.tables import report_tables
from edgedeblur.workflow.targets import targets_table

HOSTILE = "[/home] [red]:smile: \x1b[31m\x9b2J\a\u202e\r"
SHOWN = r"[/home] [red]:smile: \x1b[31m\x9b2J\x07\u202e\x0d"


def run(*words, code):
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == code, result.output
    assert "unexpected" not in result.output
    return harmless(result.output)


def harmless(text):
    """The text, after a look by Unicode's own categories (C: control, format, surrogate) in place of our list."""
    assert [char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs") and char != "\n"] == []
    return text


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_quantised(tmp_path / "model.edq")
    return tmp_path


def test_inspect_prints_provenance_as_it_stands_in_the_file(here):
    network = replace(random_network(tiny_spec()), provenance={"calibration": HOSTILE, "teacher": "[/]"})
    save_edq(network, here / "q.edq")
    assert SHOWN in run("inspect", "q.edq", code=0)
    (here / "[bold]q.edq").write_bytes((here / "q.edq").read_bytes())
    assert "[bold]q.edq: quantised" in run("inspect", "[bold]q.edq", code=0)


def test_deblur_prints_hostile_file_names_whole(here):
    folder = here / "in"
    for name in (f"good{HOSTILE}.png", "[b]also[/b] good.png"):
        write_image(folder / name.replace("/", "|"), photo())
    (folder / "bad[red]\x1b]0;title\a\nerror: not true.png").write_text("text")
    Path(os.fsdecode(os.fsencode(folder) + b"/not-utf8-\xff.png")).write_text("text")
    output = run("deblur", "in", "out", "--model", "model.edq", code=1)
    assert r"bad[red]\x1b]0;title\x07" in output and r"not-utf8-\xff.png" in output
    assert not any(line.startswith("error: not true") for line in output.splitlines())
    run("deblur", folder / f"good{HOSTILE}.png".replace("/", "|"), "one.png", "-m", "model.edq", code=0)
    assert len(list((here / "out").iterdir())) == 2


def test_evaluate_prints_the_names_of_groups_and_models(here, monkeypatch):
    monkeypatch.setattr(output, "_WIDTH_WITHOUT_TERMINAL", 200)  # a narrower table breaks names into lines
    group = HOSTILE.replace("/", "|")
    for side in ("blur", "sharp"):
        write_image(here / "pairs" / group / side / "1.png", photo())
    model = here / "[i]m[|i]\x1b.edq"
    model.write_bytes((here / "model.edq").read_bytes())
    printed = run("evaluate", "pairs", "-m", model, "--json", "scores.json", code=0)
    assert "[i]m[|i]\\x1b (quantised)" in printed and SHOWN.replace("/", "|") in printed


def test_tables_and_pages_of_reports_show_what_the_file_says(here, capsys):
    report = example_report([20.0] * 60)
    report = replace(
        report,
        model=replace(report.model, name=HOSTILE, teacher="<script>alert(1)</script>[/x]"),
        target=replace(report.target, name=HOSTILE, cpu="<b>"),
    )
    output.show(*report_tables(report))
    assert f"{SHOWN} on {SHOWN}" in " ".join(harmless(capsys.readouterr().out).split())  # a title is broken into lines
    name = "[r]\x1breport.json"
    write_report(report, here / name)
    assert r"[r]\x1breport.html" in run("report", name, code=0)
    write_html(report, here / "page.html")
    page = (here / "page.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;[/x]" in page and "<b>" not in page


def test_targets_show_their_descriptions(here, capsys):
    output.show(targets_table([replace(load_target("android"), description="[/home]\x1b[31m", runner=("[/qemu]",))]))
    assert r"[/home]\x1b[31m" in harmless(capsys.readouterr().out)
    (here / "t[red]\x1b.toml").write_text("[/home]\x1b")
    assert r"t[red]\x1b.toml" in run("compile", "model.edq", "--target", "t[red]\x1b.toml", code=2)


@pytest.mark.parametrize(
    "words",
    [
        ["inspect", "none\x1b[31m[/home].edq"],
        ["deblur", "photo.png", "a", "too-many\x1b[31m"],
        ["--no-such-\x1b[31m"],
        ["deblur", "--no-such-\x1b[31m"],
        ["frobnicate\x1b[31m"],
        ["quantize", "--seed", "\x1b[31m"],
    ],
)
def test_errors_show_what_they_are_about(here, words):
    result = CliRunner().invoke(cli, words)
    assert result.exit_code in (1, 2) and r"\x1b[31m" in harmless(result.output)


def test_unexpected_errors_tracebacks_and_warnings_too(here):
    code = (
        "import sys, warnings\n"
        "from edgedeblur.artefact import target\n"
        "def broken():\n"
        "    warnings.warn('hmm \\x1b[31m')\n"
        "    raise ValueError('oh \\x1b[31m')\n"
        "target.list_targets = broken\n"
        "from edgedeblur.cli.main import main\n"
        "sys.argv = ['edgedeblur', '--debug', 'targets']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" in harmless(done.stderr)
    assert done.stderr.count(r"oh \x1b[31m") == 2 and r"UserWarning: hmm \x1b[31m" in done.stderr


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_shows_file_names_on_a_terminal_and_in_a_log(terminal, monkeypatch, capsys):
    drawn, progress = io.StringIO(), Progress("deblur")
    progress._console = PlainConsole(file=drawn, force_terminal=terminal, width=200, color_system=None)
    monkeypatch.setattr("edgedeblur.cli.progress._SECONDS_BETWEEN_LINES", 0.0)
    with progress:
        progress(f"{HOSTILE}\n.png", 1, 2)
    text = drawn.getvalue() if terminal else capsys.readouterr().err
    assert SHOWN + r"\n.png" in text
    for sequence in ("\x1b[31m", "\x9b", "\a", "\u202e"):  # the bar itself moves the cursor by escape sequences
        assert sequence not in text


def test_characters_that_the_stream_cannot_hold_are_shown_not_raised(here):
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    write_image(here / "é.png", photo())
    program = "import sys; from edgedeblur.cli.main import main; main()"
    words = ["deblur", "é.png", "ü.png", "-m", "model.edq"]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, env=environment)
    assert done.returncode == 0 and done.stdout == b"\\xfc.png\n", done.stderr


def test_printable_text_stays_as_it_is():
    assert plain("Straße [/x] 写真 a\tb\nc 😀") == "Straße [/x] 写真 a\tb\nc 😀"


def test_nothing_prints_past_the_one_place():
    """A print, click.echo, rich console or column with markup elsewhere in the package would be a way around it."""
    printing = ("print", "click.echo", "click.secho", "Console", "sys.stdout.write", "sys.stderr.write")
    found = []
    for path in Path(edgedeblur.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or path == Path(output.__file__):
                continue
            called = ast.unparse(node.func)
            markup = called == "TextColumn" and "markup=False" not in ast.unparse(node)
            if called in printing or called.endswith("from_markup") or markup:
                found.append(f"{path.name}:{node.lineno}: {called}")
    assert found == []
