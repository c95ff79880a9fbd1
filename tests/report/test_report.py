"""The report has exactly the keys of the design, and is read back strictly."""

import json
from dataclasses import asdict

import pytest
from reports import example_report

from edgedeblur.errors import UserError
from edgedeblur.report.schema import read_report, write_report

DESIGN = {
    "": "schema_version created edgedeblur_version model target environment provenance latency_ms memory_mb quality_db "
    "int8 layers peers budget device sustained instructions estimate unknown gpu governed",
    "model": "name parameters macs input_shape teacher recipe",
    "target": "name triple cpu features threads",
    "environment": "cpu cores governor temperature_c_before temperature_c_after tool_versions",
    "latency_ms": "p50 p90 p99 mean std min max first load samples",
    "memory_mb": "peak_rss arena weights artefact",
    "quality_db": "blurred teacher student_float student_int8 pairs",
    "int8": "convolutions int8_convolutions dot_instructions reasons",
    "layers": "name op macs ms share mac_per_cycle of_peak",
    "peers": "name version precision threads p50_ms ratio",
    "budget": "latency_ms memory_mb latency memory verdict",
}


def test_the_keys_are_those_of_the_design(tmp_path):
    write_report(example_report([30.0] * 50), tmp_path / "report.json")
    document = json.loads((tmp_path / "report.json").read_text())
    for part, keys in DESIGN.items():
        value = document[part] if part else document
        value = value[0] if isinstance(value, list) else value
        assert list(value) == keys.split(), part


@pytest.mark.parametrize("samples", [None, [30.0 + i / 7 for i in range(55)]])
def test_a_report_is_read_back_as_it_was_written_to_every_path(tmp_path, samples):
    report = example_report(samples)
    write_report(report, tmp_path / "report.json", tmp_path / "report-host.json")
    assert asdict(read_report(tmp_path / "report.json")) == asdict(report)
    assert (tmp_path / "report.json").read_bytes() == (tmp_path / "report-host.json").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema_version=2), "schema version 1"),
        (lambda d: d.update(extra=1), "extra"),
        (lambda d: d["model"].pop("macs"), "macs"),
        (lambda d: d["budget"].update(verdict="maybe"), "budget.verdict = 'maybe'; allowed are pass, fail, unknown"),
        (lambda d: d["latency_ms"].update(samples=["x"]), r"latency_ms.samples\[0\] = 'x'; a number is needed"),
        (lambda d: d.update(provenance=None), "provenance"),
        (lambda d: d["int8"].update(convolutions=True), "int8.convolutions = True; an integer is needed"),
    ],
)
def test_a_report_that_breaks_the_schema_is_refused_with_the_place(tmp_path, change, message):
    document = asdict(example_report([30.0] * 50))
    change(document)
    (tmp_path / "report.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=message):
        read_report(tmp_path / "report.json")


@pytest.mark.parametrize("content", [None, "", "plain text", "[1]"])
def test_what_is_not_a_report_is_refused(tmp_path, content):
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"report\.json"):
        read_report(path)
