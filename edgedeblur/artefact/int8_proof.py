"""Whether a layer is int8, by the evidence of its machine code (int8_evidence.py) and of its tensors' types."""

from dataclasses import dataclass

_INTEGERS = {
    "source": ("int8", "uint8"),
    "weight": ("int8", "int16"),
    "bias": ("int32",),
    "residual": ("int8", "uint8"),
    "out": ("int8", "uint8"),
}
_ACTIVATIONS = ("source", "residual", "out")


@dataclass(frozen=True)
class Int8Evidence:
    """What one kernel does for one image, and what an int8 convolution does at least or at most.

    products: integer products by dot-product instructions. products_needed: the layer's multiply-accumulates on pixels
        of its input (on padding there need be none), a quarter of them by Winograd's method.
    float_products: of floating-point multiplications. float_products_allowed: one for each output that the kernel
        computes, two where a residual has another scale.
    operands: dtype of each tensor, as the kernel's table in the artefact has it.
    uncounted: why the code's loops could not be followed; empty where they were.
    """

    products: int
    products_needed: int
    float_products: int
    float_products_allowed: int
    operands: dict[str, str]
    uncounted: str = ""


def why_not_int8(name: str, evidence: dict) -> list[str]:
    """Reasons, each with the layer's name and the numbers; empty where the evidence is that of an int8 convolution.

    Args:
        evidence: the fields of `Int8Evidence`, as a manifest has them.
    """
    wide = int16_operands(evidence)
    said = [f"{name}: int16 activations, as the network has them: its {' and '.join(wide)}"] if wide else []
    return said + why_not_integer(name, evidence)


def int16_operands(evidence: dict) -> list[str]:
    """The activations that a layer reads or writes as int16."""
    return [operand for operand in _ACTIVATIONS if evidence["operands"].get(operand) == "int16"]


def why_not_integer(name: str, evidence: dict) -> list[str]:
    """The same for an integer convolution, whose activations may also be int16."""
    if evidence["uncounted"]:
        return [f"{name}: its machine code could not be counted: {evidence['uncounted']}"]
    reasons = []
    if evidence["products"] < evidence["products_needed"]:
        reasons.append(
            f"{name}: its machine code makes {evidence['products']:,} integer products by dot-product instructions; "
            f"the convolution needs {evidence['products_needed']:,}"
        )
    if evidence["float_products"] > evidence["float_products_allowed"]:
        reasons.append(
            f"{name}: its machine code multiplies {evidence['float_products']:,} floats; requantising takes at most "
            f"{evidence['float_products_allowed']:,}"
        )
    for operand, dtypes in _INTEGERS.items():
        found = evidence["operands"].get(operand)
        allowed = found in dtypes or (found == "int16" and operand in _ACTIVATIONS)
        if not allowed and not (found is None and operand == "residual"):
            reasons.append(f"{name}: its {operand} is {found}, not {' or '.join(dtypes)}")
    return reasons
