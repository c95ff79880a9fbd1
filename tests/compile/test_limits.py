"""Kernels index with 32 bits: what they could not index is refused before it is compiled, with a size that fits."""

import numpy as np
import pytest
from kernels import avx2_target, sdot_target
from networks import random_network, tiny_spec

from edgedeblur.artefact.target import load_target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.build import build_plan
from edgedeblur.compile.emit import ModelFacts, emit_model_c
from edgedeblur.compile.kernels.layer import conv_layers
from edgedeblur.compile.limits import check_memory, check_tensors
from edgedeblur.compile.plan import KernelCall, Operand, Plan
from edgedeblur.errors import UserError
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.student import IMAGE, ConvSpec, StudentSpec


def wide_network(channels: int, kernel: int = 1) -> QuantisedNetwork:
    layers = (
        ConvSpec("wide", IMAGE, 3, channels, kernel, relu=True),
        ConvSpec("head", "wide", channels, 3, kernel, residual=IMAGE),
    )
    return random_network(StudentSpec("wide", layers, "wide", multiple=1))


@pytest.mark.parametrize(
    ("network", "height", "width", "message"),
    [
        (
            random_network(tiny_spec()),
            65536,
            16384,
            "65536x16384 is too large: the input of layer stem would have 3,2",
        ),
        (
            wide_network(64),
            8192,
            4096,
            "the output of layer wide would have 2,147,483,648 bytes; kernels index",
        ),
        (wide_network(4096), 724, 725, "the output of layer wide would have 2,149,9"),
    ],
)
def test_a_tensor_of_2_to_the_31_bytes_is_refused_with_a_size_that_fits(tmp_path, network, height, width, message):
    with pytest.raises(UserError, match=message) as caught:
        compile_network(network, load_target("host"), height, width, tmp_path / "a")
    assert caught.value.exit_code == 2 and not list(tmp_path.iterdir())
    side = int(caught.value.fix.split(" at most")[0].rsplit("x")[-1])
    multiple = network.spec.multiple
    check_tensors(conv_layers(network, side, side), multiple)
    with pytest.raises(UserError, match="too large"):
        check_tensors(conv_layers(network, side + multiple, side + multiple), multiple)


def test_the_last_size_below_the_limit_is_planned_in_64_bits():
    """Never run: the images alone would take 4 GiB."""
    network = wide_network(63)
    plan = build_plan(network, 8192, 4096, sdot_target()).plan
    assert plan.arena_bytes == 8192 * 4096 * 63 > 2**30
    ends = [operand.offset + int(np.prod(operand.shape, dtype=np.int64)) for operand in plan.calls[0].operands]
    assert max(ends) <= plan.arena_bytes
    assert f".arena_bytes = {plan.arena_bytes}," in emit_model_c(plan, ModelFacts("wide", "1", "sdot", 1))


def test_an_arena_of_more_than_one_large_tensor_is_refused():
    layers = (
        ConvSpec("a", IMAGE, 3, 40, 1),
        ConvSpec("b", "a", 40, 40, 1, residual="a"),
        ConvSpec("head", "b", 40, 3, 1, residual=IMAGE),
    )
    network = random_network(StudentSpec("two", layers, "b", multiple=1))
    with pytest.raises(UserError, match="8192x4096 is too large: its arena would have 2,684,354,560 bytes"):
        build_plan(network, 8192, 4096, sdot_target())


def test_scratch_of_a_few_very_long_rows_is_refused():
    with pytest.raises(UserError, match="its scratch for layer head would have .* bytes"):
        build_plan(wide_network(64, kernel=3), 3, 10_000_000, avx2_target())


@pytest.mark.parametrize("size", [2**31, 2**63])
def test_every_part_of_a_plan_has_the_limit(size):
    with pytest.raises(UserError, match=f"its workspace would have {size:,} bytes"):
        check_memory(16, 16, arena=0, workspace=size)
    call = KernelCall("layer", "k", (Operand("arena", 0, (16,), "int8"),), 1)
    plan = Plan((call,), 16, 16, size, 0, bytes(64))
    with pytest.raises(ValueError, match="kernels index at most"):
        emit_model_c(plan, ModelFacts("n", "1", "avx2", 1))


def test_a_size_that_is_no_size_is_refused_at_once(tmp_path):
    for height, width in ((10**30, 8), (0, 8), (-8, 8)):
        with pytest.raises(UserError):
            compile_network(random_network(tiny_spec()), load_target("host"), height, width, tmp_path / "a")
