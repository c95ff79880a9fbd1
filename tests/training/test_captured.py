"""A captured step against the same step launched by Python; the latter needs no GPU, the comparison does."""

import pytest
import torch

from edgedeblur.student import Student, build_student
from edgedeblur.training.captured import CapturedStep, captures
from edgedeblur.training.device import Compute, choose_compute
from edgedeblur.training.losses import log_mse
from edgedeblur.training.muon import Muon
from edgedeblur.training.recipe import Fitting
from edgedeblur.training.session import new_optimiser
from edgedeblur.training.state import TrainingState

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
FITTING = Fitting(optimiser="muon", rate=1e-3, clip=0.5)


def new_state(compute: Compute, fitting: Fitting = FITTING) -> TrainingState:
    student = build_student("nano", 0).to(compute.device)
    torch.nn.init.normal_(
        student.conv("head").weight, std=0.01, generator=torch.Generator(compute.device).manual_seed(0)
    )
    head = list(student.conv("head").parameters())
    others = [parameter for parameter in student.parameters() if all(parameter is not own for own in head)]
    return TrainingState(
        {"student": student}, {"student": new_optimiser(others, fitting, head, 0.1)}, compute.scaler(), 0.9, {}
    )


def batch(device: torch.device, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.rand(2, 3, 64, 64, generator=generator).to(device) for _ in range(2))


def weights(network: Student) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_only_steps_by_muon_on_a_gpu_are_captured():
    assert not captures(new_state(choose_compute("cpu")), choose_compute("cpu"))
    on_gpu = Compute(torch.device("cuda"), torch.bfloat16)
    state = new_state(choose_compute("cpu"))
    assert captures(state, on_gpu)
    state.optimisers["student"] = torch.optim.AdamW(state.main.parameters())
    assert not captures(state, on_gpu)


def test_muon_with_rates_in_tensors_gives_the_weights_of_plain_rates():
    """What a captured step needs: rates that are read when it runs, not when it was captured."""
    compute = choose_compute("cpu", "float32")
    plain, held = new_state(compute), new_state(compute)
    assert isinstance(held.optimisers["student"], Muon)
    for group in held.optimisers["student"].param_groups:
        group["lr"] = torch.tensor(0.0)
    for factor in (0.5, 1.0, 0.2):
        for state in (plain, held):
            state.set_rates(factor)
            blur, sharp = batch(compute.device)
            state.optimise("student", log_mse(state.main(blur), sharp), FITTING.clip)
    assert torch.allclose(weights(plain.main), weights(held.main), atol=1e-6)
    assert not torch.allclose(weights(plain.main), weights(new_state(compute).main), atol=1e-4)


@pytest.fixture
def without_tf32(monkeypatch):
    """Full float32 where a captured step asks for TF32, so that a small difference of weights means something.

    Newton-Schulz brings a gradient's small singular values to the size of the others, and TF32's rounding with them.
    Simulated on a CPU, two runs of 12 steps whose gradients differ by 1e-6, as by another order of float32's sums, end
    40 % of their way apart with TF32's products and 0.03 % with float32's.
    """
    set_precision, before = torch.set_float32_matmul_precision, torch.get_float32_matmul_precision()
    set_precision("highest")
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda precision: None)
    for setting, value in {"allow_tf32": False, "deterministic": True, "benchmark": False}.items():
        monkeypatch.setattr(torch.backends.cudnn, setting, value)
    yield
    set_precision(before)


@needs_cuda
@pytest.mark.usefixtures("without_tf32")
def test_a_captured_step_gives_the_weights_of_eager_steps():
    """Other pictures in every step. Simulated on a CPU, weights end off by 48 % of their way if the rate stays what it
    is at the capture, by 60 % if the pictures do, by 24 % if gradients add up, by 12 % if one step is done twice."""
    compute = choose_compute("cuda", "float32")
    eager, captured = new_state(compute), new_state(compute)
    step = CapturedStep(
        captured, lambda blur, sharp: {"psnr": log_mse(captured.main(blur), sharp)}, FITTING.clip, compute
    )
    for number in range(12):
        blur, sharp = batch(compute.device, number)
        for state in (eager, captured):
            state.set_rates((number + 1) / 12)
        eager.optimise("student", log_mse(eager.main(blur), sharp), FITTING.clip)
        told = step((blur, sharp), 0.0)
    assert set(told) == {"psnr"}
    moved = (weights(eager.main) - weights(new_state(compute).main)).norm()
    assert (weights(eager.main) - weights(captured.main)).norm() < 0.01 * moved
