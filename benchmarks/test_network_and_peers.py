"""The small student at 512x512 against ONNX Runtime and LiteRT on the same quantised network, in turns, in one session.

`make benchmarks` prints the times; the ratios (peer / ours, medians of interleaved runs) are in the extra info of the
JSON that `--benchmark-json FILE` writes, and are printed here too.
"""

import pytest

from edgedeblur.bench.peers import PEERS, compare
from edgedeblur.runtime.session import Session


@pytest.mark.parametrize("threads", [1, 2])
def test_the_student_beside_its_peers(benchmark, network, artefact, image, threads, capsys):
    with Session(artefact.path, threads) as session:
        benchmark.pedantic(session.run, (image,), rounds=30, warmup_rounds=5)
        for peer in compare(network, session.run, list(PEERS), image, threads):
            benchmark.extra_info[peer.name] = {"version": peer.version, "p50_ms": peer.p50_ms, "ratio": peer.ratio}
            with capsys.disabled():
                print(f"\n{threads} threads: {peer.name} {peer.version} takes {peer.ratio:.2f} times as long as ours")
