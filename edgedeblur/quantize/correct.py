"""Folding with bias correction (Nagel et al., ICCV 2019, section 4.2, by calibration data).

Rounding weights and activations shifts the mean of a convolution's outputs. Layer by layer, in order, the shift is
measured with the integer interpreter on the calibration images, on inputs that are quantised and corrected already,
and taken out through the bias, which costs nothing when the network runs.

A layer in Winograd form reads half steps, rounded up: a value above zero is read half a step too high on average, but
the zeros of a ReLU are exact, so no bias of the layer that reads takes that out. Where nothing else reads the tensor,
the layer that writes it makes it half a step less; what is read is then the nearest half step.
"""

from collections.abc import Collection, Iterable

import numpy as np

from edgedeblur.progress import Progress, silent
from edgedeblur.quantize.fold import fold_layer
from edgedeblur.quantize.interpreter import from_image, run_layer, source_integers
from edgedeblur.quantize.network import QuantisedConv, QuantisedLayer, QuantisedNetwork, TensorScale, read_scale
from edgedeblur.quantize.observe import TensorStatistics
from edgedeblur.student import IMAGE, Student, StudentSpec

_READ_MORE = 0.5  # steps, on average, by which a layer in Winograd form reads a value above zero too high


def fold_network(student: Student, tensors: dict[str, TensorScale], winograd: Collection[str] = ()) -> QuantisedNetwork:
    """All layers folded, biases as the student has them; those that `winograd` names in that form."""
    layers = tuple(fold_layer(student, one, tensors, winograd=one.name in winograd) for one in student.spec.layers)
    return QuantisedNetwork(student.spec, layers, tensors)


def fold_network_corrected(
    student: Student,
    tensors: dict[str, TensorScale],
    statistics: dict[str, TensorStatistics],
    images: Iterable[np.ndarray],
    progress: Progress = silent,
    winograd: Collection[str] = (),
) -> QuantisedNetwork:
    """All layers folded, with the mean shift of every convolution's channels taken out of its bias.

    Args:
        statistics: of the float student on the same images; `conv_mean` is what the means should be.
        images: uint8 [H, W, 3], sides in multiples of `spec.multiple`.
        winograd: names of layers to fold in that form.
    """
    network = QuantisedNetwork(student.spec, (), tensors)
    values = [{IMAGE: from_image(image)} for image in images]
    layers: list[QuantisedLayer] = []
    last_use = _last_uses(student.spec)
    halved = _only_halved(student.spec, winograd)
    for index, spec in enumerate(student.spec.layers):
        form = spec.name in winograd
        layer = fold_layer(student, spec, tensors, winograd=form)
        if isinstance(layer, QuantisedConv):
            shift = _conv_mean(network, layer, values) - statistics[spec.name].conv_mean
            if spec.name in halved:
                shift = shift + _READ_MORE * tensors[spec.name].scale
            layer = fold_layer(student, spec, tensors, extra_bias=-shift, winograd=form)
        layers.append(layer)
        for known in values:
            known[spec.name] = run_layer(network, layers[-1], known)
            for name in [name for name in known if last_use[name] <= index]:
                del known[name]
        progress("correct biases, layer", index + 1, len(student.spec.layers))
    return QuantisedNetwork(student.spec, tuple(layers), tensors)


def _only_halved(spec: StudentSpec, winograd: Collection[str]) -> set[str]:
    """The layers with ReLU whose output nothing reads but layers in Winograd form, and gates."""
    halved = {one.source for one in spec.convolutions if one.name in winograd}
    whole = {one.source for one in spec.convolutions if one.name not in winograd}
    whole |= {one.residual for one in spec.convolutions} | {name for one in spec.operations for name in one.sources}
    return {one.name for one in spec.convolutions if one.relu and one.name in halved - whole}


def _conv_mean(network: QuantisedNetwork, layer: QuantisedConv, values: list[dict[str, np.ndarray]]) -> np.ndarray:
    """Mean real value of each channel of the quantised convolution, float64 [out].

    A convolution is linear: its mean is that of its inputs, tap by tap, so nothing need be convolved.
    """
    spec = layer.spec
    total, pixels = np.zeros((spec.kernel, spec.kernel, spec.in_channels)), 0
    for known in values:
        source = source_integers(network, layer, known)
        height, width = source.shape[0] // spec.stride, source.shape[1] // spec.stride
        pad, step = spec.padding, spec.dilation
        padded = np.pad(source, ((pad, pad), (pad, pad), (0, 0)))
        for ky, kx in np.ndindex(spec.kernel, spec.kernel):
            read = padded[ky * step :: spec.stride, kx * step :: spec.stride][:height, :width]
            total[ky, kx] += read.sum(axis=(0, 1), dtype=np.int64)
        pixels += height * width
    weight = layer.weight.reshape(spec.groups, -1, *layer.weight.shape[1:]).astype(np.float64)
    means = (total / pixels).reshape(spec.kernel, spec.kernel, spec.groups, -1)
    mean = np.einsum("goyxc,yxgc->go", weight, means).ravel() + layer.bias
    return mean * read_scale(layer.winograd, network.tensors[spec.source]) * layer.weight_scale


def _last_uses(spec: StudentSpec) -> dict[str, int]:
    """Index of the last layer that reads each tensor."""
    uses = {layer.name: index for index, layer in enumerate(spec.layers)}
    for index, layer in enumerate(spec.layers):
        for name in layer.reads:
            uses[name] = index
    return uses
