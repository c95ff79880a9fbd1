"""Fit `edgedeblur/data/blur/shake_model.toml` to recordings, and compare the two as docs/blur-synthesis.md does.

    python benchmarks/training/fit_shake.py FOLDER              compare the model that ships
    python benchmarks/training/fit_shake.py FOLDER --rounds 6   fit anew, starting from it; prints the file

What is fitted are logarithms of quantiles of what a path of 13 or 31 samples at 240 a second is made of: mean rate, its
change, what is left, about the axes across the picture and along it, and their medians by how fast the window is.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from edgedeblur.data.blur.recorded import Shake
from edgedeblur.data.blur.shake_log import LONGEST, SAMPLES, read_shake_logs
from edgedeblur.data.blur.shake_model import Oscillator, ShakeModel, shipped_shake

FOCAL = 1000.0  # pixels, of the comparison
_WINDOWS = 4000
_QUANTILES = (10, 25, 50, 75, 90, 97)


def summary(shake: Shake) -> np.ndarray:
    """Of the same windows at every call: quantiles and medians, as logarithms."""
    found = []
    for seconds in (12 / 240, LONGEST):
        mean, change, rest = parts(shake.draw(np.random.default_rng(0), np.full(_WINDOWS, seconds)).rates)
        speed, bend = (np.hypot(*each[:, :2].T) for each in (mean, change))
        shaken = np.sqrt((rest[..., :2] ** 2).sum(axis=2).mean(axis=1))
        roll, roll_change = np.abs(mean[:, 2]), np.abs(change[:, 2])
        for values in (speed, bend, shaken, roll, roll_change, *np.abs(mean[:, :2]).T):
            found += list(np.percentile(values, _QUANTILES))
        for group in np.array_split(np.argsort(speed), 5):
            found += [np.median((values / speed)[group]) for values in (bend, shaken, roll)]
    return np.log(found)


def parts(rates: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean [M, 3], change from begin to end [M, 3] and the rest [M, S, 3] of rates [M, S, 3]."""
    times = np.linspace(-0.5, 0.5, rates.shape[1])[:, None]
    mean = rates.mean(axis=1)
    change = (rates * times).sum(axis=1) / (times**2).sum()
    return mean, change, rates - mean[:, None] - change[:, None] * times


def fitted(model: ShakeModel, wanted: np.ndarray, rounds: int) -> ShakeModel:
    """The model after so many rounds of Powell's method, whose damping of tremor stays."""

    def model_of(vector: np.ndarray) -> ShakeModel:
        slow, fast = vector[:7], vector[7:]
        aiming = Oscillator(np.exp(slow[0]), np.exp(slow[1]), tuple(slow[2:5]), *np.abs(slow[5:]))
        damping = model.parts[1].damping
        return ShakeModel((aiming, Oscillator(np.exp(fast[0]), damping, tuple(fast[1:4]), *np.abs(fast[4:]))))

    def error(vector: np.ndarray) -> float:
        if np.abs(vector).max() > 9:
            return 1e9
        return float(((summary(model_of(vector)) - wanted) ** 2).mean())

    slow, fast = model.parts
    vector = np.array(
        [np.log(slow.frequency), np.log(slow.damping), *slow.log_scale, slow.common, slow.axis]
        + [np.log(fast.frequency), *fast.log_scale, fast.common, fast.axis]
    )
    for number in range(rounds):
        found = minimize(error, vector, method="Powell", options={"maxiter": 1, "xtol": 1e-2, "ftol": 1e-3})
        vector = found.x
        print(f"round {number + 1}: mean squared error of logarithms {found.fun:.4f}", flush=True)
    return model_of(vector)


def comparison(shake: Shake) -> dict[str, np.ndarray]:
    """The rows of the table in docs/blur-synthesis.md."""
    seconds, rng = 12 / 240, np.random.default_rng(0)
    rates = shake.draw(rng, np.full(2 * _WINDOWS, seconds)).rates
    across = rates[..., :2] * FOCAL
    steps = (across[:, 1:] + across[:, :-1]) / 2 * seconds / (SAMPLES - 1)
    length, path = np.linalg.norm(steps, axis=2).sum(axis=1), np.cumsum(steps, axis=1)
    chord = np.linalg.norm(path[:, -1], axis=1)
    bend = np.abs(path[..., 0] * path[:, -1:, 1] - path[..., 1] * path[:, -1:, 0]).max(axis=1) / chord
    mean, change, _ = parts(rates)
    speed, acceleration = (np.hypot(*each[:, :2].T) for each in (mean, change))
    groups = [(length >= low) & (length < high) for low, high in ((1, 3), (3, 10), (10, 30), (30, np.inf))]
    rows = {"length": np.percentile(length, (25, 50, 75, 90, 97)), "share": np.mean(groups, axis=1)}
    roll = np.abs(mean[:, 2]) / speed
    for name, values in {"acceleration": acceleration / 2 / speed, "bend": bend, "roll": roll}.items():
        rows |= {f"{name}, {q} %": np.array([np.percentile(values[group], q) for group in groups]) for q in (50, 90)}
    rows["chord / path"] = np.array([np.median((chord / length)[group]) for group in groups])
    return rows | spectra(shake.draw(rng, np.full(2 * _WINDOWS, LONGEST)).rates)


def spectra(rates: np.ndarray) -> dict[str, np.ndarray]:
    """Mean over the windows of dB of (rad/s)^2/Hz, about each axis."""
    window, rate = np.hanning(SAMPLES + 1)[:-1], (SAMPLES - 1) / LONGEST
    centred = (rates - rates.mean(axis=1, keepdims=True)) * window[:, None]
    power = 2 * np.abs(np.fft.rfft(centred, axis=1)) ** 2 / (rate * (window**2).sum())
    decibel = 10 * np.log10(power[:, [1, 2, 4, 8]] + 1e-14).mean(axis=0)
    return {f"about {axis}: 8, 16, 31, 62 Hz": decibel[:, place] for place, axis in enumerate("xyz")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="recordings, as for --shake")
    parser.add_argument("--rounds", type=int, default=0, help="of the fit; default: none")
    options = parser.parse_args()
    logs, model = read_shake_logs(options.folder), shipped_shake()
    if options.rounds:
        model = fitted(model, summary(logs), options.rounds)
        for part in model.parts:
            print(
                "[[part]]", *(f"{name} = {np.round(value, 3).tolist()}" for name, value in vars(part).items()), sep="\n"
            )
    rows = [comparison(shake) for shake in (logs, model)]
    for name in rows[0]:
        print(f"{name:30}", *("  ".join(f"{value:6.2f}" for value in row[name]) for row in rows), sep="   |   ")


if __name__ == "__main__":
    main()
