"""Generators of a user's own: a Python class with weights, a TorchScript program, a torch.export program.

What is executed: `load_custom` imports and calls the Python code that it is told to. A TorchScript file executes
TorchScript operations, no Python. A torch.export program's reader may fall back to unpickling and evaluates stored
expressions, so that loading one can run any code: it is loaded only when the caller says that it is trusted.
"""

import contextlib
import importlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from edgedeblur.errors import UserError
from edgedeblur.generators.generator import Generator, GeneratorInfo, count_parameters
from edgedeblur.generators.interface import Interface
from edgedeblur.generators.layouts import strip_wrappers
from edgedeblur.generators.padding import Padding
from edgedeblur.generators.trial import require_survivable
from edgedeblur.generators.weight_file import Format, file_format, float32_weights, read_tensors
from edgedeblur.student import model_file as checkpoints

_PROBE = 64


def load_custom(
    module_callable: str,
    weights: str | Path | None,
    interface: Interface | None = None,
    *,
    accept_half: bool = False,
) -> Generator:
    """A network made by the user's own Python code, which is imported from PYTHONPATH or the current folder.

    Args:
        module_callable: "package.module:callable"; called without arguments, it returns an nn.Module.
        weights: torch or safetensors file with exactly the module's tensors (a `module.` prefix is taken off), read
            without executing anything; None keeps the weights that the callable gives.
        accept_half: take weights stored in half precision.

    Raises:
        UserError: cannot be imported, is no network, weights that do not fit, an output that is not an image.
    """
    interface = interface or Interface()
    network = _call(module_callable)
    if weights is not None:
        _load_weights(Path(weights), network, accept_half)
    network.eval().requires_grad_(False)
    padding = Padding(multiple=interface.multiple, min_side=interface.min_side)
    return _generator(network, module_callable, str(weights or ""), interface, padding)


def load_torchscript(path: str | Path, interface: Interface | None = None) -> Generator:
    """A TorchScript program (torch.jit.save). Its operations run, no Python does.

    Raises:
        UserError: not such a file, or an output that is not an image of the input's size.
    """
    path, interface = Path(path), interface or Interface()
    _require_format(path, Format.TORCHSCRIPT)
    _refuse_bottleneck(path, interface)
    padding = Padding(multiple=interface.multiple, min_side=interface.min_side)
    require_survivable(path, *padding.network_size(_PROBE, _PROBE))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            network = torch.jit.load(str(path), map_location="cpu").eval()
    except Exception as error:  # the reader compiles stored source text, and raises whatever that leads to
        raise UserError(f"{path} cannot be loaded as TorchScript: {_first_line(error)}", "save it again") from error
    return _generator(network, "torchscript", str(path), interface, padding)


def load_exported(path: str | Path, interface: Interface | None = None, *, trust: bool = False) -> Generator:
    """A torch.export program (torch.export.save). One exported for a fixed size takes images up to that size.

    Raises:
        UserError: not trusted, not such a file, or an output that is not an image of the input's size.
    """
    path, interface = Path(path), interface or Interface()
    _require_format(path, Format.EXPORTED)
    _refuse_bottleneck(path, interface)
    if not trust:
        raise UserError(
            f"{path} is a torch.export program; loading one can run any code, so it must be trusted explicitly",
            "add --trust-program, or convert it to TorchScript, which runs no Python",
        )
    try:
        program = torch.export.load(str(path))
    except Exception as error:  # the reader raises whatever the stored schema leads to
        raise UserError(f"{path} cannot be loaded: {_first_line(error)}", "export it again") from error
    shape = _image_shape(path, program)
    padding = Padding(multiple=interface.multiple, min_side=interface.min_side)
    if all(isinstance(side, int) for side in shape[2:]):
        padding = Padding(fixed=(shape[2], shape[3]))
    network = ExportedNetwork(program.module(), one_by_one=isinstance(shape[0], int))
    return _generator(network, "torch.export", str(path), interface, padding)


class ExportedNetwork(nn.Module):
    """A torch.export program; `one_by_one` where it was exported for a single image."""

    def __init__(self, program: nn.Module, one_by_one: bool):
        super().__init__()
        self.program, self.one_by_one = program, one_by_one

    def forward(self, image: Tensor) -> Tensor:
        if self.one_by_one:
            return torch.cat([self.program(one) for one in image.split(1)])
        return self.program(image)

    def train(self, mode: bool = True) -> "ExportedNetwork":
        """Does nothing: a program keeps the mode that it was exported in, and torch refuses to change it."""
        return self


def _call(module_callable: str) -> nn.Module:
    module_name, _, name = module_callable.partition(":")
    if not module_name or not name:
        raise UserError(f"{module_callable!r} is not of the form package.module:callable", exit_code=2)
    try:
        with _current_folder_importable():
            module = importlib.import_module(module_name)
    except ImportError as error:
        fix = "set PYTHONPATH to the folder that has it, or start edgedeblur in that folder"
        raise UserError(f"cannot import {module_name}: {error}", fix) from error
    except Exception as error:  # a user's own code
        raise UserError(f"importing {module_name} fails: {_first_line(error)}") from error
    factory = getattr(module, name, None)
    if not callable(factory):
        raise UserError(f"{module_name} has no callable {name!r}", exit_code=2)
    try:
        network = factory()
    except Exception as error:  # a user's own code
        fix = "name a callable that needs no arguments"
        raise UserError(f"{module_callable}() fails: {_first_line(error)}", fix) from error
    if not isinstance(network, nn.Module):
        raise UserError(f"{module_callable}() gives a {type(network).__name__}, not a torch.nn.Module")
    return network


@contextlib.contextmanager
def _current_folder_importable() -> Iterator[None]:
    """`python -m` puts the current folder on the import path; a console script does not."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove("")


def _load_weights(path: Path, network: nn.Module, accept_half: bool) -> None:
    wanted = network.state_dict()
    candidates = [strip_wrappers(found.tensors) for found in read_tensors(path)]
    state = max(candidates, key=lambda tensors: len(wanted.keys() & tensors.keys()))
    floating = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    checkpoints.load_state(path, network, state | float32_weights(path, floating, accept_half))


def _generator(network: nn.Module, name: str, source: str, interface: Interface, padding: Padding) -> Generator:
    parameters = count_parameters(network)
    if interface.bottleneck is not None:
        try:
            network.get_submodule(interface.bottleneck)
        except AttributeError as error:
            raise UserError(f"{name} has no module {interface.bottleneck!r}", exit_code=2) from error
    info = GeneratorInfo(
        family="custom",
        variant=name,
        parameters=parameters,
        live_parameters=parameters,
        padding=padding,
        value_range=interface.value_range,
        bottleneck=interface.bottleneck,
        source=source,
    )
    generator = Generator(network, info)
    _probe(generator)
    return generator


def _probe(generator: Generator) -> None:
    """Runs a small grey image, so that a network of another kind is refused when it is loaded, not hours later."""
    height, width = generator.info.padding.fixed or generator.info.padding.network_size(_PROBE, _PROBE)
    image, name = torch.full((1, 3, height, width), 0.5), generator.info.variant
    if ":" not in name:  # of a program, whose variant is its format
        name = f"{generator.info.source} ({name})"
    try:
        with torch.no_grad():
            output = generator.network(image)
    except Exception as error:  # a user's own network
        raise UserError(
            f"{name} fails on an image of {height}x{width}: {_first_line(error)}",
            "say what sides it takes: Interface(multiple=..., min_side=...)",
        ) from error
    if not isinstance(output, Tensor) or output.shape != image.shape:
        got = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise UserError(f"{name} makes {got} of an image {list(image.shape)}; it must keep the shape")


def _image_shape(path: Path, program: torch.export.ExportedProgram) -> tuple:
    """[N, C, H, W] of the program's input; a dynamic side is a symbol, not an int."""
    names = program.graph_signature.user_inputs
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    shape = tuple(nodes[0].meta["val"].shape) if len(nodes) == 1 else ()
    if len(shape) != 4 or shape[1] != 3 or shape[0] not in (1,) and isinstance(shape[0], int):
        raise UserError(f"{path} takes inputs {[list(node.meta['val'].shape) for node in nodes]}, not one [1, 3, H, W]")
    return shape


def _refuse_bottleneck(path: Path, interface: Interface) -> None:
    if interface.bottleneck is not None:
        raise UserError(
            f"{path} is a program; no module inside one can be watched, {interface.bottleneck!r} neither",
            "leave --bottleneck out, or give the Python class: package.module:callable and --weights FILE",
            exit_code=2,
        )


def _require_format(path: Path, wanted: Format) -> None:
    found = file_format(path)
    if found is not wanted:
        raise UserError(f"{path} is {found.value}, not {wanted.value}", "load it with load_generator")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:300]}"
