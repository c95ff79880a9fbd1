"""AMX against AVX512-VNNI, and both against OpenVINO, which uses AMX too, in turns, on a machine that has it.

make benchmarks        prints medians and ratios (peer / ours); needs pip install 'edgedeblur[openvino]'
"""

import pytest
from conftest import noise_image

from edgedeblur.artefact.cpu import runs_here
from edgedeblur.artefact.target import load_target
from edgedeblur.bench.latency import percentile
from edgedeblur.bench.peers import compare, take_turns
from edgedeblur.compile.artefact import compile_network
from edgedeblur.runtime.session import Session
from edgedeblur.student import TIERS

SIZE = (512, 512)


@pytest.mark.skipif(not runs_here("amx"), reason="needs a processor with AMX")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("tier", TIERS)
def test_amx_beside_vnni_and_openvino(benchmark, network_of, tmp_path, tier, threads, capsys):
    image = noise_image(SIZE)
    folders = {}
    for target in ("x86-64-amx", "x86-64-v4-vnni"):
        folders[target] = compile_network(network_of(tier), load_target(target), *SIZE, tmp_path / target).path
    with Session(folders["x86-64-amx"], threads) as amx, Session(folders["x86-64-v4-vnni"], threads) as vnni:
        benchmark.pedantic(amx.run, (image,), rounds=30, warmup_rounds=5)
        ours, other = (percentile(samples, 50) for samples in take_turns([amx.run, vnni.run], image))
        lines = [f"vnni kernels: {other:.2f} ms, {other / ours:.2f} times amx's {ours:.2f}"]
        for peer in compare(network_of(tier), amx.run, ["openvino", "openvino-bf16"], image, threads):
            benchmark.extra_info[peer.name] = {"version": peer.version, "p50_ms": peer.p50_ms, "ratio": peer.ratio}
            lines.append(f"{peer.name} {peer.version}, {peer.precision}: {peer.p50_ms:.2f} ms, {peer.ratio:.2f} times")
    benchmark.extra_info["vnni"] = {"p50_ms": other, "ratio": other / ours}
    with capsys.disabled():
        print(f"\n{tier}, {threads} threads: " + "; ".join(lines), end="")
