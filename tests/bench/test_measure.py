"""Measuring real artefacts: for this machine with times, for another processor in its simulator without."""

import dataclasses
import json
import shutil
import threading
import time

import numpy as np
import pytest
from artefacts import compiled
from networks import gated_spec, random_network, tiny_spec

from edgedeblur.artefact.cpu import cpu_flags
from edgedeblur.artefact.target import CoreCluster
from edgedeblur.bench import measure, peers
from edgedeblur.bench.gpu import check_bytes, patches_and_noise
from edgedeblur.bench.layers import cycles_per_ms
from edgedeblur.bench.measure import BenchOptions, bench
from edgedeblur.bench.peers import compare
from edgedeblur.bench.quality import UNKNOWN, quality, recorded_quality
from edgedeblur.errors import UserError
from edgedeblur.quantize import interpreter

needs_qemu = pytest.mark.skipif(shutil.which("qemu-aarch64") is None, reason="needs qemu-aarch64")


def test_an_artefact_for_this_machine_is_timed_layer_by_layer_and_against_its_peers(monkeypatch):
    monkeypatch.setattr(peers, "ROUNDS", 2)
    artefact = compiled("host")
    report = bench(artefact, BenchOptions(runs=50, warmup=2, against=("onnxruntime", "litert")), UNKNOWN, print)
    assert report.provenance == "measured" and len(report.latency_ms.samples) == 50
    assert report.latency_ms.load is not None and report.latency_ms.first is not None
    assert [layer.name for layer in report.layers] == [layer.spec.name for layer in artefact.network().layers]
    assert sum(layer.share for layer in report.layers) == pytest.approx(1)
    assert all(0 < layer.of_peak < 4 for layer in report.layers), (
        "Winograd's method saves three quarters of the products"
    )
    assert sum(layer.macs for layer in report.layers) == report.model.macs == artefact.network().spec.macs(64, 96)
    assert report.int8.int8_convolutions == report.int8.convolutions == 8 and report.int8.dot_instructions > 0
    assert 0 < report.memory_mb.peak_rss < 150 and report.budget.memory == "pass"
    assert [peer.name for peer in report.peers] == ["onnxruntime", "litert"]
    assert all(peer.p50_ms > 0 and peer.ratio > 0 and peer.threads == report.target.threads for peer in report.peers)


@needs_qemu
def test_an_artefact_for_another_processor_is_simulated_without_any_time():
    report = bench(compiled("android"), BenchOptions(), UNKNOWN, print)
    assert report.provenance == "simulated"
    latency = dataclasses.asdict(report.latency_ms)
    assert latency.pop("samples") == [] and set(latency.values()) == {None}
    assert {(layer.ms, layer.share, layer.mac_per_cycle) for layer in report.layers} == {(None, None, None)}
    assert (report.budget.latency, report.budget.memory, report.budget.verdict) == ("unknown", "pass", "unknown")
    assert "qemu-aarch64" in report.environment.tool_versions


@needs_qemu
def test_peers_are_not_timed_against_a_simulation():
    with pytest.raises(UserError, match="simulation") as raised:
        bench(compiled("android"), BenchOptions(against=("litert",)), UNKNOWN, print)
    assert raised.value.exit_code == 2


def test_other_work_on_the_machine_is_said(monkeypatch):
    said = []
    for load in (0.1, 100.0):
        monkeypatch.setattr(measure.os, "getloadavg", lambda load=load: (load, load, load))
        measure.say_load(2, said.append)
    assert said == ["note: the machine is busy (load 100.0 on 2 cores); other work makes these times longer"]


def test_output_that_is_not_the_interpreters_has_no_report(monkeypatch):
    def flawed(*arguments, **options):
        run = original(*arguments, **options)
        run.output[5, 7, 1] ^= 1
        return run

    original = measure.run_program
    monkeypatch.setattr(measure, "run_program", flawed)
    with pytest.raises(UserError, match=r"1 of 18,432 bytes differ, the first at row 5, column 7, channel 1"):
        bench(compiled("host"), BenchOptions(runs=50), UNKNOWN, print)


def test_equal_output_passes_the_check():
    image = patches_and_noise(32, 48)
    assert image.shape == (32, 48, 3) and image.dtype == np.uint8
    check_bytes(image, image.copy())


def test_fewer_than_fifty_runs_are_bad_use():
    with pytest.raises(UserError, match="at least 50") as raised:
        BenchOptions(runs=49)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("names", "missing", "message"),
    [
        (["tensorrt"], (), "no peer 'tensorrt'"),
        (["litert"], ("ai-edge-litert", "tflite-runtime"), "not installed"),
        (["mnn"], ("MNN",), "MNN is not installed"),
    ],
)
def test_a_peer_that_cannot_run_is_said_before_anything_is_timed(monkeypatch, names, missing, message):
    known = peers.version_of
    monkeypatch.setattr(peers, "version_of", lambda package: None if package in missing else known(package))
    with pytest.raises(UserError, match=message) as raised:
        peers.check_names(names)
    extra = "mnn" if "mnn" in names else "peers"
    assert raised.value.fix == (f"pip install 'edgedeblur[{extra}]'" if missing else None)


@pytest.mark.parametrize(
    ("error", "said"), [(0, "int8"), (1, "int8, its picture 1.0 levels off on average")], ids=["right", "wrong"]
)
def test_a_peer_that_computes_another_picture_is_named_as_such(monkeypatch, error, said):
    network, image = compiled("host").network(), np.full((64, 96, 3), 100, np.uint8)

    def restore(picture):
        right = interpreter.run(network, picture)
        return np.where(right < 255, right + error, right - error).astype(np.uint8)

    monkeypatch.setitem(peers.PEERS, "litert", lambda *_: peers.Runtime("litert", "1", "int8", restore))
    monkeypatch.setattr(peers, "ROUNDS", 1)
    (peer,) = compare(network, restore, ["litert"], image, threads=1)
    assert peer.precision == said


def test_runtimes_take_turns_and_the_first_run_of_each_turn_is_not_counted():
    order = []
    times = peers.take_turns([lambda image: order.append("a"), lambda image: order.append("b")], None, 2, 3)
    assert order == ["a"] * 4 + ["b"] * 4 + ["a"] * 4 + ["b"] * 4
    assert [len(samples) for samples in times] == [6, 6]


def test_cycles_are_those_of_the_fastest_cores_and_unknown_without_a_clock():
    target = compiled("host").target
    clusters = (CoreCluster("big", 1, 2.84), CoreCluster("middle", 3, 2.42), CoreCluster("little", 4, 1.8))
    phone = dataclasses.replace(target, clusters=clusters)
    assert cycles_per_ms(phone, 2) == pytest.approx((2.84 + 2.42) * 1e6)
    assert cycles_per_ms(dataclasses.replace(target, clusters=(CoreCluster("x", 2, 0.0),)), 2) is None


def evaluation(sha256):
    kinds = ("teacher", "student", "quantised")
    scores = [{"psnr_db": value} for value in (29.0, 28.0, 27.5)]
    return {
        "models": [{"kind": kind, "sha256": sha256 if kind == "quantised" else kind} for kind in kinds],
        "means": [{"group": "all", "pairs": 7, "blurred": {"psnr_db": 25.0}, "models": scores}],
    }


def test_a_student_that_taught_another_is_the_teacher():
    both = evaluation("abc")
    both["models"][0]["kind"] = "student"
    assert dataclasses.astuple(quality(both, "abc", "student")) == (25.0, 29.0, 28.0, 27.5, 7)
    assert dataclasses.astuple(quality(both, "abc", "of no model")) == (25.0, None, 29.0, 27.5, 7)


def test_quality_is_that_of_the_very_network_in_the_artefact(tmp_path):
    found = quality(evaluation("abc"), "abc")
    assert dataclasses.astuple(found) == (25.0, 29.0, 28.0, 27.5, 7)
    assert quality(evaluation("abc"), "other") == UNKNOWN
    path = tmp_path / "evaluation.json"
    assert recorded_quality(path, "abc") == UNKNOWN
    for damaged in ("text", "[]", '{"means": []}', '{"means": [{}], "models": [{}]}'):
        path.write_text(damaged)
        assert recorded_quality(path, "abc") == UNKNOWN
    path.write_text(json.dumps(evaluation("abc")))
    assert recorded_quality(path, "abc") == found


def test_a_turn_begins_when_the_threads_of_the_one_before_have_stopped():
    ended = []

    def spin():
        end = time.perf_counter() + 0.3
        while time.perf_counter() < end:
            pass
        ended.append(True)

    thread = threading.Thread(target=spin)
    thread.start()
    peers.wait_until_idle(longest_s=30)
    assert ended
    thread.join()


def test_openvino_runs_the_network_in_int8_and_bfloat16_only_where_the_processor_has_it():
    pytest.importorskip("openvino")
    network, image = random_network(tiny_spec()), np.zeros((16, 24, 3), np.uint8)
    (peer,) = compare(network, lambda image: image, ["openvino"], image, 1)
    assert peer.name == "openvino" and peer.precision == "int8 (QDQ)" and peer.version[:2] == "20"
    if not cpu_flags() & {"avx512_bf16", "amx_bf16"}:
        with pytest.raises(UserError, match="does not multiply bfloat16"):
            compare(network, lambda image: image, ["openvino-bf16"], image, 1)


def test_peers_run_a_network_with_gates_fixed_for_one_image():
    network = random_network(gated_spec())
    shape = (2 * network.spec.multiple, 2 * network.spec.multiple, 3)
    (peer,) = compare(network, lambda image: image, ["litert"], np.zeros(shape, np.uint8), 1)
    assert peer.precision == "int8 (XNNPACK), gates fixed"
