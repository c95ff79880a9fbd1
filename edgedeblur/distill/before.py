"""How blurred pictures, teacher and student compare before the first step, and whether that teacher should teach."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import nn

from edgedeblur.data.pairs import PairInMemory
from edgedeblur.distill.recipe import DistillRecipe
from edgedeblur.errors import UserError
from edgedeblur.generators.generator import Generator
from edgedeblur.training.device import Compute
from edgedeblur.training.validation import mean_psnr, restore_image

_PAIRS, _SIDE = 8, 512


@dataclass(frozen=True)
class Before:
    """Mean PSNR in dB to the sharp images, before the first step, over `pairs` validation pairs."""

    pairs: int
    blurred: float
    teacher: float
    student: float

    def __str__(self) -> str:
        return (
            f"before the first step, mean of {self.pairs} validation pairs: blurred {self.blurred:.2f} dB, "
            f"teacher {self.teacher:.2f} dB, student {self.student:.2f} dB"
        )


def measure_before(
    pairs: Sequence[PairInMemory], teacher: Generator, student: nn.Module, multiple: int, compute: Compute
) -> Before:
    """Measure all three on at most eight pairs, spread evenly, each cut to its middle 512x512.

    Args:
        multiple: of which the student takes sides.
    """
    chosen = [_middle(pair) for pair in pairs[:: -(-len(pairs) // _PAIRS)]]

    def mean(network: nn.Module, sides: int) -> float:
        return mean_psnr(chosen, lambda image: restore_image(network, image, sides, compute.device))["mean"]

    blurred = mean_psnr(chosen, lambda image: image)["mean"]
    return Before(len(chosen), blurred, mean(teacher, 1), mean(student, multiple))


def decide_teaching(recipe: DistillRecipe, before: Before) -> tuple[DistillRecipe, list[str]]:
    """The recipe without the teacher's losses where the teacher is not ahead of the student, and what to tell the user.

    Raises:
        UserError: then no loss is left.
    """
    notes = [str(before)]
    if before.teacher < before.blurred:
        notes.append(
            "warning: the teacher makes these pictures worse; the usual causes are its normalisation (--bn for "
            "DeblurGAN-v2) and the range of its pixels (--range for your own network)"
        )
    if not recipe.losses.needs_teacher or before.teacher > before.student:
        return recipe, notes
    try:
        losses = replace(recipe.losses, teacher=0.0, feature=0.0)
    except ValueError as error:
        raise UserError(
            f"the teacher is not ahead of the student ({before}), and the recipe has no loss but the teacher's",
            "give another --teacher, or a --recipe with losses.psnr above 0",
        ) from error
    return replace(recipe, losses=losses), [
        *notes,
        "the teacher is not ahead of the student, so the student learns from the sharp images alone",
    ]


def _middle(pair: PairInMemory) -> PairInMemory:
    top, left = (max(0, (side - _SIDE) // 2) for side in pair.blur.shape[:2])
    window = slice(top, top + _SIDE), slice(left, left + _SIDE)
    return replace(pair, blur=pair.blur[window], sharp=pair.sharp[window])
