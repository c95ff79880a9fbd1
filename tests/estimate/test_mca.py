"""llvm-mca on basic blocks: rates that processors' manuals state, the cache, and what the user is told without it."""

import pytest
from needs import needs_mca

from edgedeblur.errors import UserError
from edgedeblur.estimate import mca
from edgedeblur.estimate.mca import Processor, block_cycles

A77 = Processor("aarch64-linux-android", "cortex-a77", ("+neon", "+dotprod"))
ZEN4 = Processor("x86_64-linux-gnu", "znver4", ("+avx512f", "+avx512vnni", "+avx512vl"))


def sdots(count):
    return [f"\tsdot\tv{n}.4s, v30.16b, v31.4b[0]" for n in range(count)]


@needs_mca
def test_the_a77_starts_two_dot_products_a_cycle(tmp_path):
    assert block_cycles([sdots(16), sdots(24)], A77, tmp_path / "mca.sqlite") == pytest.approx([8, 12], rel=0.02)


@needs_mca
def test_zen_4_starts_one_512_bit_dot_product_a_cycle_and_broadcasts_beside_it(tmp_path):
    dots = [f"\tvpdpbusd\t%zmm30, %zmm31, %zmm{n}" for n in range(12)]
    broadcasts = [f"\tvpbroadcastd\t{4 * n}(%rax,%r9,4), %zmm{20 + n}" for n in range(4)]
    assert block_cycles([dots + broadcasts], ZEN4, tmp_path / "mca.sqlite") == pytest.approx([12], rel=0.02)


@needs_mca
def test_a_chain_takes_its_latency(tmp_path):
    chain = ["\tadd\tx0, x0, #1"] * 10
    assert block_cycles([chain, []], A77, tmp_path / "mca.sqlite") == [pytest.approx(10), 0.0]


@needs_mca
def test_what_was_simulated_is_not_simulated_again(tmp_path, monkeypatch):
    cache = tmp_path / "folder" / "mca.sqlite"
    first = block_cycles([sdots(4), sdots(8), sdots(4)], A77, cache)
    monkeypatch.setattr(mca, "_simulate", lambda *arguments: pytest.fail("simulated again"))
    assert block_cycles([sdots(8), sdots(4)], A77, cache) == [first[1], first[0]]


@needs_mca
@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to be taken for one" * 100])
def test_a_broken_cache_costs_time_only(tmp_path, content):
    cache = tmp_path / "mca.sqlite"
    cache.write_bytes(content)
    assert block_cycles([sdots(8)], A77, cache) == pytest.approx([4], rel=0.02)


@needs_mca
@pytest.mark.parametrize(
    ("line", "cpu", "message"),
    [("\tadd\tx0, x0, #1", "no-such-core", "no-such-core"), ("\tnonsense\tx0", "cortex-a77", "nonsense")],
)
def test_what_it_does_not_know_is_said(tmp_path, line, cpu, message):
    with pytest.raises(UserError, match=message):
        block_cycles([[line]], Processor(A77.triple, cpu), tmp_path / "mca.sqlite")


def test_without_it_the_package_is_named(monkeypatch):
    monkeypatch.setattr(mca.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="not installed") as raised:
        block_cycles([sdots(1)], A77)
    assert raised.value.fix.startswith("apt-get install llvm-22")


def test_a_version_that_is_too_old_does_not_count(tmp_path):
    program = tmp_path / "llvm-mca"
    for said, expected in (("14.0.6", None), ("22.1.8", "22.1.8")):
        program.write_text(f"#!/bin/sh\necho 'Debian LLVM version {said}'\n")
        program.chmod(0o755)
        assert mca.version(program) == expected
