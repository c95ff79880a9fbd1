"""A training step as a CUDA graph: a small network's step is a thousand kernels of microseconds each, which Python
cannot launch as fast as a GPU runs them."""

from collections.abc import Callable

import torch
from torch import Tensor

from edgedeblur.training.device import Compute
from edgedeblur.training.loop import Batch
from edgedeblur.training.muon import Muon
from edgedeblur.training.state import TrainingState

_EAGER_STEPS = 3  # before the capture, so that the optimiser's state exists and convolutions have been chosen
_READ_EVERY = 16  # steps; reading a loss waits for the GPU

Losses = Callable[[Tensor, Tensor], dict[str, Tensor]]
"""(blur, sharp) on the device -> losses times their weights, by name."""


def captures(state: TrainingState, compute: Compute) -> bool:
    """Whether a run's steps can be captured: one process on a GPU, no gradient scaler, Muon."""
    alone = state.processes.count == 1 and compute.device.type == "cuda" and not state.scaler.is_enabled()
    return alone and all(isinstance(optimiser, Muon) for optimiser in state.optimisers.values())


class CapturedStep:
    """A step function (`loop.StepFunction`) for batches of one shape: forward (compiled by torch.compile), backward,
    clipping and update in one graph. The losses that it returns are up to 16 steps old.

    Args:
        losses: of the state's main network. clip: largest norm of the gradient, 0 for any.
    """

    def __init__(self, state: TrainingState, losses: Losses, clip: float, compute: Compute):
        self.state, self.clip, self.compute = state, clip, compute
        self._losses = torch.compile(losses, dynamic=False)
        self._optimiser = next(iter(state.optimisers.values()))
        self._parameters = [parameter for group in self._optimiser.param_groups for parameter in group["params"]]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: Batch = ()
        self._told: dict[str, Tensor] = {}
        self._read: dict[str, float] = {}
        self._count = 0

    def __call__(self, batch: Batch, fraction: float) -> dict[str, float]:
        if self._count == 0:
            self._prepare(batch)
        for kept, given in zip(self._batch, batch, strict=True):
            kept.copy_(given, non_blocking=True)
        if self._count < _EAGER_STEPS:
            self._eager()
        elif self._graph is None:
            self._capture()
        if self._graph is not None:
            self._graph.replay()
        if self._count < _EAGER_STEPS or self._count % _READ_EVERY == 0:
            values = torch.stack(list(self._told.values())).tolist()
            self._read = dict(zip(self._told, values, strict=True))
        self._count += 1
        return self._read

    def _prepare(self, batch: Batch) -> None:
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
        self._batch = tuple(tensor.to(self.compute.device, copy=True) for tensor in batch)
        for group in self._optimiser.param_groups:  # a rate that is a number would be captured as it is now
            group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=self.compute.device).clone()

    def _eager(self) -> None:
        """On a stream of its own, as torch's notes on CUDA graphs have it."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._update()
        torch.cuda.current_stream().wait_stream(stream)

    def _capture(self) -> None:
        self._optimiser.zero_grad(set_to_none=True)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._update()

    def _update(self) -> None:
        self._optimiser.zero_grad(set_to_none=True)
        with self.compute.autocast():
            losses = self._losses(*self._batch)
        torch.stack(list(losses.values())).sum().backward()
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self._parameters, self.clip)
        self._optimiser.step()
        self._told = {name: value.detach() for name, value in losses.items()}
