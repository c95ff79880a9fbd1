"""The estimate against measurement on this machine, for each tier and every instruction set that runs here.

    make benchmarks        prints the table of docs/estimate.md; the machine must be quiet

Estimates of the phone's processor for each tier, and its kernels' inner loops, are printed too.
"""

import itertools
import statistics

import pytest

from edgedeblur.artefact.cpu import runs_here
from edgedeblur.artefact.target import load_target
from edgedeblur.bench.gpu import patches_and_noise
from edgedeblur.cli.output import show
from edgedeblur.compile.artefact import compile_network
from edgedeblur.estimate.host_machine import measure_host
from edgedeblur.estimate.latency import artefact_loops, estimate
from edgedeblur.quantize.pipeline import QuantiseOptions
from edgedeblur.report.tables import loops_table
from edgedeblur.runtime.program import run_program
from edgedeblur.student import TIERS
from edgedeblur.workflow.quantize import quantise_step
from edgedeblur.workflow.shipped import shipped_student

SIDE, RUNS, THREADS = 512, 50, (1, 2)
HERE = [name for name in ("x86-64-v4-vnni", "x86-64-v3", "linux-arm64") if runs_here(load_target(name).isa)]


@pytest.fixture(scope="session")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiers")
    return {
        tier: quantise_step(shipped_student(tier), None, folder / f"{tier}.edq", QuantiseOptions(), lambda line: None)
        for tier in TIERS
    }


@pytest.mark.parametrize(("target", "tier"), list(itertools.product(HERE, TIERS)))
def test_the_estimate_beside_a_measurement(benchmark, networks, tmp_path, capsys, target, tier):
    artefact = compile_network(networks[tier], load_target(target), SIDE, SIDE, tmp_path / "artefact")
    image = patches_and_noise(SIDE, SIDE)
    for threads in THREADS:
        run = run_program(artefact, image, RUNS, threads=threads)
        host = measure_host()
        estimated = estimate(artefact, threads, host).latency_ms
        measured = statistics.median(run.result.samples_ms)
        error = estimated / measured - 1
        with capsys.disabled():
            what = (
                f"{target:15} {tier:6} {threads} threads at {host.ghz:.2f} GHz, {host.dots_per_cycle:.2f} dots a cycle"
            )
            print(f"\n{what}: estimated {estimated:6.2f} ms, measured {measured:6.2f} ms, error {100 * error:+5.1f} %")
        benchmark.extra_info[f"error at {threads} threads"] = error
    benchmark.pedantic(estimate, (artefact, 1, host), rounds=1)


@pytest.mark.parametrize("tier", TIERS)
def test_the_phone(benchmark, networks, tmp_path, capsys, tier):
    artefact = compile_network(networks[tier], load_target("android"), SIDE, SIDE, tmp_path / "artefact")
    estimated = benchmark.pedantic(estimate, (artefact,), rounds=1)
    with capsys.disabled():
        print(f"\n{tier}: estimated {estimated.latency_ms:.1f} ms on {estimated.threads} x {estimated.processor}")
        show(loops_table(*artefact_loops(artefact)))
