"""How activations lie in a GPU's memory: four channels a word, so that one load feeds one dot product.

An int8 [H, W, C] tensor is uint32 [ceil(C / 4), H, W]: word [p, y, x] has channels 4p to 4p + 3 of the pixel, the first
in its lowest byte. Neighbouring work items, which are neighbouring pixels, so read neighbouring words. An image is one
such plane, with pixels in place of q = pixel - 128. Bytes that only fill a word may have any value; their weights are
zero.

In the float16 form a word is two uint32, each with two channels, the first in its lower half; an image is bytes there
too. What only fills a word is zero: kernels write it so, as a NaN would spread whatever its weight is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tvm.ir import Expr
from tvm.tirx.script.builder import ir as T

LANES = 4  # channels of a word
IMAGE_WORD = 0x80808080  # pixel ^ 0x80 is q as a byte


def words_for(channels: int) -> int:
    """Words that hold so many channels of a pixel."""
    return -(-channels // LANES)


@dataclass(frozen=True)
class WordTensor:
    """A tensor of height x width x channels. image: its bytes are pixels. parts: uint32 of a word, of the form that
    computes it; an image's word is always one."""

    height: int
    width: int
    channels: int
    image: bool = False
    parts: int = 1

    @property
    def planes(self) -> int:
        return words_for(self.channels)

    @property
    def words(self) -> int:
        return self.planes * self.height * self.width

    @property
    def elements(self) -> int:
        """Its uint32."""
        return self.words if self.image else self.words * self.parts

    def at(self, plane: Expr | int, y: Expr | int, x: Expr | int) -> Expr:
        """The index of a word."""
        return (plane * self.height + y) * self.width + x

    def element(self, index: Expr, part: int) -> Expr:
        """The index of one uint32 of the word with that index."""
        return index if self.image or self.parts == 1 else index * self.parts + part


def word(value: int) -> Expr:
    """A constant word."""
    return T.cast(value & 0xFFFFFFFF, "uint32")


def lane(packed: Expr, index: int) -> Expr:
    """Byte `index` of a word as an int32 from -128 to 127. Only conversions that every language defines."""
    byte = T.bitwise_and(T.shift_right(packed, word(8 * index)), word(0xFF))
    return T.bitwise_xor(T.cast(byte, "int32"), 128) - 128


def half_lanes(packed: Expr) -> Expr:
    """Every byte q of a word as q >> 1."""
    shifted = T.bitwise_and(T.shift_right(packed, word(1)), word(0x7F7F7F7F))
    return T.bitwise_or(shifted, T.bitwise_and(packed, word(0x80808080)))


def half_lane(packed: Sequence[Expr], index: int) -> Expr:
    """Channel `index` of a word of the float16 form as float32."""
    return T.call_pure_extern("float32", ("ed_half_low", "ed_half_high")[index % 2], packed[index // 2])


def pack_halves(values: Sequence[Expr]) -> list[Expr]:
    """A word of the float16 form from up to four float32, rounded half to even; missing ones are zero."""
    filled = [*values, *(T.cast(0.0, "float32") for _ in range(LANES - len(values)))]
    return [T.call_pure_extern("uint32", "ed_pack_half", *filled[at : at + 2]) for at in (0, 2)]


def pack(values: Sequence[Expr]) -> Expr:
    """A word from up to four int32 from -128 to 127; missing ones are zero."""
    packed = None
    for index, value in enumerate(values):
        byte = T.shift_left(T.cast(T.bitwise_and(value, 0xFF), "uint32"), word(8 * index))
        packed = byte if packed is None else T.bitwise_or(packed, byte)
    return packed
