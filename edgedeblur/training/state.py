"""What a run must remember: networks, their running average, optimisers, step, clock and random state."""

import copy
import io
import math
import shlex
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from edgedeblur.data.blur.recipe import BlurRecipe
from edgedeblur.errors import UserError
from edgedeblur.storage.contents import Origin, read_contents
from edgedeblur.storage.documents import shown
from edgedeblur.storage.files import write_bytes
from edgedeblur.storage.tensor_files import first_line, load_torch
from edgedeblur.training.processes import ALONE, Processes
from edgedeblur.training.recipe_table import to_table
from edgedeblur.training.saved_state import command_to_keep


class OtherRunError(UserError):
    """The state is sound, and of a run with other settings."""


_LIMIT = 16 << 30  # bytes of a state file
_CONTENT = {  # what a training state must hold, as `save` writes it
    "identity": dict,
    "step": int,
    "seconds": float,
    "random": Tensor,
    "averaged": dict,
    "networks": dict,
    "optimisers": dict,
    "scaler": dict,
}


class RunningAverage:
    """An exponential moving average of a network's weights; early on it averages over fewer steps."""

    def __init__(self, network: nn.Module, decay: float):
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._averaged, self._current = (list(each.state_dict().values()) for each in (self.network, network))

    @torch.no_grad()
    def update(self, step: int) -> None:
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averaged, self._current, weight)


class TrainingState:
    """networks and optimisers by name; `averaged` is the running average of the network named first.

    Every process has all of it, and after every step the same.
    """

    def __init__(
        self,
        networks: dict[str, nn.Module],
        optimisers: dict[str, Optimizer],
        scaler: torch.amp.GradScaler,
        decay: float,
        identity: dict,
        processes: Processes = ALONE,
    ):
        self.networks, self.optimisers, self.scaler = networks, optimisers, scaler
        self.processes = processes
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
                rate = group["base_rate"] * factor
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate)
                else:
                    group["lr"] = rate

    def optimise(self, name: str, loss: Tensor, clip: float) -> None:
        """One update by the optimiser of that name; a NaN gradient changes nothing.

        Args:
            loss: of this process's images; the gradient is the mean over all processes.
            clip: largest norm of the gradient, 0 for any.
        """
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        self.scaler.scale(loss).backward()
        self.processes.average_gradients(parameters)  # before unscaling, so that all see an overflow of one
        self.scaler.unscale_(optimiser)
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip or math.inf)
        if self.scaler.is_enabled() or torch.isfinite(norm):
            self.scaler.step(optimiser)
        self.scaler.update()

    def finish_step(self, seconds: float) -> None:
        self.processes.average_buffers(self.main)
        self.average.update(self.step)
        self.step += 1
        self.seconds = seconds

    def finite(self) -> bool:
        """Whether no weight of the main network is NaN or infinite."""
        return all(bool(torch.isfinite(weights).all()) for weights in self.main.parameters())

    def save(self, path: Path) -> None:
        """Write everything whole or not at all.

        Raises:
            UserError: it cannot be written; what was in the file before stays.
        """
        content = {
            "identity": self.identity,
            "step": self.step,
            "seconds": self.seconds,
            "random": torch.get_rng_state(),
            "averaged": self.averaged.state_dict(),
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "scaler": self.scaler.state_dict(),
            "command": command_to_keep(),
        }
        buffer = io.BytesIO()  # torch itself reports a full disk as an inner error of its archive
        torch.save(content, buffer)
        write_bytes(path, buffer.getbuffer())

    def restore(self, path: Path) -> None:
        """Go on from a saved state, with the learning rates of this run. Only the first process reads the file.

        Raises:
            UserError: no such file, not a training state, or the state of a run with other settings.
        """
        content = parse_training_state(path, self.processes.from_first(lambda: _state_bytes(path)))
        try:
            self._require_same(path, content["identity"])
            self._load(content)
        except UserError:
            raise
        except Exception as error:  # torch's own loading of each part raises whatever a damaged one leads to
            raise UserError(f"{path} does not fit this run: {first_line(error)}", _start_over(path)) from error

    def _require_same(self, path: Path, identity: dict) -> None:
        saved = _without_rates(_with_later_keys(identity))
        differing = [name for name, value in _without_rates(self.identity).items() if saved.get(name) != value]
        if differing:
            was = shown(identity.get(differing[0]))
            raise OtherRunError(
                f"{path} is from a run with another {differing[0]}: {was}, now {shown(self.identity[differing[0]])}",
                f"give the settings of that run, or {_start_over(path)}",
            )

    def _load(self, content: dict) -> None:
        self.averaged.load_state_dict(content["averaged"])
        for name, network in self.networks.items():
            network.load_state_dict(content["networks"][name])
        for name, optimiser in self.optimisers.items():
            rates = [group["base_rate"] for group in optimiser.param_groups]
            optimiser.load_state_dict(content["optimisers"][name])
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["base_rate"] = rate
        self.scaler.load_state_dict(content["scaler"])
        torch.set_rng_state(content["random"])
        self.step, self.seconds = int(content["step"]), float(content["seconds"])


def _with_later_keys(identity: dict) -> dict:
    """Of a state from before [blur] had all the keys that it has: a run without them was one with their defaults."""
    recipe = identity.get("recipe")
    if not isinstance(recipe, dict) or not isinstance(recipe.get("blur"), dict):
        return identity
    return identity | {"recipe": recipe | {"blur": to_table(BlurRecipe()) | recipe["blur"]}}


def _without_rates(identity: dict) -> dict:
    """A run that diverged may go on with another learning rate."""
    kept = {name: value for name, value in identity.items() if name != "rate"}
    return {name: _without_rates(value) if isinstance(value, dict) else value for name, value in kept.items()}


def read_training_state(path: Path) -> dict[str, dict[str, Tensor] | int | float]:
    """The raw content of a state file, tensors on the CPU.

    Raises:
        UserError: no such file, or not a training state.
    """
    return parse_training_state(path, _state_bytes(path))


def parse_training_state(path: Path, data: bytes) -> dict[str, dict[str, Tensor] | int | float]:
    """The same from the file's bytes; the path is for messages."""
    fix = _start_over(path)
    if not data:
        raise UserError(f"{path} is empty, not a training state", fix)
    content = load_torch(io.BytesIO(data), Origin(f"{path} is not a training state: it", fix))
    if not isinstance(content, dict) or not all(isinstance(content.get(key), kind) for key, kind in _CONTENT.items()):
        raise UserError(f"{path} is not a training state: keys are missing or of another type", fix)
    if content["step"] < 0 or not 0 <= content["seconds"] < math.inf:
        raise UserError(f"{path}: step {content['step']} after {content['seconds']} seconds", fix)
    return content


def _state_bytes(path: Path) -> bytes:
    if not Path(path).exists():
        raise UserError(f"there is no training state {path} to resume from", "to start over, leave out --resume")
    return read_contents(Path(path), _LIMIT, Origin(str(path), _start_over(path)))


def _start_over(path: Path) -> str:
    """For `train` and `distill`, which have --resume, and for `run`, which has not."""
    return f"remove it to start over: rm {shlex.quote(str(path))}"
