"""Tuning a whole network: every shape once, nothing lost by an interruption, nothing kept that loses in the network."""

import dataclasses
import itertools

import pytest
from networks import random_network, tiny_spec

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.kernels import instruction_set
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.schedules.choose import choose_schedules
from edgedeblur.compile.schedules.tuned import layer_shape, read_database
from edgedeblur.errors import UserError
from edgedeblur.student import student_spec
from edgedeblur.tune import tuning
from edgedeblur.tune.devices import Device
from edgedeblur.tune.network import Comparison
from edgedeblur.tune.shapes import distinct_shapes
from edgedeblur.tune.tuning import TuneOptions, tune

NETWORK = random_network(tiny_spec())
TARGET = dataclasses.replace(load_target("x86-64-v3"), threads=2)
SIZE = (64, 96)
NAMES = [layer.spec.name for layer in NETWORK.layers]


def narrow_is_faster(fail_at=None, asked=None):
    """A device on which narrow tiles are faster; it is interrupted at the given shape."""
    count = itertools.count()

    def device_measure(trial, target, folder):
        if next(count) == fail_at:
            raise KeyboardInterrupt
        if asked is not None:
            asked.append(trial.layer.name)
        return lambda schedules, rounds: [(1.0 + s.tile_width,) * rounds for s in schedules]

    return Device("a fake", "measured", device_measure, None)


def run(database, device, progress=lambda *_: None, **options):
    return tune(NETWORK, TARGET, SIZE, device, database, TuneOptions(trials=60, **options), print, progress)


def test_the_layers_of_a_network_are_tuned_once_a_shape_the_largest_share_of_the_work_first():
    network = random_network(student_spec("small"))
    shapes = distinct_shapes(network, 512, 512)
    layers = conv_layers(network, 512, 512)
    assert sorted(name for shape in shapes for name in shape.names) == sorted(layer.name for layer in layers)
    assert len({shape.shape for shape in shapes}) == len(shapes) < len(layers)
    by_name = {layer.name: layer for layer in layers}
    assert all(layer_shape(by_name[name]) == shape.shape for shape in shapes for name in shape.names)
    work = [sum(by_name[name].macs for name in shape.names) for shape in shapes]
    assert work == sorted(work, reverse=True)


def test_every_layer_has_a_tuned_schedule_afterwards_with_what_measured_it(tmp_path):
    path, seen = tmp_path / "x.toml", []
    result = run(path, narrow_is_faster(), lambda what, done, of: seen.append((done, of)))
    database = read_database(path)
    assert len(database.layers) == len(result.shapes) == 8
    isa = instruction_set(TARGET.isa)
    chosen = choose_schedules(conv_layers(NETWORK, *SIZE), isa, TARGET.threads, [database])
    assert {choice.source for choice in chosen.values()} == {"tuned"}
    assert all(choice.schedule.tile_width == 1 for choice in chosen.values())
    assert {(e.measured_by, e.provenance, e.tuned_ms) for e in database.layers} == {("a fake", "measured", 2.0)}
    assert seen[-1] == (8, 8)


def test_an_interrupted_search_goes_on_where_it_was(tmp_path):
    path, asked, again = tmp_path / "x.toml", [], []
    with pytest.raises(KeyboardInterrupt):
        run(path, narrow_is_faster(fail_at=3, asked=asked))
    assert len(read_database(path).layers) == len(asked) == 3
    result = run(path, narrow_is_faster(asked=again))
    assert len(again) == 5 and not set(asked) & set(again)
    assert [shape.status for shape in result.shapes] == ["before"] * 3 + ["tuned"] * 5
    everything = []
    run(path, narrow_is_faster(asked=everything), again=True)
    assert len(everything) == 8


def test_an_entry_that_no_longer_fits_is_tuned_again(tmp_path):
    path, asked = tmp_path / "x.toml", []
    run(path, narrow_is_faster(), layers=("head",))
    path.write_text(path.read_text().replace("tile_width = 1", "tile_width = 99"))
    run(path, narrow_is_faster(asked=asked), layers=("head",))
    assert asked == ["head"] and read_database(path).layers[0].schedule.tile_width == 1


def test_the_same_times_give_the_same_database(tmp_path):
    texts = []
    for name in ("a", "b"):
        run(tmp_path / name, narrow_is_faster(), seed=5)
        texts.append([line for line in (tmp_path / name).read_text().splitlines() if not line.startswith("created")])
    assert texts[0] == texts[1]


def test_layers_are_chosen_by_name_or_pattern(tmp_path):
    result = run(tmp_path / "x.toml", narrow_is_faster(), layers=("enc0.*", "head"))
    assert {name for shape in result.shapes for name in shape.names} == {"enc0.0.a", "enc0.0.b", "head"}
    with pytest.raises(UserError, match=f"no layer 'tail'; there are {', '.join(NAMES)}"):
        run(tmp_path / "x.toml", narrow_is_faster(), layers=("tail",))


def test_shapes_for_which_there_was_no_time_are_left(tmp_path):
    result = run(tmp_path / "x.toml", narrow_is_faster(), minutes=1e-9)
    assert {shape.status for shape in result.shapes} == {"left"}
    assert not (tmp_path / "x.toml").exists()


def test_what_loses_in_the_whole_network_gets_the_rules_schedule(tmp_path, monkeypatch):
    path, asked = tmp_path / "x.toml", []

    def compare(network, target, size, databases, run, folder, log):
        """Every layer is faster but the stem."""
        asked.append(databases[0])
        times = {name: (2.0, 3.0 if name == "stem" else 1.0) for name in NAMES}
        return Comparison(16.0, 10.0, times)

    monkeypatch.setattr(tuning, "compare_networks", compare)
    result = run(path, dataclasses.replace(narrow_is_faster(), run_network=lambda *_: None))
    assert {shape.names[0]: shape.status for shape in result.shapes} == {
        name: "reverted" if name == "stem" else "tuned" for name in NAMES
    }
    stem = conv_layers(NETWORK, *SIZE)[0]
    kept = read_database(path).find(layer_shape(stem), "avx2", 2)
    assert kept.schedule is None and kept.tuned_ms == kept.default_ms
    assert len(asked) == 2, "what is left is compared again"
    assert asked[-1].find(layer_shape(stem), "avx2", 2) == kept


def test_where_the_network_is_not_faster_without_the_losers_the_rules_schedules_stay(tmp_path, monkeypatch):
    def compare(network, target, size, databases, run, folder, log):
        return Comparison(16.0, 17.0, {name: (2.0, 3.0 if name == "stem" else 1.0) for name in NAMES})

    monkeypatch.setattr(tuning, "compare_networks", compare)
    result = run(tmp_path / "x.toml", dataclasses.replace(narrow_is_faster(), run_network=lambda *_: None))
    assert {shape.status for shape in result.shapes} == {"reverted"}
    assert all(entry.tuned_ms == entry.default_ms for entry in read_database(tmp_path / "x.toml").layers)


def test_a_size_that_the_network_cannot_take_is_refused(tmp_path):
    with pytest.raises(UserError, match="takes no 50x60 images"):
        tune(NETWORK, TARGET, (50, 60), narrow_is_faster(), tmp_path / "x.toml", TuneOptions(), print, lambda *_: None)


def test_a_winner_whose_output_turns_out_wrong_is_not_kept(tmp_path):
    said = []
    device = dataclasses.replace(narrow_is_faster(), confirm=lambda trial, schedule, target, folder: False)
    options = TuneOptions(trials=20, layers=("head",))
    result = tune(NETWORK, TARGET, SIZE, device, tmp_path / "x.toml", options, said.append, lambda *_: None)
    assert [shape.status for shape in result.shapes] == ["default"]
    assert read_database(tmp_path / "x.toml").layers[0].schedule is None
    assert any("head" in line and "not the integer interpreter's" in line for line in said)
