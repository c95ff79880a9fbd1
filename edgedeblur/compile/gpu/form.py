"""How numbers are stored and added up on a GPU: int8 with the interpreter's bytes, or float16 with others."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """One of the two.

    parts: uint32 that hold four channels of a pixel. total: the type of a convolution's sums.
    dot: the prelude's function for sums of four products, with that many uint32 of each factor.
    """

    name: str
    parts: int
    total: str
    dot: str


INT8 = Form("int8", 1, "int32", "ed_dot")
FP16 = Form("fp16", 2, "float32", "ed_dot_half")  # float16 in memory, float32 in sums
