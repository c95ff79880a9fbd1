"""ONNX's operators as ATen's, with their arguments by name: a row in `_TRANSLATIONS` for each that is taken."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from edgedeblur.student.importing.graph import Ref


def translated(
    kind: str, inputs: list[Any], attributes: dict[str, Any], shape: tuple[int, ...]
) -> tuple[str, dict[str, Any]]:
    """An ONNX operator as ATen's with its arguments by name; one that is not in the table under its own name."""
    if kind in _RESHAPES and shape and all(shape):  # however the shape is computed, it is known by now
        return "reshape", {"input": inputs[0], "shape": list(shape)}
    translate = _TRANSLATIONS.get(kind)
    if translate is None:
        return _NAMES.get(kind, kind), {f"argument{number}": value for number, value in enumerate(inputs)}
    return translate(inputs, attributes)


def _conv(inputs: list[Any], attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    pads = attributes.get("pads", [0, 0, 0, 0])
    padding: Any = list(pads[:2]) if list(pads[:2]) == list(pads[2:]) else str(pads)
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b""):
        padding = attributes["auto_pad"].decode()
        padding = "same" if padding.startswith("SAME") else padding
    names = ("input", "weight", "bias")
    return "conv2d", dict(zip(names, inputs, strict=False)) | {
        "stride": list(attributes.get("strides", [1, 1])),
        "padding": padding,
        "dilation": list(attributes.get("dilations", [1, 1])),
        "groups": attributes.get("group", 1),
    }


def _batch_norm(inputs: list[Any], attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    names = ("input", "weight", "bias", "running_mean", "running_var")
    training = bool(attributes.get("training_mode", 0))
    return "batch_norm", dict(zip(names, inputs, strict=True)) | {
        "eps": attributes.get("epsilon", 1e-5),
        "training": training,
    }


def _gemm(inputs: list[Any], attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    weight = inputs[1] if attributes.get("transB", 0) or isinstance(inputs[1], Ref) else inputs[1].T
    bias = inputs[2] if len(inputs) > 2 else None
    plain = attributes.get("alpha", 1.0) == attributes.get("beta", 1.0) == 1 and not attributes.get("transA", 0)
    return ("linear" if plain else "Gemm"), {"input": inputs[0], "weight": weight, "bias": bias}


def _clip(inputs: list[Any], attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    ends = [*inputs[1:], None, None][:2]
    low = attributes.get("min") if ends[0] is None else ends[0]
    high = attributes.get("max") if ends[1] is None else ends[1]
    high = None if high is not None and not isinstance(high, Ref) and not math.isfinite(float(high)) else high
    return "clamp", {"input": inputs[0], "min": low, "max": high}


def _pool(name: str) -> Callable[[list[Any], dict[str, Any]], tuple[str, dict[str, Any]]]:
    def translate(inputs: list[Any], attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        pads = list(attributes.get("pads", [0, 0, 0, 0]))
        strides = list(attributes.get("strides", [1, 1]))
        plain = attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b"") and not attributes.get("ceil_mode", 0)
        plain = plain and set(attributes.get("dilations", [1])) == {1}
        equal = pads[:2] == pads[2:] or (name == "max_pool2d" and pads[2:] == [0, 0])
        arguments = {"input": inputs[0], "kernel_size": list(attributes["kernel_shape"]), "stride": strides}
        return (name if plain and equal else f"{name}_padded"), arguments | {"padding": pads[:2]}

    return translate


def _transposed(inputs: list[Any], attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    pads = list(attributes.get("pads", [0, 0, 0, 0]))
    names = ("input", "weight", "bias")
    plain = attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b"") and pads[:2] == pads[2:]
    plain = plain and "output_shape" not in attributes
    return ("conv_transpose2d" if plain else "ConvTranspose"), dict(zip(names, inputs, strict=False)) | {
        "stride": list(attributes.get("strides", [1, 1])),
        "padding": pads[:2],
        "output_padding": list(attributes.get("output_padding", [0, 0])),
        "groups": attributes.get("group", 1),
        "dilation": list(attributes.get("dilations", [1, 1])),
    }


def _resize(inputs: list[Any], attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    mode = attributes.get("mode", b"nearest").decode()
    place = attributes.get("coordinate_transformation_mode", b"half_pixel").decode()
    rounding = attributes.get("nearest_mode", b"round_prefer_floor").decode()
    nearest = mode == "nearest" and (place, rounding) in _NEAREST
    linear = mode == "linear" and place in ("half_pixel", "pytorch_half_pixel")
    name = "upsample_nearest2d" if nearest else "upsample_bilinear2d" if linear else "interpolate"
    return name, {"input": inputs[0]}


def _slice(inputs: list[Any], attributes: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Along one axis, from constants."""
    numbers = [None if value is None or isinstance(value, Ref) else np.ravel(value) for value in inputs[1:]]
    starts, ends, axes, steps = [*numbers, None, None, None][:4] if len(numbers) > 1 else [None] * 4
    if starts is None or ends is None or axes is None or len(starts) != 1 or (steps is not None and steps[0] != 1):
        return "Slice", {"input": inputs[0]}
    return "slice", {"input": inputs[0], "dim": int(axes[0]), "start": int(starts[0]), "end": int(ends[0])}


def _axes(inputs: list[Any], attributes: dict[str, Any]) -> list[int]:
    given = inputs[1] if len(inputs) > 1 and inputs[1] is not None else attributes.get("axes", [])
    return [int(axis) for axis in np.ravel(given)]


def _one(name: str) -> Callable[[list[Any], dict[str, Any]], tuple[str, dict[str, Any]]]:
    return lambda inputs, attributes: (name, {"input": inputs[0]})


def _two(name: str) -> Callable[[list[Any], dict[str, Any]], tuple[str, dict[str, Any]]]:
    return lambda inputs, attributes: (name, {"input": inputs[0], "other": inputs[1]})


_TRANSLATIONS: dict[str, Callable[[list[Any], dict[str, Any]], tuple[str, dict[str, Any]]]] = {
    "Conv": _conv,
    "BatchNormalization": _batch_norm,
    "Gemm": _gemm,
    "Clip": _clip,
    "Cast": lambda inputs, attributes: (
        "to_float" if attributes.get("to") == TensorProto.FLOAT else "Cast",
        {"input": inputs[0]},
    ),
    "Relu": _one("relu"),
    "LeakyRelu": lambda inputs, attributes: (
        "leaky_relu",
        {"input": inputs[0], "negative_slope": attributes.get("alpha", 0.01)},
    ),
    "PRelu": lambda inputs, attributes: ("prelu", {"input": inputs[0], "weight": inputs[1]}),
    "Sigmoid": _one("sigmoid"),
    "Neg": _one("neg"),
    "Identity": _one("identity"),
    "Dropout": _one("dropout"),
    "Add": _two("add"),
    "Sub": _two("sub"),
    "Mul": _two("mul"),
    "Div": _two("div"),
    "HardSwish": _one("hardswish"),
    "Tanh": _one("tanh"),
    "Softplus": _one("softplus"),
    "Mish": _one("mish"),
    "Gelu": lambda inputs, attributes: (
        "gelu",
        {"input": inputs[0], "approximate": attributes.get("approximate", b"none").decode()},
    ),
    "Elu": lambda inputs, attributes: ("elu", {"input": inputs[0], "alpha": attributes.get("alpha", 1.0)}),
    "HardSigmoid": lambda inputs, attributes: (
        "hardsigmoid",
        {"input": inputs[0], "alpha": attributes.get("alpha", 0.2), "beta": attributes.get("beta", 0.5)},
    ),
    "Concat": lambda inputs, attributes: ("cat", {"tensors": inputs, "dim": attributes["axis"]}),
    "MaxPool": _pool("max_pool2d"),
    "AveragePool": _pool("avg_pool2d"),
    "ConvTranspose": _transposed,
    "Slice": _slice,
    "Resize": _resize,
    "GlobalAveragePool": lambda inputs, attributes: (
        "adaptive_avg_pool2d",
        {"input": inputs[0], "output_size": [1, 1]},
    ),
    "ReduceMean": lambda inputs, attributes: ("mean", {"input": inputs[0], "dim": _axes(inputs, attributes)}),
    "Transpose": lambda inputs, attributes: ("permute", {"input": inputs[0], "dims": list(attributes["perm"])}),
    "DepthToSpace": lambda inputs, attributes: (
        "depth_to_space",
        {
            "input": inputs[0],
            "blocksize": attributes["blocksize"],
            "mode": attributes.get("mode", b"DCR").decode(),
        },
    ),
    "SpaceToDepth": lambda inputs, attributes: (
        "space_to_depth",
        {"input": inputs[0], "blocksize": attributes["blocksize"]},
    ),
}
_NEAREST = (("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"))  # where both are what torch does
_RESHAPES = {"Reshape", "Flatten", "Squeeze", "Unsqueeze"}
_NAMES = {  # what has a reason to be refused, under ATen's name
    "Softmax": "softmax",
    "LayerNormalization": "layer_norm",
    "GroupNormalization": "group_norm",
    "InstanceNormalization": "instance_norm",
    "Upsample": "interpolate",
    "Pad": "pad",
    "MatMul": "matmul",
}
