"""How large an image may be: kernels compute indices in 32 bits, so nothing that they index has 2^31 bytes or more."""

from math import isqrt, prod

from edgedeblur.compile.kernels.layer import ConvLayer
from edgedeblur.compile.plan import MAX_BYTES
from edgedeblur.errors import UserError


def check_tensors(layers: tuple[ConvLayer, ...], multiple: int) -> None:
    """Raises UserError where an activation has more than MAX_BYTES: an element is one byte, two of int16 values.

    Args:
        layers: for the size that is asked for.
        multiple: of height and width, for the message.
    """
    tensors = {f"the input of layer {layers[0].name}": prod(layers[0].source)}
    tensors |= {f"the output of layer {layer.name}": prod(layer.out) << layer.int16_out for layer in layers}
    tensors |= {
        f"the input of layer {layer.name}": prod(layer.source) << layer.int16_source for layer in layers
    }  # of no convolution, perhaps
    name, size = max(tensors.items(), key=lambda tensor: tensor[1])
    if size <= MAX_BYTES:
        return
    height, width = layers[0].source[:2]
    side = isqrt(MAX_BYTES * height * width // size) // multiple * multiple
    raise UserError(
        f"{height}x{width} is too large: {name} would have {size:,} bytes; kernels index at most {MAX_BYTES:,}",
        f"compile for fewer pixels, such as {side}x{side} at most; edgedeblur deblur cuts larger images into tiles",
        exit_code=2,
    )


def check_memory(height: int, width: int, **sizes: int) -> None:
    """Raises UserError where a part of the plan, by name in bytes ("arena", "workspace"), has more than MAX_BYTES."""
    for name, size in sizes.items():
        if size > MAX_BYTES:
            raise UserError(
                f"{height}x{width} is too large: its {name} would have {size:,} bytes; at most {MAX_BYTES:,} can be",
                "compile for fewer pixels; edgedeblur deblur cuts larger images into tiles",
                exit_code=2,
            )
