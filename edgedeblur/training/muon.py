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
        """One update; nothing of it is read back from a device, so a CUDA graph can hold it (rates as tensors then)."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            changes = self._orthogonal(parameters) if group["orthogonal"] else self._adam(parameters)
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_sub_(parameters, torch._foreach_mul(changes, group["lr"]))

    def _orthogonal(self, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
        """Changes of these, those of one shape made orthogonal together."""
        by_shape: dict[torch.Size, list[int]] = defaultdict(list)
        for place, parameter in enumerate(parameters):
            by_shape[parameter.flatten(1).shape].append(place)
        ahead = [matrix.flatten(1) for matrix in self._ahead(parameters)]
        stacks = orthogonalised([torch.stack([ahead[place] for place in places]) for places in by_shape.values()])
        changes: dict[int, Tensor] = {}
        for (shape, places), directions in zip(by_shape.items(), stacks, strict=True):
            changes |= zip(places, directions * (_GAIN * math.sqrt(shape[0] / shape[1])), strict=True)
        return [changes[place].reshape(parameter.shape) for place, parameter in enumerate(parameters)]

    def _ahead(self, parameters: Sequence[nn.Parameter]) -> Sequence[Tensor]:
        """Momentum as Nesterov's, one step on."""
        gradients = [parameter.grad for parameter in parameters]
        momenta = [self._kept(parameter, "momentum", parameter.grad) for parameter in parameters]
        torch._foreach_lerp_(momenta, gradients, 1 - _MOMENTUM)
        return torch._foreach_lerp(gradients, momenta, _MOMENTUM)

    def _adam(self, parameters: Sequence[nn.Parameter]) -> Sequence[Tensor]:
        gradients = [parameter.grad for parameter in parameters]
        means = [self._kept(parameter, "mean", parameter.grad) for parameter in parameters]
        squares = [self._kept(parameter, "square", parameter.grad) for parameter in parameters]
        count = self._kept(parameters[0], "count", gradients[0].new_zeros(())).add_(1)  # all of a group step together
        torch._foreach_lerp_(means, gradients, 1 - _BETAS[0])
        torch._foreach_lerp_(squares, torch._foreach_mul(gradients, gradients), 1 - _BETAS[1])
        spread = torch._foreach_sqrt(torch._foreach_div(squares, 1 - _BETAS[1] ** count))
        torch._foreach_add_(spread, _EPSILON)
        return torch._foreach_div(torch._foreach_div(means, 1 - _BETAS[0] ** count), spread)

    def _kept(self, parameter: nn.Parameter, name: str, like: Tensor) -> Tensor:
        state = self.state[parameter]
        if name not in state:
            state[name] = torch.zeros_like(like)
        return state[name]


def orthogonalised(stacks: Sequence[Tensor]) -> list[Tensor]:
    """The nearest matrices whose singular values are all alike, about 1 (0.7 to 1.2), for each of the stacks: float32
    [..., m, n] -> the same.

    Five rounds of the published Newton-Schulz iteration X <- p(X X') X. All rounds are polynomials of the first X X',
    so they are carried out on that small matrix, of all stacks with the same shorter side together, and the long one is
    multiplied once; bfloat16, as published for GPUs, took twice as long on a CPU.
    """
    wide = [stack.mT if stack.shape[-2] > stack.shape[-1] else stack for stack in stacks]
    wide = [x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-12) for x in wide]
    by_side: dict[int, list[int]] = defaultdict(list)
    for place, x in enumerate(wide):
        by_side[x.shape[-2]].append(place)
    results: dict[int, Tensor] = {}
    for side, places in by_side.items():
        grams = [(wide[place] @ wide[place].mT).reshape(-1, side, side) for place in places]
        polynomials = _polynomial(torch.cat(grams)).split([len(gram) for gram in grams])
        for place, polynomial in zip(places, polynomials, strict=True):
            x = polynomial.reshape(*wide[place].shape[:-1], side) @ wide[place]
            results[place] = x.mT if stacks[place].shape[-2] > stacks[place].shape[-1] else x
    return [results[place] for place in range(len(stacks))]


def _polynomial(gram: Tensor) -> Tensor:
    """What five rounds multiply X by, from X X': [n, m, m]."""
    a, b, c = _NEWTON_SCHULZ
    identity = torch.eye(gram.shape[-1], device=gram.device)
    product = identity
    for _ in range(_ROUNDS):
        factor = a * identity + b * gram + c * gram @ gram
        product = factor @ product
        gram = factor @ gram @ factor
    return product
