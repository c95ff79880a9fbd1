"""Muon: momentum whose matrices are made orthogonal before they are applied; convolutions learn from fewer steps."""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

_MOMENTUM = 0.95
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # the coefficients of the method's publication
_ROUNDS = 5
_LIKE_ADAM = 0.2  # root mean square of Adam's updates, which makes one rate do for both
_BETAS, _EPSILON = (0.9, 0.999), 1e-8


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024) for weights of convolutions
    and matrices, and AdamW (Loshchilov and Hutter, ICLR 2019) for everything else.

    A convolution's weight [O, I, k, k] counts as the matrix [O, I*k*k]. Updates are scaled to the root mean square of
    Adam's (Liu et al., "Muon is scalable for LLM training", 2025), so one rate does for both.

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
            update = self._orthogonal if group["orthogonal"] else self._adam
            for parameter in group["params"]:
                if parameter.grad is not None:
                    change = update(self.state[parameter], parameter.grad)
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(change, alpha=-group["lr"])

    def _orthogonal(self, state: dict, gradient: Tensor) -> Tensor:
        momentum = state.setdefault("momentum", torch.zeros_like(gradient))
        momentum.lerp_(gradient, 1 - _MOMENTUM)
        ahead = gradient.lerp(momentum, _MOMENTUM).flatten(1)  # Nesterov's
        scale = _LIKE_ADAM * math.sqrt(max(ahead.shape))
        return (scale * orthogonalised(ahead)).reshape(gradient.shape)

    def _adam(self, state: dict, gradient: Tensor) -> Tensor:
        mean = state.setdefault("mean", torch.zeros_like(gradient))
        square = state.setdefault("square", torch.zeros_like(gradient))
        count = state["count"] = state.get("count", 0) + 1
        mean.lerp_(gradient, 1 - _BETAS[0])
        square.lerp_(gradient.square(), 1 - _BETAS[1])
        corrected = (square / (1 - _BETAS[1] ** count)).sqrt_().add_(_EPSILON)
        return mean / (1 - _BETAS[0] ** count) / corrected


def orthogonalised(matrix: Tensor) -> Tensor:
    """The nearest matrix whose singular values are all alike, about 1 (0.7 to 1.2), by five rounds of a Newton-Schulz
    iteration in bfloat16, as published; float32 [m, n] -> the same."""
    a, b, c = _NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-12)
    for _ in range(_ROUNDS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).float()
