"""The emitted C: refuses plans that the runtime could not serve. What it says right, tests/runtime reads back."""

import dataclasses

import pytest
from artefacts import probe_plan

from edgedeblur.compile.emit import ModelFacts, emit_model_c
from edgedeblur.compile.plan import KernelCall, Operand, Plan

FACTS = ModelFacts("probe", "1.0", "avx2", 2)


def plan_with(operand: Operand, symbol: str = "k") -> Plan:
    return Plan((KernelCall("layer", symbol, (operand,), 1),), 16, 32, 4096, 0, bytes(128))


@pytest.mark.parametrize(
    "operand",
    [
        Operand("input", 0, (16, 96), "uint8"),
        Operand("arena", 64, (63, 64), "int8"),
        Operand("arena", 0, (1024,), "int32"),
        Operand("arena", 2048, (512,), "float32"),
        Operand("constant", 64, (32,), "int16"),
    ],
)
def test_operands_that_fit_their_place_are_accepted(operand):
    assert "ed_model_tables" in emit_model_c(plan_with(operand), FACTS)


@pytest.mark.parametrize(
    "operand",
    [
        Operand("input", 0, (16, 97), "uint8"),
        Operand("output", 64, (16, 96), "uint8"),
        Operand("arena", 64, (64, 64), "int8"),
        Operand("arena", 32, (4,), "int8"),
        Operand("arena", -64, (4,), "int8"),
        Operand("arena", 0, (1025,), "int32"),
        Operand("constant", 64, (33,), "int16"),
        Operand("heap", 0, (4,), "int8"),
        Operand("arena", 0, (4,), "float64"),
        Operand("arena", 0, (), "int8"),
    ],
)
def test_operands_outside_their_place_or_unknown_to_the_runtime_are_refused(operand):
    with pytest.raises(ValueError, match="layer layer"):
        emit_model_c(plan_with(operand), FACTS)


@pytest.mark.parametrize("symbol", ["1k", "a b", "k;", "", "k\n"])
def test_symbols_that_are_not_c_names_are_refused(symbol):
    with pytest.raises(ValueError, match="is not a symbol"):
        emit_model_c(plan_with(Operand("arena", 0, (4,), "int8"), symbol), FACTS)


def test_calls_of_one_layer_count_together():
    call = probe_plan().calls[0]
    text = emit_model_c(dataclasses.replace(probe_plan(), calls=(call, call)), FACTS)
    assert '{"probe", 14u}' in text
    assert text.count("extern int __tvm_ffi_probe(") == 1


def test_the_text_is_plain_ascii_whatever_the_layers_are_called():
    text = emit_model_c(probe_plan('"; é\n??/'), FACTS)
    assert text.isascii()
    assert '"\\042; \\303\\251\\012\\077\\077/"' in text
