"""Student to quantised network: observe, decide, fold, and measure what it cost. The stages are this folder's files."""

from dataclasses import dataclass

from edgedeblur.quantize.decide import Observer


@dataclass(frozen=True)
class QuantiseOptions:
    """How to quantise.

    observer: how an activation's range follows from what calibration saw; see decide.py.
    percentile: for the observer of that name.
    bias_correction: take the mean shift of every channel out through its bias; see correct.py.
    """

    observer: Observer = "mse"
    percentile: float = 99.99
    bias_correction: bool = True


def quantise(student: Student, images: Sequence[np.ndarray], options: QuantiseOptions) -> QuantisedNetwork:
    statistics = collect_statistics(student, images)
    tensors = decide_tensors(student.spec, statistics, options.observer, options.percentile)
    if options.bias_correction:
        return fold_network_corrected(student, tensors, statistics, list(crop_images(images, student.spec.multiple)))
    return fold_network(student, tensors)
