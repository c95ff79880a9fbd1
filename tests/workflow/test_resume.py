"""Which steps of a run are done again, and which are kept."""

import contextlib
import json

import pytest

from edgedeblur.storage.digests import digest
from edgedeblur.workflow.resume import STATE_FILE, Step, run_steps


class Way:
    """Two steps over files: `first` copies a source with a suffix, `second` copies the first's output."""

    def __init__(self, root):
        self.root, self.suffix, self.source = root, "!", root / "source.txt"
        self.source.write_text("hello")

    def run(self):
        first, second = self.root / "first.txt", self.root / "second.txt"
        steps = [
            Step("first", {"suffix": self.suffix}, [self.source], [first], self.copy(self.source, first, self.suffix)),
            Step("second", {}, [first], [second], self.copy(first, second, "")),
        ]
        return run_steps(self.root, steps, lambda line: None)

    @staticmethod
    def copy(source, destination, suffix):
        return lambda begun: destination.write_text(source.read_text() + suffix)


@pytest.fixture
def way(tmp_path):
    way = Way(tmp_path)
    assert way.run() == ["first", "second"]
    return way


def test_finished_steps_are_kept(way):
    assert way.run() == []


def test_changed_options_redo_the_step_and_those_after_it(way):
    way.suffix = "?"
    assert way.run() == ["first", "second"]
    assert (way.root / "second.txt").read_text() == "hello?"


def test_changed_input_content_redoes_the_steps(way):
    way.source.write_text("other")
    assert way.run() == ["first", "second"]


def test_a_missing_or_changed_output_is_made_again(way):
    (way.root / "second.txt").unlink()
    assert way.run() == ["second"]
    (way.root / "second.txt").write_text("tampered")
    assert way.run() == ["second"]
    assert (way.root / "second.txt").read_text() == "hello!"


def test_a_step_that_gives_the_same_result_leaves_the_later_ones_alone(way):
    (way.root / "first.txt").unlink()
    assert way.run() == ["first"]


def test_an_interrupted_step_is_run_again_and_the_finished_one_is_not(tmp_path):
    way = Way(tmp_path)
    way.copy, real = interrupted_at_second(way.copy)
    with pytest.raises(KeyboardInterrupt):
        way.run()
    way.copy = real
    assert way.run() == ["second"]


def test_a_step_is_told_that_it_was_broken_off_unless_its_options_changed(tmp_path):
    told = []

    def run(options, fails):
        def work(begun):
            told.append(begun)
            if fails:
                raise KeyboardInterrupt

        run_steps(tmp_path, [Step("only", options, [], [], work)], lambda line: None)

    for options, fails in (({}, True), ({}, True), ({"seed": 1}, True), ({"seed": 1}, False)):
        with contextlib.suppress(KeyboardInterrupt):
            run(options, fails)
    assert told == [False, True, False, True]


def test_a_damaged_state_file_costs_the_work_but_not_the_run(way):
    (way.root / STATE_FILE).write_text("{broken")
    assert way.run() == ["first", "second"]
    assert set(json.loads((way.root / STATE_FILE).read_text())) == {"first", "second"}


def test_a_moved_work_directory_keeps_its_finished_steps(way, tmp_path_factory):
    moved = tmp_path_factory.mktemp("moved") / "work"
    way.root.rename(moved)
    way.root, way.source = moved, moved / "source.txt"
    assert way.run() == []


def test_a_folder_changes_its_digest_with_names_and_contents(tmp_path):
    (tmp_path / "a").write_text("1")
    first = digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    second = digest(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({first, second, digest(tmp_path)}) == 3
    assert digest(tmp_path / "none") is None


def interrupted_at_second(copy):
    def broken(source, destination, suffix):
        if destination.name == "second.txt":

            def interrupt(begun):
                raise KeyboardInterrupt

            return interrupt
        return copy(source, destination, suffix)

    return broken, copy
