"""The float student as a torch module, from the layers of spec.py."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgedeblur.student.operations import OpSpec
from edgedeblur.student.spec import IMAGE, ConvSpec, Layer, StudentSpec
from edgedeblur.student.table import student_spec


def space_to_depth(x: Tensor, factor: int) -> Tensor:
    """[N, C, H, W] -> [N, factor*factor*C, H/factor, W/factor], channels in (dy, dx, c) order, stored channels last."""
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, h // factor, factor, w // factor, factor, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(n, h // factor, w // factor, factor**2 * c).permute(0, 3, 1, 2)


def depth_to_space(x: Tensor, factor: int) -> Tensor:
    """The inverse of `space_to_depth`."""
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, h, w, factor, factor, c // factor**2)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(n, h * factor, w * factor, c // factor**2).permute(0, 3, 1, 2)


def operation_output(layer: OpSpec, tensors: dict[str, Tensor]) -> Tensor:
    """The output of a layer without weights, [N, C, H, W], from those before it."""
    read = [tensors[source] for source in layer.sources]
    if layer.starts:
        read = [x[:, start : start + layer.out_channels] for x, start in zip(read, layer.starts, strict=True)]
    return layer.operation.real(read, layer.parameter)


class Student(nn.Module):
    """The float student: [N, 3, H, W] RGB in [0, 1] -> the same shape, not clamped. H and W in multiples of 16."""

    def __init__(self, spec: StudentSpec):
        super().__init__()
        self.spec = spec
        self._keys = _module_keys([layer.name for layer in spec.layers])
        self.convs = nn.ModuleDict({self._keys[layer.name]: _conv(layer) for layer in spec.convolutions})
        self._initialise()
        gated = {
            layer.name: nn.Linear(spec.gate_channels(layer), layer.out_channels)
            for layer in spec.convolutions
            if layer.gate
        }
        self.gates = nn.ModuleDict({self._keys[name]: gate for name, gate in gated.items()})
        bent = [layer for layer in spec.layers if layer.prelu]
        self.slopes = nn.ModuleDict({self._keys[layer.name]: nn.PReLU(layer.out_channels) for layer in bent})
        for parameter in self.gates.parameters():
            nn.init.zeros_(parameter)  # every factor is one: with gates a network starts as the same without them

    def _initialise(self) -> None:
        for layer in self.spec.convolutions:
            conv = self.conv(layer.name)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)
            if layer is self.spec.layers[-1] and layer.residual == IMAGE:  # it starts as the identity
                nn.init.zeros_(conv.weight)
            elif layer.residual is not None and layer.kernel == 3:
                conv.weight.data.mul_(0.1)

    def conv(self, name: str) -> nn.Conv2d:
        return self.convs[self._keys[name]]

    def gate(self, name: str) -> nn.Linear:
        """The matrix and bias of a layer's gate."""
        return self.gates[self._keys[name]]

    def slope(self, name: str) -> nn.Parameter:
        """What negative values of each channel of a layer with prelu are multiplied by, [out]."""
        return self.slopes[self._keys[name]].weight

    def module_name(self, name: str) -> str:
        """Where a layer's convolution is, as `get_submodule` takes it."""
        return f"convs.{self._keys[name]}"

    def forward(self, image: Tensor) -> Tensor:
        return self.activations(image)[self.spec.layers[-1].name]

    def activations(self, image: Tensor) -> dict[str, Tensor]:
        """Every tensor of the network by layer name, and the image; what calibration and feature losses read."""
        tensors = {IMAGE: image}
        for layer in self.spec.layers:
            tensors[layer.name] = self.layer_output(layer, tensors)
        return tensors

    def layer_output(self, layer: Layer, tensors: dict[str, Tensor]) -> Tensor:
        """One layer's tensor from those before it."""
        if isinstance(layer, OpSpec):
            return operation_output(layer, tensors)
        x = tensors[layer.source]
        if layer.space_to_depth > 1:
            x = space_to_depth(x, layer.space_to_depth)
        x = self.conv(layer.name)(x)
        if layer.prelu:
            x = self.slopes[self._keys[layer.name]](x)
        if layer.depth_to_space > 1:
            x = depth_to_space(x, layer.depth_to_space)
        if layer.residual is not None:
            x = x + tensors[layer.residual]
        if layer.relu:
            x = F.relu(x) if layer.limit is None else x.clamp(0, layer.limit)
        if layer.gate is not None:
            x = x * self.factors(layer.name, tensors[layer.gate]).to(x.dtype)
        return x

    def factors(self, name: str, gating: Tensor) -> Tensor:
        """What a layer's channels are multiplied by, float [N, C, 1, 1] between 0 and 2, for the tensor that gates it.
        The mean is taken in float32, since a sum of thousands of bfloat16 values loses most of them."""
        return 2 * torch.sigmoid(self.gate(name)(gating.mean((2, 3), dtype=torch.float32)))[:, :, None, None]


def _module_keys(names: list[str]) -> dict[str, str]:
    """A key of a ModuleDict for each layer: no dots, no two alike ("a.b" and "a_b"), no attribute of it."""
    keys: dict[str, str] = {}
    taken = set(dir(nn.ModuleDict()))
    for name in names:
        key = name.replace(".", "_")
        while key in taken:
            key += "_"
        keys[name] = key
        taken.add(key)
    return keys


def _conv(layer: ConvSpec) -> nn.Conv2d:
    return nn.Conv2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )


def build_student(network: str | StudentSpec, seed: int = 0, gates: bool = False) -> Student:
    """A student of a tier, with gates or without, or of a spec, with fresh weights, the same for the same seed."""
    spec = student_spec(network, gates) if isinstance(network, str) else network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Student(spec)
