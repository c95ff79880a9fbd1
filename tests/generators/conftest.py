"""Weight files for the generator tests, made once: the golden set's in their official wrapping, and a small v1."""

from dataclasses import dataclass, field
from pathlib import Path

import golden_set
import numpy as np
import pytest
import torch
from torch import Tensor

from edgedeblur.generators.generator import Generator
from edgedeblur.generators.load import load_generator
from edgedeblur.generators.networks.deblurgan_v1 import ResnetGenerator, V1Config


@dataclass
class Golden:
    folder: Path
    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    generators: dict[str, Generator] = field(default_factory=dict)

    def weights(self, variant: str) -> dict[str, Tensor]:
        if variant not in self.tensors:
            self.tensors[variant] = golden_set.weights(variant)
        return self.tensors[variant]

    def generator(self, variant: str) -> Generator:
        """Loaded once from the official file with default options; who changes a setting puts it back."""
        if variant not in self.generators:
            self.generators[variant] = load_generator(self.file(variant))
        return self.generators[variant]

    def arrays(self, variant: str) -> dict[str, np.ndarray]:
        return golden_set.arrays(variant)

    def file(self, variant: str) -> Path:
        """The file as upstream's training writes it: v1 flat, v2 under "model" with DataParallel's prefix."""
        path = self.folder / f"{variant}.pth"
        if not path.exists():
            state = self.weights(variant)
            if variant.startswith("v2"):
                state = {"model": {f"module.{name}": tensor for name, tensor in state.items()}}
            torch.save(state, path)
        return path


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Two threads that wait for each other on a busy machine take ten times as long as one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def golden(tmp_path_factory) -> Golden:
    if not golden_set.is_there():
        pytest.skip(f"no golden set at {golden_set.FOLDER}; EDGEDEBLUR_SHARED names the folder that has it")
    return Golden(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="session")
def small_v1_state() -> dict[str, Tensor]:
    """A resnet_6blocks with five channels and the statistics that files of torch >= 0.4 carry."""
    torch.manual_seed(0)
    state = ResnetGenerator(V1Config(blocks=6, ngf=5)).state_dict()
    for name in ("model.2", "model.10.conv_block.7"):
        width = 5 if name == "model.2" else 20
        state[f"{name}.running_mean"] = torch.full((width,), 3.0)
        state[f"{name}.running_var"] = torch.full((width,), 9.0)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)
    return state


@pytest.fixture
def small_v1(small_v1_state, tmp_path) -> Path:
    path = tmp_path / "small.pth"
    torch.save(small_v1_state, path)
    return path
