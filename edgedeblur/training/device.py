"""Where and in which number format a run computes."""

import contextlib
from dataclasses import dataclass

import torch

from edgedeblur.errors import UserError
from edgedeblur.training.processes import launched, local_rank

PRECISIONS = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Compute:
    """A torch device and the format of convolutions and matrix products; weights and optimiser stay float32."""

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> contextlib.AbstractContextManager:
        if self.dtype is torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=self.dtype)

    def scaler(self) -> torch.amp.GradScaler:
        """A gradient scaler: at work with float16, passing through otherwise."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype is torch.float16)


def choose_compute(device: str = "auto", precision: str = "auto") -> Compute:
    """The device by name (`auto`, `cpu`, `cuda`, `cuda:1`) and the precision by name or what the device is fast at.

    Of several processes on one machine (torchrun) each takes a GPU of its own, in order.

    `auto` takes bfloat16 only where it is hardware: on CPUs without its instructions torch emulates it many times
    slower than float32.

    Raises:
        UserError: no such device or precision, float16 on a CPU, or one GPU named for several processes.
    """
    chosen = _device(device)
    if launched() and chosen.type == "cuda":
        if chosen.index is not None:
            raise UserError(f"--device {device} is one GPU for several processes", "use --device cuda", exit_code=2)
        chosen = _device(f"cuda:{local_rank()}")
        torch.cuda.set_device(chosen)
    if precision not in PRECISIONS:
        raise UserError(f"no precision {precision!r}; there are {', '.join(PRECISIONS)}", exit_code=2)
    if precision == "auto":
        precision = _fast_precision(chosen)
    if precision == "float16" and chosen.type == "cpu":
        raise UserError("float16 training needs a GPU", "use --precision bfloat16 or float32", exit_code=2)
    return Compute(chosen, getattr(torch, precision))


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"no device {name!r}; use auto, cpu, cuda or cuda:N", exit_code=2) from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"no device {name!r}; use auto, cpu, cuda or cuda:N", exit_code=2)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UserError(f"device {name} is not available; torch sees {count} CUDA devices", "use --device cpu")
    return device


def _fast_precision(device: torch.device) -> str:
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    ask = getattr(torch.cpu, "get_capabilities", dict)  # older torch cannot tell, and float32 is never wrong
    capabilities = ask()
    return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"
