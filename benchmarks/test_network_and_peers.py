"""The small student against ONNX Runtime and LiteRT on the same quantised network, in turns, in one session; float32 in
ONNX Runtime beside them says what int8 brings.

`make benchmarks` prints the times; the ratios (peer / ours, medians of interleaved runs) are printed here too, and are
in the extra info of the JSON that `--benchmark-json FILE` writes.
"""

import pytest
from conftest import noise_image

from edgedeblur.bench.peers import PEERS, check_names, compare
from edgedeblur.errors import UserError
from edgedeblur.runtime.session import Session


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [(512, 512), (720, 1280)], ids=["512x512", "1280x720"])
def test_the_student_beside_its_peers(benchmark, network_of, artefact_of, size, threads, capsys):
    image = noise_image(size)
    with Session(artefact_of("small", size).path, threads) as session:
        benchmark.pedantic(session.run, (image,), rounds=30, warmup_rounds=5)
        for peer in compare(network_of("small"), session.run, installed(capsys), image, threads):
            benchmark.extra_info[peer.name] = {"version": peer.version, "p50_ms": peer.p50_ms, "ratio": peer.ratio}
            line = f"{peer.name} {peer.version}, {peer.precision}: {peer.p50_ms:.1f} ms, {peer.ratio:.2f} times ours"
            with capsys.disabled():
                print(f"\n{size[1]}x{size[0]}, {threads} threads: {line}", end="")


def installed(capsys) -> list[str]:
    """The peers that this machine has; the others are named."""
    found = []
    for name in PEERS:
        try:
            check_names([name])
        except UserError as missing:
            with capsys.disabled():
                print(f"\nwithout {name}: {missing}; {missing.fix}", end="")
        else:
            found.append(name)
    return found
