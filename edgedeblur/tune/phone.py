"""A phone as what measures: candidates and networks through adb, on its big cores."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.artefact.target import Target
from edgedeblur.device.batch import run_batch
from edgedeblur.device.connect import choose_phone
from edgedeblur.device.cores import cores_text, place
from edgedeblur.device.facts import check_abi, read_facts
from edgedeblur.device.shell import Phone
from edgedeblur.device.transfer import pull, push, remote_folder
from edgedeblur.errors import UserError
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.runtime.program import BenchResult, check_result
from edgedeblur.tune import gpu_build
from edgedeblur.tune.devices import Device, gpu_device
from edgedeblur.tune.measure import RunProgram, measure_with, tunes_gpu
from edgedeblur.tune.network import TURN_OPTIONS

_FOLDER = remote_folder("tune")
_CANDIDATES = "candidates"


def phone_device(serial: str | None, target: Target, network: QuantisedNetwork | None = None) -> Device:
    """The phone with this serial number, None for the only one; its GPU where `tunes_gpu`.

    Args:
        network: whose first layer asks the GPU for its name; needed there only.

    Raises:
        UserError: no such phone, it does not run the target's programs, or it is an emulator.
    """
    phone = choose_phone(serial)
    facts = read_facts(phone)
    check_abi(facts, target.architecture)
    if facts.is_emulator:
        raise UserError(f"{phone.serial} is an emulator, whose times say nothing about a phone", "attach a phone")
    unit = gpu_build.OPTIONS if tunes_gpu(target) else ()
    cores = cores_text(place(facts.cores, target.threads, target.threads).cores)

    def run_network(artefact: ArtefactInfo, image: np.ndarray) -> tuple[BenchResult, np.ndarray]:
        push(phone, _FOLDER, {"input.rgb": image.tobytes()})
        options = ["--input", f"{_FOLDER}/input.rgb", *TURN_OPTIONS, *unit]
        result, output = _run(phone, cores, f"network-{artefact.path.name}", artefact.bench, options)
        check_result(artefact, result)
        if len(output) != image.nbytes:
            raise UserError(f"phone {phone.serial} wrote an image of {len(output):,} bytes, not {image.nbytes:,}")
        return result, np.frombuffer(output, np.uint8).reshape(image.shape)

    run = run_on(phone, cores)
    if tunes_gpu(target):
        return gpu_device(network, target, run, f"{facts.name} ({facts.soc}), ", run_network)
    name = f"{facts.name} ({facts.soc}), cores {cores}"
    return Device(name, "measured", lambda *trial: measure_with(run, *trial), run_network)


def run_on(phone: Phone, cores: str | None) -> RunProgram:
    """Runs programs of candidates on a phone, each in the last one's place."""

    def run(program: Path, options: Sequence[str]) -> tuple[BenchResult, bytes]:
        return _run(phone, cores, _CANDIDATES, program, options)

    return run


def _run(
    phone: Phone, cores: str | None, name: str, program: Path, options: Sequence[str]
) -> tuple[BenchResult, bytes]:
    output = f"{_FOLDER}/output.rgb"
    outcome = run_batch(phone, _FOLDER, {name: program}, ["--output", output, *options], cores)[name]
    if isinstance(outcome, UserError):
        raise outcome
    return outcome, pull(phone, output)
