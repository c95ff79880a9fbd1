"""The processes of one run that `torchrun` started: every GPU trains on its own part of a batch.

Gradients are averaged by hand between backward and update. torch's DistributedDataParallel expects one forward per
backward; a discriminator has two or three, one of them differentiated twice.
"""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from edgedeblur.errors import UserError

_PATIENCE = timedelta(hours=2)  # how long the others wait while the first process validates


@dataclass(frozen=True)
class Processes:
    """This process's number and how many there are; alone, it exchanges nothing.

    Only the first writes files and prints. Its methods must be called by all, in the same order.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def first(self) -> bool:
        return self.rank == 0

    def part(self, total: Tensor) -> Tensor:
        """This process's share of something that has a row for each image of the whole batch."""
        return total.chunk(self.count)[self.rank]

    def mean(self, values: Tensor) -> Tensor:
        """The mean of all values of all processes, which hold equally many; with a gradient."""
        return _MeanOverProcesses.apply(values.mean()) if self.count > 1 else values.mean()

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        self._average([parameter.grad for parameter in parameters if parameter.grad is not None])

    def average_buffers(self, network: nn.Module) -> None:
        """Running statistics, which every process has moved towards those of its own images."""
        self._average([buffer for buffer in network.buffers() if buffer.is_floating_point()])

    def agree(self, values: list[float]) -> list[float]:
        """Each value averaged, so that all decide alike; NaN of one is NaN for all."""
        if self.count == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        _collective(lambda: distributed.all_reduce(tensor))
        return (tensor / self.count).tolist()

    def from_first(self, content: Callable[[], bytes]) -> bytes:
        """Bytes that only the first process can make, given to all.

        Raises:
            UserError: the first could not make them (the others end silently).
        """
        if self.count == 1:
            return content()
        data = b""
        with self.failing_together():
            data = content() if self.first else b""
        size = torch.tensor([len(data)], device=self.device)
        _collective(lambda: distributed.broadcast(size, 0))
        if not self.first:
            data = bytes(int(size))
        tensor = torch.frombuffer(bytearray(data), dtype=torch.uint8).to(self.device)
        _collective(lambda: distributed.broadcast(tensor, 0))
        return tensor.cpu().numpy().tobytes()

    def wait_for_all(self) -> None:
        self.agree([0.0])

    @contextlib.contextmanager
    def failing_together(self) -> Iterator[None]:
        """A UserError of any process in the block ends all of them; the lowest that failed is the one that tells."""
        failure: UserError | None = None
        try:
            yield
        except UserError as error:
            if self.count == 1:
                raise
            failure = error
        failed = self.agree([float(failure is not None and self.rank == rank) for rank in range(self.count)])
        if any(failed):
            teller = next(rank for rank, share in enumerate(failed) if share > 0)
            if failure is None or self.rank != teller:
                raise SystemExit(1)
            raise failure

    def told_once(self, error: UserError) -> BaseException:
        """What to raise for an error that every process has: the first tells it, the others end silently."""
        return error if self.first else SystemExit(error.exit_code)

    def _average(self, tensors: list[Tensor]) -> None:
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        _collective(lambda: distributed.all_reduce(flat))
        flat /= self.count
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))


ALONE = Processes()


def launched() -> bool:
    """Whether torchrun started this process as one of several."""
    return distributed.is_torchelastic_launched() and int(os.environ.get("WORLD_SIZE", "1")) > 1


def launched_beside_the_first() -> bool:
    """Whether torchrun started this process, and not as the one that writes."""
    return launched() and os.environ.get("RANK") != "0"


def local_rank() -> int:
    """Which of this machine's processes this is, so which of its GPUs it takes; 0 without torchrun."""
    return int(os.environ.get("LOCAL_RANK", "0")) if launched() else 0


@contextlib.contextmanager
def joined_processes(device: torch.device) -> Iterator[Processes]:
    """The processes that torchrun started, connected within the block: NCCL between GPUs, Gloo between CPUs.

    A caller who runs several trainings in one process connects around all of them: connecting again does not work.

    Raises:
        UserError: they cannot be connected.
    """
    if not launched():
        yield ALONE
        return
    if distributed.is_initialized():
        yield _connected(device)
        return
    try:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"the processes cannot be connected: {error}", "see torchrun --help on --rdzv-endpoint"
        ) from error
    try:
        processes = _connected(device)
        yield processes
    except UserError as error:
        if processes.first:
            raise
        message = f"process {processes.rank} of {processes.count}: {error.message}"
        raise UserError(message, error.fix, error.exit_code) from error
    finally:
        distributed.destroy_process_group()


def _connected(device: torch.device) -> Processes:
    return Processes(distributed.get_rank(), distributed.get_world_size(), device)


class _MeanOverProcesses(torch.autograd.Function):
    """A scalar averaged over processes. Its gradient is the mean of theirs: each process's loss depends on it."""

    @staticmethod
    def forward(_, value: Tensor) -> Tensor:
        return _mean_of(value)

    @staticmethod
    def backward(_, gradient: Tensor) -> Tensor:
        return _mean_of(gradient)


def _mean_of(value: Tensor) -> Tensor:
    total = value.detach().clone()
    _collective(lambda: distributed.all_reduce(total))
    return total / distributed.get_world_size()


def _collective(operation: Callable[[], object]) -> None:
    try:
        operation()
    except RuntimeError as error:
        reason = str(error).splitlines()[0][:200]
        message = f"the connection to the other processes is lost: {reason}"
        raise UserError(message, "see above for the error of the first that ended; resume with --resume") from error
