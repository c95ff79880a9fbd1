"""Schedules for GPUs: what is searched, candidates on software OpenCL, the database, and what compile takes of it."""

import dataclasses

import numpy as np
import pytest
from networks import random_network, tiny_spec
from opencl import QUICK, build, devices, needs_opencl, run_plan

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.dump import nowhere
from edgedeblur.compile.gpu.part import build_gpu_part
from edgedeblur.compile.gpu.schedule import check_schedule, default_schedule
from edgedeblur.compile.kernels import instruction_set
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.schedules.choose_gpu import check_gpu_fit, choose_gpu_schedules
from edgedeblur.compile.schedules.tuned import read_database
from edgedeblur.device.errors import PhoneGone
from edgedeblur.errors import UserError
from edgedeblur.tune import gpu_build, tuning
from edgedeblur.tune.devices import Device, gpu_device, this_machines_gpu
from edgedeblur.tune.gpu_space import gpu_moves, gpu_space
from edgedeblur.tune.measure import measure_with
from edgedeblur.tune.network import Comparison
from edgedeblur.tune.trial import layer_on_trial
from edgedeblur.tune.tuning import TuneOptions, tune

NETWORK, SIZE = random_network(tiny_spec()), (32, 48)
TARGET = load_target("opencl")
LAYERS = {layer.name: layer for layer in conv_layers(NETWORK, *SIZE)}


def on_trial(index: int):
    layer = list(LAYERS.values())[index]
    return layer_on_trial(NETWORK, NETWORK.layers[index], layer, instruction_set(TARGET.isa), 0)


def widest_first(trial, target, folder):
    """Measures: the more weights in a load, the faster."""
    return lambda schedules, rounds: [(1.0 / s.vector,) * rounds for s in schedules]


def run(database, device=None, said=print, **options):
    device = device or Device("a fake GPU, driver 1", "simulated", widest_first, None)
    return tune(NETWORK, TARGET, SIZE, device, database, TuneOptions(trials=60, **options), said, lambda *_: None)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_every_schedule_of_the_space_fits_and_the_default_one_is_first(layer):
    space = gpu_space(layer)
    assert space[0] == default_schedule(layer) and len(set(space)) == len(space) > 20
    for schedule in space:
        check_schedule(layer, schedule)
        check_gpu_fit(layer, schedule)
    near = gpu_moves(layer).near(space[0])
    assert near and set(near) <= set(space) - {space[0]}


@needs_opencl
@pytest.mark.parametrize("index", [6, len(LAYERS) - 1])
def test_the_checking_plan_tells_candidates_with_other_bytes(index):
    trial = on_trial(index)
    schedules = [default_schedule(trial.layer), *gpu_moves(trial.layer).near(default_schedule(trial.layer))[:1]]
    batch = gpu_build.compile_batch(trial, schedules, TARGET)
    wrong = dict(batch.arguments[1], bias=bytes(a ^ 64 for a in batch.arguments[1]["bias"]))
    damaged = dataclasses.replace(batch, arguments=(batch.arguments[0], wrong))
    program = build(devices()[0], batch.text.text, QUICK)
    for tried, found in ((batch, []), (damaged, [1])):
        plan = gpu_build.gpu_plan(tried, [0, 1], TARGET, checking=True)
        image = run_plan(program, plan, np.zeros(plan.height * plan.width, np.uint32))
        rgb = image.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
        assert gpu_build.differing(rgb, [0, 1]) == found


def test_the_database_has_the_gpu_and_compile_takes_its_schedules_from_it(tmp_path):
    path = tmp_path / "x.toml"
    result = run(path)
    entries = read_database(path).layers
    assert {(e.isa, e.threads, e.provenance, e.measured_by) for e in entries} == {
        ("opencl", 1, "simulated", "a fake GPU, driver 1")
    }
    assert "tuned" in {shape.status for shape in result.shapes} <= {"tuned", "default"}
    assert {shape.status for shape in run(path).shapes} == {"before"}
    chosen = choose_gpu_schedules(LAYERS.values(), "opencl", [read_database(path)])
    assert {choice.source for choice in chosen.values()} == {"tuned"}
    assert {c.note for c in chosen.values()} == {"schedules of the GPU simulated on a fake GPU, driver 1"}
    assert any(chosen[name].schedule != default_schedule(layer) for name, layer in LAYERS.items())
    said = []
    part = build_gpu_part(NETWORK, [SIZE], TARGET, lambda target: [read_database(path)], nowhere, said.append)
    assert said[1:] == [
        f"schedules of the GPU: {len(LAYERS)} tuned",
        "note: schedules of the GPU simulated on a fake GPU, driver 1",
    ]
    groups = {call.layer: call.group for call in part.plan.calls if call.macs}
    assert part.schedules == chosen
    assert groups == {name: choice.schedule.group for name, choice in chosen.items()}
    assert {c.source for c in choose_gpu_schedules(LAYERS.values(), "cuda", [read_database(path)]).values()} == {
        "default"
    }


def test_entries_for_the_cpu_and_for_the_gpu_stand_side_by_side_and_one_that_does_not_fit_is_told(tmp_path):
    path = tmp_path / "x.toml"
    run(path, layers=("head",))
    cpu = Device("a fake CPU", "measured", lambda *_: lambda s, n: [(1.0 + one.tile_width,) * n for one in s], None)
    host = load_target("x86-64-v3")
    tune(NETWORK, host, SIZE, cpu, path, TuneOptions(trials=20, layers=("head",)), print, lambda *_: None)
    assert [entry.isa for entry in read_database(path).layers] == ["opencl", host.isa]
    path.write_text(path.read_text().replace("group = [", "group = [2000, ").replace("], vector", ", 1], vector"))
    chosen = choose_gpu_schedules([LAYERS["head"]], "opencl", [read_database(path)])["head"]
    assert chosen.source == "fallback" and chosen.schedule == default_schedule(LAYERS["head"])
    assert str(path) in chosen.note


def test_what_loses_in_the_whole_network_gets_the_default_schedule(tmp_path, monkeypatch):
    def compare(network, target, size, databases, run, folder, log):
        return Comparison(2.0, 3.0, {layer.spec.name: (2.0, 3.0) for layer in network.layers})

    monkeypatch.setattr(tuning, "compare_networks", compare)
    device = Device("a fake GPU", "simulated", widest_first, lambda *_: None)
    assert {shape.status for shape in run(tmp_path / "x.toml", device).shapes} <= {"reverted", "default"}


class FakeDriver:
    """Programs are names of candidates; some that a driver refuses."""

    def __init__(self, refused=(), error=UserError):
        self.refused, self.error, self.runs = refused, error, 0

    def compile_batch(self, trial, schedules, target):
        return schedules

    def link_program(self, batch, indices, target, folder, checking):
        return indices

    def run(self, indices, options):
        self.runs += 1
        assert "gpu" in options
        if set(indices) & set(self.refused):
            raise self.error("clEnqueueNDRangeKernel: -54")
        layers = tuple(LayerOf(f"candidate{index}") for index in indices)
        return Result(layers), bytes(192 * len(indices))


@dataclasses.dataclass(frozen=True)
class LayerOf:
    name: str
    samples_ms: tuple[float, ...] = (1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Result:
    layers: tuple[LayerOf, ...]
    gpu: None = None


@pytest.fixture
def fake_driver(monkeypatch):
    def make(*given):
        driver = FakeDriver(*given)
        monkeypatch.setattr(gpu_build, "compile_batch", driver.compile_batch)
        monkeypatch.setattr(gpu_build, "link_program", driver.link_program)
        return driver

    return make


def test_a_candidate_that_the_driver_refuses_does_not_stop_the_others(fake_driver, tmp_path):
    driver = fake_driver((3,))
    samples = measure_with(driver.run, on_trial(1), TARGET, tmp_path)(["a", "b", "c", "d", "e"], 2)
    assert samples == [(1.0, 1.0)] * 3 + [(float("inf"),)] + [(1.0, 1.0)]


def test_a_driver_that_fails_with_the_default_schedule_is_an_error_and_a_lost_phone_at_once(fake_driver, tmp_path):
    with pytest.raises(UserError, match="-54"):
        measure_with(fake_driver((0, 1)).run, on_trial(1), TARGET, tmp_path)(["a", "b"], 2)
    gone = fake_driver((0,), lambda reason: PhoneGone("1234", reason))
    with pytest.raises(PhoneGone):
        measure_with(gone.run, on_trial(1), TARGET, tmp_path)(["a", "b"], 2)
    assert gone.runs == 1


def test_a_program_that_names_no_gpu_and_a_target_for_phones_without_one_are_refused(fake_driver):
    with pytest.raises(UserError, match="says nothing of the GPU"):
        gpu_device(NETWORK, TARGET, fake_driver().run, "", lambda *_: None)
    with pytest.raises(UserError, match="is for the GPU of a phone"):
        this_machines_gpu(NETWORK, load_target("adreno"))


@needs_opencl
def test_a_program_of_a_candidate_runs_here_and_names_the_gpu():
    """From text to the driver's clock: the program is edgedeblur-bench, on this machine's OpenCL."""
    device = this_machines_gpu(NETWORK, TARGET)
    assert "driver" in device.name
    assert device.provenance == ("simulated" if "pthread" in device.name else "measured")
