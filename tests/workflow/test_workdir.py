"""Where commands find their inputs, and what they say when there is none."""

import os

import pytest

from edgedeblur.errors import UserError
from edgedeblur.workflow.workdir import WorkDir


def make_artefact(work, target, age):
    folder = work.artefact(target)
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    os.utime(folder / "manifest.json", (1000 - age, 1000 - age))


def test_the_artefact_is_the_one_given_the_targets_or_the_one_compiled_last(tmp_path):
    work = WorkDir(tmp_path)
    make_artefact(work, "host", age=1)
    make_artefact(work, "android", age=0)
    (tmp_path / "artefact-broken").mkdir()  # without a manifest it is none
    assert work.need_artefact(None, None) == work.artefact("android")
    assert work.need_artefact(None, "host") == work.artefact("host")
    assert work.need_artefact(tmp_path / "other", "host") == tmp_path / "other"


@pytest.mark.parametrize(
    ("need", "command"),
    [
        (lambda work: work.need_student(None), "edgedeblur distill"),
        (lambda work: work.need_quantised(None), "edgedeblur quantize"),
        (lambda work: work.need_artefact(None, None), "edgedeblur compile --target host"),
        (lambda work: work.need_artefact(None, "android"), "edgedeblur compile --target android"),
    ],
)
def test_what_is_missing_comes_with_the_command_that_makes_it(tmp_path, need, command):
    with pytest.raises(UserError, match=str(tmp_path)) as raised:
        need(WorkDir(tmp_path))
    assert raised.value.fix.endswith(command)
