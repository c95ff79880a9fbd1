"""Muon: momentum whose matrices are made orthogonal before they are applied; convolutions learn from fewer steps."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

_MOMENTUM = 0.95
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # the coefficients of the method's publication
_ROUNDS = 5
_GAIN = 7.0  # makes one rate do for both: what Adam would do to a convolution of 16 channels
_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024) for weights of convolutions
    and matrices, and AdamW (Loshchilov and Hutter, ICLR 2019) for everything else.

    A convolution's weight [O, I, k, k] counts as the matrix [O, I*k*k]. An update's singular values are
    7 * rate * sqrt(O / (I*k*k)), so a step changes what any layer puts out by the same share of what comes in (Yang et
    al., "A spectral condition for feature learning", 2023). Scaled to the root mean square of Adam's (Liu et al., "Muon
    is scalable for LLM training", 2025), steps grow with a layer's inputs, and without normalisation the ReLUs of deep
    layers die: 123 of 128 in ten minutes.

    Args:
        hidden: weights of at least two dimensions. others: groups of what Adam shall update. rate: learning rate of
            `hidden`. other_rates: one for each of `others`. weight_decay: decoupled, of all.
    """

    def __init__(
        self,
        hidden: Iterable[nn.Parameter],
        others: Sequence[Iterable[nn.Parameter]],
        rate: float,
        other_rates: Sequence[float],
        weight_decay: float = 0.0,
    ):
        groups = [{"params": list(hidden), "lr": rate, "orthogonal": True}]
        for parameters, own_rate in zip(others, other_rates, strict=True):
            groups.append({"params": list(parameters), "lr": own_rate, "orthogonal": False})
        groups = [group for group in groups if group["params"]]
        super().__init__(groups, {"lr": rate, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable | None = None) -> None:
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            changes = self._orthogonal(parameters) if group["orthogonal"] else map(self._adam, parameters)
            for parameter, change in zip(parameters, changes, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(change, alpha=-group["lr"])

    def _orthogonal(self, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
        """Changes of these, those of one shape made orthogonal together."""
        by_shape: dict[torch.Size, list[int]] = defaultdict(list)
        for place, parameter in enumerate(parameters):
            by_shape[parameter.flatten(1).shape].append(place)
        changes: dict[int, Tensor] = {}
        for shape, places in by_shape.items():
            ahead = torch.stack([self._ahead(parameters[place]).flatten(1) for place in places])
            directions = orthogonalised(ahead) * (_GAIN * math.sqrt(shape[0] / shape[1]))
            changes |= zip(places, directions, strict=True)
        return [changes[place].reshape(parameter.shape) for place, parameter in enumerate(parameters)]

    def _ahead(self, parameter: nn.Parameter) -> Tensor:
        """Momentum as Nesterov's, one step on."""
        momentum = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter.grad))
        momentum.lerp_(parameter.grad, 1 - _MOMENTUM)
        return parameter.grad.lerp(momentum, _MOMENTUM)

    def _adam(self, parameter: nn.Parameter) -> Tensor:
        state, gradient = self.state[parameter], parameter.grad
        mean = state.setdefault("mean", torch.zeros_like(gradient))
        square = state.setdefault("square", torch.zeros_like(gradient))
        count = state["count"] = state.get("count", 0) + 1
        mean.lerp_(gradient, 1 - _BETAS[0])
        square.lerp_(gradient.square(), 1 - _BETAS[1])
        corrected = (square / (1 - _BETAS[1] ** count)).sqrt_().add_(_EPSILON)
        return mean / (1 - _BETAS[0] ** count) / corrected


def orthogonalised(matrices: Tensor) -> Tensor:
    """The nearest matrices whose singular values are all alike, about 1 (0.7 to 1.2): float32 [..., m, n] -> the same.

    Five rounds of the published Newton-Schulz iteration X <- p(X X') X. All rounds are polynomials of the first X X',
    so they are carried out on that small matrix, and the long one is multiplied once; bfloat16, as published for GPUs,
    took twice as long on a CPU.
    """
    a, b, c = _NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-12)
    gram = x @ x.mT
    identity = torch.eye(gram.shape[-1], device=gram.device)
    product = identity
    for _ in range(_ROUNDS):
        factor = a * identity + b * gram + c * gram @ gram
        product = factor @ product
        gram = factor @ gram @ factor
    x = product @ x
    return x.mT if tall else x
