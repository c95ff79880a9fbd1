"""How long a run is, by steps or by the clock, and the learning rate along it."""

import math
from dataclasses import dataclass

from edgedeblur.errors import UserError

_LAST_RATE = 0.01


@dataclass(frozen=True)
class Budget:
    """A run ends after `steps` steps or `minutes` minutes, whichever comes first; one may be None.

    Raises:
        UserError: neither is given, or one is not above zero.
    """

    steps: int | None
    minutes: float | None

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise UserError("a run needs an end: a number of steps or of minutes", exit_code=2)
        for name, value in (("steps", self.steps), ("minutes", self.minutes)):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise UserError(f"{name} is {value}; it must be above 0", exit_code=2)

    def fraction(self, step: int, seconds: float) -> float:
        """How much of the run is over, 0 to 1."""
        by_steps = step / self.steps if self.steps else 0.0
        by_clock = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_clock))


def rate_factor(step: int, fraction: float, schedule: str = "cosine", warm_up: int = 0) -> float:
    """What the base learning rate is multiplied by, after rising from 0 over `warm_up` steps.

    `cosine` (Loshchilov and Hutter, ICLR 2017): from 1 to 0.01. `linear`: 1 for the first half of the run, then
    straight to 0, as DeblurGAN's 150 and 150 epochs.
    """
    if schedule == "linear":
        factor = min(1.0, 2 * (1 - fraction))
    else:
        factor = _LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * fraction)) / 2
    return min(1.0, (step + 1) / warm_up) * factor if warm_up else factor
