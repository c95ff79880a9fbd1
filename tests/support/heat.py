"""A phone that heats up, simulated: power in, temperature out, and a kernel that lowers the clock where it is hot.

A body of one heat capacity that gives its heat to the air. No phone was measured for the numbers: they are of the order
of a Snapdragon 865 with four Cortex-A77, and of a phone that can give off some 4 W for long.
"""

from dataclasses import dataclass, field
from random import Random

AIR_C, TRIP_C, CALM_C = 30.0, 75.0, 70.0  # the kernel lowers clocks from TRIP_C on, and raises them below CALM_C
KELVIN_PER_WATT, JOULE_PER_KELVIN = 11.0, 18.0
IDLE_W, CORE_W, POWER_OF_CLOCK = 0.8, 1.9, 2.5
SLOWEST = 0.5  # of the highest clock
SPEEDUP = {1: 1.0, 2: 1.9, 3: 2.7, 4: 3.4}


@dataclass(frozen=True)
class Way:
    """What a level means here: work in milliseconds of one cool core, threads, frames a second (0: as they come)."""

    work_ms: float
    threads: int
    frames_per_second: float = 0


@dataclass
class Phone:
    """The state; `second` runs one more."""

    air_c: float = AIR_C
    temperature_c: float = AIR_C
    clock: float = 1.0
    noise: Random = field(default_factory=lambda: Random(0))

    @property
    def headroom(self) -> float:
        """As Android defines it: 1 where it throttles."""
        return (self.temperature_c - AIR_C) / (TRIP_C - AIR_C)

    def heat(self, busy: float, threads: int, seconds: float) -> None:
        """So long of `threads` cores that work for a share of the time, at the clock that there is."""
        power = IDLE_W + busy * threads * CORE_W * self.clock**POWER_OF_CLOCK
        lost = (self.temperature_c - self.air_c) / KELVIN_PER_WATT
        self.temperature_c += (power - lost) / JOULE_PER_KELVIN * seconds
        if self.temperature_c > TRIP_C:
            self.clock = max(SLOWEST, self.clock * 0.97**seconds)
        elif self.temperature_c < CALM_C:
            self.clock = min(1.0, self.clock * 1.02**seconds)

    def second(self, way: Way) -> list[float]:
        """The milliseconds of each frame of a second that runs so."""
        took = way.work_ms / SPEEDUP[way.threads] / self.clock
        period = max(took, 1000 / way.frames_per_second if way.frames_per_second else took)
        self.heat(took / period, way.threads, 1.0)
        return [took * self.noise.uniform(1.0, 1.06) for _ in range(max(1, int(1000 / period)))]
