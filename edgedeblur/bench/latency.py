"""From single run times to percentiles."""

import statistics
from collections.abc import Sequence

import numpy as np

from edgedeblur.errors import UserError
from edgedeblur.report.schema import Latency

MIN_RUNS = 50
UNKNOWN = Latency(None, None, None, None, None, None, None, None, None, [])


def percentile(samples: Sequence[float], percent: float) -> float:
    """Linear interpolation between the two closest ranks, rank (n - 1) * percent / 100 counted from zero.

    Type 7 of Hyndman & Fan, "Sample quantiles in statistical packages", 1996: NumPy's, R's and Excel's default.
    """
    return float(np.percentile(np.asarray(samples, np.float64), percent, method="linear"))


def summarise(samples: Sequence[float], first: float | None = None, load: float | None = None) -> Latency:
    """Latency of timed runs after warm-up, in ms; `std` is the sample standard deviation (n - 1).

    Raises:
        UserError: fewer than 50 samples, too few for a p99 that means anything.
    """
    if len(samples) < MIN_RUNS:
        raise UserError(f"{len(samples)} timed runs; at least {MIN_RUNS} are needed", exit_code=2)
    rounded = [round(float(sample), 6) for sample in samples]
    return Latency(
        p50=percentile(rounded, 50),
        p90=percentile(rounded, 90),
        p99=percentile(rounded, 99),
        mean=statistics.fmean(rounded),
        std=statistics.stdev(rounded),
        min=min(rounded),
        max=max(rounded),
        first=first,
        load=load,
        samples=rounded,
    )
