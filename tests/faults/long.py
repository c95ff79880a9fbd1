"""make faults: every command, killed at many moments, on full and read-only disks, and two at once.

python tests/faults/long.py [--seed 0] [--kills 10] [--commands distill,run]
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from commands import commands, make_artefact, make_inputs
from trials import SIGNALS, Server, Tally, Trials, undisturbed

_SIZES_KB = (4, 16, 64, 256, 1024, 4096)
_CALLS = (0, 1, 2, 3, 4, 5, 6, 7, 9, 12, 16, 24, 32)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=10, help="of each command by each signal")
    parser.add_argument("--commands", default=",".join(commands()))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that folders and mounts go
    tally, begin = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgedeblur-faults-") as folder, Server() as server:
        inputs = make_inputs(Path(folder) / "inputs")
        if "bench" in options.commands.split(","):
            make_artefact(inputs)
        for name in options.commands.split(","):
            disturb(server, inputs, Path(folder) / name, name, options, tally)
    for what, count in sorted(tally.counts.items()):
        print(f"{count:6}  {what}")
    print(f"{sum(tally.counts.values())} events, {len(tally.failures)} failures, {time.monotonic() - begin:.0f} s")
    return 1 if tally.failures else 0


def disturb(server: Server, inputs: Path, folder: Path, name: str, options: argparse.Namespace, tally: Tally) -> None:
    command, rng = commands()[name], random.Random(f"{options.seed} {name}")
    undisturbed(server, inputs, folder / "warm", command)  # fills zig's cache, which would make the times untrue
    expected, seconds = undisturbed(server, inputs, folder / "first", command)
    trials = Trials(server, inputs, folder, command, expected, seconds, tally)
    for _ in range(options.kills):
        for number in SIGNALS:
            trials.kill(number, rng)
    all(trials.kill_at_call(call) for call in _CALLS)
    all(trials.fill_disk(size) for size in _SIZES_KB)
    trials.read_only()
    for _ in range(max(1, options.kills // 4)):
        trials.two_at_once(rng)
    print(f"{name}: {seconds:.1f} s undisturbed; all trials done", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
