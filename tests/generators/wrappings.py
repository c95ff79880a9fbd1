"""The ways in which one set of generator weights is found in files."""

import torch
from safetensors.torch import save_file


def flat(state, path):
    torch.save(state, path)


def under_model_with_prefix(state, path):
    """As DeblurGAN-v2 publishes."""
    torch.save({"model": {f"module.{name}": tensor for name, tensor in state.items()}}, path)


def data_parallel(state, path):
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)


def training_checkpoint(state, path):
    torch.save({"epoch": 3, "netG": state, "netD": {"model.0.weight": torch.zeros(4)}}, path)


def before_zip(state, path):
    torch.save({"model": state}, path, _use_new_zipfile_serialization=False)


def before_torch_0_4(state, path):
    """Without num_batches_tracked, as the published v1 file."""
    state = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(state, path, _use_new_zipfile_serialization=False)


def double_precision(state, path):
    torch.save({name: tensor.double() for name, tensor in state.items()}, path)


def encoder_once(state, path):
    """DeblurGAN-v2 without the second names of its encoder."""
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("fpn.enc")}, path)


def safetensors(state, path):
    """Which refuses tensors that share memory, so without the second names too."""
    save_file({name: tensor for name, tensor in state.items() if not name.startswith("fpn.enc")}, path)


WRAPPINGS = [
    flat,
    under_model_with_prefix,
    data_parallel,
    training_checkpoint,
    before_zip,
    before_torch_0_4,
    double_precision,
    encoder_once,
    safetensors,
]
