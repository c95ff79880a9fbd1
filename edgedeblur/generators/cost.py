"""What a generator costs: multiply-accumulates, counted on the network as it runs."""

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call

from edgedeblur.errors import UserError
from edgedeblur.generators.generator import Generator

_COUNTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def gmac(generator: Generator, height: int, width: int) -> float:
    """10^9 multiply-accumulates of the network for an input of height x width, rounded up to a size that it takes.

    Convolutions, transposed convolutions and linear layers count; biases, normalisation, activations and resampling do
    not. The padding that `restore` adds beyond that size (DeblurGAN-v2's extra block) is left out, as in published
    figures: `gmac(generator, *generator.padded_size(height, width))` includes it. Nothing is computed: the network
    runs on tensors without data.

    Raises:
        UserError: a TorchScript or exported program, whose layers cannot be watched.
    """
    if not any(isinstance(module, _COUNTED) for module in generator.network.modules()):
        raise UserError(
            f"the multiply-accumulates of {generator.info.variant} cannot be counted: it has no torch layers to watch",
            "give the Python class: package.module:callable and --weights FILE",
        )
    macs = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        macs += layer_macs(module, inputs[0], output)

    hooks = [m.register_forward_hook(count) for m in generator.network.modules() if isinstance(m, _COUNTED)]
    try:
        _run_without_data(generator.network, generator.info.padding.network_size(height, width))
    finally:
        for hook in hooks:
            hook.remove()
    return macs / 1e9


def layer_macs(module: nn.Module, source: Tensor, output: Tensor) -> int:
    """Multiply-accumulates of one layer: outputs x weights per output, or for a transposed convolution inputs x weights
    per input."""
    if isinstance(module, nn.ConvTranspose2d):
        return source.numel() * math.prod(module.weight.shape[1:])
    return output.numel() * math.prod(module.weight.shape[1:])


def _run_without_data(network: nn.Module, size: tuple[int, int]) -> None:
    tensors = dict(network.named_parameters()) | dict(network.named_buffers())
    empty = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    with torch.no_grad():
        functional_call(network, empty, (torch.empty(1, 3, *size, device="meta"),))
