"""The proof that a convolution is int8 fails for one that is not: it counts what machine code multiplies."""

import dataclasses

import pytest
import tvm
from artefacts import compiled
from kernels import amx_target, avx2_target, sdot_target, vnni_target
from networks import random_network, single_layer_spec, tiny_spec

from edgedeblur.artefact.int8_proof import why_not_int8
from edgedeblur.artefact.target import Target
from edgedeblur.compile.assembly import kernel_bodies
from edgedeblur.compile.build import build_plan, layer_kernels
from edgedeblur.compile.int8_evidence import int8_evidence, products_of
from edgedeblur.compile.llvm.functions import compile_functions, llvm_target
from edgedeblur.compile.lower import LayerKernel
from edgedeblur.compile.machine_code.code import parse_instruction
from edgedeblur.restore.facts import machine_code_proof

TARGETS = {"avx2": avx2_target(), "vnni": vnni_target(), "amx": amx_target(), "sdot": sdot_target()}
DTYPES = {"source": "uint8", "weight": "int8", "bias": "int32", "scale": "float32", "out": "uint8"}


def evidence_of(kernel: LayerKernel, body: list[str], target: Target, **dtypes: str) -> dict:
    types = DTYPES | dtypes
    given = tuple(types[parameter.name] for parameter in kernel.parameters)
    return dataclasses.asdict(int8_evidence(kernel, body, target.architecture, given))


def float_convolution(height: int, width: int, target: Target) -> list[str]:
    """The machine code of a convolution in float32, nine taps of one channel to sixteen, as TVM vectorises it."""
    from tvm.script import tirx as T

    @T.prim_func
    def conv(
        source: T.Buffer((height + 2, (width + 2) * 3), "float32"),
        weight: T.Buffer((9, 16), "float32"),
        out: T.Buffer((height, width * 16), "float32"),
    ):
        T.func_attr({"global_symbol": "conv", "tirx.noalias": True})
        for y in T.parallel(height):
            for x, tap in T.grid(width, 9):
                for channel in T.vectorized(16):
                    out[y, x * 16 + channel] = (
                        out[y, x * 16 + channel] + source[y + tap // 3, (x + tap % 3) * 3] * weight[tap, channel]
                    )

    module = tvm.compile(tvm.IRModule({"conv": conv}), target=llvm_target(target)).mod  # which has vectorised loops
    return kernel_bodies(module.inspect_source("asm"))["conv"]


@pytest.fixture(scope="module", params=TARGETS)
def target(request) -> Target:
    return TARGETS[request.param]


@pytest.fixture(scope="module")
def kernel(target) -> LayerKernel:
    """48 channels to 48, 3x3, 16x16 pixels."""
    (one,) = layer_kernels(random_network(single_layer_spec(fold=4)), 64, 64, target, {})
    return one


def check_real(layers: list[dict]) -> None:
    for layer in layers:
        evidence, winograd = layer["int8"], layer["schedule"]["method"] == "winograd"
        assert why_not_int8(layer["name"], evidence) == []
        share = evidence["products_needed"] / (layer["macs"] // 4 if winograd else layer["macs"])
        assert 0.6 < share < 1 or (share == 1 and layer["name"] == "up0"), "1x1: the one without padding"
        assert evidence["products_needed"] <= evidence["products"] <= 3 * evidence["products_needed"]
        assert 0 < evidence["float_products"] <= evidence["float_products_allowed"]


@pytest.mark.parametrize("name", ["host", "android"])
def test_real_kernels_make_the_products_of_their_layers_and_multiply_floats_to_requantise_only(name):
    check_real(compiled(name).manifest["layers"])


def test_products_that_llvm_computes_once_for_all_padding_are_not_missed():
    """Of 4x4 outputs, a tenth of the products is with padding; LLVM moves some of them out of the loop."""
    kernels = build_plan(random_network(tiny_spec()), 32, 32, vnni_target()).kernels
    check_real([dataclasses.asdict(kernel) | {"name": kernel.layer} for kernel in kernels])


def test_a_float_convolution_is_found_out(target, kernel):
    body = float_convolution(64, 64, target)
    evidence = evidence_of(kernel, body, target)
    assert evidence["products"] == 0 and evidence["float_products"] == 64 * 64 * 9 * 16
    reasons = why_not_int8("head", evidence)
    assert "head: its machine code makes 0 integer products" in reasons[0]
    assert "head: its machine code multiplies 589,824 floats; requantising takes at most 12,288" in reasons[1]


def test_a_kernel_whose_dot_products_run_less_often_than_its_layer_needs_is_found_out(target, kernel):
    """The machine code of an image of half the height."""
    (smaller,) = layer_kernels(random_network(single_layer_spec(fold=4)), 32, 64, target, {})
    body = build_bodies(smaller, target)
    assert why_not_int8("head", evidence_of(smaller, body, target)) == []
    assert "the convolution needs" in why_not_int8("head", evidence_of(kernel, body, target))[0]


def build_bodies(kernel: LayerKernel, target: Target) -> list[str]:
    from edgedeblur.compile.kernels.convolution import conv_kernel

    function = conv_kernel(kernel.layer, kernel.schedule, kernel.isa, kernel.symbol)
    module = compile_functions(tvm.IRModule({kernel.symbol: function}), target)
    return kernel_bodies(module.inspect_source("asm"))[kernel.symbol]


@pytest.mark.parametrize(
    ("operand", "dtype"), [("weight", "float32"), ("source", "float32"), ("out", "float32"), ("bias", "float32")]
)
def test_tensors_of_other_types_are_found_out(operand, dtype):
    good = {"products": 9, "products_needed": 9, "float_products": 1, "float_products_allowed": 1, "uncounted": ""}
    assert why_not_int8("a", good | {"operands": DTYPES}) == []
    reasons = why_not_int8("a", good | {"operands": DTYPES | {operand: dtype}})
    assert len(reasons) == 1 and reasons[0].startswith(f"a: its {operand} is float32, not int")


def test_code_that_cannot_be_followed_proves_nothing(target, kernel):
    evidence = evidence_of(kernel, ["conv_compute_:", "\tret" if target.isa == "sdot" else "\tretq"], target)
    assert "makes 0 integer products" in why_not_int8("a", evidence)[0]
    elsewhere = ["conv_compute_:", "\tb\tmemset" if target.isa == "sdot" else "\tjmp\tmemset@PLT"]
    assert "could not be counted" in why_not_int8("a", evidence_of(kernel, elsewhere, target))[0]
    unknown = {"uncounted": "condition ne on a value that is not known"}
    assert why_not_int8("a", evidence | unknown) == [
        "a: its machine code could not be counted: condition ne on a value that is not known"
    ]


def test_the_sentence_of_inspect_counts_again_from_the_numbers_of_each_layer():
    good = {"products": 9, "products_needed": 9, "float_products": 1, "float_products_allowed": 1, "uncounted": ""}
    layer = {"name": "a", "macs": 9, "dot_instructions": 1, "schedule": {"method": "direct"}}
    layers = [layer | {"int8": good | {"operands": DTYPES}}, layer | {"int8": good | {"operands": DTYPES}}]
    assert machine_code_proof("sdot", layers)[0].startswith("2 of 2 compiled kernels multiply with integer dot-product")
    layers[1]["int8"] = layers[1]["int8"] | {"float_products": 9, "products": 0}
    sentences = machine_code_proof("sdot", layers)
    assert sentences[0].startswith("1 of 2 compiled kernels") and len(sentences) == 3
    assert machine_code_proof("sdot", [layer]) == [
        "sdot: compiled before edgedeblur counted what machine code multiplies; compile again for the proof"
    ]


@pytest.mark.parametrize(
    ("line", "architecture", "products"),
    [
        ("vpmaddwd\t%ymm1, %ymm0, %ymm2", "x86_64", ("integer", 16)),
        ("vpmaddubsw\t(%rdi), %ymm0, %ymm2", "x86_64", ("integer", 32)),
        ("vpdpbusd\t64(%rcx){1to16}, %zmm4, %zmm5", "x86_64", ("integer", 64)),
        ("vpdpwssd\t%xmm4, %xmm5, %xmm6", "x86_64", ("integer", 8)),
        ("vpdpbssds\t%ymm4, %ymm5, %ymm6", "x86_64", ("integer", 32)),
        ("vfmadd231ps\t%ymm1, %ymm0, %ymm2", "x86_64", ("float", 8)),
        ("vmulps\t(%rax), %zmm0, %zmm2", "x86_64", ("float", 16)),
        ("vmulss\t%xmm1, %xmm0, %xmm2", "x86_64", ("float", 1)),
        ("vdpbf16ps\t%zmm1, %zmm0, %zmm2", "x86_64", ("float", 16)),
        ("vmulph\t%ymm1, %ymm0, %ymm2", "x86_64", ("float", 16)),
        ("vpmulld\t%ymm1, %ymm0, %ymm2", "x86_64", ("", 0)),
        ("vaddps\t%ymm1, %ymm0, %ymm2", "x86_64", ("", 0)),
        ("sdot\tv0.4s, v1.16b, v2.4b[0]", "aarch64", ("integer", 16)),
        ("sdot\tv0.2s, v1.8b, v2.8b", "aarch64", ("integer", 8)),
        ("smmla\tv0.4s, v1.16b, v2.16b", "aarch64", ("integer", 32)),
        ("smlal2\tv0.8h, v1.16b, v2.16b", "aarch64", ("integer", 8)),
        ("smull\tx0, w1, w2", "aarch64", ("", 0)),
        ("fmla\tv0.4s, v1.4s, v2.s[1]", "aarch64", ("float", 4)),
        ("fmul\tv0.8h, v1.8h, v2.8h", "aarch64", ("float", 8)),
        ("fmadd\ts0, s1, s2, s3", "aarch64", ("float", 1)),
        ("bfmmla\tv0.4s, v1.8h, v2.8h", "aarch64", ("float", 4)),
        ("fadd\tv0.4s, v1.4s, v2.4s", "aarch64", ("", 0)),
    ],
)
def test_each_instruction_counts_for_what_its_manual_says(line, architecture, products):
    assert products_of(parse_instruction("\t" + line), architecture) == products


def test_a_product_of_matrices_counts_with_the_shapes_that_the_kernel_configures():
    instruction = parse_instruction("\ttdpbssd\t%tmm6, %tmm4, %tmm0")
    assert products_of(instruction, "x86_64", 16 * 48 * 16) == ("integer", 12_288)
    assert products_of(instruction, "x86_64") == ("integer", 0), "of a kernel that configures none"
