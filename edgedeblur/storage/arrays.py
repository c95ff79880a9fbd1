"""NumPy's .npy format, read into an array of known type and shape: nothing is allocated on the file's word."""

import io
import math
from tokenize import TokenError

import numpy as np

from edgedeblur.storage.contents import Origin

NPY_HEADER = 128  # bytes of a version 1.0 header of our short shapes
# numpy evaluates the header as a Python literal; these are what damaged literals raise
_DAMAGE = (ValueError, SyntaxError, TokenError, TypeError, KeyError, EOFError, RecursionError, MemoryError)


def parse_npy(data: bytes, dtype: np.dtype, shape: tuple[int, ...], origin: Origin) -> np.ndarray:
    """The array in a version 1.0 .npy file in C order, in this machine's byte order.

    Args:
        dtype: with its byte order in the file.
        origin: named after the array.

    Raises:
        UserError: not such a file, or its header or size is not that of `dtype` and `shape`.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        found = np.lib.format.read_array_header_1_0(stream) if version == (1, 0) else None
    except _DAMAGE as error:
        raise origin.error(f"not an .npy array: {' '.join(str(error).split())[:200]}") from None
    content = stream.read()
    if found != (shape, False, dtype) or len(content) != math.prod(shape) * dtype.itemsize:
        raise origin.error(f"it must be an {dtype.name} array {list(shape)} in C order")
    return np.frombuffer(content, dtype).astype(dtype.newbyteorder("=")).reshape(shape)
