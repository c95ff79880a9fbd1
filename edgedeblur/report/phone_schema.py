"""The parts of the report that only a phone has. Units: MHz, MB of 1,000,000 bytes, degrees Celsius."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PhoneCore:
    """capacity: as the kernel's scheduler ranks it, of 1024."""

    core: int
    max_mhz: float | None
    capacity: int | None
    governor: str | None


@dataclass(frozen=True)
class Zone:
    """One thermal zone before and after the timed runs."""

    name: str
    before_c: float | None
    after_c: float | None


@dataclass(frozen=True)
class PhoneBattery:
    level_percent: float | None
    temperature_c: float | None
    charging: bool
    source: str | None


@dataclass(frozen=True)
class Device:
    """The phone.

    used_cores: that the program was kept on, such as "4-7". output_identical: whether the restored image was the
    integer interpreter's byte for byte; null where the measurement was interrupted before that. partial: why it was
    interrupted; null for a whole measurement.
    """

    serial: str
    manufacturer: str
    model: str
    soc: str
    android_version: str
    sdk: int | None
    build: str
    kernel: str
    memory_mb: float | None
    cores: list[PhoneCore]
    used_cores: str
    thermal_zones: list[Zone]
    battery_before: PhoneBattery | None
    battery_after: PhoneBattery | None
    output_identical: bool | None
    partial: str | None


@dataclass(frozen=True)
class SustainedWindow:
    """A stretch of the sustained run. clock_mhz: mean of the used cores. temperature_c: the processor's hottest."""

    from_s: float
    to_s: float
    runs: int
    p50_ms: float
    clock_mhz: float | None
    temperature_c: float | None
    throttled: bool | None


@dataclass(frozen=True)
class SustainedReading:
    """One second: mean clock of the used cores, and the processor's hottest sensor."""

    at_s: float
    clock_mhz: float | None
    temperature_c: float | None


@dataclass(frozen=True)
class Level:
    """One way to run, of those that a governor chooses from. unit: null for the target's own. frames_per_second: at
    most; null as they come. network: a lighter one's name; null for that of the report."""

    unit: str | None
    threads: int
    frames_per_second: float | None
    network: str | None = None


@dataclass(frozen=True)
class GovernorReading:
    """Once a second: the level from then on, and the thermal headroom, where 1 is throttling."""

    at_s: float
    level: int
    headroom: float | None


@dataclass(frozen=True)
class Minute:
    """temperature_c: the processor's hottest. levels: that were chosen; none without a governor."""

    from_s: float
    runs: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    temperature_c: float | None
    levels: list[int]


@dataclass(frozen=True)
class Governed:
    """The same minutes as the sustained run once more, under the governor; `_without`: of the sustained run.

    level_seconds: how long each level ran. late: share of the runs that took longer than the budget. plot: PNG of both
    runs beside the report. partial: why it ended early; null where it did not.
    """

    minutes: float
    seconds: float
    runs: int
    budget_ms: float
    levels: list[Level]
    level_seconds: list[float]
    changes: int
    chosen: list[GovernorReading]
    late: float | None
    late_without: float | None
    by_minute: list[Minute]
    by_minute_without: list[Minute]
    readings: list[SustainedReading]
    at_s: list[float]
    samples_ms: list[float]
    plot: str | None
    partial: str | None


@dataclass(frozen=True)
class Sustained:
    """Runs back to back for minutes, after the timed runs that the verdict is about.

    Seconds count from the first run's start. slowdown: the slowest window's median by the first one's. throttled: by
    `rule`; null where there are too few runs to say. throttled_after_s: start of the first throttled window. plot: PNG
    beside the report. partial: why it ended early; null where it did not.
    """

    minutes: float
    seconds: float
    runs: int
    throttled: bool | None
    throttled_after_s: float | None
    slowdown: float | None
    rule: str
    windows: list[SustainedWindow]
    readings: list[SustainedReading]
    at_s: list[float]
    samples_ms: list[float]
    plot: str | None
    partial: str | None
