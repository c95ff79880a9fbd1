"""Networks that edgedeblur does not know: Python classes, TorchScript and torch.export programs."""

import os
import signal

import my_networks
import numpy as np
import pytest
import torch

from edgedeblur.errors import UserError
from edgedeblur.generators.cost import gmac
from edgedeblur.generators.custom import Interface, load_custom, load_exported, load_torchscript
from edgedeblur.generators.load import load_generator

UNIT = Interface(value_range=(0.0, 1.0), multiple=4)


@pytest.fixture
def network():
    torch.manual_seed(3)
    return my_networks.Halving().eval()


@pytest.fixture
def weights(network, tmp_path):
    torch.save({"state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, tmp_path / "own.pth")
    return tmp_path / "own.pth"


def expected(network, image: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return network(image).clamp(0, 1)


def test_a_python_network_runs_with_its_weights_on_any_size(network, weights):
    generator = load_custom("my_networks:Halving", weights, UNIT)
    image = torch.rand(2, 3, 16, 20)
    assert torch.allclose(generator(image), expected(network, image), atol=1e-6)
    assert generator(torch.rand(1, 3, 7, 9)).shape == (1, 3, 7, 9)
    assert generator.restore(np.zeros((5, 6, 3), np.uint8)).shape == (5, 6, 3)


def test_a_network_in_minus_one_to_one_gets_its_own_range(network, weights):
    generator = load_custom("my_networks:Halving", weights, Interface(multiple=4))
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        own = ((network(image * 2 - 1) + 1) / 2).clamp(0, 1)
    assert torch.allclose(generator(image), own, atol=1e-6)


def test_the_named_bottleneck_can_be_watched_and_an_unnamed_one_is_asked_for(weights):
    named = load_custom("my_networks:Halving", weights, Interface((0.0, 1.0), 4, bottleneck="down"))
    assert named.bottleneck is named.network.down
    with pytest.raises(UserError, match="deepest features is not known"):
        _ = load_custom("my_networks:Halving", weights, UNIT).bottleneck
    with pytest.raises(UserError, match="has no module 'middle'"):
        load_custom("my_networks:Halving", weights, Interface((0.0, 1.0), 4, bottleneck="middle"))


def test_a_python_networks_cost_is_counted(weights):
    generator = load_custom("my_networks:Halving", weights, UNIT)
    assert gmac(generator, 64, 64) == pytest.approx(2 * 16 * 16 * 4 * 48 / 1e9)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_networks", "not of the form"),
        ("no_such_package:Net", "cannot import no_such_package"),
        ("my_networks:Nothing", "has no callable 'Nothing'"),
        ("my_networks:not_a_network", "gives a str, not a torch.nn.Module"),
        ("my_networks:Shrinking", "it must keep the shape"),
    ],
)
def test_what_is_no_generator_is_refused(name, message):
    with pytest.raises(UserError, match=message):
        load_custom(name, None, UNIT)


def test_weights_of_another_network_are_refused(weights):
    with pytest.raises(UserError, match=r"own.pth lacks 'conv.bias'"):
        load_custom("my_networks:Shrinking", weights, UNIT)


def test_weights_that_are_nan_are_refused(network, tmp_path):
    network.down.bias.data[0] = float("nan")
    torch.save(network.state_dict(), tmp_path / "nan.pth")
    with pytest.raises(UserError, match="down.bias has 1 of 4 weights that are NaN"):
        load_custom("my_networks:Halving", tmp_path / "nan.pth", UNIT)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_file_runs_on_any_size_and_its_cost_cannot_be_counted(network, tmp_path):
    torch.jit.script(network).save(str(tmp_path / "net.pt"))
    image = torch.rand(1, 3, 8, 12)
    for generator in (
        load_torchscript(tmp_path / "net.pt", UNIT),
        load_generator(tmp_path / "net.pt", interface=UNIT),
    ):
        assert torch.allclose(generator(image), expected(network, image), atol=1e-6)
        assert generator(torch.rand(1, 3, 5, 5)).shape == (1, 3, 5, 5)
    with pytest.raises(UserError, match="cannot be counted"):
        gmac(generator, 64, 64)


def test_a_program_exported_for_one_size_runs_up_to_that_size_when_trusted(network, tmp_path):
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(network, (torch.rand(1, 3, 16, 24),)), path)
    with pytest.raises(UserError, match="loading one can run any code"):
        load_generator(path, interface=UNIT)
    generator = load_generator(path, interface=UNIT, trust_program=True)
    images = torch.rand(2, 3, 16, 24)
    assert torch.allclose(generator(images), expected(network, images), atol=1e-6)
    assert generator(torch.rand(1, 3, 9, 10)).shape == (1, 3, 9, 10)
    with pytest.raises(UserError, match="exported for 16x24"):
        generator(torch.rand(1, 3, 17, 24))


def test_a_program_exported_with_dynamic_sizes_runs_on_any_size(network, tmp_path):
    height, width = (4 * torch.export.Dim(name, min=2, max=64) for name in ("h", "w"))
    shapes = ({2: height, 3: width},)
    program = torch.export.export(network, (torch.rand(1, 3, 16, 24),), dynamic_shapes=shapes)
    torch.export.save(program, tmp_path / "net.pt2")
    generator = load_exported(tmp_path / "net.pt2", UNIT, trust=True)
    image = torch.rand(1, 3, 32, 40)
    assert torch.allclose(generator(image), expected(network, image), atol=1e-6)
    assert generator(torch.rand(1, 3, 30, 30)).shape == (1, 3, 30, 30)


def test_an_interface_is_refused_where_the_file_is_known(small_v1):
    with pytest.raises(UserError, match="an interface is for programs"):
        load_generator(small_v1, interface=UNIT)


@pytest.mark.parametrize("wrong", [{"value_range": (0.0, 255.0)}, {"multiple": 0}])
def test_an_impossible_interface_is_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        Interface(**wrong)


def faults_are_caught(fork):
    """A child as it is after a library with a handler for faults was loaded, such as PoCL."""

    def child():
        number = fork()
        if number == 0:
            signal.signal(signal.SIGSEGV, lambda number, frame: None)
        return number

    return child


def test_a_torchscript_file_on_which_torch_crashes_is_a_message(tmp_path, monkeypatch):
    """The child's loading plays the crash; damaged files that really crash torch are in tests/fuzz."""
    path = tmp_path / "program.pt"
    torch.jit.script(my_networks.Halving()).save(str(path))
    own = os.getpid()

    def crash(*arguments, **options):
        assert os.getpid() != own
        os.kill(os.getpid(), signal.SIGSEGV)

    monkeypatch.setattr(torch.jit, "load", crash)
    monkeypatch.setattr(os, "fork", faults_are_caught(os.fork))
    with pytest.raises(UserError, match=r"program.pt cannot be loaded as TorchScript: torch crashes on it \(SIGSEGV\)"):
        load_torchscript(path, UNIT)


def test_a_torchscript_file_that_takes_gigabytes_is_stopped_before_it_has_them(tmp_path, monkeypatch):
    """The child's loading plays the program that grows; it is stopped, not measured when it has ended."""
    path = tmp_path / "program.pt"
    torch.jit.script(my_networks.Halving()).save(str(path))

    def grow(*arguments, **options):
        held = []
        while True:
            held.append(b"x" * (20 << 20))

    monkeypatch.setattr(torch.jit, "load", grow)
    with pytest.raises(UserError, match=r"program.pt takes \d,?\d+ MB of memory and more for an image of 64x64"):
        load_torchscript(path, UNIT)
