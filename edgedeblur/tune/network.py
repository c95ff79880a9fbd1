"""The whole network with tuned and with default schedules, in turns: a schedule must win where it is used, too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedeblur.artefact.folder import ArtefactInfo
from edgedeblur.artefact.target import Target
from edgedeblur.compile.artefact import compile_network
from edgedeblur.compile.schedules.tuned import Database
from edgedeblur.errors import UserError
from edgedeblur.quantize.network import QuantisedNetwork
from edgedeblur.runtime.program import BenchResult, run_program
from edgedeblur.tune.search import typical_ms

TURNS = 10
_RUNS, _WARMUP, _SECONDS = 5, 2, 0.15  # of a turn
TURN_OPTIONS = ("--runs", f"{_RUNS}", "--warmup", f"{_WARMUP}", "--min-seconds", f"{_SECONDS}", "--profile")

# profiled runs of an artefact on an image (uint8 [H, W, 3] RGB), and its output
RunNetwork = Callable[[ArtefactInfo, np.ndarray], tuple[BenchResult, np.ndarray]]


@dataclass(frozen=True)
class Comparison:
    """default_ms, tuned_ms: a typical run of the network. layers: a typical time of each, by name: (default, tuned)."""

    default_ms: float
    tuned_ms: float
    layers: dict[str, tuple[float, float]]


def compare_networks(
    network: QuantisedNetwork,
    target: Target,
    size: tuple[int, int],
    databases: Sequence[Database],
    run: RunNetwork,
    folder: Path,
    log: Callable[[str], None],
) -> Comparison:
    """Compiles the network twice, in `folder`, and runs both in turns.

    Raises:
        UserError: as `compile_network`; outputs that differ.
    """
    default = compile_network(network, target, *size, folder / "default", databases=lambda target: ())
    tuned = compile_network(network, target, *size, folder / "tuned", databases=lambda target: databases)
    log(f"running the network with the default and with the tuned schedules, {TURNS} turns each")
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    turns = [(run(default, image), run(tuned, image)) for _ in range(TURNS)]
    if any(not np.array_equal(outputs[0], outputs[1]) for outputs in ([o for _, o in turn] for turn in turns)):
        raise UserError("the tuned schedules change the network's output", "this is a defect; please report it")
    sides = [[turn[side][0] for turn in turns] for side in (0, 1)]
    layers = {
        layer.name: tuple(_typical([result.layers[index].samples_ms for result in side]) for side in sides)
        for index, layer in enumerate(sides[0][0].layers)
    }
    return Comparison(*(_typical([result.samples_ms for result in side]) for side in sides), layers)


def run_network_here(artefact: ArtefactInfo, image: np.ndarray, unit: str = "auto") -> tuple[BenchResult, np.ndarray]:
    """One turn on this machine; `unit` as `run_program` takes it."""
    run = run_program(artefact, image, _RUNS, _WARMUP, min_seconds=_SECONDS, profile=True, unit=unit)
    if run.result.interrupted:
        raise KeyboardInterrupt
    return run.result, run.output


def _typical(turns: Sequence[Sequence[float]]) -> float:
    return typical_ms([sample for turn in turns for sample in turn])
