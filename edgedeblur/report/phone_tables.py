"""What a report knows of a phone, as facts for the summary, and several phones side by side."""

from collections.abc import Sequence

from rich.table import Table

from edgedeblur.report.numbers import milliseconds, number
from edgedeblur.report.phone_schema import Device, Governed, Level, Minute, PhoneBattery, Sustained
from edgedeblur.report.schema import Report


def phone_facts(report: Report) -> list[tuple[str, str]]:
    """(label, text) of the phone and the sustained run; empty without a phone."""
    device, environment = report.device, report.environment
    if device is None:
        return []
    before, after = (number(value, 1) for value in (environment.temperature_c_before, environment.temperature_c_after))
    facts = [
        ("phone", f"{_name(device)}, Android {device.android_version}, {device.soc} ({device.serial})"),
        ("cores", f"{device.used_cores} of {len(device.cores)}: {_clocks(device)}; {environment.governor or '-'}"),
        ("hottest CPU sensor before / after", f"{before} / {after} C"),
        ("battery before / after", f"{_battery(device.battery_before)} / {_battery(device.battery_after)}"),
        ("output", "the integer interpreter's, byte for byte" if device.output_identical else "not compared"),
    ]
    if report.sustained is not None:
        facts.append(("sustained", sustained_sentence(report.sustained)))
    if report.governed is not None:
        facts.append(("with the governor", governed_sentence(report.governed)))
    if device.partial is not None:
        facts.append(("PARTIAL", device.partial))
    return facts


def sustained_sentence(sustained: Sustained) -> str:
    """The throttling verdict with its numbers."""
    ran = f"{sustained.runs:,} runs in {sustained.seconds:.0f} s"
    if sustained.throttled is None:
        return f"{ran}, too few to judge"
    first, slowest = sustained.windows[0].p50_ms, max(window.p50_ms for window in sustained.windows)
    numbers = f"median {milliseconds(first)} ms at first, {milliseconds(slowest)} ms at the slowest"
    if sustained.throttled:
        return f"{ran}, throttled after {sustained.throttled_after_s:.0f} s: {numbers}"
    return f"{ran}, not throttled: {numbers}"


def governed_sentence(governed: Governed) -> str:
    """How many runs missed the budget with and without it, and where it spent the time."""
    if governed.late is None:
        return "no runs"
    pairs = zip(governed.levels, governed.level_seconds, strict=True)
    where = ", ".join(f"{level_text(level)} for {seconds:.0f} s" for level, seconds in pairs)
    without = "" if governed.late_without is None else f" (without: {governed.late_without:.1%})"
    missed = f"{governed.late:.1%} of {governed.runs:,} runs above {governed.budget_ms:g} ms{without}"
    return f"{missed}; {governed.changes} changes of level: {where}"


def level_text(level: Level) -> str:
    unit = "" if level.unit is None else f" on the {level.unit.upper()}"
    rate = "" if level.frames_per_second is None else f", {level.frames_per_second:g} a second"
    network = "" if level.network is None else f"{level.network} "
    return f"{network}{level.threads} threads{unit}{rate}"


MINUTE_HEADINGS = (
    *("minute", "p50 ms without", "p90 ms without", "p99 ms without", "C without"),
    *("p50 ms with", "p90 ms with", "p99 ms with", "C with", "runs", "levels"),
)


def governed_table(governed: Governed) -> Table:
    """A row for each minute: without and with the governor."""
    table = Table(title="minute by minute, without and with the governor", title_justify="left")
    for heading in MINUTE_HEADINGS:
        table.add_column(heading, justify="right")
    for row in minute_rows(governed):
        table.add_row(*row)
    return table


def minute_rows(governed: Governed) -> list[tuple[str, ...]]:
    """Under `MINUTE_HEADINGS`; a minute that one of the runs did not have is dashes there."""
    without = {minute.from_s: minute for minute in governed.by_minute_without}
    held = {minute.from_s: minute for minute in governed.by_minute}
    rows = []
    for start in sorted(without | held):
        after = held.get(start)
        last = ("-", "-") if after is None else (f"{after.runs:,}", ", ".join(map(str, after.levels)) or "-")
        rows.append((f"{start / 60 + 1:.0f}", *_minute(without.get(start)), *_minute(after), *last))
    return rows


def _minute(minute: Minute | None) -> tuple[str, ...]:
    if minute is None:
        return ("-",) * 4
    latencies = (milliseconds(value) for value in (minute.p50_ms, minute.p90_ms, minute.p99_ms))
    return (*latencies, number(minute.temperature_c, 1))


def phones_table(reports: Sequence[Report]) -> Table:
    """One row per phone, fastest first."""
    table = Table(title="phones", title_justify="left")
    for heading in ("phone", "serial", "SoC", "Android", "cores"):
        table.add_column(heading, overflow="fold")
    for heading in ("p50 ms", "p90 ms", "p99 ms", "memory MB", "C before", "C after"):
        table.add_column(heading, justify="right")
    table.add_column("throttled")
    table.add_column("verdict")
    for report in sorted(reports, key=lambda report: report.latency_ms.p90 or 0.0):
        latency, environment, device = report.latency_ms, report.environment, report.device
        table.add_row(
            *(_name(device), device.serial, device.soc, device.android_version),
            device.used_cores,
            *(milliseconds(value) for value in (latency.p50, latency.p90, latency.p99)),
            number(report.memory_mb.peak_rss, 1),
            number(environment.temperature_c_before, 1),
            number(environment.temperature_c_after, 1),
            _throttled(report.sustained),
            report.budget.verdict,
        )
    return table


def _throttled(sustained: Sustained | None) -> str:
    if sustained is None or sustained.throttled is None:
        return "-"
    return f"after {sustained.throttled_after_s:.0f} s" if sustained.throttled else "no"


def _name(device: Device) -> str:
    return f"{device.manufacturer} {device.model}".strip() or device.serial


def _clocks(device: Device) -> str:
    clocks = [core.max_mhz for core in device.cores]
    kinds = sorted({clock for clock in clocks if clock is not None}, reverse=True)
    return " + ".join(f"{clocks.count(clock)}x {clock / 1e3:.2f} GHz" for clock in kinds) or "clocks not readable"


def _battery(battery: PhoneBattery | None) -> str:
    if battery is None:
        return "-"
    state = "charging" if battery.charging else f"on {battery.source}" if battery.source else "discharging"
    return f"{number(battery.level_percent, 0)} %, {state}"
