"""`bench --adb`: an artefact's latency, memory and temperatures on a phone, as a report.

1. what the phone is, and whether it runs the artefact  device/facts.py
2. the program and its image, if it lacks them          device/transfer.py
3. cool enough                                          device/cooldown.py
4. timed runs on the big cores                          device/program.py, device/cores.py
5. its output against the integer interpreter           byte for byte; of a GPU in fp16 near float32's
6. one more process with a clock per layer              layers.py
7. runs back to back for minutes                        throttling.py, device/watch.py
8. the same again under the governor                    governed.py

What is interrupted after the first measured run by unplugging, a time limit or Ctrl-C gives a partial report.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.bench.governed import default_levels, judge_governed, levels_text, parse_levels
from edgedeblur.bench.gpu import bench_image, check_output, unit_for, what_is_compared
from edgedeblur.bench.layers import layer_rows, unknown_layer_rows
from edgedeblur.bench.measure import PROFILED_RUNS, BenchOptions
from edgedeblur.bench.phone_options import PhoneOptions, load_lighter, macs
from edgedeblur.bench.phone_report import Findings, cycles_per_ms, phone_report
from edgedeblur.bench.throttling import judge_sustained
from edgedeblur.device.condition import ZONES, Condition, read_condition
from edgedeblur.device.cooldown import wait_until_cool
from edgedeblur.device.cores import Placement, cores_text, others_mask, place, place_on
from edgedeblur.device.errors import ContactLost, Interrupted
from edgedeblur.device.facts import PhoneFacts, check_abi, read_facts
from edgedeblur.device.program import PROGRAM, RemoteRun, run_program_on
from edgedeblur.device.shell import Phone
from edgedeblur.device.transfer import REMOTE_ROOT, pull, push, remote_folder, remove_all
from edgedeblur.device.watch import Reading, Watch
from edgedeblur.errors import UserError
from edgedeblur.progress import Progress
from edgedeblur.report.phone_schema import Governed, Sustained
from edgedeblur.report.schema import Layer, Quality, Report
from edgedeblur.runtime.program import check_result

MIN_SECONDS = 10.0
_INPUT, _OUTPUT = "input.rgb", "output.rgb"
_WATCH_MARGIN_S = 120.0


@dataclass(frozen=True)
class PhoneBench:
    """failure: why the measurement was interrupted, the report then is partial; None where it is whole."""

    report: Report
    failure: ContactLost | None


def bench_on_phone(
    artefact: ArtefactInfo,
    phone: Phone,
    options: BenchOptions,
    phone_options: PhoneOptions,
    quality: Quality,
    log: Callable[[str], None],
    progress: Progress,
) -> PhoneBench:
    """Measure an artefact on a phone by the steps above.

    Raises:
        UserError: the phone cannot run it, has no room, or was lost before the first run; peers, which do not run on
            phones; output that is not the integer interpreter's.
    """
    if options.against:
        raise UserError("peers run on this machine, not on a phone", "leave out --against", exit_code=2)
    facts = read_facts(phone)
    check_abi(facts, artefact.target.architecture)
    if facts.is_emulator and phone_options.sustained_minutes is not None:
        raise UserError(f"{phone.serial} is an emulator, which has no heat", "leave out --sustained", exit_code=2)
    placement = _placement(artefact, facts, options, phone_options)
    lighter = load_lighter(artefact, phone_options.lighter)
    work = _Work(artefact, phone, options, phone_options, facts, placement, log, progress, lighter)
    try:
        return _measure(work, quality)
    finally:
        if phone_options.clean:
            _clean(phone, log)


@dataclass(frozen=True)
class _Work:
    """What every step needs."""

    artefact: ArtefactInfo
    phone: Phone
    options: BenchOptions
    phone_options: PhoneOptions
    facts: PhoneFacts
    placement: Placement
    log: Callable[[str], None]
    progress: Progress
    lighter: tuple[ArtefactInfo, ...]

    @property
    def folder(self) -> str:
        return remote_folder(f"{self.artefact.name}-{self.artefact.target.name}")

    def run(self, title: str, options: list[str]) -> RemoteRun:
        """The program on the phone, with its image, cores and threads; what it says of its network is checked."""
        common = ["--input", f"{self.folder}/{_INPUT}", "--threads", str(self.placement.threads)]
        common += ["--unit", unit] if (unit := unit_for(self.artefact.target)) != "auto" else []
        run = run_program_on(
            self.phone,
            f"{self.folder}/{PROGRAM}",
            [*common, *options],
            cores_text(self.placement.cores),
            self.phone_options.timeout_s,
            lambda count: self.progress(title, count, None),
        )
        self.progress(title, len(run.runs), len(run.runs))
        if run.result is not None:
            check_result(self.artefact, run.result)
        return run


def _placement(
    artefact: ArtefactInfo, facts: PhoneFacts, options: BenchOptions, phone_options: PhoneOptions
) -> Placement:
    if phone_options.cores is not None:
        return place_on(facts.cores, phone_options.cores, options.threads, artefact.target.threads)
    return place(facts.cores, options.threads, artefact.target.threads)


def _clean(phone: Phone, log: Callable[[str], None]) -> None:
    """Failing to clean up must not cost the measurement."""
    try:
        remove_all(phone)
        log(f"removed {REMOTE_ROOT} from phone {phone.serial}")
    except UserError as error:
        log(f"note: {REMOTE_ROOT} is still on phone {phone.serial}: {error.message}")


def _measure(work: _Work, quality: Quality) -> PhoneBench:
    image = bench_image(work.artefact)
    _push(work, image)
    if work.phone_options.cooldown_c is not None:
        wait_until_cool(work.phone, work.phone_options.cooldown_c, work.log)
    before = read_condition(work.phone)
    timed = _timed(work, before)
    findings = Findings(work.facts, work.placement, before, timed, unknown_layer_rows(work.artefact))
    failure = timed.failure or _go_on(work, image, findings)
    return PhoneBench(phone_report(work.artefact, findings, quality, failure), failure)


def _push(work: _Work, image: np.ndarray) -> None:
    files = {PROGRAM: work.artefact.bench, _INPUT: image.tobytes()}
    sent = push(work.phone, work.folder, files, work.phone_options.timeout_s, work.progress)
    pushed = f"pushed {', '.join(sent)}" if sent else "it has all files already"
    work.log(f"{work.facts.name}, Android {work.facts.android}, {work.facts.soc}: {pushed}")


def _timed(work: _Work, before: Condition) -> RemoteRun:
    options, placement = work.options, work.placement
    seconds = MIN_SECONDS if options.min_seconds is None else options.min_seconds
    words = ["--runs", str(options.runs), "--warmup", str(options.warmup), "--min-seconds", str(seconds)]
    if work.facts.is_emulator:
        work.log("note: an emulator; its output and memory are checked, its times say nothing about a phone")
        words = ["--runs", "1", "--warmup", "0"]
    else:
        if before.battery is not None and before.battery.charging:
            work.log("note: the phone is charging, which heats it")
        where = f"on cores {cores_text(placement.cores)} with {placement.threads} threads"
        where = "on the GPU" if work.artefact.target.gpu else where
        work.log(f"timing {where}: {options.warmup} runs to warm up, then at least {options.runs} and {seconds:g} s")
    return work.run("timed runs", [*words, "--output", f"{work.folder}/{_OUTPUT}"])


def _go_on(work: _Work, image: np.ndarray, findings: Findings) -> ContactLost | None:
    """Everything after the timed runs; why it was interrupted, if it was."""
    try:
        findings.after = read_condition(work.phone)
        output = np.frombuffer(_pull_output(work, image.nbytes), np.uint8)
        work.log(f"comparing its output with {what_is_compared(work.artefact)}")
        _check_output(work, output, findings.timed)
        findings.output_identical = True
        if work.options.profile and not work.facts.is_emulator:
            findings.layers = _layers(work)
        for other in work.lighter:
            _check_lighter(replace(work, artefact=other))
        if work.phone_options.sustained_minutes is not None:
            findings.sustained, failure = _sustain(work, work.phone_options.sustained_minutes)
            if failure is None and work.phone_options.governor is not None:
                findings.governed, failure = _govern(work, findings.sustained)
            return failure
    except ContactLost as failure:
        return failure
    except KeyboardInterrupt:
        return Interrupted(work.phone.serial)
    return None


def _check_lighter(work: _Work) -> None:
    """Brings the program of a network that the governor may choose, and compares its output too."""
    image = bench_image(work.artefact)
    _push(work, image)
    run = work.run(work.artefact.name, ["--runs", "1", "--warmup", "0", "--output", f"{work.folder}/{_OUTPUT}"])
    if run.failure is not None:
        raise run.failure
    _check_output(work, np.frombuffer(_pull_output(work, image.nbytes), np.uint8), run)


def _pull_output(work: _Work, size: int) -> bytes:
    return pull(work.phone, f"{work.folder}/{_OUTPUT}", size, work.phone_options.timeout_s)


def _check_output(work: _Work, output: np.ndarray, run: RemoteRun) -> None:
    shape = (work.artefact.height, work.artefact.width, 3)
    if output.size != prod(shape):
        raise UserError(f"phone {work.phone.serial} wrote an image of {output.size:,} bytes, not {prod(shape):,}")
    check_output(work.artefact, output.reshape(shape), "int8" if run.result is None else run.result.precision)


def _layers(work: _Work) -> list[Layer]:
    work.log("timing each layer")
    profiled = work.run(
        "profiled runs", ["--runs", str(PROFILED_RUNS), "--warmup", str(work.options.warmup), "--profile"]
    )
    if profiled.failure is not None:
        raise profiled.failure
    on_cpu = work.artefact.target.gpu is None
    cycles = cycles_per_ms(work.facts.cores, work.placement.cores) if on_cpu else None
    return layer_rows(work.artefact, profiled.result, cycles)


def _sustain(work: _Work, minutes: float) -> tuple[Sustained, ContactLost | None]:
    work.log(f"running back to back for {minutes:g} minutes")
    run, readings = _watched(work, "sustained runs", minutes, [])
    partial = None if run.failure is None else run.failure.message
    return judge_sustained(minutes, run.runs, readings, work.placement.cores, partial), run.failure


def _govern(work: _Work, without: Sustained) -> tuple[Governed, ContactLost | None]:
    """Begins as hot as the phone is then, unless it is told to cool down first; one that does not costs nothing of what
    was measured before."""
    budget_ms, given = work.artefact.target.latency_budget_ms, work.phone_options.governor
    names, own = [other.name for other in work.lighter], macs(work.artefact)
    smaller = [(other.name, macs(other)) for other in work.lighter]
    threads = work.placement.threads
    levels = parse_levels(given, names) if given else default_levels(threads, budget_ms, own, smaller)
    _cool_again(work)
    minutes, words = without.minutes, levels_text(levels, names)
    work.log(f"running under the governor for {minutes:g} minutes, {budget_ms:g} ms, levels {words}")
    zones = ZONES.rpartition("/")[0]
    programs = [f"{replace(work, artefact=other).folder}/{PROGRAM}" for other in work.lighter]
    networks = [word for program in programs for word in ("--network", program)]
    governor = ["--govern", str(budget_ms), *networks, "--levels", words, "--zones", zones]
    run, readings = _watched(work, "governed runs", minutes, governor)
    return judge_governed(minutes, budget_ms, levels, run, readings, work.placement.cores, without), run.failure


def _cool_again(work: _Work) -> None:
    if work.phone_options.cooldown_c is None:
        work.log("note: the governed run begins with the heat of the one before; --cooldown lets it begin cool")
        return
    try:
        wait_until_cool(work.phone, work.phone_options.cooldown_c, work.log)
    except ContactLost:
        raise
    except UserError as error:
        work.log(f"note: {error.message}; the governed run begins as it is")


def _watched(work: _Work, title: str, minutes: float, words: list[str]) -> tuple[RemoteRun, list[Reading]]:
    """Runs for so long, and what the phone showed of clocks and temperatures meanwhile."""
    spare = others_mask(work.facts.cores, work.placement.cores)
    with Watch(work.phone, 60 * minutes + _WATCH_MARGIN_S, spare) as watch:
        run = work.run(title, ["--runs", "1", "--warmup", "0", "--min-seconds", str(60 * minutes), *words])
    return run, watch.readings
