"""From a file to a generator: what is in it is told by its names and shapes, never by the file's name."""

import dataclasses
from pathlib import Path

import torch
from torch import Tensor, nn

from edgedeblur.errors import UserError
from edgedeblur.generators.custom import load_custom, load_exported, load_torchscript
from edgedeblur.generators.detect import best_fit
from edgedeblur.generators.generator import Generator, GeneratorInfo, count_parameters
from edgedeblur.generators.interface import Interface
from edgedeblur.generators.layouts import Fit, bottleneck_name, variant
from edgedeblur.generators.networks.deblurgan_v1 import V1Config
from edgedeblur.generators.networks.deblurgan_v2 import V2Config
from edgedeblur.generators.networks.normalisation import BN_MODES, Normalisation, check_bn, set_bn
from edgedeblur.generators.networks.unet import UNet, UNetConfig
from edgedeblur.generators.padding import Padding
from edgedeblur.generators.weight_file import PROGRAMS, Format, file_format, float32_weights, read_tensors
from edgedeblur.storage.contents import Origin
from edgedeblur.storage.records import read_record
from edgedeblur.student import model_file as checkpoints
from edgedeblur.student.user_module import names_callable

_V1_PADDING = Padding(multiple=4, min_side=8)
_V2_PADDING = {
    "features": Padding(multiple=32, extra_block=True, fill="grey", single_block=False),
    "inception": Padding(multiple=32, min_side=128, extra_block=True, fill="grey"),
}


def padding_rule(config: UNetConfig | V1Config | V2Config) -> Padding:
    """The sizes that a known network takes, and how upstream makes an image one of them."""
    if isinstance(config, UNetConfig):
        return Padding(multiple=config.multiple, single_block=False)
    return _V1_PADDING if isinstance(config, V1Config) else _V2_PADDING[config.backbone]


def load_generator(
    path: str | Path,
    *,
    weights: str | Path | None = None,
    bn: str | None = None,
    learn_residual: bool | None = None,
    head_relu: bool | None = None,
    interface: Interface | None = None,
    trust_program: bool = False,
    accept_half: bool = False,
) -> Generator:
    """The generator in a file, or of a user's own code, frozen, on the CPU, in float32.

    Takes torch files (zip and older, saved on any device), safetensors and edgedeblur's own model files with DeblurGAN
    v1, DeblurGAN-v2, U-Net or student weights, TorchScript and torch.export programs, and `package.module:callable`.
    Weight files execute nothing. A TorchScript program runs TorchScript operations, a torch.export program possibly
    more.

    Args:
        weights: of a `package.module:callable`: the file that has them.
        bn: DeblurGAN-v2's normalisation, a key of `BN_MODES`; None is "batch", as upstream's predict.py.
        learn_residual: DeblurGAN v1: whether the network's output is added to the image. A file does not tell; None is
            True, as in upstream's published command lines.
        head_relu: DeblurGAN v1 with one convolution per block: whether a block ends with a ReLU. A file does not tell;
            None is True, what that revision makes unless it is given --no_dropout.
        interface: what a program or own code expects; None is [-1, 1] and multiples of 32.
        trust_program: load a torch.export program too.
        accept_half: take weights stored in float16 or bfloat16.

    Raises:
        UserError: not such a file, damaged, weights that are NaN or infinite, an option that does not apply.
    """
    options = {"bn": bn, "learn_residual": learn_residual, "head_relu": head_relu}
    options = {name: value for name, value in options.items() if value is not None}
    if names_callable(path):
        _refuse_options(options, (), "a network of your own")
        return load_custom(str(path), weights, interface, accept_half=accept_half)
    path = Path(path)
    if weights is not None:
        raise UserError(f"weights are for a network given as package.module:callable, not for {path}", exit_code=2)
    kind = file_format(path)
    if kind in PROGRAMS:
        _refuse_options(options, (), "a program")
        if kind is Format.TORCHSCRIPT:
            return load_torchscript(path, interface or Interface())
        return load_exported(path, interface or Interface(), trust=trust_program)
    if interface is not None:
        raise UserError("an interface is for programs and custom networks; the file's own is known", exit_code=2)
    if kind is Format.SAFETENSORS and checkpoints.is_model_file(path):
        _refuse_options(options, (), "an edgedeblur model file")
        return _load_model_file(path)
    best = best_fit(path, read_tensors(path))
    return _load_layout(path, best, float32_weights(path, best.tensors, accept_half), options)


def _load_layout(path: Path, best: Fit, tensors: dict[str, Tensor], options: dict[str, object]) -> Generator:
    if isinstance(best.config, V1Config):
        return _build_v1(path, best, tensors, options)
    return _build_v2(path, best, tensors, options)


def _build_v1(path: Path, best: Fit, tensors: dict[str, Tensor], options: dict[str, object]) -> Generator:
    one_convolution = best.config.block_layout == "one convolution"
    allowed = ("learn_residual", "head_relu") if one_convolution else ("learn_residual",)
    _refuse_options(options, allowed, f"{best.layout.name} with block layout {best.config.block_layout!r}")
    config = dataclasses.replace(best.config, **options)
    hidden = {"blocks"} if one_convolution else {"blocks", "head_relu"}
    described = {name: value for name, value in dataclasses.asdict(config).items() if name not in hidden}
    notes = tuple(
        f"{name}={getattr(config, name)} is assumed; a file of weights does not tell"
        for name in allowed
        if name not in options
    )
    return _assemble(path, dataclasses.replace(best, config=config), tensors, padding_rule(config), described, notes)


def _build_v2(path: Path, best: Fit, tensors: dict[str, Tensor], options: dict[str, object]) -> Generator:
    _refuse_options(options, ("bn",), best.layout.name)
    mode = check_bn(options.get("bn"))
    described = {"bn": mode, "filters": best.config.filters}
    notes = (f"bn={mode}: {BN_MODES[mode]}",)
    padding = padding_rule(best.config)
    generator = _assemble(path, best, tensors, padding, described, notes)
    set_bn(generator.network, mode)
    _require_statistics(path, generator, tensors, mode)
    return generator


def _assemble(
    path: Path, best: Fit, tensors: dict[str, Tensor], padding: Padding, options: dict[str, object], notes: tuple
) -> Generator:
    with torch.device("meta"):
        network = best.layout.build(best.config)
    blank = {
        name: torch.full(tensor.shape, float(name.endswith("running_var")))
        for name, tensor in network.state_dict().items()
        if name not in tensors
    }
    network.load_state_dict(tensors | blank, assign=True)
    network.requires_grad_(False)
    info = GeneratorInfo(
        family=best.layout.family,
        variant=variant(best.config),
        parameters=best.parameters,
        live_parameters=count_parameters(network),
        padding=padding,
        bottleneck=bottleneck_name(best.config),
        options=options,
        source=str(path),
        notes=notes,
    )
    return Generator(network, info)


def _load_model_file(path: Path) -> Generator:
    model = checkpoints.read_model(path)
    if model.kind == checkpoints.STUDENT:
        return _load_student(path)
    if model.kind != checkpoints.UNET:
        raise UserError(
            f"{path} holds a {model.kind[:80]}, not a generator; a generator's model file holds a {checkpoints.UNET}",
            "make one with: edgedeblur train",
        )
    config = read_record(UNetConfig, model.config, Origin(str(path), "make the file again with: edgedeblur train"))
    with torch.device("meta"):  # no memory for weights that the file may not have
        network = UNet(config)
    checkpoints.load_state(path, network, model.state)
    return _own(path, network, "unet", "unet", padding_rule(config), "bottleneck", options=config.to_json())


def _load_student(path: Path) -> Generator:
    student = checkpoints.load_student(path)[0]
    padding = Padding(multiple=student.spec.multiple, single_block=False)
    bottleneck = student.module_name(student.spec.bottleneck)
    return _own(path, student, "student", student.spec.name, padding, bottleneck, value_range=(0.0, 1.0))


def _own(
    path: Path, network: nn.Module, family: str, variant: str, padding: Padding, bottleneck: str, **facts
) -> Generator:
    """A network of this package's own, from its model file; it rounds."""
    network.requires_grad_(False)
    count = count_parameters(network)
    info = GeneratorInfo(
        family, variant, count, count, padding, bottleneck=bottleneck, source=str(path), truncates=False, **facts
    )
    return Generator(network, info)


def _require_statistics(path: Path, generator: Generator, tensors: dict[str, Tensor], mode: str) -> None:
    for name, module in generator.network.named_modules():
        if isinstance(module, Normalisation) and module.statistics == "running":
            for statistic in ("running_mean", "running_var"):
                if f"{name}.{statistic}" not in tensors:
                    raise UserError(f"{path} has no {name}.{statistic}, which bn={mode} needs", "use bn=batch")


def _refuse_options(options: dict[str, object], allowed: tuple[str, ...], what: str) -> None:
    for name in options:
        if name not in allowed:
            listed = ", ".join(allowed) or "none"
            raise UserError(f"option {name} does not apply to {what}; options that do: {listed}", exit_code=2)
