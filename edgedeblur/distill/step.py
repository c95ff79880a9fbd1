"""One step of distillation: the student against the sharp image and against its teacher."""

import torch
from torch import Tensor

from edgedeblur.distill.features import feature_loss, watched
from edgedeblur.distill.recipe import DistillRecipe
from edgedeblur.errors import UserError
from edgedeblur.generators.generator import Generator
from edgedeblur.student import Student
from edgedeblur.training.captured import CapturedStep, captures
from edgedeblur.training.device import Compute
from edgedeblur.training.loop import Batch, StepFunction
from edgedeblur.training.losses import charbonnier, frequency_loss, harm_loss, log_mse
from edgedeblur.training.state import TrainingState


def distill_step(state: TrainingState, teacher: Generator, recipe: DistillRecipe, compute: Compute) -> StepFunction:
    """The step function of a run: losses of the recipe's weights, one update of student and projection.

    On a GPU, a run by Muon on the sharp images alone is captured as a CUDA graph (`train.captured`).
    """
    if captures(state, compute) and not recipe.losses.needs_teacher:

        def alone(blur: Tensor, sharp: Tensor) -> dict[str, Tensor]:
            return image_losses(recipe, state.main(blur), blur, sharp)

        return CapturedStep(state, alone, recipe.fitting.clip, compute)
    weights = recipe.losses

    def step(batch: Batch, fraction: float) -> dict[str, float]:
        blur, sharp = (tensor.to(compute.device) for tensor in batch)
        with compute.autocast():
            taught, wanted = teach(teacher, blur, weights.feature > 0) if weights.needs_teacher else (None, None)
            restored, features = _student(state.main, blur)
            projected = state.networks["projection"](features) if wanted is not None else None
        losses = image_losses(recipe, restored, blur, sharp)
        if weights.teacher > 0:
            losses["teacher"] = weights.teacher * teacher_loss(restored, taught, sharp)
        if weights.feature > 0:
            losses["feature"] = weights.feature * feature_loss(projected, wanted)
        state.optimise("student", sum(losses.values()), recipe.fitting.clip)
        return {name: value.item() for name, value in losses.items()}

    return step


def image_losses(recipe: DistillRecipe, restored: Tensor, blur: Tensor, sharp: Tensor) -> dict[str, Tensor]:
    """The losses that need no teacher, times their weights, by name; images [N, 3, H, W] in [0, 1]."""
    weights, losses = recipe.losses, {}
    if weights.psnr > 0:
        losses["psnr"] = weights.psnr * log_mse(restored, sharp)
    if weights.harm > 0:
        losses["harm"] = weights.harm * harm_loss(restored, blur, sharp)
    if weights.sharp > 0:
        losses["sharp"] = weights.sharp * charbonnier(restored, sharp)
    if weights.frequency > 0:
        losses["frequency"] = weights.frequency * frequency_loss(restored, sharp)
    return losses


def teacher_loss(restored: Tensor, taught: Tensor, sharp: Tensor) -> Tensor:
    """Charbonnier to the teacher's output, each picture weighted by `trust`; [N, 3, H, W] each."""
    distance = torch.stack([charbonnier(*pair) for pair in zip(restored, taught, strict=True)])
    return (trust(restored.detach(), taught, sharp) * distance).mean()


def trust(restored: Tensor, taught: Tensor, sharp: Tensor) -> Tensor:
    """[N] in [0, 1]: how far the teacher is ahead of the student, 1 - its squared error over the student's, at least 0.
    A teacher that the student has overtaken would only hold it back."""
    own, theirs = ((image - sharp).float().square().mean((1, 2, 3)) for image in (restored, taught))
    return (1 - theirs / own.clamp_min(1e-8)).clamp_min(0)


@torch.no_grad()
def teach(teacher: Generator, blur: Tensor, features: bool) -> tuple[Tensor, Tensor | None]:
    """(the teacher's output, its deepest feature map or None) for a batch in [0, 1]."""
    if not features:
        return teacher(blur), None
    with watched(teacher.bottleneck) as seen:
        restored = teacher(blur)
    return restored, seen[-1]


def look_at_teacher(teacher: Generator, crop: int, compute: Compute) -> int:
    """The channels of the teacher's deepest feature map.

    Raises:
        UserError: the module named as bottleneck gives something else than one [N, C, H, W] tensor.
    """
    with torch.no_grad(), watched(teacher.bottleneck) as seen:
        teacher(torch.zeros(1, 3, crop, crop, device=compute.device))
    if not seen or not isinstance(seen[-1], Tensor) or seen[-1].dim() != 4:
        raise UserError("the teacher's bottleneck gives no feature map", "set losses.feature to 0 in a --recipe FILE")
    return seen[-1].shape[1]


def _student(student: Student, blur: Tensor) -> tuple[Tensor, Tensor]:
    tensors = student.activations(blur)
    return tensors[student.spec.layers[-1].name], tensors[student.spec.bottleneck]
