"""Float students with random weights, of which every one counts."""

import torch

from edgedeblur.student import Student, StudentSpec


def random_student(spec: StudentSpec, seed: int = 0) -> Student:
    """A student whose every weight counts: its last layer, gates and slopes are not those it begins with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = Student(spec)
        with torch.no_grad():
            for name, parameter in student.named_parameters():
                scale = 0.3 if name.startswith(("gates", "slopes")) or name.endswith("bias") else 0.0
                parameter.add_(torch.randn_like(parameter) * scale)
            last = student.conv(spec.layers[-1].name).weight
            last.copy_(torch.randn_like(last) / (2 * last[0].numel() ** 0.5))
    return student.eval()
