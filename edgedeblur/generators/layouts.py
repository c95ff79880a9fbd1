"""Which generator a dict of tensors belongs to, told by names and shapes alone.

Each layout knows how to bring a file's names into the network's own (wrappers, aliases, unused tails), how to read the
configuration off the shapes, and how to build that network. A file fits when names and shapes then agree exactly.
"""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from edgedeblur.errors import UserError
from edgedeblur.generators.networks import deblurgan_v1, deblurgan_v2
from edgedeblur.generators.networks.deblurgan_v1 import ResnetGenerator, V1Config
from edgedeblur.generators.networks.deblurgan_v2 import BACKBONES, PyramidGenerator, V2Config

Tensors = Mapping[str, Tensor]
# DataParallel, torch.compile, and names that training scripts give the generator inside a larger module
_WRAPPERS = ("module.", "_orig_mod.", "netG.", "net_g.", "generator.")
_STATISTICS = re.compile(r"\.(running_mean|running_var|num_batches_tracked)$")
_COUNTER = re.compile(r"\.num_batches_tracked$")


@dataclass(frozen=True)
class Layout:
    """One architecture. `name` for people, `family` and `variant` for GeneratorInfo."""

    name: str
    family: str
    rename: Callable[[Tensors], dict[str, Tensor]]
    configure: Callable[[Tensors], V1Config | V2Config]
    build: Callable[[V1Config | V2Config], nn.Module]
    unused: re.Pattern
    may_lack: re.Pattern | None = None


@dataclass(frozen=True)
class Fit:
    """How a file's names and shapes compare with a layout's.

    tensors: those that the network takes, by its names. parameters: weights in the file, each once, unused ones too.
    wanted: how many tensors the layout cannot do without. missing: those of them that the file has not.
    """

    layout: Layout
    config: V1Config | V2Config
    tensors: dict[str, Tensor] = field(repr=False)
    parameters: int
    wanted: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]

    @property
    def exact(self) -> bool:
        return not (self.missing or self.unexpected or self.misshapen)

    @property
    def found(self) -> int:
        return self.wanted - len(self.missing)


def fit(layout: Layout, tensors: Tensors) -> Fit:
    """Compare a dict of tensors with a layout, without allocating the network.

    Raises:
        UserError: an encoder registered twice with different weights.
    """
    own = layout.rename(strip_wrappers(tensors))
    config = layout.configure(own)
    wanted = _shapes(layout.build, config)
    used = {name: tensor for name, tensor in own.items() if not layout.unused.search(name)}
    needed = [name for name in wanted if not (layout.may_lack and layout.may_lack.search(name))]
    return Fit(
        layout=layout,
        config=config,
        tensors={name: tensor for name, tensor in used.items() if name in wanted},
        parameters=sum(tensor.numel() for name, tensor in own.items() if not _STATISTICS.search(name)),
        wanted=len(needed),
        missing=tuple(name for name in needed if name not in used),
        unexpected=tuple(name for name in used if name not in wanted),
        misshapen=tuple(
            f"{name} {list(used[name].shape)}, expected {list(shape)}"
            for name, shape in wanted.items()
            if name in used and used[name].shape != shape
        ),
    )


@functools.lru_cache(maxsize=16)
def _shapes(build: Callable[[V1Config | V2Config], nn.Module], config: V1Config | V2Config) -> dict[str, torch.Size]:
    """The shapes of a network's tensors by name; building it, without memory for its weights, takes up to a second."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in build(config).state_dict().items()}


def strip_wrappers(tensors: Tensors) -> dict[str, Tensor]:
    """The tensors without the prefixes that every name has: `module.` of nn.DataParallel and the like."""
    names = list(tensors)
    while names and any(all(name.startswith(prefix) for name in names) for prefix in _WRAPPERS):
        names = [name.split(".", 1)[1] for name in names]
    return dict(zip(names, tensors.values(), strict=True))


def _configure_v1(tensors: Tensors) -> V1Config:
    default = V1Config()
    blocks = _numbers(tensors, r"model\.(\d{1,3})\.conv_block\.")
    last = max(_numbers(tensors, r"model\.(\d{1,3})\.weight$"), default=0)
    count = len(blocks) or max(0, last - deblurgan_v1.OTHER_LAYERS) or default.blocks
    block = f"model.{deblurgan_v1.FIRST_BLOCK}.conv_block."
    second = next((index for index in (6, 5) if f"{block}{index}.weight" in tensors), None)
    layout = {6: "dropout", 5: "no dropout"}.get(second, "one convolution" if blocks else default.block_layout)
    kernel = _dimension(tensors, f"model.{deblurgan_v1.FIRST_BLOCK + count}.weight", 2, default.upsample_kernel)
    return V1Config(
        blocks=count,
        block_layout=layout,
        ngf=_dimension(tensors, "model.1.weight", 0, default.ngf),
        upsample_kernel=kernel if kernel in (3, 4) else default.upsample_kernel,
    )


def _configure_v2(backbone: str, default: int) -> Callable[[Tensors], V2Config]:
    return lambda tensors: V2Config(backbone, _dimension(tensors, "head1.block1.weight", 0, default))


def _numbers(tensors: Tensors, pattern: str) -> set[int]:
    return {int(found[1]) for name in tensors if (found := re.match(pattern, name))}


def _dimension(tensors: Tensors, name: str, axis: int, default: int) -> int:
    """One side of a tensor's shape; the default where the tensor is absent or has another form, which `fit` reports."""
    shape = tensors[name].shape if name in tensors else ()
    return shape[axis] if len(shape) == 4 and shape[axis] > 0 else default


def _merge_aliases(backbone: str) -> Callable[[Tensors], dict[str, Tensor]]:
    """Brings `fpn.enc1.0.*` back to the encoder's own name `fpn.features.2.*`; both at once must agree."""

    def merge(tensors: Tensors) -> dict[str, Tensor]:
        merged = {name: tensor for name, tensor in tensors.items() if not name.startswith("fpn.enc")}
        for name, tensor in tensors.items():
            if not name.startswith("fpn.enc"):
                continue
            own = _own_name(backbone, name)
            if own in merged and not _same(merged[own], tensor):
                raise UserError(
                    f"{name} and {own} are one layer of DeblurGAN-v2, but the file has different weights for them",
                    "save the weights again from the network itself: torch.save({'model': netG.state_dict()}, path)",
                )
            merged[own] = tensor
        return merged

    return merge


def _own_name(backbone: str, alias: str) -> str:
    for level, modules in enumerate(BACKBONES[backbone].levels):
        for index, module in enumerate(modules):
            prefix = f"fpn.enc{level}." if len(modules) == 1 else f"fpn.enc{level}.{index}."
            if alias.startswith(prefix):
                return f"fpn.{backbone}.{module}.{alias.removeprefix(prefix)}"
    return alias


def _same(one: Tensor, other: Tensor) -> bool:
    if one.data_ptr() == other.data_ptr() and one.shape == other.shape and one.stride() == other.stride():
        return True
    return one.shape == other.shape and torch.equal(one, other)


def _v2(name: str, backbone: str, filters: int) -> Layout:
    tail = "|".join(re.escape(module) for module in BACKBONES[backbone].tail)
    return Layout(
        name=name,
        family="deblurgan-v2",
        rename=_merge_aliases(backbone),
        configure=_configure_v2(backbone, filters),
        build=PyramidGenerator,
        unused=re.compile(rf"{_COUNTER.pattern}|^fpn\.{backbone}\.({tail})\."),
        may_lack=re.compile(r"\.(running_mean|running_var)$"),
    )


V1 = Layout("DeblurGAN v1 ResNet", "deblurgan-v1", dict, _configure_v1, ResnetGenerator, unused=_STATISTICS)
V2_MOBILENET = _v2("DeblurGAN-v2 fpn_mobilenet", "features", 64)
V2_INCEPTION = _v2("DeblurGAN-v2 fpn_inception", "inception", 128)
LAYOUTS = (V1, V2_MOBILENET, V2_INCEPTION)


def variant(config: V1Config | V2Config) -> str:
    """The name that the original repositories give a configuration, e.g. resnet_9blocks."""
    if isinstance(config, V1Config):
        return f"resnet_{config.blocks}blocks"
    return "fpn_mobilenet" if config.backbone == "features" else "fpn_inception"


def bottleneck_name(config: V1Config | V2Config) -> str:
    """The module with the deepest feature map."""
    module = deblurgan_v1 if isinstance(config, V1Config) else deblurgan_v2
    return module.bottleneck_name(config)
