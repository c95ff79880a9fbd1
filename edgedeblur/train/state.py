"""What a run must remember: networks, their running average, optimisers, step, clock and random state."""

import copy
import pickle
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from edgedeblur.errors import UserError
from edgedeblur.files import atomic_path

_MEND_FRESH = "train afresh: leave out --resume"


class RunningAverage:
    """An exponential moving average of a network's weights; early on it averages over fewer steps."""

    def __init__(self, network: nn.Module, decay: float):
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        averaged, current = self.network.state_dict(), network.state_dict()
        torch._foreach_lerp_(list(averaged.values()), list(current.values()), weight)


class TrainingState:
    """networks and optimisers by name; `averaged` is the running average of the network named first."""

    def __init__(
        self,
        networks: dict[str, nn.Module],
        optimisers: dict[str, Optimizer],
        scaler: torch.amp.GradScaler,
        decay: float,
        identity: dict,
    ):
        self.networks, self.optimisers, self.scaler = networks, optimisers, scaler
        self.main = next(iter(networks.values()))
        self.average = RunningAverage(self.main, decay)
        self.identity = identity
        self.step = 0
        self.seconds = 0.0
        for optimiser in optimisers.values():
            for group in optimiser.param_groups:
                group.setdefault("base_rate", group["lr"])

    @property
    def averaged(self) -> nn.Module:
        return self.average.network

    def set_rates(self, factor: float) -> None:
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = group["base_rate"] * factor

    def optimise(self, name: str, loss: Tensor, clip: float) -> None:
        """One update by the optimiser of that name, the gradient's norm clipped; a NaN gradient changes nothing."""
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(optimiser)
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip)
        if self.scaler.is_enabled() or torch.isfinite(norm):
            self.scaler.step(optimiser)
        self.scaler.update()

    def finish_step(self, seconds: float) -> None:
        self.average.update(self.main, self.step)
        self.step += 1
        self.seconds = seconds

    def save(self, path: Path) -> None:
        """Write everything whole or not at all."""
        content = {
            "identity": self.identity,
            "step": self.step,
            "seconds": self.seconds,
            "random": torch.get_rng_state(),
            "averaged": self.averaged.state_dict(),
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "scaler": self.scaler.state_dict(),
        }
        with atomic_path(path) as temporary:
            torch.save(content, temporary)

    def restore(self, path: Path) -> None:
        """Go on from a saved state.

        Raises:
            UserError: no such file, not a training state, or the state of a run with other settings.
        """
        content = read_training_state(path)
        differing = [name for name, value in self.identity.items() if content["identity"].get(name) != value]
        if differing:
            was = content["identity"].get(differing[0])
            raise UserError(
                f"{path} is from a run with another {differing[0]}: {was!r}, now {self.identity[differing[0]]!r}",
                _MEND_FRESH,
            )
        try:
            self._load(content)
        except (KeyError, ValueError, RuntimeError, TypeError) as error:
            raise UserError(f"{path} does not fit this run: {error}", _MEND_FRESH) from error

    def _load(self, content: dict) -> None:
        self.averaged.load_state_dict(content["averaged"])
        for name, network in self.networks.items():
            network.load_state_dict(content["networks"][name])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(content["optimisers"][name])
        self.scaler.load_state_dict(content["scaler"])
        torch.set_rng_state(content["random"])
        self.step, self.seconds = int(content["step"]), float(content["seconds"])


def read_training_state(path: Path) -> dict[str, dict[str, Tensor] | int | float]:
    """The raw content of a state file, tensors on the CPU.

    Raises:
        UserError: no such file, or not a training state.
    """
    if not Path(path).is_file():
        raise UserError(f"there is no training state {path} to resume from", _MEND_FRESH)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not {"identity", "step", "averaged"} <= content.keys():
            raise ValueError("keys are missing")
    except (pickle.UnpicklingError, RuntimeError, ValueError, AttributeError, EOFError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is not a training state: {reason}", _MEND_FRESH) from error
    return content
