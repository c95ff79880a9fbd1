"""Each kernel of each tier against the rate of the core's dot-product instruction, measured in the same process.

Above 100 % the kernel does the convolution's products with fewer of them (Winograd's method).
"""

import pytest
from conftest import noise_image
from rich.console import Console
from rich.table import Table

from edgedeblur.runtime.program import run_program
from edgedeblur.student import TIERS

SIZE = (512, 512)


@pytest.mark.parametrize("tier", TIERS)
def test_kernels_beside_the_instructions_peak(benchmark, artefact_of, tier, capsys):
    arguments = {"threads": 1, "profile": True, "runs": 50}
    run = benchmark.pedantic(run_program, (artefact_of(tier, SIZE), noise_image(SIZE)), arguments, rounds=1)
    peak, layers = run.result.peak_gmacs, run.result.layers
    table = Table("layer", "MMAC", "ms", "GMAC/s", "of peak", title=f"{tier}, 1 thread; peak {peak:.0f} GMAC/s")
    for layer in layers:
        rate = layer.macs / layer.ms / 1e6
        table.add_row(
            layer.name, f"{layer.macs / 1e6:.1f}", f"{layer.ms:.3f}", f"{rate:.0f}", f"{100 * rate / peak:.0f} %"
        )
        benchmark.extra_info[layer.name] = {"ms": layer.ms, "gmacs": rate, "of_peak": rate / peak}
    total = sum(layer.macs for layer in layers) / sum(layer.ms for layer in layers) / 1e6
    benchmark.extra_info["all"] = {"gmacs": total, "peak_gmacs": peak, "of_peak": total / peak}
    table.add_row("all", "", "", f"{total:.0f}", f"{100 * total / peak:.0f} %")
    with capsys.disabled():
        Console().print("\n", table)
