"""The JSON Schema files agree with the dataclasses, with the readers, and with what the commands write."""

import copy
import json
import zipfile
from dataclasses import asdict

import jsonschema
import pytest
from artefacts import compiled
from json_schemas import FOLDER, schemas, text, validator
from model_files import write_quantised
from reports import example_report

from edgedeblur.artefact.manifest import read_manifest
from edgedeblur.errors import UserError
from edgedeblur.quantize.edq import load_edq
from edgedeblur.report.schema import read_report
from edgedeblur.workflow.shipped import shipped_network


@pytest.mark.parametrize("name", ["report", "manifest", "network"])
def test_the_file_is_what_the_dataclasses_say(name):
    made = text(schemas()[f"{name}.schema.json"])
    found = (FOLDER / f"{name}.schema.json").read_text()
    assert found == made, "write it again: python tests/support/json_schemas.py"
    assert validator(name)  # a valid schema of draft 2020-12


def network_json(path) -> dict:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("network.json"))


@pytest.mark.parametrize("target", ["host", "android-arm64"])
def test_the_manifest_that_compile_writes_is_valid(target):
    manifest = json.loads((compiled(target).path / "manifest.json").read_text())
    validator("manifest").validate(manifest)


@pytest.mark.parametrize("tier", ["nano", "small", "large"])
def test_the_header_of_a_shipped_network_is_valid(tier):
    validator("network").validate(network_json(shipped_network(tier)))


def broken(document: dict) -> list[tuple[str, dict]]:
    """The document with one key missing or of another type, or one key too many: a copy for each."""
    made = []

    def walk(value, path=()):
        if not isinstance(value, dict | list):
            return
        keys = list(value) if isinstance(value, dict) else range(min(len(value), 1))
        if len(keys) > 8 and all(isinstance(value[key], dict) for key in keys):
            keys = keys[:2]  # of tensors and files: all are alike
        for key in keys:
            for change in ("missing", "bool", "list"):
                made.append((f"{'.'.join(map(str, (*path, key)))}: {change}", changed(document, (*path, key), change)))
            walk(value[key], (*path, key))
        if isinstance(value, dict):
            made.append((f"{path}: added", changed(document, (*path, "not a key"), "bool")))

    walk(document)
    return made


def changed(document: dict, path: tuple, change: str) -> dict:
    document = copy.deepcopy(document)
    *parents, last = path
    inner = document
    for key in parents:
        inner = inner[key]
    if change == "missing":
        del inner[last]
    else:
        inner[last] = True if change == "bool" else [[]]
    return document


def test_schema_and_reader_refuse_the_same_reports(tmp_path):
    path = tmp_path / "report.json"
    document = json.loads(json.dumps(asdict(example_report([30.0] * 50))))
    agree(document, "report", path, lambda: read_report(path))


def test_schema_and_reader_refuse_the_same_manifests(tmp_path):
    document = json.loads((compiled("host").path / "manifest.json").read_text())
    agree(document, "manifest", tmp_path / "manifest.json", lambda: read_manifest(tmp_path))


def test_what_the_schema_refuses_of_a_header_the_reader_refuses_too(tmp_path):
    """The reader also checks the graph and the numbers, which a schema cannot say."""
    write_quantised(tmp_path / "whole.edq")
    with zipfile.ZipFile(tmp_path / "whole.edq") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    refused = 0
    for what, document in broken(json.loads(members["network.json"])):
        if validator("network").is_valid(document):
            continue
        refused += 1
        with zipfile.ZipFile(tmp_path / "broken.edq", "w") as archive:
            for name, data in (members | {"network.json": json.dumps(document).encode()}).items():
                archive.writestr(name, data)
        with pytest.raises(UserError):
            load_edq(tmp_path / "broken.edq")
            pytest.fail(f"read: {what}")
    assert refused > 50


def agree(document: dict, name: str, path, read) -> None:
    validator(name).validate(document)
    for what, changed_document in broken(document):
        path.write_text(json.dumps(changed_document))
        try:
            read()
            taken = True
        except UserError:
            taken = False
        assert validator(name).is_valid(changed_document) == taken, what


def test_what_is_no_document_is_refused():
    with pytest.raises(jsonschema.ValidationError):
        validator("report").validate([])
