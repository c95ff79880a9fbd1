"""Databases of tuned schedules: what compile takes from them, and that a bad one costs nothing but a note."""

import dataclasses

import pytest
from artefacts import noise
from hypothesis import given, settings
from hypothesis import strategies as st
from kernels import has_avx2
from networks import random_network, tiny_spec

from edgedeblur.artefact.manifest import count_sources
from edgedeblur.artefact.target import list_targets, load_target, shipped_database
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.kernels import INSTRUCTION_SETS
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.schedules.choose import choose_schedules, databases_for
from edgedeblur.compile.schedules.default import default_schedule
from edgedeblur.compile.schedules.schedule import Schedule
from edgedeblur.compile.schedules.tuned import Database, LayerShape, TunedLayer, layer_shape, read_database
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter
from edgedeblur.runtime.session import Session
from edgedeblur.tune.database import format_database, store_entry

AVX2 = INSTRUCTION_SETS["avx2"]
LAYERS = conv_layers(random_network(tiny_spec()), 64, 96)


def entry(layer=LAYERS[1], schedule=None, threads=2, **fields) -> TunedLayer:
    schedule = schedule or dataclasses.replace(default_schedule(layer, AVX2, threads), tile_width=1)
    facts = {"provenance": "measured", "measured_by": "a test", "default_ms": 2.0, "tuned_ms": 1.5, "trials": 3}
    facts |= {"created": "2026-01-01T00:00:00+00:00", "edgedeblur_version": "0.1.0"} | fields
    return TunedLayer(layer_shape(layer), "avx2", threads, schedule, **facts)


def written(tmp_path, *entries: TunedLayer, replaced=("", "")) -> Database:
    path = tmp_path / "database.toml"
    path.write_text(format_database(list(entries)).replace(*replaced))
    return read_database(path)


sides = st.integers(1, 9999)
extents = st.tuples(sides, sides, sides)
times = st.floats(1e-6, 1e6)
shapes = st.builds(
    LayerShape, sides, sides, extents, extents, sides, sides, st.booleans(), st.booleans(), st.booleans(),
    st.sampled_from(["none", "tensor", "image"]),
)  # fmt: skip
methods, parallel = st.sampled_from(["direct", "winograd"]), st.sampled_from(["rows", "channels"])
schedules = st.none() | st.builds(Schedule, sides, sides, sides, sides, methods, parallel)
texts = st.text(st.characters(codec="utf-8"))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.lists(
        st.builds(
            TunedLayer, shapes, texts, st.integers(1, 64), schedules, st.sampled_from(["measured", "estimated"]),
            texts, times, times, sides, texts, texts,
        ),
        max_size=3,
    )
)  # fmt: skip
def test_what_is_written_is_read_again(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("database") / "x.toml"
    path.write_bytes(format_database(entries).encode())
    assert read_database(path) == Database(path, tuple(entries))


def test_an_entry_takes_the_place_of_one_for_the_same_and_leaves_the_others(tmp_path):
    path = tmp_path / "folder" / "x.toml"
    for one in (entry(), entry(LAYERS[3]), entry(threads=4), entry(trials=9)):
        store_entry(path, one)
    assert [(e.shape == layer_shape(LAYERS[1]), e.threads, e.trials) for e in read_database(path).layers] == [
        (False, 2, 3),
        (True, 4, 3),
        (True, 2, 9),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "key schema_version is missing"),
        ("not = [toml", "not TOML"),
        ("\xff", "not TOML"),
        ("schema_version = 2", "schema_version is 2; this edgedeblur reads 1"),
        ("schema_version = 1\nlayer = []", "unknown key layer; allowed are schema_version, layers"),
        ("schema_version = 1\nlayers = 3", "layers = 3; a list is needed"),
    ],
)
def test_a_file_that_is_no_database_is_an_error_that_says_how_to_fix_it(tmp_path, text, message):
    path = tmp_path / "x.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=message) as raised:
        read_database(path)
    assert str(path) in raised.value.message and "edgedeblur tune" in raised.value.fix


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (("threads = 2", "threads = 0"), "threads = 0; allowed are 1 to 64"),
        (("trials = 3", "trails = 3"), "unknown key layers[0].trails"),
        (("default_ms = 2.0", "default_ms = nan"), "default_ms = nan; a finite number"),
        (("tuned_ms = 1.5", "tuned_ms = -1.0"), "tuned_ms = -1"),
        (('residual = "none"', 'residual = "some"'), "residual = 'some'; allowed are none, tensor, image"),
        (("source = [16, 24, 8]", "source = [16, 24]"), "source = [16, 24]; a list of 3 values is needed"),
        (('isa = "avx2"', "isa = 2"), "isa = 2; a string is needed"),
    ],
)
def test_an_entry_that_cannot_be_read_is_a_note_and_the_others_are_used(tmp_path, replaced, message):
    database = written(tmp_path, entry(), replaced=replaced)
    assert database.layers == () and len(database.notes) == 1
    assert message in database.notes[0]
    chosen = choose_schedules(LAYERS, AVX2, 2, [database])
    assert {choice.source for choice in chosen.values()} == {"default"}


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        (("tile_width = 1", "tile_width = 99"), "the tile must fit 16 registers"),
        (("unroll = ", "unroll = 1000"), "unroll must be one of"),
        (('"direct"', '"fourier"'), "method = 'fourier'"),
        (('"direct"', '"winograd"'), "Winograd's method takes"),
        (("strip_rows = ", "strip_rows = 6"), "strip_rows must be at most 19"),
        (('"rows"', '"columns"'), "parallel = 'columns'"),
        (("tile_width = 1", "tile_width = 0"), "tile_width = 0"),
        (("tile_width = 1", "tile_width = true"), "tile_width = True"),
        (("tile_width = 1", "tile_width = 1, prefetch = 2"), "unknown key prefetch"),
        (("tile_width = 1, ", ""), "key tile_width is missing"),
        (("tile_width = 1", "tile_width = 99999999999"), "tile_width = 99999999999"),
    ],
)
def test_a_schedule_that_does_not_fit_falls_back_to_the_rule_with_a_note(tmp_path, replaced, message):
    database = written(tmp_path, entry(), replaced=replaced)
    chosen = choose_schedules(LAYERS, AVX2, 2, [database])[LAYERS[1].name]
    assert (chosen.source, chosen.schedule) == ("fallback", default_schedule(LAYERS[1], AVX2, 2))
    assert message in chosen.note and str(database.path) in chosen.note


def test_a_layers_schedule_is_its_shapes_whatever_its_name_and_numbers(tmp_path):
    database = written(tmp_path, entry())
    other = dataclasses.replace(LAYERS[1], name="other", source_zero_point=5, out_zero_point=-3, low=7)
    larger = dataclasses.replace(LAYERS[1], name="larger", source=(16, 40, 8), out=(16, 40, 8))
    chosen = choose_schedules([other, larger], AVX2, 2, [database])
    assert (chosen["other"].source, chosen["other"].schedule) == ("tuned", entry().schedule)
    assert "measured on a test at 2 threads: 2 ms by default, 1.5 ms tuned" in chosen["other"].note
    assert chosen["larger"].source == "default"
    assert choose_schedules([other], INSTRUCTION_SETS["vnni"], 2, [database])["other"].source == "default"


def test_where_nothing_was_faster_the_rule_of_this_version_is_used(tmp_path):
    database = written(tmp_path, dataclasses.replace(entry(), schedule=None))
    chosen = choose_schedules(LAYERS[1:2], AVX2, 2, [database])[LAYERS[1].name]
    assert (chosen.source, chosen.schedule) == ("tuned", default_schedule(LAYERS[1], AVX2, 2))
    assert "none of 3 others was faster" in chosen.note
    assert choose_schedules(LAYERS[1:2], AVX2, 4, [database])[LAYERS[1].name].source == "default"


def test_the_users_database_is_asked_first_and_the_exact_number_of_threads_before_the_nearest(tmp_path):
    wide = dataclasses.replace(entry().schedule, tile_width=2)
    first, second = Database(tmp_path / "a", (entry(threads=8),)), Database(tmp_path / "b", (entry(schedule=wide),))
    one = LAYERS[1]
    assert choose_schedules([one], AVX2, 2, [first, second])[one.name].schedule == wide
    own = choose_schedules([one], AVX2, 2, [Database(tmp_path / "c", (entry(),)), second])[one.name]
    assert (own.source, own.schedule) == ("tuned", entry().schedule)


def test_inner_loops_tuned_for_another_number_of_threads_are_used_with_the_rules_strips(tmp_path):
    one, few = LAYERS[1], entry(threads=2)
    rule = default_schedule(one, AVX2, 8)
    chosen = choose_schedules([one], AVX2, 8, [Database(tmp_path / "a", (few,))])[one.name]
    assert chosen.source == "adapted" and "at 2 threads" in chosen.note
    assert rule.strip_rows != few.schedule.strip_rows
    assert chosen.schedule == dataclasses.replace(few.schedule, strip_rows=rule.strip_rows)
    nearer = entry(schedule=dataclasses.replace(few.schedule, tile_width=3), threads=6)
    for order in ((few, nearer), (nearer, few)):
        chosen = choose_schedules([one], AVX2, 8, [Database(tmp_path / "a", order)])[one.name]
        assert chosen.schedule.tile_width == 3


def test_what_was_tuned_to_share_out_something_else_is_not_taken_over_to_other_threads(tmp_path):
    one = LAYERS[1]
    other = dataclasses.replace(entry().schedule, parallel="channels")
    chosen = choose_schedules([one], AVX2, 8, [Database(tmp_path / "a", (entry(schedule=other),))])[one.name]
    assert (chosen.source, chosen.schedule) == ("default", default_schedule(one, AVX2, 8))


@pytest.mark.skipif(not has_avx2(), reason="runs AVX2 kernels")
def test_compile_says_how_many_layers_are_tuned_and_keeps_it_with_what_measured_them(tmp_path):
    network, said = random_network(tiny_spec()), []
    unfit = dataclasses.replace(entry(LAYERS[3]).schedule, unroll=7)
    database = written(tmp_path, entry(), entry(LAYERS[3], unfit))
    target = dataclasses.replace(load_target("x86-64-v3"), threads=2)
    info = compile_network(network, target, 64, 96, tmp_path / "artefact", said.append, lambda target: [database])
    layers = {layer["name"]: layer for layer in info.manifest["layers"]}
    tuned = layers[LAYERS[1].name]
    assert tuned["schedule_source"] == "tuned" and "a test" in tuned["schedule_note"]
    assert tuned["schedule"]["tile_width"] == 1
    sources = [layer["schedule_source"] for layer in info.manifest["layers"]]
    assert sources.count("tuned") == sources.count("fallback") == 1 and sources.count("default") == 6
    assert "schedules: 6 default, 1 tuned, 1 fallback" in said
    assert any(line.startswith(f"note: {LAYERS[3].name}: ") and "unroll must be one of" in line for line in said)
    assert count_sources(["tuned", "default", "tuned", "fallback"]) == "2 tuned, 1 default, 1 fallback"
    with Session(info, 2) as session:
        assert (session.run(noise()) == interpreter.run(network, noise())).all()


@pytest.mark.parametrize("name", list_targets())
def test_what_ships_for_a_target_can_be_read_to_the_last_entry_and_fits(name):
    try:
        target = load_target(name)
    except UserError:
        pytest.skip("there are no kernels for this processor")
    for database in databases_for(target):
        assert database.path == shipped_database(target)
        assert database.layers and not database.notes
        assert all(one.unfit is None for one in database.layers)
